package console

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
)

// answer is what the API has said.
type answer struct {
	data     json.RawMessage
	notes    []string
	revision string // the ETag, "" where there is none
}

// refusal is an error that the API has answered.
type refusal struct {
	status int
	text   string
}

func (r *refusal) Error() string { return r.text }

// recorder keeps an answer of the API. Deadlines are those of the real connection.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
	outer  http.ResponseWriter
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) Write(b []byte) (int, error) { return r.body.Write(b) }
func (r *recorder) WriteHeader(status int)      { r.status = status }
func (r *recorder) Unwrap() http.ResponseWriter { return r.outer }

// call asks the API in the name of who has logged in. The revision, where there is one,
// is that which a change is meant for.
func (v *visit) call(c *Console, method, path string, query url.Values, body any, revision string) (answer, error) {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return answer{}, fmt.Errorf("writing the request: %w", err)
		}
	}
	r, err := http.NewRequestWithContext(v.r.Context(), method, path+"?"+query.Encode(), bytes.NewReader(text))
	if err != nil {
		return answer{}, fmt.Errorf("writing the request: %w", err)
	}
	r.Host, r.RemoteAddr, r.TLS = v.r.Host, v.r.RemoteAddr, v.r.TLS
	if revision != "" {
		r.Header.Set("If-Match", revision)
	}
	w := &recorder{header: http.Header{}, status: http.StatusOK, outer: v.w}
	c.api.Call(w, r, v.session.pass)

	var said admin.Answer[json.RawMessage]
	if err := json.Unmarshal(w.body.Bytes(), &said); err != nil {
		return answer{}, &refusal{status: w.status, text: w.body.String()}
	}
	if said.Code != admin.CodeOK || said.Error != nil {
		why := &refusal{status: w.status}
		if said.Error != nil {
			why.text = *said.Error
		}
		return answer{}, why
	}
	return answer{data: said.Data, notes: said.Notes, revision: w.header.Get("ETag")}, nil
}

// get asks for what the API has about a connector, and reads it into into.
func (v *visit) get(c *Console, path, name string, more url.Values, into any) (answer, error) {
	query := url.Values{"tenant": {connector.DefaultTenant}, "connector_name": {name}}
	for key, values := range more {
		query[key] = values
	}
	a, err := v.call(c, http.MethodGet, path, query, nil, "")
	if err != nil {
		return answer{}, err
	}
	if err := json.Unmarshal(a.data, into); err != nil {
		return answer{}, fmt.Errorf("reading the answer of %s: %w", path, err)
	}
	return a, nil
}
