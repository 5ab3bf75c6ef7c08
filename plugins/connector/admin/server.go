package admin

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/connector/cluster"
)

// No connection stays open without use: these limit a request and its answer, except
// for the long routes, which have LongTimeout.
const (
	headerTime = 10 * time.Second
	bodyTime   = 30 * time.Second
	answerTime = 30 * time.Second
	idleTime   = 2 * time.Minute
	lastTime   = time.Second
	maxHeader  = 32 << 10
)

// Server is the admin API of one Manager.
type Server struct {
	manager  connector.Manager
	options  Options
	log      *slog.Logger
	tls      *tls.Config
	guard    guard
	others   others
	paths    map[string]route
	inFlight inFlight
	listener net.Listener
	pages    http.Handler // nil without a console

	certificate *watched[*tls.Certificate] // nil without TLS

	// onStop calls f when requests that are under way must end; stop makes that so.
	onStop func(f func()) (forget func() bool)
	stop   context.CancelFunc
	// onDrain calls f when the service begins to stop, for what would go on for ever;
	// drain makes that so.
	onDrain func(f func()) (forget func() bool)
	drain   context.CancelFunc
}

// New returns a server that is not listening yet. It refuses options that would admit
// unauthorized callers, and reads the tokens and the certificate.
func New(manager connector.Manager, options Options) (*Server, error) {
	if err := options.Validate(); err != nil {
		return nil, err
	}
	if options.LongTimeout <= 0 {
		options.LongTimeout = 2 * time.Minute
	}
	if options.ShutdownTimeout <= 0 {
		options.ShutdownTimeout = 10 * time.Second
	}
	log := options.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	tokens, err := options.watchTokens(log)
	if err != nil {
		return nil, err
	}
	certificate, err := options.watchCertificate(log)
	if err != nil {
		return nil, err
	}
	socketRole, err := options.socketRole()
	if err != nil {
		return nil, err
	}

	life, stop := context.WithCancel(context.Background())
	serving, drain := context.WithCancel(life)
	s := &Server{
		manager: manager, options: options, log: log, tls: tlsOf(certificate), certificate: certificate,
		guard: guard{
			tokens: tokens, origin: http.NewCrossOriginProtection(), socket: options.socketPath() != "", socketRole: socketRole,
			workers: options.Workers,
		},
		onStop:  func(f func()) func() bool { return context.AfterFunc(life, f) },
		stop:    stop,
		onDrain: func(f func()) func() bool { return context.AfterFunc(serving, f) },
		drain:   drain,
	}
	s.answerTo(options.Listen)
	s.paths = map[string]route{}
	for _, r := range s.routes() {
		s.paths[r.path] = r
	}
	return s, nil
}

// answerTo sets the accepted Host headers from the address listened on.
func (s *Server) answerTo(address string) {
	host, _, _ := net.SplitHostPort(s.options.Listen) // Validate has looked
	if isLoopback(host) {
		s.guard.hosts = loopbackHosts(host, portOf(address), s.tls != nil)
	}
}

// Listen opens the address. It may be called before Serve, so that an address in use is
// detected before anything else starts.
func (s *Server) Listen() error {
	if path := s.options.socketPath(); path != "" {
		mode, err := s.options.socketMode()
		if err == nil {
			s.listener, err = listenSocket(path, mode)
		}
		if err != nil {
			return fmt.Errorf("listening for the admin API: %w", err)
		}
		return nil
	}
	listener, err := net.Listen("tcp", s.options.Listen)
	if err != nil {
		return fmt.Errorf("listening for the admin API: %w", err)
	}
	// A name may have resolved to any address.
	host, _, _ := net.SplitHostPort(listener.Addr().String())
	if s.guard.hosts != nil && !isLoopback(host) {
		return errors.Join(fmt.Errorf("listening for the admin API: %s is %s, which other machines can reach: use 127.0.0.1",
			s.options.Listen, host), listener.Close())
	}
	s.answerTo(listener.Addr().String())
	s.listener = listener
	return nil
}

// Addr returns where the server listens, nil before Listen.
func (s *Server) Addr() net.Addr {
	if s.listener == nil {
		return nil
	}
	return s.listener.Addr()
}

// Serve answers requests until ctx ends, then lets those in progress finish, for at
// most ShutdownTimeout and two seconds, and returns nil. It calls Listen if that was
// not called. It is called once.
func (s *Server) Serve(ctx context.Context) error {
	defer s.stop()
	if s.listener == nil {
		if err := s.Listen(); err != nil {
			return err
		}
	}
	s.warn()
	watching, unwatch := context.WithCancel(ctx)
	defer s.watchFiles(watching)()
	defer unwatch() // before it is waited for
	server := &http.Server{
		Handler: s.Handler(), TLSConfig: s.tls, ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		ReadHeaderTimeout: headerTime, ReadTimeout: bodyTime, WriteTimeout: bodyTime + answerTime, IdleTimeout: idleTime,
		MaxHeaderBytes: maxHeader, ConnContext: withPeer,
	}
	ended := make(chan error, 1)
	go func() {
		if s.tls != nil {
			ended <- server.ServeTLS(s.listener, "", "")
			return
		}
		ended <- server.Serve(s.listener)
	}()

	select {
	case err := <-ended:
		return fmt.Errorf("serving the admin API: %w", err)
	case <-ctx.Done():
	}
	s.drain()
	graceful, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.options.ShutdownTimeout)
	defer cancel()
	err := server.Shutdown(graceful)
	if errors.Is(err, context.DeadlineExceeded) {
		s.log.Warn("Ending admin requests that are still under way")
		s.stop()
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastTime)
		defer cancel()
		err = server.Shutdown(last) // they may still say that they were ended
		if errors.Is(err, context.DeadlineExceeded) {
			err = server.Close()
		}
	}
	// Handlers continue after Close, and the caller of Serve closes the manager next.
	if !s.inFlight.close(lastTime) {
		s.log.Error("An admin request does not end: the service ends without it")
	}
	<-ended
	if err != nil {
		return fmt.Errorf("stopping the admin API: %w", err)
	}
	return nil
}

