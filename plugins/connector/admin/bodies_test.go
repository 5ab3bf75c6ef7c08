package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

// change is definitionOf("c") with old replaced.
func change(old, by string) string {
	body := definitionOf("c", plainConfig)
	changed := strings.Replace(body, old, by, 1)
	if changed == body {
		panic("nothing to change: " + old)
	}
	return changed
}

func TestBadBodiesAreRefusedWithTheField(t *testing.T) {
	const missing = "JSON parsing failed: Failed to deserialize the JSON body into the target type: missing field "
	const parsing = "JSON parsing failed: Failed to parse the request body as JSON: "
	for name, test := range map[string]struct {
		body, want string
		status     int
	}{
		"nothing":                 {"", parsing + "unexpected end of JSON input at line 1 column 0", 400},
		"a word":                  {"nope", parsing + "invalid character 'o' in literal null (expecting 'u') at line 1 column 2", 400},
		"broken on line 3":        {"{\n\"a\":1,\n\"b\":}", parsing + "invalid character '}' looking for beginning of value at line 3 column 5", 400},
		"two objects":             {"{}{}", parsing + "invalid character '{' after top-level value", 400},
		"a list":                  {"[]", "JSON parsing failed: Failed to deserialize the JSON body into the target type: it must be an object", 400},
		"null":                    {"null", missing + "`connector_name` at line 1 column 4", 400},
		"no config":               {change(`"config"`, `"confog"`), missing + "`config`", 400},
		"a null strategy":         {change(`{"strategy":"discard"}`, `null`), missing + "`failure_strategy`", 400},
		"on several lines":        {"{\n\"connector_name\":\"c\"\n}\n", missing + "`connector_type` at line 3 column 1", 400},
		"a field twice":           {change(`{`, `{"connector_name":"b",`), `Parameter validation failed: field "connector_name" is given twice`, 400},
		"an unknown field":        {change(`{`, `{"topicname":"b",`), `Parameter validation failed: unknown field "topicname"`, 400},
		"not UTF-8":               {change(`"c"`, "\"\xff\""), "Parameter validation failed: not UTF-8", 400},
		"a long name":             {change(`"c"`, `"`+strings.Repeat("é", 129)+`"`), "Parameter validation failed: Connector name length must be between 1-128", 400},
		"a name that is none":     {change(`"c"`, `7`), "Parameter validation failed: connector_name: a number: it must be a string", 400},
		"an empty config":         {definitionOf("c", ""), "Parameter validation failed: Config length must be between 1-4096", 400},
		"a long config":           {definitionOf("c", strings.Repeat(" ", 4097)), "Parameter validation failed: Config length must be between 1-4096", 400},
		"an empty tenant":         {change(`"default"`, `""`), "Parameter validation failed: Tenant length must be between 1-256", 400},
		"an empty topic":          {change(`"a/c"`, `""`), "Parameter validation failed: Topic name length must be between 1-256", 400},
		"a long topic":            {change(`"a/c"`, `"`+strings.Repeat("a", 257)+`"`), "Parameter validation failed: Topic name length must be between 1-256", 400},
		"an empty topic_id":       {change(`"topic_name":"a/c"`, `"topic_id":""`), "Parameter validation failed: Topic name length must be between 1-256", 400},
		"a type that is none":     {change(`"kafka"`, `[]`), "Parameter validation failed: connector_type: a list: it must be a string", 400},
		"a strategy that is none": {change(`{"strategy":"discard"}`, `[]`), "Parameter validation failed: failure_strategy: a list of 0", 400},
		"too much":                {`{"a":"` + strings.Repeat("a", maxBody) + `"}`, "the body is longer than 65536 bytes", 413},

		// RobustMQ's words about its settings.
		"no servers":         {definitionOf("c", `{"bootstrap_servers":"","topic":"t"}`), "bootstrap_servers cannot be empty", 200},
		"long servers":       {definitionOf("c", `{"bootstrap_servers":"`+strings.Repeat("s", 1025)+`","topic":"t"}`), "bootstrap_servers length cannot exceed 1024 characters", 200},
		"a long Kafka topic": {definitionOf("c", `{"bootstrap_servers":"k:1","topic":"`+strings.Repeat("t", 257)+`"}`), "topic length cannot exceed 256 characters", 200},
		"compression":        {definitionOf("c", `{"bootstrap_servers":"k:1","topic":"t","compression_type":"lzma"}`), "Invalid compression_type 'lzma', must be one of: none, gzip, snappy, lz4, zstd", 200},
		"acks, wrapped":      {definitionOf("c", `{"Kafka":{"bootstrap_servers":"k:1","topic":"t","acks":"2"}}`), "Invalid acks '2', must be one of: 0, 1, all, -1", 200},
		"batch_size":         {definitionOf("c", `{"bootstrap_servers":"k:1","topic":"t","batch_size":0}`), "batch_size must be between 1 and 1048576 bytes", 200},
		"linger_ms":          {definitionOf("c", `{"bootstrap_servers":"k:1","topic":"t","linger_ms":60001}`), "linger_ms cannot exceed 60000 (60 seconds)", 200},
		"retries":            {definitionOf("c", `{"bootstrap_servers":"k:1","topic":"t","retries":101}`), "retries cannot exceed 100", 200},
		"message_timeout_ms": {definitionOf("c", `{"bootstrap_servers":"k:1","topic":"t","message_timeout_ms":999}`), "message_timeout_ms must be between 1000 (1s) and 300000 (5min)", 200},
		"cleanup":            {definitionOf("c", `{"bootstrap_servers":"k:1","topic":"t","cleanup_timeout_secs":301}`), "cleanup_timeout_secs cannot exceed 300 seconds", 200},
		// And ours where it has none.
		"no topic":           {definitionOf("c", `{"bootstrap_servers":"k:1"}`), "config.topic: missing: it must be given", 200},
		"an unknown setting": {definitionOf("c", `{"bootstrap_servers":"k:1","topic":"t","acs":"1"}`), `config: unknown field "acs"`, 200},
		"a list as config":   {definitionOf("c", `[]`), "config: a list of 0", 200},
		"a list in it":       {definitionOf("c", `{"bootstrap_servers":[],"topic":"t"}`), "config.bootstrap_servers: a list: it must be a string", 200},
	} {
		m := newMemory()
		h := newServer(t, m, Options{}).Handler()
		for _, path := range []string{PathCreate, PathUpdate, PathCheck} {
			w := ask(h, http.MethodPost, path, test.body)
			assert.Equal(t, test.status, w.Code, "%s: %s", name, path)
			got := refusal(t, w)
			assert.True(t, strings.HasPrefix(got, test.want), "%s: %s: %s", name, path, got)
		}
		assert.Empty(t, m.all, name)
	}
}

