package tests

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
	"github.com/robustmq/robustmq-connect/tests/program"
)

// described is a service whose answers are held to its own document. An object has no
// member that the document does not name.
type described struct {
	*gitops
	document any
	compiler *jsonschema.Compiler
	called   map[string]bool // paths of the document
}

// newDescribed starts a service with more flags, as newGitops does.
func newDescribed(t *testing.T, flags ...string) *described {
	t.Helper()
	d := &described{gitops: newGitops(t, flags...), compiler: jsonschema.NewCompiler(), called: map[string]bool{}}
	answer, err := http.Get("http://" + d.server + admin.PathOpenAPI)
	require.NoError(t, err)
	defer answer.Body.Close()
	d.document, err = jsonschema.UnmarshalJSON(answer.Body)
	require.NoError(t, err)
	forbidOtherMembers(d.document)
	require.NoError(t, d.compiler.AddResource("api.json", d.document))
	d.called[admin.PathOpenAPI] = true
	return d
}

func forbidOtherMembers(part any) {
	switch v := part.(type) {
	case map[string]any:
		if _, ok := v["properties"].(map[string]any); ok && v["type"] == "object" {
			v["additionalProperties"] = false
		}
		for _, inner := range v {
			forbidOtherMembers(inner)
		}
	case []any:
		for _, inner := range v {
			forbidOtherMembers(inner)
		}
	}
}

// schema is the place of a part of the document, "" where there is none.
func (d *described) schema(steps ...string) string {
	escaped := strings.NewReplacer("~", "~0", "/", "~1", "%", "%25", " ", "%20", "{", "%7B", "}", "%7D")
	part, place := d.document, []string{"api.json#"}
	for _, step := range steps {
		object, _ := part.(map[string]any)
		if part = object[step]; part == nil {
			return ""
		}
		place = append(place, escaped.Replace(step))
	}
	return strings.Join(place, "/")
}

// call sends a request and holds its answer to the document. path is that of the
// document.
func (d *described) call(status int, method, path, query, body string, header ...string) string {
	d.t.Helper()
	target := strings.ReplaceAll(path, "{connector_name}", "c") + query
	about := fmt.Sprintf("%s %s %s", method, target, body)
	r, err := http.NewRequestWithContext(d.t.Context(), method, "http://"+d.server+target, strings.NewReader(body))
	require.NoError(d.t, err)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer, err := http.DefaultClient.Do(r)
	require.NoError(d.t, err, about)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	require.NoError(d.t, err, about)
	require.Equal(d.t, status, answer.StatusCode, "%s: %s", about, text)
	d.called[path] = true

	responses := []string{"paths", path, strings.ToLower(method), "responses", strconv.Itoa(status)}
	if d.schema(responses...) == "" {
		responses[4] = "default"
	}
	media := answer.Header.Get("Content-Type")
	content := append(responses, "content", media, "schema")
	if d.schema(content...) == "" {
		content[6], _, _ = strings.Cut(media, ";")
	}
	require.NotEmpty(d.t, d.schema(content...), "%s: the document has no %s with %s", about, responses[4], media)
	place := d.schema(append(content, "contentSchema")...)
	switch {
	case place == "" && strings.HasPrefix(string(text), "{"):
		place = d.schema("components", "schemas", "Failure")
	case place == "":
		return string(text) // plain text
	}
	schema, err := d.compiler.Compile(place)
	require.NoError(d.t, err, about)
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	require.NoError(d.t, err, "%s: %s", about, text)
	require.NoError(d.t, schema.Validate(value), "%s: %s", about, text)
	return string(text)
}

