package session

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector/store"
)

// slowBook is a book that does not answer until it is let go, as Kafka that is away.
type slowBook struct {
	Book
	asked chan struct{} // has one entry a call that waits
	let   chan error    // what a call returns; nil lets it do its work
}

func (b *slowBook) wait(work func() error) error {
	b.asked <- struct{}{}
	if err := <-b.let; err != nil {
		return err
	}
	return work()
}

func (b *slowBook) PutSession(s store.Session) error {
	return b.wait(func() error { return b.Book.PutSession(s) })
}

func (b *slowBook) DropSession(endpoint, clientID string) error {
	return b.wait(func() error { return b.Book.DropSession(endpoint, clientID) })
}

// A session that was joined was recorded under the mutex that the state of every
// connector needs, so that no list was answered while Kafka was away.
func TestNothingElseWaitsForTheBook(t *testing.T) {
	r := newRig(t)
	side := Side{URLs: ParseURLs([]string{r.broker.URL()}), ClientID: "id", Filter: "a/#", QoS: 1}
	r.sides["c"] = side
	require.NoError(t, r.Hold("c", side))
	book := &slowBook{Book: r.store, asked: make(chan struct{}), let: make(chan error)}
	r.book = book
	joining := func() chan error {
		done := make(chan error, 1)
		go func() { done <- r.Joined(side.URLs[0], "id", false) }()
		<-book.asked
		return done
	}
	// Each of these returned only when the book had answered.
	others := func() {
		require.NoError(t, r.Trouble("other"))
		r.Follow(r.store.Load)
		r.Settle("c", side)
		other := side
		other.ClientID = "other"
		require.NoError(t, r.Hold("other", other))
		r.Restore("other")
		assert.Error(t, r.Hold("other", side), "it is held, whether it is recorded or not")
	}

	joined := joining()
	others()
	assert.Empty(t, r.Records())
	book.let <- errors.New("the disk is full")
	require.ErrorContains(t, <-joined, "the disk is full")
	require.ErrorContains(t, r.Trouble("id"), "the disk is full")

	joined = joining()
	others()
	book.let <- nil
	require.NoError(t, <-joined)
	require.NoError(t, r.Trouble("id"))
	require.Len(t, r.Records(), 1)
	// What is recorded already needs no turn at the book.
	require.NoError(t, r.Joined(side.URLs[0], "id", true))

	dropped := make(chan error, 1)
	go func() { dropped <- r.drop(side.IDs()[0]) }()
	<-book.asked
	others()
	assert.Len(t, r.Records(), 1)
	book.let <- nil
	require.NoError(t, <-dropped)
	assert.Empty(t, r.Records())
	assert.Empty(t, r.contents().Sessions)
}

// A connector that takes a session whose messages a deleted one has left has it before
// that is recorded: nobody else can take it meanwhile. Without the record it does not.
func TestASessionIsTakenBeforeThatIsRecorded(t *testing.T) {
	r := newRig(t)
	side := Side{URLs: ParseURLs([]string{r.broker.URL()}), ClientID: "id", Filter: "a/#", QoS: 1}
	r.create("before", side)
	left, err := r.store.Release(definitionOf("before"))
	require.NoError(t, err)
	r.Settle("before")
	require.NoError(t, r.GiveUp(left))
	book := &slowBook{Book: r.store, asked: make(chan struct{}), let: make(chan error)}
	r.book = book
	holding := func() chan error {
		held := make(chan error, 1)
		go func() { held <- r.Hold("after", side) }()
		<-book.asked
		return held
	}
	held := holding()
	require.ErrorContains(t, r.Hold("third", side), `that of connector "after"`)
	book.let <- errors.New("the disk is full")
	require.ErrorContains(t, <-held, "the disk is full")

	held = holding()
	book.let <- nil
	require.NoError(t, <-held)
	require.Len(t, r.Records(), 1)
	assert.True(t, r.Records()[0].Stale)
}

// A worker finds no writer of the store while connectors move. The visit had made the
// session, so that the next attempt took it for somebody else's: it was never removed,
// and a clean session was refused.
func TestASessionThatCannotBeRecordedIsNotLeftBehind(t *testing.T) {
	for _, clean := range []bool{false, true} {
		r := newRig(t)
		s := side("x", "f", r.broker.URL())
		s.Clean = clean
		r.sides["c"] = s
		require.NoError(t, r.Hold("c", s))
		require.NoError(t, r.store.Put(definitionOf("c")))
		r.Settle("c", s)
		book := &slowBook{Book: r.store, asked: make(chan struct{}, 1), let: make(chan error, 1)}
		r.book = book
		book.let <- errors.New("no worker writes the store at the moment")
		require.ErrorContains(t, r.Enter(t.Context(), s.URLs[0], "x", clean), "no worker writes the store")
		assert.Empty(t, r.Records())

		r.book = r.store
		_, err := r.join(s, s.URLs[0])
		require.NoError(t, err)
		assert.Equal(t, Remains{}, r.delete("c"))
		assert.False(t, r.has("x"))
	}
}