func TestBadNamesAreRefused(t *testing.T) {
	const missing = "JSON parsing failed: Failed to deserialize the JSON body into the target type: "
	for body, want := range map[string]string{
		`{"tenant":"default"}`:                       missing + "missing field `connector_name` at line 1 column 20",
		`{"tenant":"default","connector_name":null}`: missing + "missing field `connector_name`",
		`{"tenant":7,"connector_name":"c"}`:          missing + "tenant must be a string",
		`{"tenant":"default","connector_name":[]}`:   missing + "connector_name must be a string",
		`{"tenant":"","connector_name":"c"}`:         "Parameter validation failed: Tenant length must be between 1-64",
		`{"tenant":"default","connector_name":""}`:   "Parameter validation failed: Connector name length must be between 1-256",
		`{"tenant":"other","connector_name":"c"}`:    `Parameter validation failed: tenant: "other" does not exist`,
	} {
		m := newMemory()
		m.all["c"] = connector.Status{Name: "c"}
		h := newServer(t, m, Options{}).Handler()
		for _, path := range []string{PathDelete, PathPause, PathResume} {
			w := ask(h, http.MethodPost, path, body)
			assert.Equal(t, http.StatusBadRequest, w.Code, body)
			assert.True(t, strings.HasPrefix(refusal(t, w), want), "%s: %s", body, w.Body)
		}
		assert.Equal(t, connector.Status{Name: "c"}, m.all["c"])
	}
}

