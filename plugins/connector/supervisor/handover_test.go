package supervisor

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/connector/session"
)

// honestRig is a service whose broker loses nothing.
func honestRig(t *testing.T) (*rig, *honestBroker) {
	t.Helper()
	b := newHonestBroker(t)
	r := newRig(t, func(o *Options) { o.MQTT = connector.Settings{setting("urls", []string{b.url()})} })
	return r, b
}

// bothWays runs a test with a broker that keeps waiting messages when a filter is
// unsubscribed, and with one that drops them, like Artemis and NATS.
func bothWays(t *testing.T, test func(t *testing.T, r *rig, b *honestBroker)) {
	for name, drops := range map[string]bool{"keeps at UNSUBSCRIBE": false, "drops at UNSUBSCRIBE": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, b := honestRig(t)
			b.dropsAtUnsubscribe = drops
			test(t, r, b)
		})
	}
}

// flow publishes numbers until it is stopped, and returns how many there were.
func flow(b *honestBroker, topic string, from int, every time.Duration) (stop func() int) {
	ending, ended := make(chan struct{}), make(chan int)
	go func() {
		beat := time.NewTicker(every)
		defer beat.Stop()
		for n := from; ; n++ {
			select {
			case <-ending:
				ended <- n
				return
			case <-beat.C:
				b.publish(topic, strconv.Itoa(n))
			}
		}
	}()
	return func() int {
		close(ending)
		return <-ended
	}
}

const derivedID = "robustmq_connect_default_c"

// An update of only the filter reads the waiting messages before it unsubscribes:
// brokers drop the queue of an unsubscribed filter.
func TestAnUpdateOfTheFilterDeliversWaitingMessagesBeforeItUnsubscribes(t *testing.T) {
	bothWays(t, func(t *testing.T, r *rig, b *honestBroker) {
		r.quiet, r.settled = time.Second, time.Second // the topic never becomes quiet
		r.create(r.conn("c", "in/#", "out", ""))
		r.ready("c")
		require.NoError(t, r.Pause(t.Context(), "c"))
		b.publish("in/a", numbered(0, 300)...)
		notes := r.update(r.conn("c", "in/+", "out", ""), connector.UpdateOptions{})
		endpoint := r.sessions.Records()[0].Endpoint
		assert.Equal(t, []string{`the filter of the session "` + derivedID + `" at ` + endpoint + ` changes: when the connector is resumed, ` +
			`the messages that wait in it are delivered before the update takes effect; update with discard_waiting to discard them`}, notes)
		stop := flow(b, "in/a", 300, time.Millisecond)
		require.NoError(t, r.Resume(t.Context(), "c"))
		r.until("c", func(s connector.Status) bool {
			return s.State == connector.Waiting && s.Waits[0].For == connector.NeedUpdate
		})
		r.ready("c")
		n := stop()
		b.publish("in/a", "last")
		r.arrived("out", append(numbered(0, n), "last"))
		assert.Equal(t, []string{"in/+"}, b.filters(derivedID))
		assert.Equal(t, []string{"in/+"}, r.sessions.Records()[0].Filters)
		assert.Empty(t, r.find("c").stored(r.Supervisor).HandOver)
	})
}

// A second update comes before the first one has taken effect.
func TestWaitingMessagesAreDeliveredAfterSeveralUpdatesOfTheFilter(t *testing.T) {
	bothWays(t, func(t *testing.T, r *rig, b *honestBroker) {
		r.quiet = 300 * time.Millisecond
		r.create(r.conn("c", "in/#", "out", ""))
		r.ready("c")
		require.NoError(t, r.Pause(t.Context(), "c"))
		b.publish("in/a", numbered(0, 100)...)
		r.update(r.conn("c", "other", "out", ""), connector.UpdateOptions{})
		r.update(r.conn("c", "in/a", "out", ""), connector.UpdateOptions{})
		assert.Len(t, r.find("c").stored(r.Supervisor).HandOver, 1)
		r.stopService()
		r.start()
		r.quiet, r.redelivery = 300*time.Millisecond, 300*time.Millisecond
		require.NoError(t, r.Resume(t.Context(), "c"))
		r.ready("c")
		b.publish("in/a", "last")
		r.arrived("out", append(numbered(0, 100), "last"))
		assert.Equal(t, []string{"in/a"}, b.filters(derivedID))

		r.update(r.conn("c", "in/b", "out", ""), connector.UpdateOptions{DiscardWaiting: true})
		assert.Empty(t, r.find("c").stored(r.Supervisor).HandOver)
		r.ready("c")
		assert.Equal(t, []string{"in/b"}, b.filters(derivedID))
	})
}

