package kafkastore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/robustmq/robustmq-connect/plugins/connector/store"
	"github.com/robustmq/robustmq-connect/plugins/connector/store/storetest"
	"github.com/robustmq/robustmq-connect/tests/link"
)

func definition(t *testing.T, name, topic string) store.Definition {
	t.Helper()
	return store.Definition{Connector: storetest.Conn(t, name, topic)}
}

// isSynced waits until a view has all that is in the topic.
func isSynced(t *testing.T, s *Store) store.Contents {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	require.NoError(t, s.Sync(ctx))
	all, err := s.Load()
	require.NoError(t, err)
	return all
}

// A process that was stopped and woken up still believes that it is the writer.
func TestAWriterThatWasReplacedIsFenced(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	zombie := r.open(t)
	before, err := zombie.Create(definition(t, "c", "t"))
	require.NoError(t, err)

	// It does not answer, as one that is stopped.
	zombie.mu.Lock()
	zombie.writing = false
	zombie.mu.Unlock()
	next := r.another(t)
	claim(t, next)
	zombie.mu.Lock()
	zombie.writing = true
	zombie.mu.Unlock()
	after, _, err := next.Revise(&before, definition(t, "c", "of the next"))
	require.NoError(t, err)

	for range 2 { // it may have read the new revision, or not
		_, _, err = zombie.Revise(&before, definition(t, "c", "of the zombie"))
		require.Error(t, err)
		assert.False(t, store.Unknown(err))
	}
	require.Error(t, zombie.Put(before))
	require.Error(t, zombie.Probe())
	select {
	case <-zombie.Lost():
	case <-time.After(30 * time.Second):
		t.Fatal("it must learn that the store is lost")
	}
	_, _, err = zombie.Revise(&before, definition(t, "c", "of the zombie"))
	require.ErrorContains(t, err, "another service uses it")
	all := isSynced(t, next)
	require.Len(t, all.Definitions, 1)
	assert.Equal(t, after.Revision, all.Definitions[0].Revision)
	assert.Equal(t, "of the next", all.Definitions[0].Connector.Kafka.Topic)
	_, _, err = next.Revise(&after, definition(t, "c", "t"))
	require.NoError(t, err, "the next one goes on")
}

// It may still read, but it learns that it is lost without a change of its own.
func TestAWriterThatWasReplacedLearnsItByReading(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	zombie := r.open(t)
	next := r.another(t)
	require.NoError(t, next.lead(t.Context(), zombie.process))
	select {
	case <-zombie.Lost():
	case <-time.After(30 * time.Second):
		t.Fatal("it must learn that the store is lost")
	}
	select {
	case <-next.Lost():
		t.Fatal("the next one has the store")
	default:
	}
}

func TestAServiceThatAnswersKeepsTheStore(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.opts.timing.claim = time.Minute
	first := r.open(t)
	for range 3 {
		second := r.another(t)
		err := second.Claim(t.Context())
		var used *InUseError
		require.ErrorAs(t, err, &used)
		require.ErrorContains(t, err, "another service uses it ("+first.host+"): stop that one, or name another prefix")
		_, err = second.Create(definition(t, "second", "t"))
		require.ErrorContains(t, err, "this process only reads the store")
		require.NoError(t, second.Close())
		_, err = first.Create(definition(t, fmt.Sprintf("c%p", second), "t"))
		require.NoError(t, err)
	}
	require.NoError(t, first.Close())
	// Nobody has it any more, so nobody is waited for.
	claim(t, r.another(t))
}

// Two processes start at once: one of them gets the store.
func TestOfTwoThatStartAtOnceOneGetsTheStore(t *testing.T) {
	t.Parallel()
	for range 3 {
		r := newRig(t)
		r.opts.timing.claim = 10 * time.Second
		one, two := r.another(t), r.another(t)
		results := make(chan error, 2)
		for _, s := range []*Store{one, two} {
			go func() { results <- s.Claim(t.Context()) }()
		}
		errs := []error{<-results, <-results}
		won := 0
		for _, err := range errs {
			if err == nil {
				won++
			} else {
				require.ErrorAs(t, err, new(*InUseError), "%v", errs)
			}
		}
		require.Equal(t, 1, won, "%v", errs)
		writer := one
		if !one.isWriter() {
			writer = two
		}
		_, err := writer.Create(definition(t, "c", "t"))
		require.NoError(t, err)
		require.NoError(t, one.Close())
		require.NoError(t, two.Close())
	}
}