func TestOurRoutes(t *testing.T) {
	m := newMemory()
	h := newServer(t, m, Options{}).Handler()
	read[string](t, ask(h, http.MethodPost, PathCreate, change(`"topic_name"`, `"topic_id"`)))
	assert.Equal(t, "a/c", m.all["c"].TopicID)

	assert.Equal(t, Success, read[string](t, ask(h, http.MethodPost, PathPause, nameOf("c"))))
	assert.Equal(t, connector.Paused, m.all["c"].State)
	assert.Equal(t, Success, read[string](t, ask(h, http.MethodPost, PathResume, nameOf("c"))))
	assert.Equal(t, connector.Running, m.all["c"].State)

	m.notes = []string{"linger_ms is taken & kept", "second"}
	w := ask(h, http.MethodPost, PathUpdate, definitionOf("c", `{"bootstrap_servers":"k:1","topic":"other"}`))
	assert.Equal(t, `{"code":0,"data":"success","error":null,"notes":["linger_ms is taken & kept","second"]}`, w.Body.String())
	assert.Contains(t, string(m.all["c"].Config), `"other"`)

	m.notes = nil
	w = ask(h, http.MethodPost, PathCreate, strings.Replace(definitionOf("p", plainConfig), "{", `{"paused":true,`, 1))
	assert.Equal(t, `{"code":0,"data":"success","error":null}`, w.Body.String())
	assert.Equal(t, connector.Paused, m.all["p"].State)
	for text, want := range map[string]bool{`"discard_waiting":true,`: true, `"discard_waiting":false,`: false, "": false} {
		m.discarded = !want
		read[string](t, ask(h, http.MethodPost, PathUpdate, strings.Replace(definitionOf("p", plainConfig), "{", "{"+text, 1)))
		assert.Equal(t, want, m.discarded, text)
	}
	delete(m.all, "p")
	for path, text := range map[string]string{
		PathCreate: `"discard_waiting":true,`, PathUpdate: `"paused":true,`, PathCheck: `"paused":true,`,
	} {
		w = ask(h, http.MethodPost, path, strings.Replace(definitionOf("c", plainConfig), "{", "{"+text, 1))
		assert.Contains(t, refusal(t, w), "unknown field", "%s takes no %s", path, text)
	}
	w = ask(h, http.MethodPost, PathCreate, strings.Replace(definitionOf("p", plainConfig), "{", `{"paused":"yes",`, 1))
	assert.Equal(t, http.StatusBadRequest, w.Code)
	assert.Equal(t, "Parameter validation failed: paused must be true or false", refusal(t, w))

	m.probes = []connector.Probe{{End: "mqtt"}, {End: "kafka", Error: "no broker at k:1"}}
	w = ask(h, http.MethodPost, PathCheck, definitionOf("new", plainConfig))
	assert.Equal(t, `{"code":0,"data":[{"end":"mqtt","error":null},{"end":"kafka","error":"no broker at k:1"}],"error":null}`, w.Body.String())
	assert.NotContains(t, m.all, "new")

	m.notes = []string{"the session is removed later"}
	w = ask(h, http.MethodPost, PathDelete, nameOf("c"))
	assert.Equal(t, `{"code":0,"data":"success","error":null,"notes":["the session is removed later"]}`, w.Body.String())
	for _, path := range []string{PathPause, PathResume, PathDelete} {
		assert.Equal(t, "Connector c does not exist.", refusal(t, ask(h, http.MethodPost, path, nameOf("c"))), path)
	}
	assert.Equal(t, "Connector c does not exist.", refusal(t, ask(h, http.MethodPost, PathUpdate, definitionOf("c", plainConfig))))
}

