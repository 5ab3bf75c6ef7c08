// Package supervisor runs connectors, each as its own stream in this process, and keeps
// them across restarts.
//
// An entry is a connector: its definition, its figures, and its run while it is neither
// paused nor quarantined. A run lasts from a start to the stop that follows; it creates
// one stream after another, first to read sessions that an update gave up. The
// session.Owner owns the sessions on brokers, the store the files, and the journal the
// knowledge about failed starts.
//
// The goroutines, and who waits for each:
//
//   - One per run (run.loop). Only it starts and stops the run's streams. run.stop
//     waits for it; the caller of run.stop holds the connector's operation lock.
//   - One per stream (startDocument), in which the engine runs. stream.stop waits for
//     it, for a limited time: a stream that does not end is a survivor, which is
//     reported.
//   - The watchers: watch checks every connector once a second, watchCredentials
//     the files of those that cannot connect, Sweep removes sessions,
//     search and settle start a service whose last runs ended early. Close waits for
//     them.
//   - Where workers share connectors (share.go): follow, and one for each connector
//     that another worker has changed. Close waits for them.
//   - One that accesses the disk (storeHealth), which may hang.
//
// Create, Update, Delete, Pause and Resume run in the goroutine of their caller, one at
// a time per connector, because of the operation locks. Supervisor.mu guards the
// current state of an entry. It is never held while waiting for a broker, Kafka or a
// stream.
package supervisor

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/redpanda-data/benthos/v4/public/bloblang"
	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/connector/logbook"
	"github.com/robustmq/robustmq-connect/plugins/connector/probation"
	"github.com/robustmq/robustmq-connect/plugins/connector/session"
	"github.com/robustmq/robustmq-connect/plugins/connector/store"
	"github.com/robustmq/robustmq-connect/plugins/expression"
	"github.com/robustmq/robustmq-connect/plugins/internal/beat"
	"github.com/robustmq/robustmq-connect/plugins/internal/budget"
	"github.com/robustmq/robustmq-connect/plugins/internal/tail"
	"github.com/robustmq/robustmq-connect/plugins/kafka"
	"github.com/robustmq/robustmq-connect/plugins/lint"
	"github.com/robustmq/robustmq-connect/plugins/mqtt"
)

// Supervisor is the connector.Manager of the service.
type Supervisor struct {
	opts     Options
	log      *slog.Logger
	store    store.Store
	files    *secretFiles
	mappings *bloblang.Environment
	env      *service.Environment
	linter   *lint.Linter
	// kafkaOptions are those of the output to Kafka in env.
	kafkaOptions []kafka.Option

	previews   *service.Environment // in which outputs connect to nothing
	previewing chan struct{}        // has one entry a preview that is made
	// lagReadings has one entry a paused source whose lag is read.
	lagReadings chan struct{}
	lines       *logbook.Book
	operations  *locks // by connector name
	replays     *locks // the same
	sessions    *session.Owner
	calm        // tests use shorter times
	holdFor     time.Duration

	tails  tail.Hub
	mqtt   baseSettings
	health storeHealth
	// buffers is nil where connectors have no disk buffers.
	buffers *buffers
	// contents and taken are for a worker among several (share.go).
	contents contents
	taken    chan struct{} // one slot: connectors may start
	pending  *budget.Budget
	journal  *probation.Journal
	beats    *beat.Group
	making   chan *service.StreamBuilder // maxMaking; nil where none is made yet

	watching sync.WaitGroup
	halt     context.CancelFunc
	halted   context.Context //nolint:containedctx // it is the life of the watchers, which Close ends

	mu      sync.Mutex
	closed  bool
	began   bool // Start was called
	ids     int
	entries map[string]*entry
	byID    map[int]*entry
	byName  []*entry // sorted; nil when a connector was added or removed
	// survivors are streams that were stopped and did not end.
	survivors []survivor
}

var _ connector.Manager = (*Supervisor)(nil)

