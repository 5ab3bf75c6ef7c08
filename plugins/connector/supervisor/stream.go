package supervisor

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/internal/backlog"
	"github.com/robustmq/robustmq-connect/plugins/internal/beat"
	"github.com/robustmq/robustmq-connect/plugins/internal/budget"
	"github.com/robustmq/robustmq-connect/plugins/internal/crash"
	"github.com/robustmq/robustmq-connect/plugins/internal/latency"
	"github.com/robustmq/robustmq-connect/plugins/internal/tail"
)

// stream is a connector's running pipeline.
type stream struct {
	engine      *service.Stream
	connections *connections
	backlog     backlog.Watch // of its disk buffer
	guard       *crash.Guard
	ended       chan struct{} // closed when Run has returned
	err         error         // why; read it after ended

	// credentials are those that the stream was made with, nil where it is not made anew
	// for others; seen are those of the last look, by one goroutine.
	credentials *[sha256.Size]byte
	seen        [sha256.Size]byte
	renewal     chan struct{} // one slot: it is to be made anew
}

// startStream builds the pipeline of c and runs it. Some errors are available only in
// err after ended: the engine creates components when it runs.
func (s *Supervisor) startStream(e *entry, c connector.Connector) (*stream, error) {
	if c.HasBuffer() && s.buffers == nil {
		return nil, errNoBuffers // it was stored by another service
	}
	credentials := s.credentialsOf(c) // before they are read
	document, _ := connector.Pipeline(s.effective(c))
	st, err := s.startDocument(e, c, document)
	if err == nil {
		st.credentials, st.seen = &credentials, credentials
	}
	return st, err
}

// startDocument runs a pipeline for a connector.
func (s *Supervisor) startDocument(e *entry, c connector.Connector, document []byte) (*stream, error) {
	// A definition may have been put into the store by hand, or by an older version.
	if err := checkExpressions(c); err != nil {
		return nil, err
	}
	b := <-s.making
	defer func() { s.making <- b }()
	if b == nil {
		b = s.newBuilder()
	}
	st, err := s.build(b, e, c, document)
	if err != nil {
		b = nil // it may have half of the pipeline
		return nil, err
	}
	go func() {
		defer close(st.ended)
		defer st.guard.Catch("a constructor")
		// stop ends it: a context that ends while the stream starts would leave it
		// locked.
		st.err = st.engine.Run(context.Background())
	}()
	st.awaitStart()
	return st, nil
}

const (
	// maxMaking is how many streams are made at once. To make one takes memory and a
	// processor; thousands at once would also connect at once.
	maxMaking = 4
	// startTimeout is how long a stream that starts may keep others from being made. A
	// constructor may hang.
	startTimeout = time.Second
)

// newBuilder returns a builder for any number of streams, one after the other. Each
// stream keeps its builder, which is large, so they share a few.
func (s *Supervisor) newBuilder() *service.StreamBuilder {
	b := s.env.NewStreamBuilder()
	b.DisableLinting() // a definition was linted when it came
	b.SetEnvVarLookupFunc(func(string) (string, bool) { return "", false })
	return b
}

func (s *Supervisor) build(b *service.StreamBuilder, e *entry, c connector.Connector, document []byte) (*stream, error) {
	log := s.logger(e, s.effective(c))
	b.SetLogger(log)
	st := &stream{connections: newConnections(c.IsSource(), &e.figures.connections), ended: make(chan struct{}), renewal: make(chan struct{}, 1), guard: crash.New(func(err *crash.Error) {
		log.Error("A panic ends the connector, and no other: report it with this stack", "error", err, "stack", string(err.Stack))
	})}
	b.SetHTTPMux(st.connections)
	if err := b.SetYAML(string(document)); err != nil {
		return nil, err
	}
	if err := b.SetMetricsYAML(fmt.Sprintf("%s: { %s: %d }", exporterName, exporterField, e.id)); err != nil {
		return nil, err
	}
	if err := s.opts.Traces.Use(b, c.Name); err != nil {
		return nil, err
	}
	b.SetThreads(1) // SetYAML has set another number, which does not keep the order
	var err error
	if st.engine, err = b.Build(); err != nil {
		return nil, err
	}
	crash.Watch(st.engine.Resources(), st.guard)
	budget.Put(st.engine.Resources(), s.pending)
	latency.Put(st.engine.Resources(), &e.figures.latency)
	tail.Put(st.engine.Resources(), e.tail)
	beat.Put(st.engine.Resources(), s.beats)
	backlog.Put(st.engine.Resources(), &st.backlog)
	return st, nil
}

// awaitStart returns when the engine has created the components, or has failed to.
func (s *stream) awaitStart() {
	timeout := time.NewTimer(startTimeout)
	defer timeout.Stop()
	select {
	case <-s.connections.started:
	case <-s.ended:
	case <-timeout.C:
	}
}

// endTimeout is how long a stream may take to end when it no longer drains.
const endTimeout = 3 * time.Second

// stop lets the stream finish what is in flight, for at most the given time, and
// returns when it has ended. The error means that it did not end within another
// endTimeout.
func (s *stream) stop(drain time.Duration) error {
	// The engine ends what is in flight when the context ends. With a deadline, it
	// would reserve a quarter of it for that.
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	defer time.AfterFunc(drain, cancel).Stop()
	go s.signal(ctx)
	timeout := time.NewTimer(drain + endTimeout)
	defer timeout.Stop()
	select {
	case <-s.ended:
		return nil
	case <-timeout.C:
		return fmt.Errorf("its stream has not ended %s after it was stopped", drain+endTimeout)
	}
}

// signal tells the engine to stop, once it can be stopped. It may hang if the engine
// does.
func (s *stream) signal(ctx context.Context) {
	select {
	case <-s.ended:
	case <-s.connections.started:
		_ = s.engine.Stop(ctx) // whether it ended is seen by ended
	}
}

// ends returns both ends, as the engine reports them now, none before it has started. A
// disk buffer hides the end in it, and is one itself while it can keep nothing.
func (s *stream) ends() []end {
	ends := s.connections.ends()
	state, ok := s.backlog.State()
	if !ok {
		return ends
	}
	ends = slices.Clone(ends)
	lacking := lackingOf(state)
	for i := range ends {
		if ends[i].need != connector.NeedBroker {
			continue
		}
		switch {
		case state.Up || state.Down == nil && lacking != "":
			ends[i].connected, ends[i].err = true, ""
		case state.Down != nil:
			ends[i].connected, ends[i].err = false, state.Down.Error()
		default:
			ends[i].connected, ends[i].err = false, ""
		}
	}
	if lacking != "" && len(ends) > 0 {
		ends = append(ends, end{need: connector.NeedBuffer, err: lacking})
	}
	return ends
}

// lackingOf says why a disk buffer can keep nothing, "" if it can.
func lackingOf(state backlog.State) string {
	switch {
	case state.Failure != nil:
		return state.Failure.Error()
	case !state.Full.IsZero() && time.Since(state.Full) > backlog.FullAfter:
		return fmt.Sprintf("it is full with %d messages in %s, so the broker is not read until Kafka takes them: give it a larger max_bytes, or see why Kafka takes them slowly",
			state.Messages, humanize.IBytes(uint64(max(0, state.Bytes))))
	}
	return ""
}