// warn logs options that are a risk.
func (s *Server) warn() {
	switch {
	case s.guard.hosts != nil:
	case s.guard.socket:
		if mode, _ := s.options.socketMode(); mode&0o002 != 0 && s.guard.socketRole >= operator { // Validate has looked
			s.log.Warn("Every user of this machine may change connectors, because of socket-mode and socket-role", "address", s.options.Listen)
		}
	case s.guard.tokens == nil:
		s.log.Warn("The admin API answers everybody who can reach it, because insecure-no-auth is set", "address", s.options.Listen)
	case s.tls == nil:
		s.log.Warn("The admin API's tokens cross the network in clear: give tls-cert-file and tls-key-file", "address", s.options.Listen)
	}
}

// Handler answers the API's requests; a service uses Serve.
func (s *Server) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.inFlight.begin() {
			writeFailure(w, &failure{status: http.StatusServiceUnavailable, text: "the service is stopping"})
			return
		}
		defer s.inFlight.end()
		if s.options.Workers != nil && strings.HasPrefix(r.URL.Path, cluster.PathPrefix) {
			s.options.Workers.ServeHTTP(w, r)
			return
		}
		if s.hasPage(r.URL.Path) {
			s.servePage(w, r)
			return
		}
		s.serve(w, r)
	})
}

// request is one request, and what was found out about it.
type request struct {
	route   route
	who     caller
	body    []byte
	refused bool // whoever sends it may not do that
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	var x request
	answer, err := s.answer(w, r, &x)
	if err != nil {
		f := *failed("", err)
		f.text = withoutUserInfo(withoutSecrets(f.text, x.body))
		if f.status == http.StatusInternalServerError {
			s.log.Error("Answering an admin request failed: it is refused", "path", r.URL.Path, "error", f.text)
		}
		setRevision(w, f.revision)
		s.record(w, r, x, &f)
		writeFailure(w, &f)
		return
	}
	if answer.forwarded {
		return // the other worker has recorded it
	}
	setRevision(w, answer.revision)
	s.record(w, r, x, nil)
	if answer.written {
		return
	}
	for i, note := range answer.notes {
		answer.notes[i] = withoutUserInfo(withoutSecrets(note, x.body))
	}
	write(w, http.StatusOK, Answer[any]{Code: CodeOK, Data: answer.data, Notes: answer.notes})
}

// answer finds the route of a request, checks whether the caller may use it, and calls
// it.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, x *request) (reply, error) {
	var ok bool
	if x.route, ok = s.find(r); !ok {
		x.route.role = reader // who learns that a path is not there has a token
	}
	var f *failure
	if x.who, f = s.guard.admit(r, x.route); f != nil {
		x.refused = true
		if x.who.name != "" {
			x.body, _ = readBody(w, r) // for the record
		}
		return reply{}, f
	}
	r = withCaller(r, x.who)
	switch {
	case !ok:
		return reply{}, noRoute(r)
	case r.Method != x.route.method && (r.Method != http.MethodHead || x.route.method != http.MethodGet):
		w.Header().Set("Allow", x.route.method)
		return reply{}, &failure{status: http.StatusMethodNotAllowed, text: r.URL.Path + " takes " + x.route.method}
	}

	var err error
	if x.body, err = readBody(w, r); err != nil {
		return reply{}, err
	}
	if f := checkSecrets(x.body, x.who); f != nil {
		x.refused = true
		return reply{}, f
	}
	to, stale, err := s.elsewhere(r, x)
	if err != nil {
		return reply{}, err
	}
	if to != "" {
		return reply{forwarded: true}, s.forward(w, r, x, to)
	}
	answer, err := s.call(x.route, w, r, x.body)
	if stale != nil && !answer.written {
		answer.notes = append(answer.notes, "this may be old: "+stale.Error())
	}
	return answer, err
}

// call runs a handler. A panic fails only that request: the connectors continue.
func (s *Server) call(route route, w http.ResponseWriter, r *http.Request, body []byte) (answer reply, err error) {
	ctx := r.Context()
	if route.long {
		var cancel context.CancelFunc
		ctx, cancel = s.longContext(w, r)
		defer cancel()
	}
	defer s.catch(&err, body, "path", r.URL.Path)
	if route.serve != nil {
		return reply{written: true}, route.serve(w, r)
	}
	return route.handle(ctx, r, body)
}

// catch is deferred. It turns a panic into an error, and logs it without the secrets of
// the body.
func (s *Server) catch(err *error, body []byte, key, value string) {
	if p := recover(); p != nil {
		s.log.Error("Answering an admin request panicked", key, value,
			"panic", withoutSecrets(fmt.Sprint(p), body), "stack", string(debug.Stack()))
		*err = errors.New("internal error: the service's log has its place")
	}
}