// New prepares a supervisor. Start starts the connectors of its store.
func New(opts Options) (*Supervisor, error) {
	opts.ClientIDPrefix = cmp.Or(opts.ClientIDPrefix, "robustmq_connect")
	opts.DrainTimeout = cmp.Or(opts.DrainTimeout, 20*time.Second)
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	lines := logbook.New(cmp.Or(opts.MaxLogBytes, 8<<20))
	opts.Logger = slog.New(lines.Handler(opts.Logger.Handler()))
	files, err := openSecretFiles(opts.SecretsDir)
	if err != nil {
		return nil, err
	}
	mappings, err := expression.Environment(bloblang.GlobalEnvironment())
	if err != nil {
		return nil, err
	}
	guard, err := guardOf(opts)
	if err != nil {
		return nil, err
	}
	kafkaOptions := []kafka.Option{kafka.LimitExpressions(), kafka.OnlyTo(guard), kafka.ReadFrom(files), kafka.DialBy(opts.Dial)}
	env, previews, err := sandbox(opts.Environment, files, mappings, kafkaOptions)
	if err != nil {
		return nil, err
	}
	halted, halt := context.WithCancel(context.Background())
	s := &Supervisor{
		opts: opts, log: opts.Logger, store: opts.Store, files: files,
		mappings:   mappings,
		env:        env,
		previews:   previews,
		previewing: make(chan struct{}, maxPreviews), lagReadings: make(chan struct{}, maxLagReadings),
		lines:      lines,
		operations: newLocks(), replays: newLocks(), calm: usualCalm, holdFor: holdFor, kafkaOptions: kafkaOptions,
		halt: halt, halted: halted,
		beats: beat.New(), making: make(chan *service.StreamBuilder, maxMaking),
		entries: make(map[string]*entry), byID: make(map[int]*entry),
		contents: contents{store: opts.Store}, taken: make(chan struct{}, 1),
	}
	s.mqtt.current.Store(&opts.MQTT)
	s.health.probe = s.store.Probe
	s.pending = budget.New(cmp.Or(opts.MaxPendingBytes, 256<<20))
	dial := opts.dialBroker(guard)
	sessions := session.Options{
		Book: opts.Store, SideOf: s.sideOf, Dial: session.Dial(dial), Logger: opts.Logger,
		ClientIDOf: func(name string) string {
			return connector.ClientID(opts.ClientIDPrefix, connector.DefaultTenant, name)
		},
	}
	if opts.Share != nil {
		sessions.Runs, sessions.Confirm = s.owns, opts.Share.Confirm
	}
	s.sessions = session.New(sessions)
	if err := errors.Join(
		mqtt.Register(s.env, mqtt.DialBy(dial), mqtt.GatedBy(s.sessions)),
		mqtt.RegisterOutput(s.env, mqtt.DialBy(dial), mqtt.GatedBy(s.sessions), mqtt.LettersBy(kafkaOptions...)),
		opts.Traces.Register(s.env),
	); err != nil {
		return nil, err
	}
	s.journal, err = probation.Open(s.opts.Notes.File("starts.json"), opts.Trial)
	s.logJournal(err)
	spec := service.NewConfigSpec().Field(service.NewIntField(exporterField))
	err = s.env.RegisterMetricsExporter(exporterName, spec, func(conf *service.ParsedConfig, _ *service.Logger) (service.MetricsExporter, error) {
		id, err := conf.FieldInt(exporterField)
		if err != nil {
			return nil, err
		}
		return s.exporter(id)
	})
	if err != nil {
		return nil, err
	}
	for range maxMaking {
		s.making <- nil
	}
	standIns, err := lint.StandIns(s.env)
	if err != nil {
		return nil, err
	}
	s.linter = lint.New(standIns, standIns.FullConfigSchema("", ""), lint.Options{SkipFiles: true, Warnings: true})

	// An error in the service's own settings would affect every connector, so a sample
	// connector finds it.
	if _, _, err := s.validate(connector.Connector{
		Name: "any", TopicID: "#", Kafka: connector.Kafka{BootstrapServers: "localhost:9092", Topic: "any"},
	}); err != nil {
		var invalid *connector.InvalidError
		if errors.As(err, &invalid) {
			invalid.Field = strings.TrimPrefix(invalid.Field, "config.")
		}
		return nil, errors.Join(fmt.Errorf("the MQTT settings of the service: %w", err), files.Close())
	}
	if s.buffers, err = openBuffers(opts.BufferDir, cmp.Or(opts.MaxBufferBytes, 10<<30)); err != nil {
		return nil, errors.Join(err, files.Close())
	}
	return s, nil
}

