package supervisor

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

const memberID = "robustmq_connect_default_c"

// payloadsOf are those of envelopes, in order.
func payloadsOf(t *testing.T, records []*kgo.Record) (all []string) {
	t.Helper()
	for _, rec := range records {
		var one struct{ Payload []byte }
		require.NoError(t, json.Unmarshal(rec.Value, &one))
		all = append(all, string(one.Payload))
	}
	return all
}

// joined are the client ids of the sessions that the service has recorded.
func (r *rig) joined() (all []string) {
	for _, one := range r.sessions.Records() {
		all = append(all, one.ClientID)
	}
	slices.Sort(all)
	return all
}

func (r *rig) untilJoined(ids ...string) {
	r.t.Helper()
	slices.Sort(ids)
	var are []string
	require.Eventually(r.t, func() bool { are = r.joined(); return slices.Equal(ids, are) }, patience, 20*time.Millisecond, "%v %v\n%s", ids, &are, r.logs)
}

// connected waits until the broker has a number of clients.
func (r *rig) connected(n int) {
	r.t.Helper()
	require.Eventually(r.t, func() bool { return r.broker.Connected() == int64(n) }, patience, 10*time.Millisecond)
}

func TestMembersShareTheMessages(t *testing.T) {
	r := newRig(t)
	r.create(r.conn("c", "in/#", "out", `,"parallelism":3`))
	r.ready("c")
	assert.Equal(t, []string{memberID, memberID + "_member_1", memberID + "_member_2"}, r.joined())
	r.connected(3)
	const n = 300
	r.publish("in/a", numbered(0, n)...)
	assert.ElementsMatch(t, numbered(0, n), payloadsOf(t, r.records("out", n)), "each once")

	// They are one connector for whoever looks.
	require.Len(t, r.List(), 1)
	var figures connector.Figures
	require.Eventually(t, func() bool {
		var err error
		_, figures, err = r.Detail("c")
		return err == nil && figures.Sent == n && figures.InFlight == 0
	}, patience, 10*time.Millisecond)
	samples := r.Samples()
	require.Len(t, samples, 1)
	assert.Equal(t, int64(n), samples[0].Received)
	w := httptest.NewRecorder()
	r.Metrics().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	require.Equal(t, 200, w.Code)
	assert.Contains(t, w.Body.String(), fmt.Sprintf(`robustmq_connect_connector_records_sent_total{connector="c"} %d`, n))
	assert.Contains(t, w.Body.String(), `robustmq_connect_connector_up{connector="c"} 1`)
	assert.NotContains(t, w.Body.String(), "member")

	// Each of them is drained and goes on.
	for _, do := range []func() error{
		func() error { return r.Pause(t.Context(), "c") },
		func() error { return r.Resume(t.Context(), "c") },
		func() error { _, err := r.Restart(t.Context(), "c"); return err },
	} {
		require.NoError(t, do())
		if paused(r.find("c").stored(r.Supervisor)) {
			r.connected(0)
			assert.Equal(t, connector.Paused, r.List()[0].State)
			continue
		}
		r.ready("c")
		r.connected(3)
	}
	note, err := r.Delete(t.Context(), "c")
	require.NoError(t, err)
	assert.Empty(t, note)
	assert.Empty(t, r.joined())
	for _, id := range []string{memberID, memberID + "_member_1", memberID + "_member_2"} {
		assert.False(t, r.sessionOn(r.broker, id), id)
	}
	assert.Empty(t, r.List())
}

