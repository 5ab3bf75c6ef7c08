package admin

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/connector/cluster"
)

// Workers are those of a service that share its connectors. Any worker takes any call:
// one that it cannot answer goes to the worker that can, and no further.
type Workers interface {
	// ServeHTTP answers other workers, at paths that begin with cluster.PathPrefix.
	http.Handler
	// Writer returns the worker that writes the store, and OwnerOf the one that runs the
	// first member of a connector.
	Writer(ctx context.Context) (cluster.Place, error)
	OwnerOf(ctx context.Context, name string) (cluster.Place, error)
	// Runs reports whether this worker runs a member of a connector, from 0.
	Runs(name string, member int) bool
	// Statuses returns what workers tell about the states of connectors of which they run a
	// member, by name, and the URLs of those that did not answer in time. Complete adds to
	// what is known here of a connector its worker, and what other workers tell about its
	// members if it has several. Both return what they have also with an error.
	Statuses(ctx context.Context) (told map[string][]connector.Status, silent []string, err error)
	Complete(ctx context.Context, one connector.Sample) (whole connector.Sample, silent []string, err error)
	// Logs adds to the log of a connector what other workers have logged about its members,
	// as Complete does.
	Logs(ctx context.Context, name string, which connector.LogQuery, mine connector.Logs) (all connector.Logs, silent []string, err error)
	// SetLogLevel sets the level at the other workers that run members of a connector.
	SetLogLevel(ctx context.Context, name string, members int, level string) error
	// MembersAt returns which members of a connector other workers run, by URL, and which
	// this one does. Where some run is not known because of the error.
	MembersAt(ctx context.Context, name string, members int) (others map[string][]int, here []int, err error)
	// Told returns what the workers tell about themselves, by URL, and with an error what
	// this one tells.
	Told(ctx context.Context) ([]cluster.Told, error)
	// Refresh makes what was stored before the call visible here.
	Refresh(ctx context.Context) error
	// Confirm returns nil if this worker runs a member of a connector by an answer that the
	// coordinator of the workers gave after the call.
	Confirm(ctx context.Context, name string, member int) error
	// Sign makes a request one of this worker. Knows reports whether a text is the token
	// of the workers, and Behind whether a request comes from a worker that knows of a
	// later rebalance than this one.
	Sign(header http.Header)
	Knows(token string) bool
	Behind(header http.Header) bool
	// Transport connects to other workers.
	Transport() http.RoundTripper
}

// answerer is the worker that answers a route.
type answerer int

const (
	anyWorker     answerer = iota
	currentWorker          // any, once it has read the store to its end
	ownerWorker            // the one that runs the first member of the connector
	writerWorker           // the one that writes the store
)

// forwardedHeader carries the caller of a request that another worker has forwarded.
const forwardedHeader = "X-Robustmq-Connect-Caller"

// refreshTimeout is how long a read waits for the store. After that, it answers what is
// known, and says so.
const refreshTimeout = 2 * time.Second

// forwarded is the caller as a worker tells it another one.
type forwarded struct {
	Name     string `json:"name"`
	Role     string `json:"role"`
	Payloads bool   `json:"payloads"`
}

// isForwarded reports whether another worker sends a request.
func (s *Server) isForwarded(r *http.Request) bool {
	return s.options.Workers != nil && s.options.Workers.Knows(r.Header.Get(cluster.TokenHeader))
}

// forwardedCaller returns who sent a request to another worker. Only a worker may say
// that.
func (g *guard) forwardedCaller(r *http.Request) (who caller, is bool, f *failure) {
	token := r.Header.Get(cluster.TokenHeader)
	if token == "" {
		return caller{}, false, nil
	}
	var told forwarded
	text, err := base64.StdEncoding.DecodeString(r.Header.Get(forwardedHeader))
	if err == nil {
		err = json.Unmarshal(text, &told)
	}
	if g.workers == nil || !g.workers.Knows(token) || err != nil {
		return caller{}, true, unauthorized("%s is for workers of one service, and its token is not the one of --cluster-token-file here", cluster.TokenHeader)
	}
	who = caller{name: told.Name, payloads: told.Payloads}
	if told.Role != "" {
		if who.role, err = parseRole(told.Role); err != nil {
			return caller{}, true, unauthorized("the other worker knows a role that this one does not: update this worker")
		}
	}
	return who, true, nil
}

