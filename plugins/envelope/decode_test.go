package envelope

import (
	"bytes"
	"encoding/json"
	"hash/crc32"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestDecodeDocumentedRecord(t *testing.T) {
	_, err := Decode([]byte(documented), true)
	require.ErrorContains(t, err, "decoding crc_num at byte "+strconv.Itoa(strings.Index(documented, "1234567890"))+": the record has 1234567890 but the payload has ")

	e, err := Decode([]byte(documented), false)
	require.NoError(t, err)
	assert.Equal(t, documentedEnvelope(), e)
}

func TestDecodeAcceptsOtherWriters(t *testing.T) {
	tests := map[string]struct {
		record string
		want   Envelope
	}{
		"white space and another order":   {" {\n\"crc_num\" : 2666930069 , \"payload\" : \"YWJj\"\t}\r\n", Envelope{}},
		"payload alone":                   {`{"payload":"YWJj"}`, Envelope{}},
		"data alone":                      {`{"data":"YWJj"}`, Envelope{}},
		"bytes as numbers":                {`{"payload":[97, 98 ,99],"data":"YWJj","crc_num":891568578}`, Envelope{}},
		"unknown names":                   {`{"x":{"a":[1,-2.5e+3,true,null,"s\u00e9"]},"payload":"YWJj","y":[[]]}`, Envelope{}},
		"nulls":                           {`{"payload":"YWJj","data":null,"header":null,"key":null,"tags":null,"qos":null,"crc_num":null}`, Envelope{}},
		"escaped slash and escapes":       {`{"payload":"YWJj","key":"a\/\"\\\b\f\n\r\t\u00e9\ud83d\ude00"}`, Envelope{Key: "a/\"\\\b\f\n\r\té😀"}},
		"half a surrogate pair":           {`{"payload":"YWJj","key":"\ud83d\u0041\udc00"}`, Envelope{Key: "\ufffdA\ufffd"}},
		"bytes that are not UTF-8":        {"{\"payload\":\"YWJj\",\"key\":\"a\xffb\"}", Envelope{Key: "a\ufffdb"}},
		"the first timestamp counts":      {`{"timestamp":5,"payload":"YWJj","timestamp":6}`, Envelope{Timestamp: 5}},
		"header with name":                {`{"payload":"YWJj","header":[{"name":"a","value":"1","x":[0]},{"value":"2","key":"b"}]}`, Envelope{Header: []Header{{"a", "1"}, {"b", "2"}}}},
		"tags derived from the topic":     {`{"payload":"YWJj","topic":"/a//b"}`, Envelope{Topic: "/a//b", Tags: []string{"", "a", "", "b"}}},
		"tags of its own":                 {`{"payload":"YWJj","topic":"a/b","tags":[]}`, Envelope{Topic: "a/b", Tags: []string{}}},
		"payload escaped, data as it was": {`{"payload":"YWJ\u006a","data":"YWJj"}`, Envelope{}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			record := strings.Replace(test.record, "2666930069", strconv.Itoa(int(crc32.ChecksumIEEE([]byte("abc")))), 1)
			test.want.Payload = []byte("abc")
			if test.want.Tags == nil {
				test.want.Tags = []string{}
			}
			got, err := Decode([]byte(record), true)
			require.NoError(t, err)
			if len(test.want.Header) == 0 {
				assert.Empty(t, got.Header)
				got.Header = nil
			}
			assert.Equal(t, test.want, got)
		})
	}
}