// More messages wait than are read before the topic counts as busy: all of them are
// read before the session is removed.
func TestAnUpdateOfTheClientIDReadsALongQueueToItsEnd(t *testing.T) {
	r, b := honestRig(t)
	r.quiet, r.settled, r.rest = 200*time.Millisecond, 200*time.Millisecond, 200*time.Millisecond
	b.pace = time.Millisecond
	r.create(r.conn("c", "in/#", "out", ""))
	r.ready("c")
	require.NoError(t, r.Pause(t.Context(), "c"))
	b.publish("in/a", numbered(0, 3000)...)
	r.update(r.conn("c", "in/#", "out", `,"client_id":"mine"`), connector.UpdateOptions{})
	require.NoError(t, r.Resume(t.Context(), "c"))
	r.ready("c")
	r.arrived("out", numbered(0, 3000))
	assert.Empty(t, b.lost())
	assert.Contains(t, r.logs.String(), "Messages keep arriving in a session that an update gave up")
}

// The topic never becomes quiet: no message is lost, whatever the broker does at
// UNSUBSCRIBE.
func TestAnUpdateOfTheClientIDOnABusyTopicLosesNothing(t *testing.T) {
	bothWays(t, func(t *testing.T, r *rig, b *honestBroker) {
		r.settled = time.Second
		r.create(r.conn("c", "in/#", "out", ""))
		r.ready("c")
		stop := flow(b, "in/a", 0, time.Millisecond)
		assert.Len(t, r.update(r.conn("c", "in/#", "out", `,"client_id":"mine"`), connector.UpdateOptions{}), 1)
		r.ready("c")
		n := stop()
		require.Greater(t, n, 1000)
		b.publish("in/a", "last")
		r.arrived("out", append(numbered(0, n), "last"))
		assert.Eventually(t, func() bool { return b.filters(derivedID) == nil }, patience, 10*time.Millisecond, "it is removed once it is empty")
	})
}

// With the same client id, a busy session is left at the former broker, which may be
// another name of the new one. The note says so.
func TestAMoveToAnotherBrokerFromABusyTopicNotesTheRemainingSession(t *testing.T) {
	r, b := honestRig(t)
	r.quiet, r.settled = time.Second, time.Second
	other := newHonestBroker(t)
	r.create(r.conn("c", "in/#", "out", ""))
	r.ready("c")
	stop := flow(b, "in/a", 0, time.Millisecond)
	notes := r.update(r.conn("c", "in/#", "out", urls(other.url())), connector.UpdateOptions{})
	require.Len(t, notes, 1)
	assert.Contains(t, notes[0], "the session stays there and keeps messages that arrive until the connector is deleted")
	r.ready("c")
	stop()
	assert.Empty(t, b.lost())
	assert.Equal(t, []string{"in/#"}, other.filters(derivedID))
	assert.Contains(t, r.logs.String(), "Messages keep arriving in a session that an update gave up: messages that arrive there from now on stay in it")
	other.publish("in/a", "there")
	r.arrived("out", []string{"there"})
}

// A connector gets another client id while messages wait and keep arriving: none is
// lost between the two sessions.
func TestAnUpdateOfTheClientIDDeliversWaitingMessagesFirst(t *testing.T) {
	bothWays(t, func(t *testing.T, r *rig, b *honestBroker) {
		r.create(r.conn("c", "in/#", "out", ""))
		r.ready("c")
		require.NoError(t, r.Pause(t.Context(), "c"))
		b.publish("in/a", numbered(0, 500)...)
		notes := r.update(r.conn("c", "in/#", "out2", `,"client_id":"mine"`), connector.UpdateOptions{})
		endpoint := session.EndpointOf(session.ParseURLs([]string{b.url()})[0])
		assert.Equal(t, []string{fmt.Sprintf(`the session %q at %s is given up: when the connector is resumed, `+
			`the messages that wait in it are delivered before the update takes effect; update with discard_waiting to discard them`, derivedID, endpoint)}, notes)
		b.publish("in/a", numbered(500, 510)...)

		stop := flow(b, "in/a", 510, 20*time.Millisecond)
		require.NoError(t, r.Resume(t.Context(), "c"))
		r.until("c", func(s connector.Status) bool {
			return s.State == connector.Waiting && s.Waits[0].For == connector.NeedUpdate &&
				strings.Contains(s.Reason, `not updated since`) &&
				strings.Contains(s.Reason, fmt.Sprintf(`messages that wait in the session %q at %s are delivered before the update takes effect; update with discard_waiting to discard them`, derivedID, endpoint))
		})
		require.Eventually(t, func() bool { return b.waiting(derivedID) == 0 }, patience, 10*time.Millisecond)
		n := stop()
		r.ready("c")
		b.publish("in/a", numbered(n, n+10)...)
		r.arrived("out2", numbered(0, n+10))
		assert.Eventually(t, func() bool { return b.filters(derivedID) == nil }, patience, 10*time.Millisecond, "it is removed once it is empty")
		text, err := os.ReadFile(filepath.Join(r.dir, "connectors", "c.json"))
		require.NoError(t, err)
		assert.NotContains(t, string(text), "hand_over")
		assert.Empty(t, b.lost())
	})
}
