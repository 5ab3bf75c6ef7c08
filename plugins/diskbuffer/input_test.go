package diskbuffer

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/robustmq/robustmq-connect/plugins/internal/nested"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what happens in milliseconds.
const patience = time.Minute

// source is the inner input of tests: it delivers what it is told to, and records the
// answers.
type source struct {
	batches chan service.MessageBatch

	mu       sync.Mutex
	acked    []string
	nacked   []string
	down     error // Connect returns it
	lost     chan struct{}
	connects int
}

func newSource() *source {
	return &source{batches: make(chan service.MessageBatch, 100), lost: make(chan struct{}, 1)}
}

func (s *source) Connect(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.connects++
	return s.down
}

func (s *source) ReadBatch(ctx context.Context) (service.MessageBatch, service.AckFunc, error) {
	select {
	case batch, open := <-s.batches:
		if !open {
			return nil, nil, service.ErrEndOfInput
		}
		names := textsOf(batch)
		return batch, func(_ context.Context, err error) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			if err == nil {
				s.acked = append(s.acked, names...)
			} else {
				s.nacked = append(s.nacked, names...)
			}
			return nil
		}, nil
	case <-s.lost:
		return nil, nil, service.ErrNotConnected
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
}

func (s *source) Close(context.Context) error { return nil }

func (s *source) send(texts ...string) {
	var batch service.MessageBatch
	for _, text := range texts {
		batch = append(batch, service.NewMessage([]byte(text)))
	}
	s.batches <- batch
}

func (s *source) answered() (acked, nacked []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	acked, nacked = slices.Clone(s.acked), slices.Clone(s.nacked)
	slices.Sort(acked) // the engine answers in a goroutine a batch
	return acked, nacked
}

func textsOf(batch service.MessageBatch) (texts []string) {
	for _, msg := range batch {
		b, _ := msg.AsBytes()
		texts = append(texts, string(b))
	}
	return texts
}

// rig is a buffer that a test drives as the engine does.
type rig struct {
	t      *testing.T
	source *source
	in     *input
	closed bool
}

// newRig makes a buffer over a source, nil for none. The fields are YAML, each on a line.
func newRig(t *testing.T, s *source, path string, fields ...string) *rig {
	t.Helper()
	r := &rig{t: t, source: s}
	env := service.NewEnvironment()
	require.NoError(t, env.RegisterBatchInput("test_source", service.NewConfigSpec(),
		func(_ *service.ParsedConfig, mgr *service.Resources) (service.BatchInput, error) {
			return nested.Input(s, nested.Of(mgr)), nil
		}))
	if s != nil {
		fields = append(fields, "input: { test_source: {} }")
	}
	text := strings.Join(append(fields, "path: "+strconv.Quote(path)), "\n")
	conf, err := Spec().ParseYAML(text, env)
	require.NoError(t, err)
	c, err := parseConfig(conf)
	require.NoError(t, err)
	mgr := conf.Resources()
	link := nested.New()
	inner, err := innerInput(conf, mgr, link)
	require.NoError(t, err)
	r.in = newInput(c, inner, link, nil, mgr)
	t.Cleanup(r.close)
	return r
}

func (r *rig) open() *rig {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	require.NoError(r.t, r.in.Connect(ctx))
	return r
}

func (r *rig) close() {
	if r.closed {
		return
	}
	r.closed = true
	require.NoError(r.t, r.in.Close(context.Background()))
	require.NoError(r.t, r.in.Close(context.Background()), "again")
}

func (r *rig) read() ([]string, service.AckFunc) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		batch, ack, err := r.in.ReadBatch(ctx)
		if errors.Is(err, service.ErrNotConnected) {
			require.NoError(r.t, r.in.Connect(ctx))
			continue
		}
		require.NoError(r.t, err)
		require.NotEmpty(r.t, batch)
		return textsOf(batch), ack
	}
}

// take reads and acknowledges so many messages.
func (r *rig) take(n int) (texts []string) {
	r.t.Helper()
	for len(texts) < n {
		some, ack := r.read()
		texts = append(texts, some...)
		require.NoError(r.t, ack(context.Background(), nil))
	}
	return texts
}

func (r *rig) onDisk(n int) {
	r.t.Helper()
	require.Eventually(r.t, func() bool {
		return r.in.buffer != nil && int(r.in.buffer.Stats().Messages) == n && r.in.buffer.Readable()
	}, patience, time.Millisecond)
}

func (r *rig) acked(texts ...string) {
	r.t.Helper()
	require.Eventually(r.t, func() bool {
		acked, _ := r.source.answered()
		return slices.Equal(acked, texts)
	}, patience, time.Millisecond)
}

func TestMessagesAreAcknowledgedOnceTheyAreOnDisk(t *testing.T) {
	s := newSource()
	r := newRig(t, s, t.TempDir()).open()
	s.send("a", "b")
	s.send("c")
	r.acked("a", "b", "c") // the pipeline has taken none of them
	assert.Equal(t, []string{"a", "b", "c"}, r.take(3))
}

func TestACleanStopLeavesTheRestAndRepeatsNothing(t *testing.T) {
	path := t.TempDir()
	s := newSource()
	r := newRig(t, s, path, "max_batch_messages: 1").open()
	s.send("a", "b", "c", "d")
	assert.Equal(t, []string{"a", "b"}, r.take(2))
	r.onDisk(2)
	r.close()

	s = newSource()
	r = newRig(t, s, path).open()
	s.send("e")
	assert.Equal(t, []string{"c", "d", "e"}, r.take(3))
}