// What a service answers about connectors that run is as its document says: all routes,
// fulfilled and refused.
func TestAnswersOfAServiceAreAsItsDocumentSays(t *testing.T) {
	d := newDescribed(t)
	d.limit("out", "3000")
	definition := func(topic string, more ...string) string {
		config, err := json.Marshal(map[string]string{"bootstrap_servers": d.kafka, "topic": topic})
		require.NoError(t, err)
		all := map[string]any{
			"tenant": "default", "connector_name": "c", "connector_type": "kafka", "topic_name": "in/#", "config": string(config),
			"failure_strategy": map[string]any{"strategy": "dead_message_queue", "retry_total_times": 1}, "labels": map[string]string{"site": "north"},
		}
		for i := 0; i < len(more); i += 2 {
			all[more[i]] = json.RawMessage(more[i+1])
		}
		text, err := json.Marshal(all)
		require.NoError(t, err)
		return string(text)
	}
	const get, post = http.MethodGet, http.MethodPost
	const named, c, nobody = `{"tenant":"default","connector_name":"c"}`, "?tenant=default&connector_name=c", "?tenant=default&connector_name=nobody"

	wrong := definition("out", "topic_name", `"a/#/b"`)
	d.call(200, post, admin.PathPlan, "", definition("out"))
	d.call(400, post, admin.PathPlan, "", wrong)
	d.call(200, post, admin.PathValidate, "", definition("out"))
	d.call(200, post, admin.PathValidate, "", wrong)
	d.call(200, post, admin.PathCreate, "", definition("out"))
	d.call(200, post, admin.PathCreate, "", definition("out")) // code 100: it exists
	d.call(400, post, admin.PathCreate, "", definition("out", "tenant", "7"))
	d.until(map[string]string{"c": "Running"})
	d.publish("in/1", "small")
	d.publish("in/2", strings.Repeat("x", 5000))
	require.Eventually(t, func() bool { return len(d.letters("c")) == 1 }, exampleTimeout, 200*time.Millisecond)

	d.call(200, get, admin.PathList, "", "")
	d.call(200, get, admin.PathList, "?selector=site=north&limit=1", "")
	d.call(400, get, admin.PathList, "?limit=many", "")
	d.call(200, get, admin.PathDetail, c, "")
	d.call(200, get, admin.PathDetail, nobody, "")
	d.call(400, get, admin.PathDetail, "", "")
	d.call(200, post, admin.PathCheck, "", definition("out"))
	d.call(200, post, admin.PathPreview, "", definition("out", "message", `{"topic":"in/1","payload":"x"}`, "partitions", "3"))
	d.call(400, post, admin.PathPreview, "", definition("out", "message", `{"topic":"elsewhere","payload":"x"}`))
	d.call(200, post, admin.PathPreview, "", definition("out", "message", `{"topic":"in/1","payload":"x"}`,
		"config", `{"bootstrap_servers":"h:1","topic":"out","key":"${! json(\"id\") }"}`)) // there is no record
	d.call(200, get, admin.PathLogs, c+"&level=debug", "")
	d.call(200, post, admin.PathLogLevel, "", `{"tenant":"default","connector_name":"c","level":"debug"}`)
	d.call(200, post, admin.PathPlan, "", definition("out2"))
	d.call(412, post, admin.PathUpdate, "", definition("out2"), "If-Match", `"9"`)
	d.call(200, post, admin.PathUpdate, "", definition("out2"), "If-Match", `"1"`)
	d.call(200, get, admin.PathHistory, c, "")
	d.call(200, post, admin.PathRollback, "", `{"tenant":"default","connector_name":"c","revision":1}`)
	d.call(400, post, admin.PathRollback, "", `{"tenant":"default","connector_name":"c","revision":77}`)
	d.call(200, get, admin.PathDeadLetters, c+"&limit=1", "")
	d.call(200, get, admin.PathDeadLetters, nobody, "")
	d.call(200, post, admin.PathReplay, "", `{"tenant":"default","connector_name":"c","all":true}`) // Kafka refuses it again
	d.limit("out", "100000")
	d.call(200, post, admin.PathReplay, "", `{"tenant":"default","connector_name":"c","all":true}`)
	d.call(200, get, admin.PathDeadLetters, c, "")

	d.call(200, post, admin.PathPause, "", named)
	d.call(503, get, admin.PathReadyNames+"{connector_name}", "", "")
	d.call(200, post, admin.PathRestart, "", named) // code 100: it is paused
	d.call(200, post, admin.PathResume, "", `{"tenant":"default","selector":"site=north"}`)
	d.until(map[string]string{"c": "Running"})
	d.call(200, get, admin.PathReadyNames+"{connector_name}", "", "")
	d.call(200, post, admin.PathRestart, "", named)
	for _, path := range []string{admin.PathHealth, admin.PathReady, admin.PathVersion, admin.PathMetrics, admin.PathWorkers} {
		d.call(200, get, path, "", "")
	}
	d.until(map[string]string{"c": "Running"})
	d.call(200, get, admin.PathReadyConnectors, "", "")
	d.call(200, get, admin.PathTail, nobody, "")
	d.call(200, post, admin.PathDelete, "", named)
	d.call(200, post, admin.PathDelete, "", named)

	paths, ok := d.document.(map[string]any)["paths"].(map[string]any)
	require.True(t, ok)
	for path := range paths {
		assert.True(t, d.called[path], "%s is not called", path)
	}
}

// So is what a worker says about where connectors run.
func TestAnswersOfAWorkerAreAsItsDocumentSays(t *testing.T) {
	token := program.WriteFile(t, strings.Repeat("t", 32))
	d := newDescribed(t, "--store", "kafka://KAFKA/document", "--advertise", "http://API", "--cluster-token-file", token)
	d.write("two.yaml", d.yaml("two", "out")+"  parallelism: 2\n")
	require.Eventually(t, func() bool { return d.apply().Code == 0 }, exampleTimeout, 200*time.Millisecond)
	d.until(map[string]string{"two": "Running"})
	url := "http://" + d.server
	members := fmt.Sprintf(`"worker":%q,"members":[{"member":1,"state":"Running","worker":%q},{"member":2,"state":"Running","worker":%q}]`, url, url, url)
	assert.Contains(t, d.call(200, http.MethodGet, admin.PathList, "", ""), members)
	assert.Contains(t, d.call(200, http.MethodGet, admin.PathDetail, "?tenant=default&connector_name=two", ""), members)
	d.call(200, http.MethodGet, admin.PathWorkers, "", "")
}