func TestWhatTheManagerSaysHasItsStatus(t *testing.T) {
	for _, test := range []struct {
		err    error
		status int
		want   string
	}{
		{&connector.InvalidError{Field: "topic_name", Why: "# must be the last level"}, 400, "Parameter validation failed: topic_name: # must be the last level"},
		{fmt.Errorf("creating: %w", &connector.InvalidError{Field: "config.key", Why: "bad"}), 200, "creating: config.key: bad"},
		{errors.New("writing c.json: no space left on device"), 500, "writing c.json: no space left on device"},
		{connector.ErrExists, 200, "Connector [c] already exist"},
		{connector.ErrNotFound, 200, "Connector c does not exist."},
	} {
		m := newMemory()
		m.err = test.err
		w := ask(newServer(t, m, Options{}).Handler(), http.MethodPost, PathCreate, definitionOf("c", plainConfig))
		assert.Equal(t, test.status, w.Code, test.want)
		assert.Equal(t, test.want, refusal(t, w))
	}
}

func TestOtherPathsAndMethodsAreAnsweredInTheEnvelope(t *testing.T) {
	h := newServer(t, newMemory(), Options{}).Handler()
	for _, path := range []string{"/", "/api", "//api/cluster/connector/list", PathList + "/", "/api/cluster/../cluster/connector/list", "/metrics"} {
		w := ask(h, http.MethodGet, path, "")
		assert.Equal(t, http.StatusNotFound, w.Code, path)
		assert.Contains(t, refusal(t, w), "there is no /", path)
	}
	for path, method := range map[string]string{
		PathList: "GET", PathDetail: "GET", PathHealth: "GET", PathReady: "GET", PathReadyConnectors: "GET", PathReadyNames + "x": "GET", PathCreate: "POST",
		PathUpdate: "POST", PathDelete: "POST", PathPause: "POST", PathResume: "POST", PathCheck: "POST",
	} {
		for _, other := range []string{"GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE"} {
			if other == method || (other == "HEAD" && method == "GET") {
				continue
			}
			w := ask(h, other, path, "")
			assert.Equal(t, http.StatusMethodNotAllowed, w.Code, "%s %s", other, path)
			assert.Equal(t, method, w.Header().Get("Allow"))
			assert.Equal(t, path+" takes "+method, refusal(t, w))
		}
	}
	assert.Equal(t, http.StatusOK, ask(h, "HEAD", PathList, "").Code)
}

// brokenBody ends before its time, as that of a client that goes away.
type brokenBody struct{}

func (brokenBody) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
func (brokenBody) Close() error             { return nil }

func TestABodyThatBreaksOffIsTheClientsFault(t *testing.T) {
	h := newServer(t, newMemory(), Options{}).Handler()
	w := ask(h, http.MethodPost, PathCreate, "", func(r *http.Request) { r.Body = brokenBody{} })
	assert.Equal(t, http.StatusBadRequest, w.Code)
	assert.Equal(t, "JSON parsing failed: reading the request body: unexpected EOF", refusal(t, w))
}

