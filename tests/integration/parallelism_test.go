//go:build integration

package integration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
)

func membersDefinition(name string, members int) admin.Definition {
	d := definition(name, name+"/#", name)
	config, _ := json.Marshal(fmt.Sprintf(`{"bootstrap_servers":%q,"topic":%q,"parallelism":%d}`, brokers, name, members)) // a string
	d.Config = config
	return d
}

func (p serving) untilRunning(t *testing.T, name string) {
	t.Helper()
	require.Eventually(t, func() bool {
		answer, err := p.call(http.MethodGet, admin.PathDetail+"?tenant=default&connector_name="+name, nil)
		var d admin.Detail
		return err == nil && json.Unmarshal(answer.Data, &d) == nil && d.State == "Running"
	}, 2*time.Minute, 100*time.Millisecond, "%s", p.Output())
}

func (p serving) changed(t *testing.T, path string, body any) {
	t.Helper()
	answer, err := p.call(http.MethodPost, path, body)
	require.NoError(t, err)
	require.Equal(t, admin.CodeOK, answer.Code, "%v", answer.Error)
}

// publishAll publishes so many messages and returns when there are as many records.
func publishAll(t *testing.T, l *load, total int) {
	t.Helper()
	const perRound = 200
	publisher := l.connect()
	for n := 0; n < total; n += perRound {
		require.Equal(t, perRound, publisher.publish(l, n, perRound))
	}
	publisher.Disconnect(100)
	require.Eventually(t, func() bool { return l.recordCount(t, l.name) >= int64(total) }, 5*time.Minute, 200*time.Millisecond)
}

func TestMembersDeliverEachMessageOnce(t *testing.T) {
	l := newLoad(t, shared, "members", 20)
	p := startService(t, t.TempDir())
	p.changed(t, admin.PathCreate, membersDefinition(l.name, 3))
	p.untilRunning(t, l.name)
	total, began := times(10_000, 100_000), time.Now()
	publishAll(t, l, total)
	p.changed(t, admin.PathPause, admin.Name{Tenant: "default", ConnectorName: l.name}) // it drains, so no more come
	a := l.count(t)
	t.Logf("%d messages in %s: %+v", total, time.Since(began).Round(time.Second), a)
	assert.Zero(t, a.missing)
	assert.Zero(t, a.repeated)
	p.changed(t, admin.PathDelete, admin.Name{Tenant: "default", ConnectorName: l.name})
}

// With so many members, more than one worker has some, however the partitions are dealt out.
func TestMembersOnThreeWorkersDeliverEachMessageOnce(t *testing.T) {
	const members = 8
	l := newLoad(t, shared, "crew-members", 20)
	c := newCrew(t, shared, "crew-members", 3)
	c.settled(0)
	c.do(0, admin.PathCreate, membersDefinition(l.name, members))
	for _, w := range c.workers {
		w.untilRunning(t, l.name)
	}
	running := 0
	for _, w := range c.workers {
		_, metrics := w.Get("/metrics")
		running += len(up(metrics))
	}
	require.Greater(t, running, 1, "workers that run members")
	total, began := times(10_000, 100_000), time.Now()
	publishAll(t, l, total)
	c.do(1, admin.PathPause, admin.Name{Tenant: "default", ConnectorName: l.name}) // it drains, so no more come
	a := l.count(t)
	t.Logf("%d messages by %d members on %d workers in %s: %+v", total, members, running, time.Since(began).Round(time.Second), a)
	assert.Zero(t, a.missing)
	assert.Zero(t, a.repeated)
	c.do(2, admin.PathDelete, admin.Name{Tenant: "default", ConnectorName: l.name})
}

func TestAnotherNumberOfMembersLosesNothing(t *testing.T) {
	l := newLoad(t, shared, "regrouped", 20)
	p := startService(t, t.TempDir())
	p.changed(t, admin.PathCreate, membersDefinition(l.name, 1))
	p.untilRunning(t, l.name)
	publisher := l.connect()
	sent := 0
	burst := func() {
		const n = 500
		require.Equal(t, n, publisher.publish(l, sent, n))
		sent += n
	}
	for range times(1, 5) {
		for _, members := range []int{3, 2, 4, 1} {
			burst()
			p.changed(t, admin.PathPause, admin.Name{Tenant: "default", ConnectorName: l.name})
			burst() // which waits in the sessions
			p.changed(t, admin.PathUpdate, membersDefinition(l.name, members))
			burst()
			p.changed(t, admin.PathResume, admin.Name{Tenant: "default", ConnectorName: l.name})
			p.untilRunning(t, l.name)
		}
	}
	publisher.Disconnect(100)
	var a arrivals
	require.Eventually(t, func() bool {
		a = l.count(t)
		return a.missing == 0
	}, 2*time.Minute, time.Second, "%+v", &a)
	t.Logf("%d messages: %+v", sent, a)
	p.changed(t, admin.PathDelete, admin.Name{Tenant: "default", ConnectorName: l.name})
}