// The caret marks the offset; it is not part of the record.
func TestDecodeErrorNamesFieldAndOffset(t *testing.T) {
	for _, test := range []struct{ record, field, reason string }{
		{`^`, "record", "want a JSON object, got the end of the record"},
		{`^[]`, "record", "want a JSON object, got an array"},
		{`{^`, "record", "want a name in quotes, got the end of the record"},
		{`{}^`, "payload", "has neither payload nor data"},
		{`{"payload":""} ^x`, "record", "unexpected 'x' after the end"},
		{`{"payload":""}^{}`, "record", "unexpected an object after the end"},
		{`{"payload":"",^}`, "record", "want a name in quotes"},
		{`{"payload" ^""}`, "record", `want ":" after the name "payload"`},
		{`{"payload":"" ^"qos":1}`, "record", `want "," or "}"`},
		{`{"topic":^7}`, "topic", "want a string, got a number"},
		{`{"topic":^"a}`, "topic", "the string does not end"},
		{"{\"topic\":\"a^\n\"}", "topic", "control character 0x0a"},
		{`{"topic":"a^\x"}`, "topic", "unknown or cut escape"},
		{`{"topic":"a^\u12g4"}`, "topic", "unknown or cut escape"},
		{`{"qos":^3}`, "qos", "want 0, 1 or 2, got 3"},
		{`{"qos":^"1"}`, "qos", "want 0, 1 or 2, got a string"},
		{`{"qos":^1.0}`, "qos", "want 0, 1 or 2, got 1.0"},
		{`{"qos":0^1}`, "record", `want "," or "}"`},
		{`{"qos":-^}`, "qos", "want a digit"},
		{`{"qos":1,^"qos":1}`, "qos", "is repeated"},
		{`{"retain":^1}`, "retain", "want true or false, got a number"},
		{`{"message_id":^65536}`, "message_id", "want an integer from 0 to 65535, got 65536"},
		{`{"message_id":^-1}`, "message_id", "want an integer from 0 to 65535, got -1"},
		{`{"timestamp":^9223372036854775808}`, "timestamp", "want an integer of 64 bits"},
		{`{"timestamp":1,"timestamp":^""}`, "timestamp", "want an integer of 64 bits, got a string"},
		{`{"crc_num":^4294967296}`, "crc_num", "want an integer from 0 to 4294967295"},
		{`{"payload":"YW^*j"}`, "payload", "is not standard base64 with padding"},
		{`{"payload":"YWJj^YQ"}`, "payload", "is not standard base64 with padding"},
		{`{"payload":"YW","data":""}`, "payload", "is not standard base64"},
		{`{"payload":[1,^256]}`, "payload[1]", "want an integer from 0 to 255, got 256"},
		{`{"payload":[1^;2]}`, "payload", `want "," or "]"`},
		{`{"payload":^true}`, "payload", "want a base64 string or an array of byte numbers, got true"},
		{`{"payload":"YWJj","data":^"YWJk"}`, "data", "differs from payload"},
		{`{"header":^{}}`, "header", "want an array, got an object"},
		{`{"header":[{"key":"a","value":"b"},^7]}`, "header[1]", "want a JSON object, got a number"},
		{`{"header":[^{"key":"a"}]}`, "header[0]", `want an object with "key" (or "name") and "value"`},
		{`{"header":[{"key":"a","value":^1}]}`, "header[0].value", "want a string, got a number"},
		{`{"header":[{"key":"a",^"name":"b","value":""}]}`, "header[0].name", "differs from the name before it"},
		{`{"header":[{"value":"a",^"value":"a"}]}`, "header[0].value", "is repeated"},
		{`{"tags":["a",^null]}`, "tags[1]", "want a string, got null"},
		{`{"payload":"","crc_num":^1}`, "crc_num", "the record has 1 but the payload has 0"},
		{`{"":^`, "record", "want a value, got the end of the record"},
		{`{"x":[1,^}`, "x", "want a value, got '}'"},
		{`{"x":` + strings.Repeat("[", maxDepth) + "^" + strings.Repeat("[", 1000000), "x", "nested more than 64 deep"},
	} {
		record := strings.Replace(test.record, "^", "", 1)
		_, err := Decode([]byte(record), true)
		var got *DecodeError
		require.ErrorAs(t, err, &got, test.record)
		assert.Equal(t, test.field, got.Field, test.record)
		if at := strings.Index(test.record, "^"); at >= 0 {
			assert.Equal(t, at, got.Offset, test.record)
		}
		assert.Contains(t, got.Reason, test.reason, test.record)
		assert.Contains(t, err.Error(), "decoding "+test.field+" at byte ")
	}
}

