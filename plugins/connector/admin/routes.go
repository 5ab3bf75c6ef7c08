package admin

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

// reply is the answer of a handler, unless it failed.
type reply struct {
	data    any
	notes   []string
	written bool // by the handler itself
	// forwarded: another worker has answered.
	forwarded bool
	// revision is that of the connector, which goes out as an ETag; 0 is none.
	revision int
}

// route is one path: its handler, who may call it, and its documentation. It has either
// handle or serve.
type route struct {
	method  string
	path    string // one that ends in / has a connector's name behind it
	role    role   // the least that may call it
	summary string
	query   []parameter
	body    any // the zero value of the body's type, nil without one
	data    any // the zero value of the data's type

	selects  bool // it takes a selector in the place of a name
	ifMatch  bool // it takes a revision in If-Match
	payloads bool // its answer shows messages, which a caller must be allowed to see
	dry      bool // a POST that changes nothing: only refused calls are in the audit log

	by answerer // which of several workers answers it

	// long: it changes or checks a connector. It may take as long as draining, and
	// continues when the client disconnects.
	long bool

	handle func(ctx context.Context, r *http.Request, body []byte) (reply, error)
	// serve writes a response that is not an Answer. Its error is answered, unless
	// serve has written something before.
	serve func(w http.ResponseWriter, r *http.Request) error
	media string // the content type of what serve writes
}

// parameter is one of a query string.
type parameter struct {
	name     string
	required bool
	says     string
}

var (
	tenantParameter = parameter{"tenant", true, "the tenant: default"}
	nameParameter   = parameter{"connector_name", true, "the connector's name"}
)

