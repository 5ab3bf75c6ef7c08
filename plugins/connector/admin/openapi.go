package admin

import (
	"cmp"
	"encoding/json"
	"net/http"
	"strings"
)

const jsonType = "application/json"

// Paths are those of all routes. One that ends in / has a connector's name behind it.
func Paths() (all []string) {
	for _, r := range (&Server{}).routes() {
		all = append(all, r.path)
	}
	return all
}

func (s *Server) openAPI(w http.ResponseWriter, _ *http.Request) error {
	text, err := json.Marshal(s.document())
	if err != nil {
		return err
	}
	send(w, http.StatusOK, jsonType, text)
	return nil
}

// document describes the API in OpenAPI 3.1.
func (s *Server) document() object {
	known := schemas{}
	paths := object{}
	for _, r := range s.routes() {
		paths[documentedPath(r.path)] = object{strings.ToLower(r.method): r.operation(known)}
	}
	for _, r := range s.routes() {
		// What serves a name in the path serves it in the query of the path before it too.
		operations, ok := paths[strings.TrimSuffix(r.path, "/")].(object)
		if !ok || !strings.HasSuffix(r.path, "/") {
			continue
		}
		operation, _ := operations[strings.ToLower(r.method)].(object)
		operation["parameters"] = queryParameters(r.query)
	}
	return object{
		"openapi": "3.1.0",
		"info": object{
			"title": "robustmq-connect", "version": cmp.Or(s.options.Build.Version, "dev"),
			"description": "The admin API of connectors. Under /api/cluster/connector stands what RobustMQ has, and its content type is text/plain, " +
				"though an answer is JSON. The code of an answer tells whether a request is fulfilled, whatever its HTTP status.",
			"license": object{"name": "Apache-2.0", "identifier": "Apache-2.0"},
		},
		"servers": []any{object{"url": "/"}},
		"paths":   paths,
		"components": object{
			"schemas":         known,
			"securitySchemes": object{"bearer": object{"type": "http", "scheme": "bearer"}},
		},
	}
}

// documentedPath has the name that stands behind a path.
func documentedPath(path string) string {
	if strings.HasSuffix(path, "/") {
		return path + "{connector_name}"
	}
	return path
}

// operation describes a route. It adds the types of the route to those that are known.
func (r route) operation(known schemas) object {
	o := object{
		"operationId": r.operationID(), "summary": r.summary, "x-role": r.role.String(), "x-payloads": r.payloads, "security": []any{},
	}
	if r.role > anyone {
		o["security"] = []any{object{"bearer": []any{}}}
		o["description"] = r.needs()
	}
	parameters := queryParameters(r.query)
	if strings.HasSuffix(r.path, "/") {
		parameters = []any{object{"name": "connector_name", "in": "path", "required": true, "schema": object{"type": "string"}}}
	}
	if r.ifMatch {
		parameters = append(parameters, object{
			"name": "If-Match", "in": "header", "schema": object{"type": "string"},
			"description": `the revision that must be the connector's now, as an ETag gave it: "7"`,
		})
	}
	if len(parameters) > 0 {
		o["parameters"] = parameters
	}
	if r.body != nil {
		o["requestBody"] = object{"required": true, "content": object{jsonType: object{"schema": known.schemaOf(r.body)}}}
	}
	o["responses"] = r.responses(known)
	return o
}

// operationID is the path in one word.
func (r route) operationID() string {
	name := documentedPath(r.path)
	for _, prefix := range []string{"/api/cluster/connector", "/api/mqtt/connector", "/"} {
		name = strings.TrimPrefix(name, prefix)
	}
	return strings.NewReplacer("/", "_", ".", "_", "{", "", "}", "").Replace(name)
}

// needs says what a token must allow. Without tokens everybody may do everything.
func (r route) needs() string {
	text := "Needs a token with the role " + r.role.orMore()
	if r.payloads {
		text += " that may see payloads"
	}
	return text + ", where the service asks for one."
}

func queryParameters(query []parameter) []any {
	all := []any{}
	for _, p := range query {
		all = append(all, object{
			"name": p.name, "in": "query", "required": p.required, "description": p.says, "schema": object{"type": "string"},
		})
	}
	return all
}

func (r route) responses(known schemas) object {
	known["Failure"] = object{
		"type": "object", "required": []string{"code", "data", "error"},
		"properties": object{"code": object{"const": CodeError}, "data": object{"const": ""}, "error": object{"type": "string"}},
	}
	failure := object{"$ref": "#/components/schemas/Failure"}
	all := object{
		"default": object{"description": "The request is refused, or a fault of the service.", "content": answerContent(failure)},
		// A bad query string is answered in plain text, a bad body with a Failure.
		"400": object{
			"description": "The query string, in plain text, or the body, as a Failure, is not understood.",
			"content":     object{contentType: object{"schema": object{"type": "string"}}},
		},
	}
	if r.serve != nil {
		content := object{}
		if r.media != "text/plain" { // Prometheus reads the HTTP status alone
			content = answerContent(failure)
		}
		content[r.media] = object{"schema": mediaSchema(r.media)}
		all["200"] = object{"description": "Fulfilled, or refused with a Failure.", "content": content}
		return all
	}
	success := object{
		"type": "object", "required": []string{"code", "data", "error"},
		"properties": object{
			"code": object{"const": CodeOK}, "data": r.dataSchema(known), "error": object{"type": "null"},
			"notes": object{"type": "array", "items": object{"type": "string"}, "description": "what of the request does not apply, or has a price"},
		},
	}
	all["200"] = object{
		"description": "Fulfilled where code is 0, else refused.",
		"headers": object{"ETag": object{
			"description": "the connector's revision, where one connector is shown or changed", "schema": object{"type": "string"},
		}},
		"content": answerContent(object{"oneOf": []any{success, failure}}),
	}
	return all
}

func (r route) dataSchema(known schemas) any {
	if r.selects {
		return object{"oneOf": []any{known.schemaOf(r.data), known.schemaOf([]Selected{})}}
	}
	return known.schemaOf(r.data)
}

// mediaSchema is what can be said of content that is no Answer.
func mediaSchema(media string) object {
	if media == jsonType {
		return object{"type": "object"}
	}
	return object{"type": "string"}
}

// answerContent is an Answer: a text that holds JSON.
func answerContent(schema object) object {
	return object{contentType: object{"schema": object{"type": "string", "contentMediaType": jsonType, "contentSchema": schema}}}
}