func TestNoAnswerHoldsASecretOfTheRequest(t *testing.T) {
	const secret = `hunter2"\é`
	config, err := json.Marshal(map[string]any{
		"bootstrap_servers": "k:1", "topic": "t", "password": secret, "urls": []string{"tcp://ada:hunter3@broker:1883"},
		"sasl": []any{map[string]any{"mechanism": "PLAIN", "password": "hunter4", "token": "hunter5"}},
		"tls":  map[string]any{"client_certs": []any{map[string]any{"key": "-----BEGIN PRIVATE KEY-----hunter6"}}},
	})
	require.NoError(t, err)
	body := definitionOf("c", string(config))
	quotes := fmt.Sprintf("%s %q hunter4 hunter5 -----BEGIN PRIVATE KEY-----hunter6 tcp://ada:hunter3@broker:1883 broker k:1 of PLAIN", secret, secret)
	var d Definition
	require.NoError(t, json.Unmarshal([]byte(body), &d))
	assert.Equal(t, `*** "***" *** *** *** tcp://***@broker:1883 broker k:1 of PLAIN`,
		withoutUserInfo(withoutSecrets(quotes, []byte(body))))

	// What the validation itself says of it goes the same way.
	for _, given := range []string{
		body, strings.Replace(body, `"config"`, `"password"`, 1), body[:len(body)-1],
		strings.Replace(body, "hunter4", "${hunter4}", 1),
		strings.NewReplacer("ada:hunter3@", "", "PLAIN", "${").Replace(body),
	} {
		w := ask(newServer(t, newMemory(), Options{}).Handler(), http.MethodPost, PathCreate, given)
		refusal(t, w)
		assert.NotContains(t, w.Body.String(), "hunter")
	}
	taken := strings.NewReplacer("ada:hunter3@", "").Replace(body)
	h := newServer(t, newMemory(), Options{}).Handler()
	read[string](t, ask(h, http.MethodPost, PathCreate, taken))
	read[string](t, ask(h, http.MethodPost, PathResume, nameOf("c")))
	for _, path := range []string{PathList, PathDetail + "?tenant=default&connector_name=c"} {
		shown := ask(h, http.MethodGet, path, "").Body.String()
		assert.NotContains(t, shown, "hunter", path)
		assert.Equal(t, 4, strings.Count(shown, `\"***\"`), shown)
	}
	m := newMemory()
	m.err = errors.New("starting c: " + quotes)
	m.probes = []connector.Probe{{End: "kafka", Error: quotes}}
	m.notes = []string{quotes}
	w := ask(newServer(t, m, Options{}).Handler(), http.MethodPost, PathDelete,
		`{"tenant":"default","connector_name":"c","password":"hunter4"}`)
	assert.Contains(t, refusal(t, w), "starting c: ")
	assert.NotContains(t, w.Body.String(), "hunter4")
	m.err = nil
	h = newServer(t, m, Options{}).Handler()
	for _, path := range []string{PathCreate, PathUpdate, PathCheck} {
		w := ask(h, http.MethodPost, path, definitionOf("c", plainConfig))
		assert.NotContains(t, w.Body.String(), "hunter3", path)
	}
}

// A password may be a number, and extensions of OAUTHBEARER hold what they like.
func TestNoAnswerHoldsASecretThatIsNoText(t *testing.T) {
	config := `{"bootstrap_servers":"k:1","topic":"t","password":12345678,"username":"ada","sasl":[{"mechanism":"OAUTHBEARER","token":"t","extensions":{"cluster":"lkc-9"}}]}`
	body := definitionOf("c", config)
	assert.Equal(t, "logging in with *** and *** at 1234567", withoutSecrets("logging in with 12345678 and lkc-9 at 1234567", []byte(body)))
	h := newServer(t, newMemory(), Options{}).Handler()
	read[string](t, ask(h, http.MethodPost, PathCreate, body))
	read[string](t, ask(h, http.MethodPost, PathResume, nameOf("c")))
	for _, path := range []string{PathList, PathDetail + "?tenant=default&connector_name=c"} {
		shown := ask(h, http.MethodGet, path, "").Body.String()
		assert.NotContains(t, shown, "12345678", path)
		assert.NotContains(t, shown, "lkc-9", path)
		assert.Equal(t, 3, strings.Count(shown, `\"***\"`), shown)
	}
}

// A body of 60 KB that is nested 9,990 deep took 0.8 GB, and eight at once ended the
// process.
func TestADeepBodyIsRefusedWithoutTheMemoryOfItsDepth(t *testing.T) {
	h := newServer(t, newMemory(), Options{}).Handler()
	for name, body := range map[string]string{
		"the body":   strings.Repeat(`{"a":`, 9990) + "1" + strings.Repeat("}", 9990),
		"a list":     strings.Repeat("[", 30000) + strings.Repeat("]", 30000),
		"the config": definitionOf("c", strings.Repeat(`{"a":`, 600)+"1"+strings.Repeat("}", 600)),
	} {
		for _, path := range []string{PathCreate, PathUpdate, PathCheck, PathDelete} {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			w := ask(h, http.MethodPost, path, body)
			runtime.ReadMemStats(&after)
			refusal(t, w)
			if name != "the config" {
				assert.Equal(t, http.StatusBadRequest, w.Code)
				assert.Contains(t, w.Body.String(), "nested deeper than 32 levels")
			}
			assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(4<<20), "%s to %s", name, path)
		}
	}
}

