package fields

import (
	"math"
	"testing"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/stretchr/testify/require"
)

func reader(t *testing.T, yaml string) *Reader {
	t.Helper()
	spec := service.NewConfigSpec().Fields(
		service.NewIntField("number").Default(1), service.NewStringField("size").Default("1B"), service.NewStringField("time").Default("0s"),
		service.NewStringField("word").Optional(), service.NewObjectField("inner", service.NewIntField("number").Default(1)))
	conf, err := spec.ParseYAML(yaml, nil)
	require.NoError(t, err)
	return NewReader(conf)
}

func TestValuesInRangeAreRead(t *testing.T) {
	r := reader(t, "number: 7\nsize: 2KiB\ntime: 3s\nword: b\ninner: { number: 9 }\n")
	require.Equal(t, 7, r.Integer(7, 7, "number"))
	require.Equal(t, 9, r.Integer(0, 9, "inner", "number"))
	require.Equal(t, 2048, r.Size(2048, 2048, "size"))
	require.Equal(t, 3*time.Second, r.Duration(3*time.Second, 3*time.Second, "time"))
	require.Equal(t, "b", r.Word([]string{"a", "b"}, "word"))
	require.Equal(t, "b", r.Optional("word"))
	require.NoError(t, r.Err())

	r = reader(t, "{}")
	require.Empty(t, r.Word([]string{"a"}, "word"))
	require.Empty(t, r.Optional("word"))
	require.NoError(t, r.Err())
}

func TestTheFirstErrorNamesTheFieldAndTheRange(t *testing.T) {
	for _, test := range []struct {
		yaml string
		read func(*Reader)
		want string
	}{
		{"number: 0", func(r *Reader) { r.Integer(1, 5, "number") }, "field number: 0 is out of range; must be 1 to 5"},
		{"inner: { number: 6 }", func(r *Reader) { r.Integer(1, 5, "inner", "number") }, "field inner.number: 6 is out of range; must be 1 to 5"},
		{"size: much", func(r *Reader) { r.Size(0, 9, "size") }, `field size: "much" is not a size; write a number and a unit of B, kB, MB, GB, KiB, MiB or GiB, for example 1MiB`},
		{"size: 1kB", func(r *Reader) { r.Size(0, 9, "size") }, `field size: "1kB" is out of range; must be 0 to 9 bytes`},
		{"time: soon", func(r *Reader) { r.Duration(0, AnyDuration, "time") }, `field time: "soon" is not a duration; write a number and a unit of ns, us, ms, s, m or h, for example 30s`},
		{"time: -1s", func(r *Reader) { r.Duration(0, AnyDuration, "time") }, `field time: "-1s" is negative; must be 0s or more, for example 30s`},
		{"time: 1m", func(r *Reader) { r.Duration(0, time.Second, "time") }, `field time: "1m" is out of range; must be 0s to 1s`},
		{"word: c", func(r *Reader) { r.Word([]string{"a", "b"}, "word") }, `field word: value "c" is unknown; must be one of a, b`},
		{"number: 0", func(r *Reader) {
			r.Integer(1, 5, "number")
			r.Integer(2, 5, "inner", "number")
		}, "field number: 0 is out of range; must be 1 to 5"},
	} {
		r := reader(t, test.yaml)
		test.read(r)
		require.EqualError(t, r.Err(), test.want)
	}
	require.Equal(t, time.Duration(math.MinInt64), reader(t, "time: -2562047h47m16.854775808s").Duration(math.MinInt64, AnyDuration, "time"))
}
