package admin

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

// previewOf is the body that previews a message with plainConfig; more are further
// members, with a comma in front.
func previewOf(message, more string) string {
	return strings.TrimSuffix(definitionOf("c", plainConfig), "}") + `,"message":` + message + more + "}"
}

func TestAPreviewIsOfAMessageAndShowsTheRecord(t *testing.T) {
	m := newMemory()
	partition := int32(4)
	m.notes = []string{"acks"}
	m.preview = connector.Preview{
		Topic: "t", Key: []byte("k"), Value: []byte{0xff}, Partition: &partition, Headers: []connector.Header{{Key: "h", Value: []byte("v")}, {Key: "none"}},
	}
	h := newServer(t, m, Options{}).Handler()
	w := ask(h, http.MethodPost, PathPreview, previewOf(
		`{"topic":"a/c","payload":"p","qos":2,"retain":true,"client_id":"s1","username":"ada","user_properties":[{"key":"k","value":"v"}]}`, `,"partitions":8`))
	assert.Equal(t, `{"code":0,"data":{"topic":"t","key":{"text":"k","size":1},"partition":4,"headers":[{"key":"h","value":{"text":"v","size":1}},{"key":"none","value":null}],`+
		`"value":{"base64":"/w==","size":1},"error":null,"field":""},"error":null,"notes":["acks"]}`, w.Body.String())
	assert.Equal(t, connector.SampleMessage{
		Topic: "a/c", Payload: []byte("p"), QoS: 2, Retain: true, Partitions: 8, User: [][2]string{{"client_id", "s1"}, {"username", "ada"}, {"k", "v"}},
	}, m.sample)

	long := strings.Repeat("é", 5000)
	m.preview = connector.Preview{Topic: "t", Value: []byte(long)}
	p := read[Preview](t, ask(h, http.MethodPost, PathPreview, previewOf(`{"topic":"a/c","payload_base64":"/w=="}`, "")))
	assert.Equal(t, Preview{Topic: "t", Headers: []RecordHeader{}, Value: &Excerpt{Text: &long, Size: 10000}}, p, "a value is whole")
	assert.Equal(t, connector.SampleMessage{Topic: "a/c", Payload: []byte{0xff}, QoS: 1}, m.sample)
}

func TestAPreviewThatMakesNoRecordIsFulfilledWithItsField(t *testing.T) {
	m := newMemory()
	m.preview = connector.Preview{Refused: &connector.InvalidError{Field: "config.key", Why: "not with mqtt://ada:hush-1@b"}}
	h := newServer(t, m, Options{}).Handler()
	p := read[Preview](t, ask(h, http.MethodPost, PathPreview, previewOf(`{"topic":"a/c"}`, "")))
	require.NotNil(t, p.Error)
	assert.Equal(t, "not with mqtt://***@b", *p.Error)
	assert.Equal(t, "config.key", p.Field)
	assert.Nil(t, p.Value)
	m.err = &connector.InvalidError{Field: "message.topic", Why: "no"}
	assert.Equal(t, "Parameter validation failed: message.topic: no", refusal(t, ask(h, http.MethodPost, PathPreview, previewOf(`{"topic":"x"}`, ""))))
}

func TestABadMessageOfAPreviewIsRefusedWithTheField(t *testing.T) {
	h := newServer(t, newMemory(), Options{}).Handler()
	for message, want := range map[string]string{
		`{"topic":"a","qos":3}`:                             "Parameter validation failed: message.qos must be 0, 1 or 2",
		`{"topic":"a","payload_base64":"*"}`:                "Parameter validation failed: message.payload_base64: it is not base64: ",
		`{"topic":"a","payload_base64":"","payload":7}`:     "Parameter validation failed: message.payload must not be a number",
		`{"topic":"a","payload_base64":"YQ","payload":"a"}`: "Parameter validation failed: message.payload_base64 conflicts with message.payload: remove one",
		`{"topic":"a","paylod":"x"}`:                        `Parameter validation failed: message: json: unknown field "paylod": it has topic, payload or payload_base64, qos,`,
		`7`:                                                 "Parameter validation failed: message: json: cannot unmarshal number",
		`null`:                                              "missing field `message`",
	} {
		w := ask(h, http.MethodPost, PathPreview, previewOf(message, ""))
		assert.Equal(t, http.StatusBadRequest, w.Code, message)
		assert.Contains(t, refusal(t, w), want, message)
	}
	for _, partitions := range []string{"0", "-1", `"3"`, "1.5", "1000001"} {
		assert.Equal(t, "Parameter validation failed: partitions must be a whole number from 1 to 1000000: how many the Kafka topic has",
			refusal(t, ask(h, http.MethodPost, PathPreview, previewOf(`{"topic":"a"}`, `,"partitions":`+partitions))), partitions)
	}
	body, err := json.Marshal(map[string]any{"message": map[string]string{"topic": "a"}, "connector_name": "c"})
	require.NoError(t, err)
	assert.Contains(t, refusal(t, ask(h, http.MethodPost, PathPreview, string(body))), "missing field `connector_type`")
}