// elsewhere returns the URL of the worker that answers a request, "" if this one does.
// stale is why the answer may be old.
func (s *Server) elsewhere(r *http.Request, x *request) (to string, stale, err error) {
	w := s.options.Workers
	if w == nil || x.route.by == anyWorker || s.asksForOwn(r) {
		return "", nil, nil
	}
	ctx, cancel := context.WithTimeout(r.Context(), refreshTimeout)
	defer cancel()
	name, selector := subjectOf(r, x.body)
	if x.route.by == currentWorker || selector != "" {
		return "", w.Refresh(ctx), nil
	}
	var at cluster.Place
	if x.route.by == writerWorker {
		at, err = w.Writer(r.Context())
	} else {
		if name == "" {
			return "", nil, nil // the handler says that it is missing
		}
		at, err = w.OwnerOf(r.Context(), name)
	}
	switch {
	case err == nil && at.Here:
		if err = s.confirmed(r, x.route, name); err == nil {
			stale = w.Refresh(ctx)
			if stale == nil || x.route.by != ownerWorker || r.Method == http.MethodGet || !s.missing(name) {
				return "", stale, nil
			}
			// It may have been created since.
			err = fmt.Errorf("%w: try again soon", stale)
		}
	case err == nil && !s.isForwarded(r):
		return at.URL, nil, nil
	case err == nil:
		err = errMoving
	}
	if r.Method == http.MethodGet || errors.Is(err, cluster.ErrNoOwner) && s.missing(name) {
		return "", errors.Join(err, w.Refresh(ctx)), nil
	}
	return "", nil, &failure{status: http.StatusServiceUnavailable, text: "nothing was changed: " + err.Error()}
}

// errMoving means that two workers do not agree on who runs what.
var errMoving = errors.New("connectors move between workers at the moment: try again soon")

// confirmed returns nil if this worker may answer a request, as the one that it believes
// to be. It may have been stopped for a while, and another one may be that worker: who
// has forwarded the request may know, or the coordinator, which is asked before a change.
func (s *Server) confirmed(r *http.Request, route route, name string) error {
	w := s.options.Workers
	if s.isForwarded(r) && w.Behind(r.Header) {
		return errMoving
	}
	if route.by != ownerWorker || route.method == http.MethodGet {
		return nil // Kafka refuses what a former writer writes
	}
	return s.confirmedOwner(r.Context(), name)
}

func (s *Server) confirmedOwner(ctx context.Context, name string) error {
	err := s.options.Workers.Confirm(ctx, name, 0)
	if errors.Is(err, cluster.ErrNotOwner) {
		return errMoving
	}
	return err
}

func (s *Server) missing(name string) bool {
	_, _, err := s.manager.Detail(name)
	return errors.Is(err, connector.ErrNotFound)
}

// forward lets another worker answer a request.
func (s *Server) forward(w http.ResponseWriter, r *http.Request, x *request, to string) error {
	target, err := url.Parse(to)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	control := http.NewResponseController(w)
	switch {
	case x.route.long:
		var end context.CancelFunc
		ctx, end = s.longContext(w, r)
		defer end()
	case x.route.serve != nil:
		_ = control.SetWriteDeadline(time.Time{}) // a stream; the response writer of a test has none
		defer s.onDrain(cancel)()
	}
	out := r.WithContext(ctx)
	out.Body, out.ContentLength = io.NopCloser(bytes.NewReader(x.body)), int64(len(x.body))
	var failed error
	proxy := httputil.ReverseProxy{
		Transport: s.options.Workers.Transport(), FlushInterval: -1,
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(target)
			s.sign(p.Out, x.who)
		},
		ErrorHandler: func(_ http.ResponseWriter, _ *http.Request, err error) { failed = err },
	}
	proxy.ServeHTTP(w, out)
	if failed != nil && r.Context().Err() == nil {
		return unreached(to, x.route, failed)
	}
	return nil
}

// sign makes a request one of this worker for a caller.
func (s *Server) sign(out *http.Request, who caller) {
	told := forwarded{Name: who.name, Payloads: who.payloads}
	if who.role >= reader {
		told.Role = who.role.String()
	}
	text, _ := json.Marshal(told) // texts
	for _, theirs := range []string{"Authorization", "Cookie", "Origin", "Sec-Fetch-Site", ownHeader} {
		out.Header.Del(theirs)
	}
	s.options.Workers.Sign(out.Header)
	out.Header.Set(forwardedHeader, base64.StdEncoding.EncodeToString(text))
}