// shapes are the statuses that the documentation of this API names.
var shapes = []int{200, 400, 401, 403, 404, 405, 413, 503}

// FuzzRequests sends anything anywhere: every answer has a documented shape.
func FuzzRequests(f *testing.F) {
	data := recorded(f)
	for i, e := range data {
		body := ""
		if e.Request != nil {
			body = *e.Request
		}
		f.Add(uint8(i), e.Path, body)
	}
	f.Add(uint8(1), PathList+"?limit=4294967295&page=4294967295", "")
	f.Add(uint8(2), PathReady+"/%zz", "")
	paths := []string{
		PathCreate, PathUpdate, PathDelete, PathPause, PathResume, PathCheck, PathList, PathDetail, PathReady, PathHealth,
		PathRestart, PathLogs, PathLogLevel, PathPreview, PathVersion,
	}
	f.Add(uint8(2), "", selecting("site=north,stage!=test,!a,b"))
	f.Add(uint8(6), PathList+"?selector=site%3Dnorth", "")
	f.Add(uint8(11), logsOf("k1", "since", "10m", "level", "warn", "limit", "3"), "")
	f.Add(uint8(12), "", `{"tenant":"default","connector_name":"k1","level":"debug"}`)
	f.Add(uint8(13), "", previewOf(`{"topic":"a/c","payload_base64":"/w==","qos":2,"user_properties":[{"key":"k","value":"v"}]}`, `,"labels":{"a":"b"},"partitions":3`))
	f.Fuzz(func(t *testing.T, which uint8, query, body string) {
		m := newMemory()
		m.all["k1"] = connector.Status{Name: "k1", Type: "kafka", TopicID: "a", Tenant: "default", Config: json.RawMessage(plainConfig), State: connector.Running}
		h := newServer(t, m, Options{}).Handler()
		path := paths[int(which)%len(paths)]
		_, raw, _ := strings.Cut(query, "?")
		for _, method := range []string{http.MethodPost, http.MethodGet} {
			w := ask(h, method, path, body, func(r *http.Request) { r.URL.RawQuery = raw })
			require.Contains(t, shapes, w.Code, w.Body)
			require.Equal(t, contentType, w.Header().Get("Content-Type"))
			text := w.Body.String()
			if w.Code == 400 && strings.HasPrefix(text, "Failed to deserialize query string: ") {
				continue
			}
			var answer Answer[json.RawMessage]
			require.NoError(t, json.Unmarshal([]byte(text), &answer), text)
			if answer.Error == nil {
				require.Equal(t, 200, w.Code)
				require.Equal(t, CodeOK, answer.Code)
				require.NotEqual(t, `""`, string(answer.Data))
			} else {
				require.Equal(t, CodeError, answer.Code)
				require.NotEmpty(t, *answer.Error)
				require.Equal(t, `""`, string(answer.Data))
			}
		}
		// Whatever was taken can be listed and is a description again.
		for _, r := range read[List](t, ask(h, http.MethodGet, PathList, "")).Data {
			if len(r.Config) > 4096 {
				continue // a config near the limit is over it once it is filled, as RobustMQ's
			}
			again, err := json.Marshal(r)
			require.NoError(t, err)
			_, err = connector.Parse(again)
			require.NoError(t, err)
		}
	})
}

// What a change could not do is said beside its success, in the same way everywhere.
func TestChangesOfAConnectorCarryTheirNotes(t *testing.T) {
	m := newMemory()
	h := newServer(t, m, Options{}).Handler()
	m.all["c"] = connector.Status{Name: "c", Tenant: "default"}
	for _, path := range []string{PathPause, PathResume, PathDelete} {
		m.notes = nil
		if path != PathDelete {
			assert.Equal(t, `{"code":0,"data":"success","error":null}`, ask(h, http.MethodPost, path, nameOf("c")).Body.String(), path)
		}
		m.notes = []string{"its stream has not ended"}
		assert.Equal(t, `{"code":0,"data":"success","error":null,"notes":["its stream has not ended"]}`, ask(h, http.MethodPost, path, nameOf("c")).Body.String(), path)
	}
}
