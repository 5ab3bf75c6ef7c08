package cluster

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/connector/store"
	"github.com/robustmq/robustmq-connect/plugins/internal/pace"
)

// Runner runs the connectors of this worker.
type Runner interface {
	// Take starts the members of connectors that this worker owns now, without waiting for
	// them.
	Take()
	// Release drains the members for which gone is true, and returns when they have ended.
	Release(gone func(name string, member int) bool)
	// Abandon stops those for which gone is true, without waiting.
	Abandon(gone func(name string, member int) bool)
	// Hold drains the members of a connector of a revision that run here, for an operation
	// of another worker. They start again when the stored definition is another one, or by
	// LetGo, which also starts those that have failed if it is afresh.
	Hold(ctx context.Context, name string, revision int, operation string) error
	LetGo(ctx context.Context, name, operation string, afresh bool) error
	// Refresh makes what was stored before the call visible.
	Refresh(ctx context.Context) error
	// Mine returns the connectors of which this worker runs a member, and MySamples the same
	// with their figures. MySample is one of them, with all its figures.
	Mine() []connector.Status
	MySamples() []connector.Sample
	MySample(name string) (one connector.Sample, ok bool)
	// Logs returns the last lines that a connector logged here, and SetLogLevel sets from
	// which level on it does.
	Logs(name string, which connector.LogQuery) (connector.Logs, error)
	SetLogLevel(name, level string) error
}

// Writable is a store that one of several processes may write.
type Writable interface {
	store.Store
	// Lead makes this process the writer, in place of whoever was. It retries until the
	// context ends.
	Lead(ctx context.Context) error
	// Resign ends that. The process goes on reading.
	Resign()
}

// Service is this worker, with its store and its neighbours. Its methods may be called
// from any goroutine.
type Service struct {
	opts   Options
	log    *slog.Logger
	local  Writable
	token  [sha256.Size]byte
	secret string
	client *http.Client
	behind atomic.Bool // the store did not answer the last Refresh

	mu      sync.Mutex
	member  *Member // nil before Join
	runner  Runner
	writing bool // this worker is the writer
	lead    *leading
}

// leading is an attempt to become the writer.
type leading struct {
	cancel context.CancelFunc
	done   chan struct{}
}