// unreached says what is known about a request that another worker did not answer.
func unreached(to string, route route, err error) *failure {
	switch {
	case route.method == http.MethodGet:
		return &failure{status: http.StatusBadGateway, text: fmt.Sprintf("the worker %s does not answer: %v: try again soon", to, err)}
	case cluster.NotSent(err):
		return &failure{status: http.StatusBadGateway, text: fmt.Sprintf("nothing was changed: the worker %s cannot be reached: %v: try again soon", to, err)}
	}
	return &failure{status: http.StatusBadGateway, text: fmt.Sprintf("the result is unknown: the worker %s has not answered: %v: read the connector before you repeat it", to, err)}
}

// statuses returns all connectors, those of other workers as these know them.
func (s *Server) statuses(ctx context.Context) (all []connector.Status, notes []string) {
	all = s.manager.List()
	w := s.options.Workers
	if w == nil {
		return all, nil
	}
	told, silent, err := w.Statuses(ctx)
	cluster.Merge(all, told, w.Runs)
	return all, statesUnknown(silent, err)
}

// statesUnknown are the notes about states that other workers do not tell.
func statesUnknown(silent []string, err error) []string {
	return silenceNotes(silent, err, "the states of connectors on other workers are unknown", "the states of their connectors are unknown")
}

// silenceNotes say what is not known because of an error, or because workers do not answer.
func silenceNotes(silent []string, err error, ofOthers, ofThese string) (notes []string) {
	if err != nil {
		notes = []string{ofOthers + ": " + err.Error()}
	}
	if len(silent) > 0 {
		notes = append(notes, "these workers do not answer, and "+ofThese+": "+strings.Join(silent, ", "))
	}
	return notes
}

// wholeLogs adds to a log what other workers have logged about members of the connector.
func (s *Server) wholeLogs(ctx context.Context, name string, which connector.LogQuery, mine connector.Logs) (all connector.Logs, notes []string) {
	if s.options.Workers == nil {
		return mine, nil
	}
	if status, _, err := s.manager.Detail(name); err != nil || status.Parallelism < 2 {
		return mine, nil
	}
	all, silent, err := s.options.Workers.Logs(ctx, name, which, mine)
	return all, silenceNotes(silent, err, "what other workers have logged is missing", "what they have logged is missing")
}

// levelElsewhere sets a log level where other members of a connector run. The note says
// which worker has not set it.
func (s *Server) levelElsewhere(ctx context.Context, name, level string) (notes []string) {
	if s.options.Workers == nil {
		return nil
	}
	status, _, err := s.manager.Detail(name)
	if err == nil && status.Parallelism > 1 {
		if err := s.options.Workers.SetLogLevel(ctx, name, status.Parallelism, level); err != nil {
			notes = []string{err.Error()}
		}
	}
	return notes
}

// whole returns a connector with the members that other workers run.
func (s *Server) whole(ctx context.Context, name string) (connector.Status, connector.Figures, []string, error) {
	status, figures, err := s.manager.Detail(name)
	if err != nil || s.options.Workers == nil {
		return status, figures, nil, err
	}
	one, silent, err := s.options.Workers.Complete(ctx, connector.Sample{Status: status, Figures: figures})
	return one.Status, one.Figures, statesUnknown(silent, err), nil
}

// atOwner does something to one connector of a selector at the worker that runs it. done
// is false if that is this worker.
func (s *Server) atOwner(ctx context.Context, path, name string) (note string, done bool, err error) {
	w := s.options.Workers
	if w == nil {
		return "", false, nil
	}
	at, err := w.OwnerOf(ctx, name)
	if err == nil && at.Here {
		err = s.confirmedOwner(ctx, name)
	}
	if err != nil || at.Here {
		return "", err != nil, err
	}
	body, err := json.Marshal(Name{Tenant: connector.DefaultTenant, ConnectorName: name})
	if err != nil {
		return "", true, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, at.URL+path, bytes.NewReader(body))
	if err != nil {
		return "", true, err
	}
	s.sign(req, callerOf(ctx))
	client := http.Client{Transport: w.Transport()}
	resp, err := client.Do(req)
	if err != nil {
		return "", true, unreached(at.URL, s.paths[path], err)
	}
	defer func() { _ = resp.Body.Close() }() // read only
	var told Answer[json.RawMessage]
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&told); err != nil {
		return "", true, fmt.Errorf("reading the answer of the worker %s: %w", at.URL, err)
	}
	if told.Error != nil {
		return "", true, &failure{status: http.StatusOK, text: *told.Error}
	}
	return strings.Join(told.Notes, "; "), true, nil
}