func TestDecodeSharesNoMemoryWithTheRecord(t *testing.T) {
	record := []byte(`{"topic":"abc","payload":[1],"data":"AQ=="}`)
	e, err := Decode(record, true)
	require.NoError(t, err)
	clear(record)
	assert.Equal(t, "abc", e.Topic)
	assert.Equal(t, []byte{1}, e.Payload)
}

// FuzzDecode compares with encoding/json for records that both must read alike: each
// name once and in our spelling, byte strings as base64, and no null.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(documented))
	f.Add([]byte(`{"":`)) // regression: the error named no field
	e := benchEnvelope()
	f.Add(AppendEncode(nil, &e, false))
	f.Add([]byte(`{"payload":[1,2],"header":[{"name":"a","value":"\ud83d\ude00"}],"x":{"y":[-1.5e3]}}`))
	f.Add([]byte(`{"data":"YQ==","qos":2,"crc_num":0,"tags":null}`))
	f.Add([]byte("{\"payload\":\"Y\\nQ==\",\"key\":\"\xff\"}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := Decode(data, false)
		if err == nil {
			require.True(t, json.Valid(data), "%q", data)
			again, err := Decode(AppendEncode(nil, &got, false), true)
			require.NoError(t, err)
			require.Equal(t, stdOf(&got), stdOf(&again))
		} else {
			var de *DecodeError
			require.ErrorAs(t, err, &de)
			require.True(t, de.Offset >= 0 && de.Offset <= len(data) && de.Field != "" && de.Reason != "")
		}
		want, ok := decodeStdlib(data)
		if !ok {
			return
		}
		require.NoError(t, err)
		require.Equal(t, stdOf(&want), stdOf(&got))
	})
}

// decodeStdlib reads a plain record with encoding/json; ok is false if the two decoders
// need not read the record alike.
func decodeStdlib(data []byte) (e Envelope, ok bool) {
	known := map[string]bool{}
	for _, name := range append([]string{"data", "crc_num"}, encodeFields...) {
		known[name] = true
	}
	d := json.NewDecoder(bytes.NewReader(data))
	if tok, err := d.Token(); err != nil || tok != json.Delim('{') {
		return e, false
	}
	seen := map[string]bool{}
	for d.More() {
		tok, err := d.Token()
		name, isName := tok.(string)
		var value json.RawMessage
		if err != nil || !isName || d.Decode(&value) != nil || bytes.Contains(value, []byte("null")) {
			return e, false
		}
		if seen[name] || !known[name] {
			return e, false
		}
		seen[name] = true
	}
	var s stdEnvelope
	if (!seen["payload"] && !seen["data"]) || json.Unmarshal(data, &s) != nil || s.QoS > 2 {
		return e, false
	}
	if seen["payload"] && seen["data"] && !bytes.Equal(s.Payload, s.Data) {
		return e, false
	}
	var headers struct {
		Header []map[string]string `json:"header"`
	}
	if json.Unmarshal(data, &headers) != nil {
		return e, false
	}
	for i, h := range headers.Header {
		key, hasKey := h["key"]
		value, hasValue := h["value"]
		if len(h) != 2 || !hasKey || !hasValue || bytes.Count(data, []byte(`"value"`)) > len(headers.Header) ||
			s.Header[i] != (stdHeader{key, value}) || bytes.Count(data, []byte(`"key"`)) > len(headers.Header)+1 {
			return e, false
		}
		e.Header = append(e.Header, Header{key, value})
	}
	e.Topic, e.QoS, e.Retain, e.Payload, e.ClientID, e.Username = s.Topic, s.QoS, s.Retain, s.Payload, s.ClientID, s.Username
	e.Timestamp, e.MessageID, e.Key, e.Tags = s.Timestamp, s.MessageID, s.Key, s.Tags
	if !seen["payload"] {
		e.Payload = s.Data
	}
	if e.Payload == nil {
		e.Payload = []byte{}
	}
	return e, true
}