func TestRejectedMessagesComeAgainBeforeThoseThatFollow(t *testing.T) {
	s := newSource()
	r := newRig(t, s, t.TempDir(), "max_batch_messages: 2").open()
	s.send("a", "b", "c", "d", "e")
	first, ackFirst := r.read()
	second, ackSecond := r.read()
	require.Equal(t, []string{"a", "b"}, first)
	require.Equal(t, []string{"c", "d"}, second)
	failure := assert.AnError
	require.NoError(t, ackFirst(context.Background(), failure))
	require.NoError(t, ackSecond(context.Background(), failure))
	for range 5 {
		again, ack := r.read()
		require.Equal(t, first, again)
		require.NoError(t, ack(context.Background(), failure))
		again, ack = r.read()
		require.Equal(t, second, again)
		require.NoError(t, ack(context.Background(), failure))
	}
	assert.Equal(t, []string{"a", "b", "c", "d", "e"}, r.take(5))
}

func TestOnlyThoseOfABatchComeAgainThatFailed(t *testing.T) {
	s := newSource()
	r := newRig(t, s, t.TempDir()).open()
	s.send("a", "b", "c")
	r.onDisk(3)
	batch, ack, err := r.in.ReadBatch(context.Background())
	require.NoError(t, err)
	partial := service.NewBatchError(batch, assert.AnError).Failed(1, assert.AnError)
	require.NoError(t, ack(context.Background(), partial))
	s.send("d")
	assert.Equal(t, []string{"b", "d"}, r.take(2))
}

func TestABatchThatIsFinishedOutOfOrderIsNotForgotten(t *testing.T) {
	path := t.TempDir()
	s := newSource()
	r := newRig(t, s, path, "max_batch_messages: 1").open()
	s.send("a", "b")
	_, _ = r.read()
	_, ack := r.read()
	require.NoError(t, ack(context.Background(), nil))
	r.close()
	r = newRig(t, newSource(), path).open()
	assert.Equal(t, []string{"a", "b"}, r.take(2), "a was not finished")
}

func TestTheInputEndsWhenTheInnerOneHasAndAllIsFinished(t *testing.T) {
	s := newSource()
	r := newRig(t, s, t.TempDir()).open()
	s.send("a")
	close(s.batches)
	_, ack := r.read()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, _, err := r.in.ReadBatch(ctx)
	require.ErrorIs(t, err, context.Canceled, "a may be rejected")
	require.NoError(t, ack(context.Background(), nil))
	_, _, err = r.in.ReadBatch(context.Background())
	require.ErrorIs(t, err, service.ErrEndOfInput)
}

func TestABufferWithoutAnInputIsEmptied(t *testing.T) {
	path := t.TempDir()
	s := newSource()
	r := newRig(t, s, path).open()
	s.send("a", "b")
	r.onDisk(2)
	state := r.in.backlog()
	assert.Equal(t, uint64(2), state.Messages)
	assert.Positive(t, state.Bytes)
	assert.True(t, state.Up)
	require.NoError(t, state.Failure)
	r.close()
	waiting, err := Waiting(path)
	require.NoError(t, err)
	assert.Equal(t, uint64(2), waiting.Messages)
	assert.Positive(t, waiting.Bytes)

	r = newRig(t, nil, path).open()
	_, err = Waiting(path)
	require.ErrorContains(t, err, "is used by another buffer or process")
	assert.Equal(t, []string{"a", "b"}, r.take(2))
	_, _, err = r.in.ReadBatch(context.Background())
	require.ErrorIs(t, err, service.ErrEndOfInput)
	r.close()
	waiting, err = Waiting(path)
	require.NoError(t, err)
	assert.Zero(t, waiting.Messages)
}

func TestABufferThatCannotBeOpenedSaysWhy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	r := newRig(t, newSource(), path)
	require.ErrorContains(t, r.in.Connect(context.Background()), "creating the directory of the buffer")
	require.ErrorContains(t, r.in.backlog().Failure, "creating the directory of the buffer")
}

// The engine shows only the connection of the outer input.
func TestTheInputIsConnectedAsTheInnerOneIsUnlessItHasMessages(t *testing.T) {
	s := newSource()
	s.down = assert.AnError
	r := newRig(t, s, t.TempDir())
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	require.ErrorIs(t, r.in.Connect(ctx), assert.AnError)
	s.mu.Lock()
	s.down = nil
	s.mu.Unlock()
	require.Eventually(t, func() bool { return r.in.Connect(ctx) == nil }, patience, time.Millisecond)
	s.send("a")
	r.acked("a")

	// The connection is lost: what is on disk comes first.
	s.mu.Lock()
	s.down = assert.AnError
	s.mu.Unlock()
	s.lost <- struct{}{}
	require.Eventually(t, func() bool { up, _ := r.in.link.State(); return !up }, patience, time.Millisecond)
	require.NoError(t, r.in.Connect(ctx))
	assert.Equal(t, []string{"a"}, r.take(1))
	_, _, err := r.in.ReadBatch(ctx)
	require.ErrorIs(t, err, service.ErrNotConnected)
	require.ErrorIs(t, r.in.Connect(ctx), assert.AnError)
}

func TestOnePathIsForOneBuffer(t *testing.T) {
	path := t.TempDir()
	newRig(t, newSource(), path).open()
	other := newRig(t, newSource(), path)
	err := other.in.Connect(context.Background())
	require.ErrorContains(t, err, "is used by another buffer or process; give each buffer a path of its own")
}

func TestABufferThatWasNeverOpenedIsClosed(t *testing.T) {
	s := newSource()
	newRig(t, s, t.TempDir()).close()
	assert.Zero(t, s.connects)
}