// routes are all routes of the API. The OpenAPI document, the roles and the audit log
// use this table.
func (s *Server) routes() []route {
	return []route{
		{
			method: http.MethodGet, path: PathList, by: currentWorker, role: reader, summary: "List connectors, a page at a time",
			query: []parameter{
				{"tenant", false, "only connectors of this tenant"},
				{"connector_name", false, "only the connector of this name"},
				{"limit", false, "rows of a page, 10 unless set"},
				{"page", false, "the page, from 1"},
				{"sort_field", false, "the member of a row to sort by"},
				{"sort_by", false, "asc, else descending"},
				{"selector", false, "only connectors with these labels: a=b, a!=b, a, !a, separated by commas"},
			},
			data: List{}, handle: s.list,
		},
		{
			method: http.MethodGet, path: PathDetail, by: ownerWorker, role: reader, summary: "Show a connector and its figures",
			query: []parameter{tenantParameter, nameParameter}, data: Detail{}, handle: s.detail,
		},
		{
			method: http.MethodPost, path: PathCreate, by: writerWorker, role: operator, summary: "Create a connector",
			body: Creation{}, data: Success, long: true, handle: s.create,
		},
		{
			method: http.MethodPost, path: PathUpdate, by: writerWorker, role: operator, summary: "Replace a connector's definition",
			body: Change{}, data: Success, ifMatch: true, long: true, handle: s.update,
		},
		{
			method: http.MethodPost, path: PathDelete, by: ownerWorker, role: operator, summary: "Drain and remove a connector",
			body: Deletion{}, data: Success, selects: true, ifMatch: true, long: true, handle: s.delete,
		},
		{
			method: http.MethodPost, path: PathPause, by: ownerWorker, role: operator, summary: "Drain a connector and stop it until it is resumed",
			body: Chosen{}, data: Success, selects: true, long: true, handle: s.naming(connector.Manager.Pause),
		},
		{
			method: http.MethodPost, path: PathResume, by: ownerWorker, role: operator, summary: "Let a paused or failed connector run again",
			body: Chosen{}, data: Success, selects: true, long: true, handle: s.naming(connector.Manager.Resume),
		},
		{
			method: http.MethodPost, path: PathRestart, by: ownerWorker, role: operator, summary: "Drain a connector and start it again, also one that has failed",
			body: Chosen{}, data: Success, selects: true, long: true, handle: s.naming(connector.Manager.Restart),
		},
		{
			method: http.MethodGet, path: PathLogs, by: ownerWorker, role: reader, payloads: true, summary: "Show the last lines that a connector logged",
			query: []parameter{
				tenantParameter, nameParameter,
				{"since", false, "only lines later than this time (RFC 3339) or than this duration ago (10m)"},
				{"limit", false, "the newest lines, 100 unless set"},
				{"level", false, "only lines of at least this level: debug, info, warn, error"},
			},
			data: Logs{}, handle: s.logs,
		},
		{
			method: http.MethodPost, path: PathLogLevel, by: ownerWorker, role: operator, summary: "Set from which level on a connector logs, until the service ends",
			body: Level{}, data: Success, handle: s.logLevel,
		},
		{
			method: http.MethodPost, path: PathCheck, role: operator, summary: "Try both ends of a connector and create nothing",
			body: Definition{}, data: []Probe{}, long: true, handle: s.check,
		},
		{
			method: http.MethodPost, path: PathPlan, by: currentWorker, role: operator, dry: true, summary: "Say what create or update would change, and change nothing",
			body: Definition{}, data: Plan{}, handle: s.plan,
		},
		{
			method: http.MethodPost, path: PathPreview, role: operator, dry: true, summary: "Show the record that a connector would write of a message, and create nothing",
			body: PreviewRequest{}, data: Preview{}, handle: s.preview,
		},
		{
			method: http.MethodGet, path: PathHistory, by: currentWorker, role: reader, summary: "Show the definitions that a connector has and had",
			query: []parameter{tenantParameter, nameParameter}, data: []Revision{}, handle: s.history,
		},
		{
			method: http.MethodPost, path: PathRollback, by: writerWorker, role: operator, summary: "Update a connector to a definition that it had",
			body: Rollback{}, data: Success, ifMatch: true, long: true, handle: s.rollback,
		},
		{
			method: http.MethodGet, path: PathTail, by: ownerWorker, role: reader, payloads: true,
			summary: "Show the messages of a connector as they get through, as server-sent events",
			query:   []parameter{tenantParameter, nameParameter, {"last", false, "how many of the messages seen before it begins with, 10 unless set, 50 at most"}},
			serve:   s.tail, media: "text/event-stream",
		},
		{
			method: http.MethodPost, path: PathValidate, role: operator, dry: true, summary: "Judge a definition, and touch neither the network nor the store",
			body: Definition{}, data: []Finding{}, handle: s.validate,
		},
		{
			method: http.MethodGet, path: PathDeadLetters, by: ownerWorker, role: reader, payloads: true, summary: "List the dead letters of a connector, a page at a time",
			query: []parameter{
				tenantParameter, nameParameter,
				{"limit", false, "letters of a page, 20 unless set, 100 at most"},
				{"order", false, "newest, unless it is oldest"},
				{"cursor", false, "the member next of the page before"},
			},
			data: DeadLetters{}, handle: s.deadLetters,
		},
		{
			method: http.MethodPost, path: PathReplay, by: ownerWorker, role: operator, payloads: true, summary: "Write dead letters to the topics that they were meant for, each once at most",
			body: ReplayRequest{}, data: ReplayResult{}, long: true, handle: s.replay,
		},
		{
			method: http.MethodGet, path: PathWorkers, role: reader, summary: "List the workers that share the connectors, with what each of them runs",
			data: []Worker{}, handle: s.workers,
		},
		{
			method: http.MethodGet, path: PathHealth, role: anyone, summary: "Tell whether the process serves", data: "healthy",
			handle: func(context.Context, *http.Request, []byte) (reply, error) { return reply{data: "healthy"}, nil },
		},
		{
			method: http.MethodGet, path: PathReady, role: anyone, summary: "Tell whether the store takes changes, else 503",
			data: "ready", handle: s.ready,
		},
		{
			method: http.MethodGet, path: PathReadyConnectors, role: anyone, summary: "Tell whether every connector that should run does, else 503",
			data: "ready", handle: s.connectorsReady,
		},
		{
			method: http.MethodGet, path: PathReadyNames, by: ownerWorker, role: reader, summary: "Tell whether a connector runs, else 503",
			query: []parameter{{"connector_name", false, "the connector's name, where it is not in the path"}}, data: "ready", handle: s.nameReady,
		},
		{
			method: http.MethodGet, path: PathVersion, role: reader, summary: "Show what the program was built from",
			data: Build{}, handle: s.version,
		},
		{
			method: http.MethodGet, path: PathMetrics, role: reader, summary: "Export metrics to Prometheus",
			serve: s.metrics, media: "text/plain",
		},
		{
			method: http.MethodGet, path: PathOpenAPI, role: reader, summary: "Describe the API as OpenAPI 3.1",
			serve: s.openAPI, media: jsonType,
		},
	}
}

// find gives the route of a request: that of its path, or that of a connector's
// readiness, whose name stands in the path or in the query. /ready with any query is
// the latter, so that what a probe without a token may ask is one path and no more.
func (s *Server) find(r *http.Request) (route, bool) {
	path := r.URL.Path
	if path == PathReady && r.URL.RawQuery != "" {
		path = PathReadyNames
	}
	found, ok := s.paths[path]
	if !ok && strings.HasPrefix(path, PathReadyNames) {
		found, ok = s.paths[PathReadyNames]
	}
	return found, ok
}