// Start runs the contents of the store. The error means that the store cannot be read
// at all. A definition that cannot be read becomes a failed connector, and the others
// start.
func (s *Supervisor) Start() error {
	all, err := s.store.Load()
	if err != nil {
		return err
	}
	for _, u := range all.Unreadable {
		s.lines.Open(u.Name)
	}
	for _, d := range all.Definitions {
		s.lines.Open(d.Connector.Name)
	}
	s.tellUnread(all)
	s.sessions.Load(all)
	if err := s.store.Upgrade(); err != nil {
		return err
	}
	s.mu.Lock()
	for _, u := range all.Unreadable {
		e := s.newEntryLocked(store.Definition{Connector: connector.Connector{Name: u.Name, Config: json.RawMessage("{}")}})
		e.unread, e.failed = &u, unreadFailure(u)
		e.lastError.set(e.failed.why)
	}
	for _, d := range all.Definitions {
		e := s.newEntryLocked(d)
		e.unsettled.Store(len(d.HandOver) > 0) // unknown, so assume it
		// The sessions' owner reports that it cannot be read.
		sides, _ := s.sidesOf(d.Connector)
		s.setLocked(e, d, sides)
	}
	s.mu.Unlock()
	s.lookAtBuffers()
	s.begin()
	s.background(s.watch)
	s.background(s.watchCredentials)
	s.background(s.giveBackMemory)
	s.background(func() { s.sessions.Sweep(s.halted) })
	if s.opts.Share != nil || s.store.Changed() != nil {
		s.background(s.follow)
	}
	return nil
}

func paused(d store.Definition) bool { return d.Connector.Status == connector.WordStop }

func (s *Supervisor) logger(e *entry, c connector.Connector) *slog.Logger {
	hide := hiding(c.MQTT, c.Kafka.More)
	e.hide.Store(hide)
	return slog.New(logHandler{Handler: s.log.With("connector", c.Name).Handler(), errors: e.lastError, hide: hide})
}

// watch checks every connector once a second, so that a reason has a time.
func (s *Supervisor) watch() {
	s.eachBeat(time.Second, func() {
		for _, e := range s.list() {
			s.protect(e, func() { s.updateWaits(e) })
		}
	})
}

// eachBeat calls f at each beat until the service ends.
func (s *Supervisor) eachBeat(every time.Duration, f func()) {
	beat := time.NewTicker(every)
	defer beat.Stop()
	for {
		select {
		case <-s.halted.Done():
			return
		case <-beat.C:
			f()
		}
	}
}

// Close drains every connector and returns when nothing runs any more, or after
// DrainTimeout and the time that ending takes; the error then says what continues to
// run. The store stays open. Close may be called twice, and before Start.
func (s *Supervisor) Close() error {
	s.mu.Lock()
	s.closed = true // nothing starts any more
	for _, e := range s.entries {
		cancelLocked(e.all())
	}
	s.mu.Unlock()
	s.halt()

	var stopping sync.WaitGroup
	for _, e := range s.list() {
		stopping.Go(func() {
			// An operation in progress ends first.
			unlock, err := s.operations.lock(context.Background(), s.nameOf(e))
			if err != nil {
				return // that context has no end
			}
			defer unlock()
			_ = s.stopRun(e) // Warnings reports what continues
		})
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.watching.Wait()
		stopping.Wait()
	}()
	timeout := time.NewTimer(max(leastDrain, s.opts.DrainTimeout) + endTimeout + time.Second)
	defer timeout.Stop()
	select {
	case <-ended:
	case <-timeout.C:
		s.log.Error("An operation has not ended: the service stops without it")
	}
	s.mu.Lock()
	began := s.began
	s.mu.Unlock()
	if began {
		s.logJournal(s.journal.Stop())
	}
	err := errors.Join(s.files.Close(), s.buffers.Close())
	if left := s.outliving(); len(left) > 0 {
		err = errors.Join(err, errors.New("stopping the connectors: "+strings.Join(left, ", ")))
	}
	return err
}

// stopRun stops a connector if it runs. The caller holds its operation lock. The error
// means that its stream continues.
func (s *Supervisor) stopRun(e *entry) error {
	return s.stopMembers(s.membersOf(e))
}

// stopMembers is stopRun for some members of a connector.
func (s *Supervisor) stopMembers(some []*entry) error {
	s.mu.Lock()
	cancelLocked(some) // all drain at once
	var running []*entry
	for _, one := range some {
		if one.run != nil {
			running = append(running, one)
		}
	}
	s.mu.Unlock()
	var all []error
	for _, one := range running {
		all = append(all, one.run.stop()) // only its caller replaces a run
	}
	s.mu.Lock()
	for _, one := range running {
		one.run, one.failed = nil, nil
	}
	s.mu.Unlock()
	return errors.Join(all...)
}

// cancelLocked lets the runs of members end.
func cancelLocked(some []*entry) {
	for _, one := range some {
		if one.run != nil {
			one.run.stopping = true
			one.run.cancel()
		}
	}
}

var errClosed = errors.New("the service is stopping")
