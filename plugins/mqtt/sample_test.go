package mqtt

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestASampleIsWhatTheInputHandsOver(t *testing.T) {
	msg, err := Sample{Topic: "a/b", Payload: []byte("p"), QoS: 1, Retain: true, Received: time.UnixMilli(5), User: [][2]string{{"k", "v"}}}.Message()
	require.NoError(t, err)
	meta := map[string]any{}
	require.NoError(t, msg.MetaWalkMut(func(key string, value any) error { meta[key] = value; return nil }))
	assert.Equal(t, map[string]any{
		"mqtt_topic": "a/b", "mqtt_qos": 1, "mqtt_retained": true, "mqtt_duplicate": false, "mqtt_message_id": 1, "mqtt_timestamp_ms": int64(5),
		"mqtt_user_properties": []any{map[string]any{"key": "k", "value": "v"}},
	}, meta)

	msg, err = Sample{Topic: "a", Payload: []byte("12345"), Limit: 4}.Message()
	require.NoError(t, err)
	require.ErrorContains(t, msg.GetError(), "raise max_payload_bytes, which is 4")
	for topic, want := range map[string]string{
		"": "the topic is empty", "a/#": "has a wildcard", "\xff": "is not UTF-8", "a\x00": "U+0000", strings.Repeat("a", 65536): "has 65536 bytes; MQTT allows at most 65535",
	} {
		_, err := Sample{Topic: topic}.Message()
		require.ErrorContains(t, err, want)
	}
}

// The cases are those of MQTT 5.0, section 4.7.
func TestMatchesAsABrokerDoes(t *testing.T) {
	for filter, topics := range map[string]map[string]bool{
		"sport/tennis/player1/#": {"sport/tennis/player1": true, "sport/tennis/player1/ranking": true, "sport/tennis/player1/score/wimbledon": true, "sport/tennis": false},
		"#":                      {"a": true, "/": true, "$SYS/a": false},
		"+":                      {"a": true, "/a": false, "$SYS": false, "a/b": false},
		"/+":                     {"/a": true, "a": false},
		"+/+":                    {"/a": true, "a/b": true, "a": false},
		"sport/+":                {"sport": false, "sport/": true, "sport/x": true, "sport/x/y": false},
		"+/tennis/#":             {"a/tennis": true, "a/tennis/b": true, "tennis": false},
		"$SYS/#":                 {"$SYS/a": true, "SYS/a": false},
		"a/b":                    {"a/b": true, "a/B": false, "a": false, "a/b/": false, "a/b/c": false},
		"$share/group/sport/+":   {"sport/x": true, "sport": false},
		"$share/group/#":         {"a": true, "$SYS/a": false},
	} {
		for topic, want := range topics {
			assert.Equal(t, want, Matches(filter, topic), "%s with %s", filter, topic)
		}
	}
}