func (s *Server) metrics(w http.ResponseWriter, r *http.Request) error {
	if s.options.Metrics == nil {
		return noRoute(r)
	}
	s.options.Metrics.ServeHTTP(w, r)
	return nil
}

func noRoute(r *http.Request) *failure {
	return &failure{status: http.StatusNotFound, text: "there is no " + r.URL.Path}
}

func (s *Server) list(ctx context.Context, r *http.Request, _ []byte) (reply, error) {
	all, notes := s.statuses(ctx)
	page, err := list(r.URL.RawQuery, all)
	return reply{data: page, notes: notes}, err
}

func (s *Server) detail(ctx context.Context, r *http.Request, _ []byte) (reply, error) {
	_, name, err := connectorQuery(r)
	if err != nil {
		return reply{}, err
	}
	status, figures, silent, err := s.whole(ctx, name)
	if err != nil {
		return reply{}, failed(name, err)
	}
	if !callerOf(ctx).payloads {
		figures.LastMessage = nil
	}
	if status.State == connector.Paused {
		figures.Lag, figures.LagUnknown = s.manager.PausedLag(ctx, name)
	}
	d, notes, err := detail(name, status, figures)
	return reply{data: d, notes: append(notes, silent...), revision: status.Revision}, err
}

func (s *Server) create(ctx context.Context, _ *http.Request, body []byte) (reply, error) {
	var how connector.CreateOptions
	c, err := readDefinition(body, map[string]*bool{"paused": &how.Paused})
	if err != nil {
		return reply{}, err
	}
	result, err := s.manager.Create(ctx, c, how)
	return changed(c.Name, result, err)
}

func (s *Server) update(ctx context.Context, r *http.Request, body []byte) (reply, error) {
	var how connector.UpdateOptions
	c, err := readDefinition(body, map[string]*bool{"discard_waiting": &how.DiscardWaiting})
	if err != nil {
		return reply{}, err
	}
	if how.Expected, err = expected(r); err != nil {
		return reply{}, err
	}
	result, err := s.manager.Update(ctx, c, how)
	return changed(c.Name, result, err)
}

// changed answers create, update and rollback.
func changed(name string, result connector.Result, err error) (reply, error) {
	if err != nil {
		return reply{}, failed(name, err)
	}
	return reply{data: Success, notes: result.Notes, revision: result.Revision}, nil
}

// check answers code 0 when it could try, whatever the result.
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
	var notes []string
	for _, p := range found {
		probe := Probe{End: p.End}
		if p.Note != "" {
			notes = append(notes, p.Note)
		}
		if p.Error != "" {
			text := withoutUserInfo(withoutSecrets(p.Error, body))
			probe.Error = &text
		}
		probes = append(probes, probe)
	}
	return reply{data: probes, notes: notes}, nil
}

// ready reports whether the service can work, whatever the state of its connectors.
func (s *Server) ready(_ context.Context, r *http.Request, _ []byte) (reply, error) {
	answer := reply{data: "ready"}
	if callerOf(r.Context()).role >= reader {
		answer.notes = s.Warnings()
	}
	return answer, s.unreadyFor(r, s.manager.StoreReady())
}

// connectorsReady reports whether all connectors that should run do.
func (s *Server) connectorsReady(ctx context.Context, r *http.Request, _ []byte) (reply, error) {
	err, elsewhere := s.manager.ConnectorsReady(), s.elsewhereReady(ctx)
	switch {
	case err == nil:
		err = elsewhere
	case elsewhere != nil:
		err = fmt.Errorf("%w; %w", err, elsewhere)
	}
	return reply{data: "ready"}, s.unreadyFor(r, err)
}

// unreadyFor hides names and reasons from callers without a token.
func (s *Server) unreadyFor(r *http.Request, err error) error {
	switch {
	case err == nil:
		return nil
	case callerOf(r.Context()).role >= reader:
		return unready(err.Error())
	}
	return unready("not ready: send the token to learn why")
}

func (s *Server) nameReady(ctx context.Context, r *http.Request, body []byte) (reply, error) {
	q, err := parseQuery(r.URL.RawQuery, "connector_name")
	if err != nil {
		return reply{}, err
	}
	name := strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, PathReady), "/")
	if name == "" {
		name = q.values.Get("connector_name")
	}
	if name == "" && r.URL.Path == PathReady {
		return s.ready(ctx, r, body)
	}
	status, _, _, err := s.whole(ctx, name)
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

// longContext continues when the client disconnects: robust-ctl gives up after 30 s,
// and half a delete helps nobody. It ends after its time or with the server.
func (s *Server) longContext(w http.ResponseWriter, r *http.Request) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), s.options.LongTimeout)
	forget := s.onStop(cancel)
	// The response writer of a test has no deadline.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(s.options.LongTimeout + answerTime))
	return ctx, func() { forget(); cancel() }
}
