package supervisor

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/connector/store"
)

// doubtful is a store that answers no change any more, as one whose Kafka got the change
// and is away then. It shows what it held before that until it answers again.
type doubtful struct {
	*sharedStore

	mu     sync.Mutex
	before *store.Contents // while it does not answer
	stale  error
}

// result is that of a change.
func (d *doubtful) result(err error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err == nil && d.before != nil {
		return &store.UnknownError{Why: errors.New("Kafka does not answer in time")}
	}
	return err
}

func (d *doubtful) silence(t *testing.T) {
	t.Helper()
	all, err := d.Load()
	require.NoError(t, err)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.before = &all
}

// answer ends the silence, and tells what has changed meanwhile.
func (d *doubtful) answer(stale error) {
	d.mu.Lock()
	d.before, d.stale = nil, stale
	d.mu.Unlock()
	d.tell()
}

func (d *doubtful) Load() (store.Contents, error) {
	all, err := d.sharedStore.Load()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.before != nil {
		return *d.before, nil
	}
	all.Stale = d.stale
	return all, err
}

func (d *doubtful) Create(def store.Definition) (store.Definition, error) {
	def, err := d.sharedStore.Create(def)
	return def, d.result(err)
}

func (d *doubtful) Revise(before *store.Definition, def store.Definition) (store.Definition, string, error) {
	def, aside, err := d.sharedStore.Revise(before, def)
	return def, aside, d.result(err)
}

func (d *doubtful) Put(def store.Definition) error { return d.result(d.sharedStore.Put(def)) }

func (d *doubtful) Release(def store.Definition) (store.Released, error) {
	r, err := d.sharedStore.Release(def)
	return r, d.result(err)
}

func doubtfulRig(t *testing.T) (*rig, *doubtful) {
	t.Helper()
	r := newRig(t)
	r.stopService()
	var d *doubtful
	r.wrap = func(s store.Store) store.Store {
		dir, ok := s.(*store.Dir)
		require.True(t, ok)
		d = &doubtful{sharedStore: &sharedStore{Dir: dir, told: make(chan struct{})}}
		return d
	}
	r.start()
	return r, d
}

func TestAChangeThatTakesEffectLaterIsTakenOver(t *testing.T) {
	r, d := doubtfulRig(t)
	r.create(r.conn("updated", "in/#", "out1", ""))
	r.create(r.conn("deleted", "in/#", "out2", ""))
	r.create(r.conn("paused", "in/#", "out3", ""))
	r.create(r.conn("as it was", "in/#", "out4", ""))
	for _, name := range []string{"updated", "deleted", "paused", "as it was"} {
		r.ready(name)
	}

	d.silence(t)
	_, err := r.Create(t.Context(), r.conn("created", "in/#", "out5", ""), connector.CreateOptions{})
	require.ErrorContains(t, err, "the result is unknown: Kafka does not answer in time: the change may still take effect; read the connector again before you repeat it")
	_, err = r.Update(t.Context(), r.conn("updated", "in/#", "out6", ""), connector.UpdateOptions{})
	require.True(t, store.Unknown(err), "%v", err)
	_, err = r.Delete(t.Context(), "deleted")
	require.True(t, store.Unknown(err), "%v", err)
	require.Error(t, r.Pause(t.Context(), "paused"))
	assert.Nil(t, r.find("created"))
	assert.NotNil(t, r.find("deleted"))

	d.answer(nil)
	r.ready("created")
	r.until("updated", func(s connector.Status) bool { return s.Revision == 2 })
	r.ready("updated")
	r.until("paused", func(s connector.Status) bool { return s.State == connector.Paused })
	require.Eventually(t, func() bool { return r.find("deleted") == nil }, patience, 10*time.Millisecond)
	r.ready("as it was")
	r.publish("in/a", "after")
	for _, topic := range []string{"out4", "out5", "out6"} {
		assert.Len(t, r.records(topic, 1), 1)
	}

	// From here on all is as usual.
	result, err := r.Update(t.Context(), r.conn("updated", "in/#", "out7", ""), connector.UpdateOptions{})
	require.NoError(t, err)
	assert.Equal(t, 3, result.Revision)
	r.create(r.conn("deleted", "in/#", "out8", ""))
	r.ready("deleted")
}

func TestAStoreThatDoesNotAnswerIsAWarningWithTheAge(t *testing.T) {
	r, d := doubtfulRig(t)
	assert.Empty(t, r.Warnings())
	d.answer(errors.New("Kafka does not answer in time"))
	require.Len(t, r.Warnings(), 1)
	assert.Contains(t, r.Warnings()[0], "the store does not answer; what is known of it is of 20")
	d.answer(nil)
	assert.Empty(t, r.Warnings())
}
