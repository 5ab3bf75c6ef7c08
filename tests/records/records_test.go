package records

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const good = `{"topic":"a/b","qos":1,"retain":false,"payload":"aGk=","client_id":"","username":"","timestamp":1700000000,` +
	`"message_id":7,"header":[{"key":"k","value":"v"}],"key":"a/b","data":"aGk=","tags":["a","b"],"crc_num":3633523372}`

func TestParseReadsEveryField(t *testing.T) {
	e, err := Parse([]byte(good))
	require.NoError(t, err)
	require.Equal(t, Envelope{
		Topic: "a/b", QoS: 1, Payload: []byte("hi"), Timestamp: 1700000000, MessageID: 7,
		Header: []Property{{"k", "v"}}, Key: "a/b", Data: []byte("hi"), Tags: []string{"a", "b"}, CRC: 3633523372,
	}, e)
}

func TestParseRefusesInvalidRecords(t *testing.T) {
	for replaced, by := range map[string]string{
		`"retain":false,`:            ``,
		`"retain":false`:             `"retain":false,"retain":false`,
		`"qos":1,"retain":false`:     `"retain":false,"qos":1`,
		`"retain"`:                   `"retained"`,
		`"qos":1`:                    `"qos":3`,
		`"qos":1,`:                   `"qos":0,`,
		`"message_id":7`:             `"message_id":0`,
		`"data":"aGk="`:              `"data":"aGs="`,
		`3633523372`:                 `3633523373`,
		`["a","b"]`:                  `["a/b"]`,
		`[{"key":"k","value":"v"}]`:  `null`,
		`"payload":"aGk="`:           `"payload":"aGk"`,
		`"crc_num":3633523372}`:      `"crc_num":3633523372}{}`,
		`{"key":"k","value":"v"}`:    `{"key":"k","value":"v","more":1}`,
		`"timestamp":1700000000,`:    `"timestamp":"1700000000",`,
		`"client_id":"","username"`:  `"username":"","client_id"`,
		`"crc_num":3633523372`:       `"crc_num":-1`,
		`"tags":["a","b"],"crc_num"`: `"crc_num":3633523372,"tags":["a","b"],"x"`,
	} {
		wrong := strings.Replace(good, replaced, by, 1)
		require.NotEqual(t, good, wrong, replaced)
		_, err := Parse([]byte(wrong))
		require.Error(t, err, wrong)
	}
}