// NewService prepares a worker. token is what the workers show each other, and connect
// connects to them. Options.Taken, Released and Lost are its own.
func NewService(opts Options, token string, connect http.RoundTripper) (*Service, error) {
	if err := checkURL(opts.Advertise); err != nil {
		return nil, err
	}
	if len(token) < leastToken {
		return nil, fmt.Errorf("cluster-token-file: the token is shorter than %d characters, and whoever guesses it may do everything: make one by openssl rand -hex 32", leastToken)
	}
	s := &Service{
		opts: opts, log: opts.Logger, secret: token, token: sha256.Sum256([]byte(token)),
		client: &http.Client{Transport: transport{connect}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	return s, nil
}

const leastToken = 32

// Store makes local the store of this worker, before Join. The result reads there, and
// writes where the writer is.
func (s *Service) Store(local Writable) store.Store {
	s.local = local
	return &sharedStore{Store: local, service: s}
}

// Join makes this worker a member of the group, which gives it connectors to run. It does
// nothing where s is nil: there are no other workers.
func (s *Service) Join(ctx context.Context, runner Runner) error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	s.runner = runner
	s.mu.Unlock()
	opts := s.opts
	opts.Taken, opts.Released, opts.Lost = s.taken, s.released, s.lost
	joined := make(chan struct{})
	for _, f := range []*func([]int32){&opts.Taken, &opts.Released, &opts.Lost} {
		call := *f
		*f = func(all []int32) { <-joined; call(all) } // member is set before
	}
	m, err := Join(ctx, opts)
	s.mu.Lock()
	s.member = m
	s.mu.Unlock()
	close(joined)
	return err
}

// Leave gives up what this worker owns. The runner has drained it before. It does nothing
// where s is nil.
func (s *Service) Leave() error {
	if s == nil {
		return nil
	}
	s.stopWriting(true)
	m := s.joined()
	if m == nil {
		return nil
	}
	return m.Leave()
}

func (s *Service) joined() *Member {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.member
}

func partitionOf(name string, member int) int32 {
	return PartitionOf(connector.DefaultTenant, name, member)
}

func in(all []int32) func(string, int) bool {
	return func(name string, member int) bool { return slices.Contains(all, partitionOf(name, member)) }
}

func (s *Service) taken(all []int32) {
	if slices.Contains(all, WriterPartition) {
		s.startWriting()
	}
	s.runner.Take()
}

func (s *Service) released(all []int32) {
	s.runner.Release(in(all))
	// Last: workers that drain record that in the store.
	if slices.Contains(all, WriterPartition) {
		s.stopWriting(true)
	}
}

func (s *Service) lost(all []int32) {
	if slices.Contains(all, WriterPartition) {
		s.stopWriting(false)
	}
	s.runner.Abandon(in(all))
}

// startWriting makes this worker the writer, in the background, until stopWriting.
func (s *Service) startWriting() {
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	one := &leading{cancel: cancel, done: make(chan struct{})}
	before := s.lead
	s.lead = one
	go func() {
		defer close(one.done)
		if before != nil {
			before.cancel()
			<-before.done
		}
		s.write(ctx, one)
	}()
}

// write makes this worker the writer until the context ends, and again where another
// worker takes that from it: one whose attempt began before this worker owned the
// partition of the writer, and succeeded after. Whoever tries again asks the coordinator
// first, so that the two do not take turns.
func (s *Service) write(ctx context.Context, one *leading) {
	for again := false; ctx.Err() == nil; again = true {
		var err error
		if again {
			if pace.Sleep(ctx, time.Second) != nil {
				return
			}
			err = s.joined().Confirm(ctx, WriterPartition)
		}
		if err == nil {
			err = s.local.Lead(ctx)
		}
		if err == nil {
			err = s.whileWriting(ctx, one)
		}
		if err != nil && ctx.Err() == nil {
			s.log.Error("This worker does not write the store: it is tried again, and changes of connectors wait", "error", err)
		}
	}
}

var errReplaced = errors.New("another worker writes the store now")

// whileWriting returns errReplaced when another worker writes, and nil when the context
// ends.
func (s *Service) whileWriting(ctx context.Context, one *leading) error {
	if !s.setWriting(one, true) {
		return nil
	}
	s.log.Info("This worker writes the store for all workers")
	select {
	case <-s.local.Lost():
		s.setWriting(one, false)
		return errReplaced
	case <-ctx.Done():
		return nil
	}
}

// setWriting does nothing once another attempt has begun or writing was stopped.
func (s *Service) setWriting(one *leading, is bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lead != one {
		return false
	}
	s.writing = is
	return true
}

// stopWriting ends that. A worker that has lost its membership does not wait: Kafka
// refuses what it writes as soon as another worker writes.
func (s *Service) stopWriting(wait bool) {
	s.mu.Lock()
	one := s.lead
	s.lead, s.writing = nil, false
	s.mu.Unlock()
	if one == nil {
		return
	}
	one.cancel()
	end := func() {
		<-one.done
		s.local.Resign()
	}
	if wait {
		end()
		return
	}
	again := &leading{cancel: func() {}, done: make(chan struct{})}
	s.mu.Lock()
	if s.lead == nil {
		s.lead = again // who starts writing again waits for it
	}
	s.mu.Unlock()
	go func() {
		defer close(again.done)
		end()
	}()
}

func (s *Service) writes() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writing
}

// Runs implements the supervisor's Share.
func (s *Service) Runs(name string, member int) bool {
	m := s.joined()
	return m != nil && m.Runs(partitionOf(name, member))
}

// Confirm implements the supervisor's Share.
func (s *Service) Confirm(ctx context.Context, name string, member int) error {
	m := s.joined()
	if m == nil {
		return errNotJoined
	}
	return m.Confirm(ctx, partitionOf(name, member))
}

var errNotJoined = errors.New("this worker has not joined the others yet: try again soon")

// Knows reports whether a token is that of the workers.
func (s *Service) Knows(token string) bool {
	sum := sha256.Sum256([]byte(token))
	return subtle.ConstantTimeCompare(sum[:], s.token[:]) == 1
}

// Transport connects to other workers.
func (s *Service) Transport() http.RoundTripper { return s.client.Transport }

// Refresh makes what was stored before the call visible here. The error says of when is
// what is visible.
func (s *Service) Refresh(ctx context.Context) error {
	runner := s.running()
	if runner == nil {
		return errNotJoined
	}
	if s.behind.Load() {
		bounded, cancel := context.WithTimeout(ctx, behindTimeout)
		defer cancel()
		ctx = bounded
	}
	err := runner.Refresh(ctx)
	s.behind.Store(err != nil)
	if err == nil {
		return nil
	}
	all, loadErr := s.local.Load()
	if loadErr != nil {
		return errors.Join(err, loadErr)
	}
	return fmt.Errorf("what is known of the store is of %s: %w", all.At.Format(time.DateTime), err)
}

// behindTimeout is how long the store may take to answer when it did not the last time.
// The store itself asks Kafka with more patience, and reads on as soon as it can.
const behindTimeout = 300 * time.Millisecond

// Membership implements the supervisor's Share.
func (s *Service) Membership() connector.Membership {
	one := connector.Membership{Writer: s.writes()}
	m := s.joined()
	if m == nil {
		return one
	}
	now := m.Standing()
	one.Workers, one.Partitions, one.Confirmed = m.directory.known(), len(now.Partitions), !now.Unconfirmed
	one.Rebalances, one.LastRebalance, one.Took = now.Rebalances, now.LastRebalance, now.Took
	return one
}
