package admin

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

// reply is what a handler answers with, unless it failed.
type reply struct {
	data  any
	notes []string
}

// route is one path. A long one changes or checks a connector: it may take as long
// as draining does, and what it has begun it finishes when the client hangs up.
type route struct {
	method string
	long   bool
	handle func(ctx context.Context, r *http.Request, body []byte) (reply, error)
}

func (s *Server) routes() map[string]route {
	return map[string]route{
		PathList:   {http.MethodGet, false, s.list},
		PathDetail: {http.MethodGet, false, s.detail},
		PathCreate: {http.MethodPost, true, s.create},
		PathUpdate: {http.MethodPost, true, s.update},
		PathDelete: {http.MethodPost, true, naming(s.manager.Delete)},
		PathPause:  {http.MethodPost, true, naming(s.manager.Pause)},
		PathResume: {http.MethodPost, true, naming(s.manager.Resume)},
		PathCheck:  {http.MethodPost, true, s.check},
		PathHealth: {http.MethodGet, false, func(context.Context, *http.Request, []byte) (reply, error) {
			return reply{data: "healthy"}, nil
		}},
		PathReady:           {http.MethodGet, false, s.ready},
		PathReadyConnectors: {http.MethodGet, false, s.connectorsReady},
		PathReadyNames:      {http.MethodGet, false, s.nameReady},
	}
}

// find gives the route of a path: an exact one, or /ready/NAME.
func (s *Server) find(path string) (route, bool) {
	found, ok := s.paths[path]
	if !ok && strings.HasPrefix(path, PathReadyNames) {
		found, ok = s.paths[PathReadyNames]
	}
	return found, ok
}

func (s *Server) list(_ context.Context, r *http.Request, _ []byte) (reply, error) {
	page, err := list(r.URL.RawQuery, s.manager.List())
	return reply{data: page}, err
}

func (s *Server) detail(_ context.Context, r *http.Request, _ []byte) (reply, error) {
	q, err := parseQuery(r.URL.RawQuery, "tenant", "connector_name")
	if err != nil {
		return reply{}, err
	}
	tenant, err := q.required("tenant")
	if err != nil {
		return reply{}, err
	}
	name, err := q.required("connector_name")
	if err != nil {
		return reply{}, err
	}
	if err := knownTenant(tenant); err != nil {
		return reply{}, err
	}
	status, figures, err := s.manager.Detail(name)
	if err != nil {
		return reply{}, failed(name, err)
	}
	d, notes, err := detail(name, status, figures)
	return reply{data: d, notes: notes}, err
}

func (s *Server) create(ctx context.Context, _ *http.Request, body []byte) (reply, error) {
	var how connector.CreateOptions
	c, err := readDefinition(body, map[string]*bool{"paused": &how.Paused})
	if err != nil {
		return reply{}, err
	}
	notes, err := s.manager.Create(ctx, c, how)
	if err != nil {
		return reply{}, failed(c.Name, err)
	}
	return reply{data: Success, notes: notes}, nil
}

func (s *Server) update(ctx context.Context, _ *http.Request, body []byte) (reply, error) {
	var how connector.UpdateOptions
	c, err := readDefinition(body, map[string]*bool{"discard_waiting": &how.DiscardWaiting})
	if err != nil {
		return reply{}, err
	}
	notes, err := s.manager.Update(ctx, c, how)
	if err != nil {
		return reply{}, failed(c.Name, err)
	}
	return reply{data: Success, notes: notes}, nil
}

// naming serves a route whose body is a Name.
func naming(do func(context.Context, string) (note string, err error)) func(context.Context, *http.Request, []byte) (reply, error) {
	return func(ctx context.Context, _ *http.Request, body []byte) (reply, error) {
		name, err := name(body)
		if err != nil {
			return reply{}, err
		}
		note, err := do(ctx, name)
		if err != nil {
			return reply{}, failed(name, err)
		}
		answer := reply{data: Success}
		if note != "" {
			answer.notes = []string{note}
		}
		return answer, nil
	}
}

// check answers code 0 when it could try, whatever it found.
func (s *Server) check(ctx context.Context, _ *http.Request, body []byte) (reply, error) {
	c, err := readDefinition(body, nil)
	if err != nil {
		return reply{}, err
	}
	found, err := s.manager.Check(ctx, c)
	if err != nil {
		return reply{}, failed(c.Name, err)
	}
	probes := make([]Probe, 0, len(found))
	for _, p := range found {
		probe := Probe{End: p.End}
		if p.Error != "" {
			text := withoutUserInfo(withoutSecrets(p.Error, body))
			probe.Error = &text
		}
		probes = append(probes, probe)
	}
	return reply{data: probes}, nil
}

// ready tells whether the service can do its work, whatever its connectors do.
func (s *Server) ready(ctx context.Context, r *http.Request, body []byte) (reply, error) {
	q, err := parseQuery(r.URL.RawQuery, "connector_name")
	if err != nil {
		return reply{}, err
	}
	if q.values.Get("connector_name") != "" {
		return s.nameReady(ctx, r, body)
	}
	answer := reply{data: "ready"}
	if s.guard.trusts(r) {
		answer.notes = s.manager.Warnings()
	}
	return answer, s.unreadyFor(r, s.manager.StoreReady())
}

// connectorsReady tells whether all connectors that should run do.
func (s *Server) connectorsReady(_ context.Context, r *http.Request, _ []byte) (reply, error) {
	return reply{data: "ready"}, s.unreadyFor(r, s.manager.ConnectorsReady())
}

// unreadyFor keeps names and reasons from those who send no token.
func (s *Server) unreadyFor(r *http.Request, err error) error {
	switch {
	case err == nil:
		return nil
	case s.guard.trusts(r):
		return unready(err.Error())
	}
	return unready("not ready: send the token to learn why")
}

func (s *Server) nameReady(_ context.Context, r *http.Request, _ []byte) (reply, error) {
	q, err := parseQuery(r.URL.RawQuery, "connector_name")
	if err != nil {
		return reply{}, err
	}
	name := strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, PathReady), "/")
	if name == "" {
		name = q.values.Get("connector_name")
	}
	status, _, err := s.manager.Detail(name)
	if err != nil {
		f := failed(name, err)
		if f.status == http.StatusOK {
			f.status = http.StatusNotFound // a probe reads nothing but the status
		}
		return reply{}, f
	}
	switch status.State {
	case connector.Running:
		return reply{data: "ready"}, nil
	case connector.Paused:
		return reply{}, unready("Connector " + name + " is paused.")
	}
	if status.Reason == "" {
		return reply{}, unready("Connector " + name + " is not started yet.")
	}
	return reply{}, unready("Connector " + name + ": " + status.Reason)
}

func unready(text string) *failure {
	return &failure{status: http.StatusServiceUnavailable, text: text}
}

// longContext lives on when the client hangs up: robust-ctl gives up after 30 s,
// and half a delete helps nobody. It ends with its time or with the server.
func (s *Server) longContext(w http.ResponseWriter, r *http.Request) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), s.options.LongTimeout)
	forget := s.onStop(cancel)
	// A writer of a test has no deadline.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(s.options.LongTimeout + answerTime))
	return ctx, func() { forget(); cancel() }
}