// Kafka has committed, and its answer is lost.
func TestACommitWithoutAnAnswerIsFollowedUp(t *testing.T) {
	t.Parallel()
	r, s := opened(t)
	committed := make(chan struct{}, 10)
	r.cluster.ControlKey(int16(kmsg.EndTxn), func(kmsg.Request) (kmsg.Response, error, bool) {
		r.cluster.DropControl()
		committed <- struct{}{}
		return nil, errors.New("the connection is cut"), true
	})
	d, err := s.Create(definition(t, "c", "t"))
	<-committed
	if err != nil {
		require.False(t, store.Unknown(err), "the follow-up has found out: %v", err)
		assert.Empty(t, isSynced(t, s).Definitions, "it was refused")
	} else {
		require.Len(t, isSynced(t, s).Definitions, 1)
		assert.Equal(t, 1, d.Revision)
	}
	s = r.open(t)
	if err == nil {
		assert.Len(t, isSynced(t, s).Definitions, 1)
	}
}

// Kafka has committed, its answer is lost, and another process has become the writer when
// the client repeats the commit. The change was answered as refused.
func TestACommitThatWasDoneIsNotRefusedByTheNextWriter(t *testing.T) {
	t.Parallel()
	r, network := newRig(t), link.New()
	r.opts.Client = append(r.opts.Client, kgo.Dialer(network.Dial))
	s := r.open(t)
	ended := 0
	r.cluster.ControlKey(int16(kmsg.EndTxn), func(req kmsg.Request) (kmsg.Response, error, bool) {
		r.cluster.KeepControl()
		if ended++; ended == 1 {
			network.Cut()
			network.Restore()
			return nil, nil, false // it is done all the same
		}
		answer := kmsg.NewPtrEndTxnResponse()
		answer.Version, answer.ErrorCode = req.GetVersion(), kerr.InvalidProducerEpoch.Code
		return answer, nil, true
	})
	_, err := s.Create(definition(t, "c", "t"))
	require.NoError(t, err)
	require.Len(t, isSynced(t, s).Definitions, 1)
}

// A worker that was stopped for a while becomes the writer again, and reads only then that
// another one was it. It counted the store as lost, for good.
func TestAWriterDoesNotLoseTheStoreToWhoWasItBefore(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	first, second := r.another(t), r.another(t)
	require.NoError(t, first.Lead(t.Context()))
	require.NoError(t, second.Lead(t.Context()))
	isSynced(t, first)
	first.regain() // as Lead does, and then it reads
	first.answerClaim()
	require.False(t, first.isLost())
	require.NoError(t, first.Lead(t.Context()))
	_, err := first.Create(definition(t, "c", "t"))
	require.NoError(t, err)
}

// Kafka does not answer any more once it got the commit.
func TestACommitThatNobodyAnswersIsUnknown(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.opts.timing.change = 4 * time.Second
	s := r.open(t)
	before := created(t, s, "c")
	faults := r.cluster.Fault(
		kfake.Fault{Keys: []kmsg.Key{kmsg.EndTxn}, Err: kerr.NotCoordinator, Count: -1},
		kfake.Fault{Keys: []kmsg.Key{kmsg.InitProducerID}, Err: kerr.NotCoordinator, Count: -1},
	)
	_, _, err := s.Revise(&before, definition(t, "c", "t2"))
	require.Error(t, err)
	assert.True(t, store.Unknown(err), "%v", err)
	assert.Contains(t, err.Error(), "the change may still take effect; read the connector again before you repeat it")
	_, err = s.Create(definition(t, "other", "t"))
	require.Error(t, err, "other changes are refused until it is known")
	assert.False(t, store.Unknown(err), "%v", err)
	faults.Remove()

	// The transaction is ended by the next change, which finds what became of it.
	require.Eventually(t, func() bool {
		_, err := s.Create(definition(t, "other", "t"))
		return err == nil
	}, time.Minute, 50*time.Millisecond)
	all := isSynced(t, s)
	require.Len(t, all.Definitions, 2)
	assert.Equal(t, before.Revision, all.Definitions[0].Revision, "its commit never got to Kafka")
	_, _, err = s.Revise(&all.Definitions[0], definition(t, "c", "t3"))
	require.NoError(t, err)
}

