package kafka

import (
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/redpanda-data/benthos/v4/public/service"

	untrusted "github.com/robustmq/robustmq-connect/plugins/expression"
)

// limitedConfig returns a configuration in an environment with limited expressions.
func limitedConfig(t *testing.T, lines ...string) *config {
	t.Helper()
	conf, err := Spec().ParseYAML("seed_brokers: [ localhost:1 ]\n"+strings.Join(lines, "\n"), nil)
	require.NoError(t, err)
	c, err := parseConfig(conf, LimitExpressions())
	require.NoError(t, err)
	return c
}

func oneRecord(c *config, msg *service.Message) (kgo.Record, error) {
	records, errs := made(c, service.MessageBatch{msg})
	if errs != nil {
		return records[0], errs[0]
	}
	return records[0], nil
}

func TestLimitedExpressionsRefuseLongPayloadsAndResults(t *testing.T) {
	large := service.NewMessage([]byte(`{"a":"` + strings.Repeat("x", untrusted.MaxContent) + `"}`))
	large.MetaSetMut("mqtt_topic", "a/b")
	for key, want := range map[string]string{
		`${! json("a") }`: "evaluating field key: too long for an expression: the payload has 262152 bytes, and an expression reads at most 262144",
		`${! content() }`: "an expression reads at most 262144",
		`${! if @x == "1" { content() } else { 1 }}`: "an expression reads at most 262144",
		`${! @mqtt_topic.split("/").index(1) }`:      "",
		`${! @mqtt_topic }`:                          "",
		`constant`:                                   "",
	} {
		r, err := oneRecord(limitedConfig(t, "topic: t", "key: '"+key+"'"), large)
		if want != "" {
			require.ErrorContains(t, err, want, key)
			continue
		}
		require.NoError(t, err, key)
		require.NotEmpty(t, r.Key, key)
	}

	small := service.NewMessage([]byte(`{"a":"` + strings.Repeat("x", untrusted.MaxResult) + `","b":"short"}`))
	_, err := oneRecord(limitedConfig(t, "topic: t", `key: '${! json("a") }${! json("b") }'`), small)
	require.ErrorContains(t, err, "evaluating field key: too long for an expression: the result has 4101 bytes, and a field may have at most 4096")
	r, err := oneRecord(limitedConfig(t, `topic: '${! json("b") }'`, `key: '${! json("a") }'`), small)
	require.NoError(t, err)
	require.Equal(t, "short", r.Topic)
	require.Len(t, r.Key, untrusted.MaxResult)
}

// A parsed JSON payload takes many times its length. It must not stay in memory with
// the messages of a batch, of which there may be thousands.
func TestLimitedExpressionsReleaseParsedPayloads(t *testing.T) {
	c := limitedConfig(t, `topic: '${! json("t") }'`, `key: '${! json("k") }'`)
	payload := []byte(`{"t":"topic","k":"key","list":[` + strings.TrimSuffix(strings.Repeat("[],", 20000), ",") + `]}`)
	batch := make(service.MessageBatch, 200)
	for i := range batch {
		batch[i] = service.NewMessage(payload)
	}
	records, errs := made(c, batch)
	require.Nil(t, errs)
	require.Equal(t, "topic", records[0].Topic)
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	require.Less(t, stats.HeapAlloc, uint64(64<<20), "200 parsed payloads take 160 MB")
	runtime.KeepAlive(batch)
	runtime.KeepAlive(records)
}
