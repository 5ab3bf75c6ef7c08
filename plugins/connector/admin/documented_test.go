package admin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// documented is the API's own document, to which every answer that a test of this
// package gets is held: ask does so. It takes nothing that the document does not name.
var documented = sync.OnceValue(func() *contract {
	c := &contract{server: &Server{paths: map[string]route{}}, compiler: jsonschema.NewCompiler(), compiled: map[string]*jsonschema.Schema{}}
	for _, r := range c.server.routes() {
		c.server.paths[r.path] = r
	}
	text, err := json.Marshal(c.server.document())
	if err != nil {
		panic(err)
	}
	if c.document, err = jsonschema.UnmarshalJSON(bytes.NewReader(text)); err != nil {
		panic(err)
	}
	closed(c.document)
	if err := c.compiler.AddResource(documentURL, c.document); err != nil {
		panic(err)
	}
	return c
})

const documentURL = "https://example.com/openapi.json"

type contract struct {
	server   *Server
	document any

	mu       sync.Mutex
	compiler *jsonschema.Compiler
	compiled map[string]*jsonschema.Schema
	answers  int
	broken   []string // what watch has found
}

// closed lets no object have a member that its schema does not name.
func closed(document any) {
	switch v := document.(type) {
	case map[string]any:
		if _, ok := v["properties"].(map[string]any); ok && v["type"] == "object" {
			v["additionalProperties"] = false
		}
		for _, inner := range v {
			closed(inner)
		}
	case []any:
		for _, inner := range v {
			closed(inner)
		}
	}
}

// at is a part of the document, and its place as a JSON pointer in a URL.
func (c *contract) at(steps ...string) (part any, place string) {
	escaped := strings.NewReplacer("~", "~0", "/", "~1", "%", "%25", " ", "%20", "{", "%7B", "}", "%7D")
	part, path := c.document, []string{documentURL + "#"}
	for _, step := range steps {
		object, _ := part.(map[string]any)
		part = object[step]
		path = append(path, escaped.Replace(step))
	}
	return part, strings.Join(path, "/")
}

func (c *contract) validate(place string, text []byte) error {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return err
	}
	schema := c.compiled[place]
	if schema == nil {
		if schema, err = c.compiler.Compile(place); err != nil {
			return err
		}
		c.compiled[place] = schema
	}
	return schema.Validate(value)
}

// request judges the body of a request.
func (c *contract) request(method, path string, body []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	part, place := c.at("paths", path, strings.ToLower(method), "requestBody", "content", jsonType, "schema")
	if part == nil {
		return fmt.Errorf("%s %s has no body", method, path)
	}
	return c.validate(place, body)
}

// answer judges what a request was answered with. A path that is none is not
// documented, and what answers HEAD has no body.
func (c *contract) answer(r *http.Request, status int, media string, body []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	found, ok := c.server.find(r)
	if !ok || r.Method == http.MethodHead {
		return nil
	}
	path := documentedPath(found.path)
	if found.path == PathReadyNames && r.URL.Path == PathReady {
		path = PathReady
	}
	// Another method is refused by the one that the path has.
	steps := []string{"paths", path, strings.ToLower(found.method), "responses", strconv.Itoa(status)}
	if part, _ := c.at(steps...); part == nil {
		steps[4] = "default"
	}
	steps = append(steps, "content", media, "schema")
	part, place := c.at(steps...)
	if part == nil { // a charset or a version is not documented
		steps[6], _, _ = strings.Cut(media, ";")
		part, place = c.at(steps...)
	}
	schema, ok := part.(map[string]any)
	if !ok {
		return fmt.Errorf("%v has no content of type %s: %s", steps[1:5], media, body)
	}
	c.answers++
	switch {
	case schema["contentSchema"] != nil:
		return c.validate(place+"/contentSchema", body)
	case schema["type"] == "object":
		return c.validate(place, body)
	case status == http.StatusBadRequest && bytes.HasPrefix(body, []byte("{")):
		_, place = c.at("components", "schemas", "Failure")
		return c.validate(place, body)
	}
	return nil
}

// openRouteNote is in an answer that a test gives in the place of a route, and that need
// not be as the document says.
const openRouteNote = "this test answers everything alike"

// watch notes what the document does not have. TestMain fails for it.
func (c *contract) watch(r *http.Request, status int, media string, body []byte) {
	if bytes.Contains(body, []byte(openRouteNote)) {
		return
	}
	if media == "" { // the server sets it
		media = http.DetectContentType(body)
	}
	if err := c.answer(r, status, media, body); err != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.broken = append(c.broken, fmt.Sprintf("%s %s, HTTP %d: %s: %v", r.Method, r.URL, status, body, err))
	}
}

// verdict is the exit code of the tests of this package.
func (c *contract) verdict(code int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, text := range c.broken {
		fmt.Println("FAIL: an answer is not as /openapi.json says:", text)
		code = max(code, 1)
	}
	return code
}