func TestAChangeThatExpectsAnotherRevisionIsRefused(t *testing.T) {
	t.Parallel()
	_, s := opened(t)
	d := created(t, s, "c")
	_, _, err := s.Revise(&d, definition(t, "c", "t2"))
	require.NoError(t, err)
	_, _, err = s.Revise(&d, definition(t, "c", "t3"))
	require.ErrorContains(t, err, `storing connector "c": it is at revision 2 in the store, and not at 1: read it again and repeat the change`)
	_, err = s.Create(definition(t, "c", "t"))
	require.ErrorContains(t, err, "the store has it already, at revision 2")
	require.ErrorContains(t, s.Put(definition(t, "none", "t")), "the store does not have it any more")
}

// Kafka forgets a producer, for example when the leader of the topic loses its newest
// records. Nothing was committed, and a new producer repeats the change.
func TestAChangeOfAForgottenProducerIsRepeated(t *testing.T) {
	t.Parallel()
	for _, forgotten := range []*kerr.Error{kerr.OutOfOrderSequenceNumber, kerr.UnknownProducerID} {
		r := newRig(t)
		s := r.open(t)
		r.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: forgotten, Count: 1})
		d, err := s.Create(definition(t, "c", "t"))
		require.NoError(t, err)
		assert.Equal(t, 1, d.Revision)
		require.Len(t, isSynced(t, s).Definitions, 1)
	}
}

func TestARefusalSaysWhatToDo(t *testing.T) {
	t.Parallel()
	r, s := opened(t)
	for _, c := range []struct {
		key  kmsg.Key
		err  *kerr.Error
		want string
	}{
		{kmsg.Produce, kerr.NotEnoughReplicas, "restart replicas, or lower min.insync.replicas of topic \"a-definitions\""},
		{kmsg.Produce, kerr.MessageTooLarge, "raise max.message.bytes of topic \"a-definitions\""},
		{kmsg.Produce, kerr.TopicAuthorizationFailed, "give the user READ, WRITE and DESCRIBE on topic \"a-definitions\""},
		{kmsg.InitProducerID, kerr.TransactionalIDAuthorizationFailed, "give the user WRITE and DESCRIBE on the transactional id \"a-writer\""},
	} {
		fault := r.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{c.key}, Err: c.err, Count: -1})
		_, err := s.Create(definition(t, "c", "t"))
		require.Error(t, err)
		assert.Contains(t, err.Error(), c.want)
		assert.False(t, store.Unknown(err), "%v", err)
		require.Error(t, s.Probe())
		fault.Remove()
	}
	created(t, s, "c")
	require.NoError(t, s.Probe())
}

func TestAValueIsBounded(t *testing.T) {
	t.Parallel()
	_, s := opened(t)
	d := created(t, s, "c")
	for i := range 3000 {
		from := definition(t, "c", strings.Repeat("t", 200)+strconv.Itoa(i))
		d.HandOver = append(d.HandOver, store.HandOver{From: from.Connector, Endpoints: []string{"h:1"}})
	}
	err := s.Put(d)
	require.ErrorContains(t, err, "1000000 are allowed")
	assert.Empty(t, isSynced(t, s).Definitions[0].HandOver)
}

// Kafka is away: what was read is shown with its age, and changes are refused.
func TestWithoutKafkaTheViewSaysHowOldItIs(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.opts.timing.change = 4 * time.Second
	s := r.open(t)
	created(t, s, "c")
	r.cluster.Close()
	began := time.Now()
	_, err := s.Create(definition(t, "d", "t"))
	require.Error(t, err)
	assert.False(t, store.Unknown(err), "%v", err)
	assert.Less(t, time.Since(began), 20*time.Second)
	require.Eventually(t, func() bool {
		all, err := s.Load()
		return err == nil && all.Stale != nil
	}, 60*time.Second, 50*time.Millisecond)
	all, err := s.Load()
	require.NoError(t, err)
	assert.Len(t, all.Definitions, 1)
	assert.True(t, all.At.Before(began))
	require.Error(t, s.Probe())
	require.Eventually(t, func() bool { return strings.Contains(r.logs.String(), "The store in Kafka does not answer") }, 60*time.Second, 50*time.Millisecond)
}
