package control

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/cli"
)

const previewAnswer = `{"topic":"out","key":{"text":"k","size":1},"partition":2,
	"headers":[{"key":"h","value":{"base64":"/w==","size":1}}],"value":{"text":"{\u001b\"a\":1}","size":8},"error":null,"field":""}`

func TestPreviewSendsADefinitionAndAMessage(t *testing.T) {
	noEnvironment(t)
	server := newScripted(t, map[string]http.HandlerFunc{"preview": gives(`{"code":0,"data":` + previewAnswer + `,"error":null,"notes":["acks"]}`)})
	args := []string{
		"--server", server.URL, "connector", "preview", "-n", "c", "--config", `{"bootstrap_servers":"k:1","topic":"out"}`, "--topic-id", "a/#",
		"--topic", "a/b", "--payload", "p", "--qos", "2", "--retained", "--client-id", "s1", "--username", "ada",
		"--user-property", "k=v=w", "--user-property", "l=", "--partitions", "3",
	}
	stdout, stderr, err := runMQTT("", args...)
	require.NoError(t, err)
	assert.Equal(t, "note: acks\n", stderr)
	assert.Regexp(t, `(?s)^connector preview result:\n.*\| topic +\| out +\|\n\| partition +\| 2 +\|\n\| key +\| k +\|\n\| header h +\| base64 /w== +\|\n.*\+\n\{\?"a":1\}\n$`, stdout)
	body := server.body(t)
	assert.Equal(t, map[string]any{
		"topic": "a/b", "payload": "p", "qos": 2.0, "retain": true, "client_id": "s1", "username": "ada",
		"user_properties": []any{map[string]any{"key": "k", "value": "v=w"}, map[string]any{"key": "l", "value": ""}},
	}, body["message"])
	assert.EqualValues(t, 3, body["partitions"])
	assert.Equal(t, "a/#", body["topic_name"])

	stdout, _, err = runMQTT("", append(args, "--output", "json")...)
	require.NoError(t, err)
	assert.JSONEq(t, previewAnswer, stdout)
}

func TestPreviewTakesWhatTheFlagsDoNotSayFromTheServer(t *testing.T) {
	noEnvironment(t)
	server := newScripted(t, map[string]http.HandlerFunc{
		"detail":  gives(`{"code":0,"data":{"connector_type":"kafka","config":"{\"password\":\"***\"}","topic_name":"a/#","failure_strategy":{"strategy":"block"},"state":"Running"},"error":null}`),
		"preview": gives(`{"code":0,"data":{"topic":"","key":null,"partition":null,"headers":[],"value":null,"error":"no\u202e","field":"config.key"},"error":null}`),
	})
	stdout, stderr, err := runMQTT("\x00\xff", "--server", server.URL, "connector", "preview", "-n", "c", "--topic", "a/b", "--payload-file", "-")
	require.ErrorIs(t, err, cli.ErrReported, "no record is a failure")
	assert.Empty(t, stdout)
	assert.Equal(t, "config.key: no?\n", stderr)
	assert.Equal(t, map[string]any{
		"connector_name": "c", "connector_type": "kafka", "tenant": "default", "config": `{"password":"***"}`, "topic_name": "a/#",
		"failure_strategy": map[string]any{"strategy": "block"},
		"message":          map[string]any{"topic": "a/b", "payload_base64": "AP8=", "qos": 1.0},
	}, server.body(t))
}

func TestPreviewSaysWhichFlagIsWrong(t *testing.T) {
	noEnvironment(t)
	server := newScripted(t, map[string]http.HandlerFunc{"detail": gives(`{"code":0,"data":{"config":"{}","topic_name":"a"},"error":null}`)})
	for want, args := range map[string][]string{
		"previewing a record: name it with --connector-name":                           {"--topic", "a"},
		"name the message's topic with --topic":                                        {"-n", "c"},
		`reading --qos "x": want 0, 1 or 2`:                                            {"-n", "c", "--topic", "a", "--qos", "x"},
		"--payload and --payload-file exclude each other: give one":                    {"-n", "c", "--topic", "a", "--payload", "p", "--payload-file", "f"},
		`reading --user-property "k": want KEY=VALUE`:                                  {"-n", "c", "--topic", "a", "--user-property", "k"},
		`reading --partitions "0": want a whole number from 1`:                         {"-n", "c", "--topic", "a", "--partitions", "0"},
		"over 40 KiB long: preview a shorter message":                                  {"-n", "c", "--topic", "a", "--payload-file", "-"},
		"previewing a record: --file and --payload-file cannot both be standard input": {"-f", "-", "--topic", "a", "--payload-file", "-"},
	} {
		_, _, err := runMQTT(strings.Repeat("x", maxSamplePayload+1), append([]string{"--server", server.URL, "connector", "preview"}, args...)...)
		require.ErrorContains(t, err, want)
	}
}
