package admin

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// testdata/openapi31_schema.json is https://spec.openapis.org/oas/3.1/schema/2022-10-07.
func TestTheDocumentIsOpenAPI31(t *testing.T) {
	text, err := os.ReadFile("testdata/openapi31_schema.json")
	require.NoError(t, err)
	meta, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	require.NoError(t, err)
	compiler := jsonschema.NewCompiler()
	require.NoError(t, compiler.AddResource("meta.json", meta))
	schema, err := compiler.Compile("meta.json")
	require.NoError(t, err)

	h := newServer(t, newMemory(), Options{Build: Build{Version: "v1.2.3"}}).Handler()
	w := ask(h, http.MethodGet, PathOpenAPI, "")
	require.Equal(t, http.StatusOK, w.Code)
	assert.Equal(t, "application/json", w.Header().Get("Content-Type"))
	document, err := jsonschema.UnmarshalJSON(w.Body)
	require.NoError(t, err)
	require.NoError(t, schema.Validate(document))
	info := document.(map[string]any)["info"].(map[string]any)
	assert.Equal(t, "v1.2.3", info["version"])

	delete(info, "title")
	require.Error(t, schema.Validate(document), "the validator finds nothing")
}

// Each schema is one, and each reference leads somewhere.
func TestEverySchemaOfTheDocumentCompiles(t *testing.T) {
	c := documented()
	seen := 0
	var walk func(part any, steps ...string)
	walk = func(part any, steps ...string) {
		object, ok := part.(map[string]any)
		if !ok {
			return
		}
		last := steps[max(0, len(steps)-1):]
		if len(steps) > 0 && (last[0] == "schema" || last[0] == "contentSchema" || len(steps) == 3 && steps[1] == "schemas") {
			_, place := c.at(steps...)
			_, err := c.compiler.Compile(place)
			require.NoError(t, err, place)
			seen++
		}
		for name, inner := range object {
			walk(inner, append(steps[:len(steps):len(steps)], name)...)
		}
	}
	walk(c.document)
	assert.Greater(t, seen, 80)
}

func TestTheDocumentHasEveryRouteAndWhatItNeeds(t *testing.T) {
	c := documented()
	routes := c.server.routes()
	require.Len(t, Paths(), len(routes))
	paths, _ := c.at("paths")
	assert.Len(t, paths, len(routes), "two routes have one path")
	ids := map[string]bool{}
	for _, r := range routes {
		part, _ := c.at("paths", documentedPath(r.path), strings.ToLower(r.method))
		operation, ok := part.(map[string]any)
		require.True(t, ok, r.path)
		id, _ := operation["operationId"].(string)
		assert.Regexp(t, `^[a-z_]+$`, id, r.path)
		assert.False(t, ids[id], id)
		ids[id] = true
		assert.NotEmpty(t, r.summary, r.path)
		assert.Equal(t, r.role.String(), operation["x-role"], r.path)
		assert.Equal(t, r.payloads, operation["x-payloads"], r.path)
		if r.role == anyone {
			assert.Empty(t, operation["security"], r.path)
		} else {
			assert.Equal(t, []any{map[string]any{"bearer": []any{}}}, operation["security"], r.path)
			assert.Contains(t, operation["description"], r.role.orMore(), r.path)
		}
		assert.Equal(t, r.body != nil, operation["requestBody"] != nil, r.path)
		assert.NotEqual(t, r.handle == nil, r.serve == nil, r.path)
		assert.Equal(t, r.serve != nil, r.media != "", "%s: what it serves has a content type", r.path)
		if r.handle != nil {
			assert.NotNil(t, r.data, r.path)
		}
	}
	part, _ := c.at("paths", PathReady, "get", "parameters")
	assert.Len(t, part, 1, "the name may stand in the query")
}

// What RobustMQ was sent and answered is as the document says, but for rows of a list, to
// which ours add a state.
func TestTheDocumentHoldsForRobustMQsExchanges(t *testing.T) {
	c := documented()
	requests, answers := 0, 0
	for _, e := range recorded(t) {
		r, err := http.NewRequestWithContext(t.Context(), e.Method, "http://x"+e.Path, nil)
		require.NoError(t, err)
		if e.Method == http.MethodPost && e.code(t) == CodeOK {
			require.NotNil(t, e.Request)
			require.NoError(t, c.request(e.Method, r.URL.Path, []byte(*e.Request)), e.key())
			requests++
		}
		response := strings.ReplaceAll(e.Response, `"update_time"`, `"state":"","update_time"`)
		require.NoError(t, c.answer(r, e.Status, e.ContentType, []byte(response)), e.key())
		answers++
	}
	assert.Greater(t, requests, 5)
	assert.Equal(t, len(recorded(t)), answers)
}

// A document that took everything would prove nothing.
func TestAnAnswerThatTheDocumentDoesNotHaveIsFound(t *testing.T) {
	c := documented()
	for _, test := range []struct {
		method, target string
		status         int
		media, body    string
	}{
		{"GET", PathDetail, 200, contentType, `{"code":0,"data":{},"error":null}`},
		{"GET", PathList, 200, contentType, `{"code":0,"data":{"data":[],"total_count":0,"more":1},"error":null}`},
		{"GET", PathList, 200, contentType, `{"code":0,"data":{"data":null,"total_count":0},"error":null}`},
		{"POST", PathPause, 200, contentType, `{"code":0,"data":"ok","error":null}`},
		{"POST", PathPause, 200, contentType, `{"code":7,"data":"success","error":null}`},
		{"POST", PathPause, 200, jsonType, `{"code":0,"data":"success","error":null}`},
		{"POST", PathPause, 200, contentType, `success`},
		{"POST", PathPause, 500, contentType, `{"code":0,"data":"success","error":null}`},
		{"POST", PathPause, 400, contentType, `{"code":0}`},
		{"GET", PathMetrics, 200, jsonType, `{}`},
		{"GET", PathOpenAPI, 200, jsonType, `[]`},
	} {
		r, err := http.NewRequestWithContext(t.Context(), test.method, "http://x"+test.target, nil)
		require.NoError(t, err)
		require.Error(t, c.answer(r, test.status, test.media, []byte(test.body)), "%+v", test)
	}
	require.Error(t, c.request("POST", PathCreate, []byte(`{"connector_name":"c"}`)))
	require.Error(t, c.request("GET", PathList, []byte(`{}`)))
	body, err := json.Marshal(Creation{Definition: Definition{Config: json.RawMessage(`{}`), FailureStrategy: json.RawMessage(`"block"`)}, Paused: true})
	require.NoError(t, err)
	require.NoError(t, c.request("POST", PathCreate, body))
}

func TestTestsOfThisPackageHoldAnswersToTheDocument(t *testing.T) {
	c := documented()
	before := c.answers
	ask(newServer(t, newMemory(), Options{}).Handler(), http.MethodGet, PathList, "")
	assert.Equal(t, before+1, c.answers)

	broken := len(c.broken)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://x"+PathList, nil)
	require.NoError(t, err)
	c.watch(r, http.StatusOK, contentType, []byte(`{"code":0,"data":7,"error":null}`))
	require.Len(t, c.broken, broken+1)
	assert.Contains(t, c.broken[broken], "GET http://x/api/cluster/connector/list, HTTP 200: ")
	c.broken = c.broken[:broken] // it was made up
}