func TestTheNumberOfMembersChangesWithoutLoss(t *testing.T) {
	r := newRig(t)
	r.quiet, r.redelivery, r.rest = time.Second, time.Second, time.Second
	sent := 0
	send := func() {
		r.publish("in/a", numbered(sent, sent+50)...)
		sent += 50
	}
	conn := func(n int) connector.Connector {
		return r.conn("c", "in/#", "out", fmt.Sprintf(`,"parallelism":%d`, n))
	}
	r.create(conn(1))
	r.ready("c")
	send()
	for _, n := range []int{3, 2, 1, 2} {
		require.NoError(t, r.Pause(t.Context(), "c"))
		send() // what waits in the sessions before the update
		r.update(conn(n), connector.UpdateOptions{})
		send() // and after it
		require.NoError(t, r.Resume(t.Context(), "c"))
		r.ready("c")
		ids := []string{memberID}
		for i := 1; i < n; i++ {
			ids = append(ids, fmt.Sprintf("%s_member_%d", memberID, i))
		}
		r.untilJoined(ids...)
		r.connected(n)
		send()
	}
	r.arrived("out", numbered(0, sent)) // updates may repeat messages

	r.stopService()
	r.start()
	r.ready("c")
	r.connected(2) // a restart knows the members
}

// A session of a member is recorded, and another connector cannot have its client id.
func TestAMembersClientIDIsTaken(t *testing.T) {
	r := newRig(t)
	r.create(r.conn("c", "in/#", "out", `,"parallelism":2`))
	_, err := r.Create(t.Context(), r.conn("d", "in/#", "out", fmt.Sprintf(`,"client_id":%q`, memberID+"_member_1")), connector.CreateOptions{})
	require.ErrorContains(t, err, `is that of connector "c" at the same broker`)
	r.create(r.conn("d", "in/#", "out", fmt.Sprintf(`,"client_id":%q`, memberID+"_member_2")))
	_, err = r.Update(t.Context(), r.conn("c", "in/#", "out", `,"parallelism":3`), connector.UpdateOptions{})
	require.ErrorContains(t, err, `is that of connector "d" at the same broker`)
	r.ready("c")
	assert.Equal(t, 1, r.List()[0].Revision, "nothing was changed")
	notes, err := r.Validate(r.conn("e", "in/#", "out", `,"parallelism":2`))
	require.NoError(t, err)
	assert.True(t, slices.ContainsFunc(notes, func(note string) bool { return strings.HasPrefix(note, "parallelism: ") }), notes)
}

// A check does not join the members: it would take messages from them.
func TestACheckTriesASharedSubscription(t *testing.T) {
	r := newRig(t)
	c := r.conn("c", "in/#", "out", `,"parallelism":2`)
	probes, err := r.Check(t.Context(), c)
	require.NoError(t, err)
	assert.Equal(t, []connector.Probe{{End: "mqtt", Note: sharedNote}, {End: "kafka"}}, probes)
	probes, err = r.Check(t.Context(), r.conn("c", "in/#", "out", ""))
	require.NoError(t, err)
	assert.Equal(t, []connector.Probe{{End: "mqtt"}, {End: "kafka"}}, probes)
}

// The session of a member that goes is read by another one, also after a restart.
func TestAHandOverKnowsWhoseSessionItIs(t *testing.T) {
	r, away := newRigBehindGate(t)
	r.create(r.conn("c", "in/#", "out", `,"parallelism":3`))
	r.ready("c")
	require.NoError(t, r.Pause(t.Context(), "c"))
	r.publish("in/a", numbered(0, 60)...)
	away.close()
	r.update(r.conn("c", "in/#", "out", ""), connector.UpdateOptions{})
	r.stopService()
	r.start()
	r.quiet, r.redelivery, r.rest = time.Second, time.Second, time.Second
	d := r.find("c").stored(r.Supervisor)
	var members []int
	for _, h := range d.HandOver {
		members = append(members, h.From.Member)
	}
	assert.ElementsMatch(t, []int{0, 1, 2}, members)
	away.open()
	require.NoError(t, r.Resume(t.Context(), "c"))
	r.ready("c")
	r.arrived("out", numbered(0, 60))
	r.untilJoined(memberID)
	for _, id := range []string{memberID + "_member_1", memberID + "_member_2"} {
		require.Eventually(t, func() bool { return !r.sessionOn(r.broker, id) }, patience, 50*time.Millisecond, id)
	}
}
