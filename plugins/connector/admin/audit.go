package admin

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/robustmq/robustmq-connect/plugins/connector/audit"
)

// record writes an entry about a request that changes something, or that was refused,
// to the audit log. It is written before the answer, so that nobody learns of a change
// that is not recorded. The failure's text has no secrets.
func (s *Server) record(w http.ResponseWriter, r *http.Request, x request, f *failure) {
	changes := x.route.method != http.MethodGet && !x.route.dry && x.route.method == r.Method
	if !changes && !x.refused {
		return
	}
	e := audit.Entry{
		Actor: x.who.name, Address: addressOf(r), Method: r.Method, Route: r.URL.Path,
		IfMatch: r.Header.Get("If-Match"), Revision: w.Header().Get("ETag"), Status: http.StatusOK, Code: CodeOK,
	}
	e.Connector, e.Selector = subjectOf(r, x.body)
	if f != nil {
		e.Status, e.Code, e.Error = f.status, CodeError, f.text
		if x.route.payloads && !x.refused {
			e.Error = "the answer has the reason" // it may quote a message
		}
	}
	if x.refused {
		s.options.Audit.Refused(e)
		return
	}
	s.options.Audit.Record(e)
}

// subjectOf returns the connector that a request is about, or the selector of several.
func subjectOf(r *http.Request, body []byte) (name, selector string) {
	var given struct {
		ConnectorName any `json:"connector_name"`
		Selector      any `json:"selector"`
	}
	_ = json.Unmarshal(body, &given) // what cannot be read names nothing, and is refused
	name, _ = given.ConnectorName.(string)
	selector, _ = given.Selector.(string)
	if name == "" {
		name = r.URL.Query().Get("connector_name")
	}
	if behind, ok := strings.CutPrefix(r.URL.Path, PathReadyNames); ok && name == "" {
		name = behind
	}
	return name, selector
}

// Warnings are those of the manager, and what an operator has to act on of the API
// itself.
func (s *Server) Warnings() []string {
	all := s.manager.Warnings()
	all = all[:len(all):len(all)]
	if warning := s.options.Audit.Warning(); warning != "" {
		all = append(all, warning)
	}
	for _, w := range s.watchers() {
		if warning := w.warning(); warning != "" {
			all = append(all, warning)
		}
	}
	return all
}
