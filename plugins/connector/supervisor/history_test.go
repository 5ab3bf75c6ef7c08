package supervisor

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

func (r *rig) history(name string) []connector.Revision {
	r.t.Helper()
	all, err := r.History(name)
	require.NoError(r.t, err)
	return all
}

func (r *rig) revision(name string) int {
	r.t.Helper()
	status, _, err := r.Detail(name)
	require.NoError(r.t, err)
	return status.Revision
}

func TestEachDefinitionIsARevisionAndAPauseIsNone(t *testing.T) {
	r := newRig(t)
	begin := time.Now()
	as := connector.WithActor(t.Context(), "ada")
	result, err := r.Create(as, r.conn("c", "in/#", "t1", ""), connector.CreateOptions{Paused: true})
	require.NoError(t, err)
	assert.Equal(t, 1, result.Revision)
	require.NoError(t, r.Resume(t.Context(), "c"))
	require.NoError(t, r.Pause(t.Context(), "c"))
	assert.Equal(t, 1, r.revision("c"))
	assert.Equal(t, 1, r.List()[0].Revision)
	result, err = r.Update(t.Context(), r.conn("c", "in/#", "t2", ""), connector.UpdateOptions{})
	require.NoError(t, err)
	assert.Equal(t, 2, result.Revision)
	require.NoError(t, r.Resume(t.Context(), "c"))

	r.stopService()
	r.start()
	assert.Equal(t, 2, r.revision("c"))
	all := r.history("c")
	require.Len(t, all, 2)
	for i, want := range []struct {
		number       int
		actor, topic string
	}{{2, "", "t2"}, {1, "ada", "t1"}} {
		assert.Equal(t, want.number, all[i].Number)
		assert.Equal(t, want.actor, all[i].Actor)
		assert.Equal(t, want.topic, all[i].Connector.Kafka.Topic)
		assert.WithinRange(t, all[i].Time, begin.Add(-time.Second), time.Now())
		require.NoError(t, all[i].Unreadable)
	}
	_, err = r.History("nosuch")
	require.ErrorIs(t, err, connector.ErrNotFound)
}

func TestAChangeOfAnotherRevisionThanExpectedIsRefused(t *testing.T) {
	r := newRig(t)
	r.create(r.conn("c", "in/#", "t1", ""))
	r.update(r.conn("c", "in/#", "t2", ""), connector.UpdateOptions{Expected: connector.Expected{1}})
	r.ready("c")
	before := r.List()
	_, updating := r.Update(t.Context(), r.conn("c", "in/#", "t3", ""), connector.UpdateOptions{Expected: connector.Expected{1}})
	_, rolling := r.Rollback(t.Context(), "c", 1, connector.UpdateOptions{Expected: connector.Expected{1}})
	_, deleting := r.Supervisor.Delete(t.Context(), "c", connector.DeleteOptions{Expected: connector.Expected{1}})
	for _, err := range []error{updating, rolling, deleting} {
		var mismatch *connector.MismatchError
		require.ErrorAs(t, err, &mismatch)
		assert.Equal(t, connector.MismatchError{Name: "c", Expected: connector.Expected{1}, Revision: 2}, *mismatch)
		require.EqualError(t, err, `connector "c" is at revision 2, and this change expects revision 1: read it again and repeat the change`)
	}
	assert.Equal(t, before, r.List(), "it runs as before")
	_, err := r.Supervisor.Delete(t.Context(), "c", connector.DeleteOptions{Expected: connector.Expected{1, 2}})
	require.NoError(t, err)
	result, err := r.Create(t.Context(), r.conn("c", "in/#", "t1", ""), connector.CreateOptions{})
	require.NoError(t, err)
	assert.Equal(t, 3, result.Revision, "whoever has read the deleted one does not change this one by mistake")
}

// Of those who have read the same revision, one changes it.
func TestOfManyWhoExpectARevisionOneChangesIt(t *testing.T) {
	r := newRig(t)
	_, err := r.Create(t.Context(), r.conn("c", "in/#", "t", ""), connector.CreateOptions{Paused: true})
	require.NoError(t, err)
	var all sync.WaitGroup
	results := make([]error, 8)
	for i := range results {
		all.Go(func() {
			_, results[i] = r.Update(t.Context(), r.conn("c", "in/#", "t", ""), connector.UpdateOptions{Expected: connector.Expected{1}})
		})
	}
	all.Wait()
	changed := 0
	for _, err := range results {
		var mismatch *connector.MismatchError
		if err == nil {
			changed++
		} else {
			require.ErrorAs(t, err, &mismatch)
		}
	}
	assert.Equal(t, 1, changed)
	assert.Equal(t, 2, r.revision("c"))
}

func TestRollbackRestoresADefinition(t *testing.T) {
	r := newRig(t)
	r.create(r.conn("c", "in/#", "t1", urls(r.broker.URL())+`,"username":"ada","password":"first-one"`))
	r.update(r.conn("c", "in/#", "t2", urls(r.broker.URL())+`,"username":"ada","password":"second-one"`), connector.UpdateOptions{})
	text, err := os.ReadFile(filepath.Join(r.dir, "history", "c.json"))
	require.NoError(t, err)
	assert.NotContains(t, string(text), "-one", "a secret that was replaced is kept nowhere")
	for _, revision := range r.history("c") {
		assert.Equal(t, "***", revision.Connector.MQTT.Text("password"))
	}

	result, err := r.Rollback(connector.WithActor(t.Context(), "bob"), "c", 1, connector.UpdateOptions{Expected: connector.Expected{2}})
	require.NoError(t, err)
	assert.Equal(t, 3, result.Revision)
	now := r.find("c").stored(r.Supervisor)
	assert.Equal(t, "t1", now.Connector.Kafka.Topic)
	assert.Equal(t, "second-one", now.Connector.MQTT.Text("password"), "that of today, which goes to the same broker")
	assert.Equal(t, "bob", now.Actor)
	r.ready("c")
	r.publish("in/a", "x")
	assert.NotEmpty(t, r.records("t1", 1))

	for to, want := range map[int]string{
		3: `revision: connector "c" is at revision 3: there is nothing to restore`,
		4: `revision: connector "c" has no revision 4 in its history: it keeps the last 3, from 1`,
	} {
		_, err = r.Rollback(t.Context(), "c", to, connector.UpdateOptions{})
		require.EqualError(t, err, want)
	}
	_, err = r.Rollback(t.Context(), "nosuch", 1, connector.UpdateOptions{})
	require.ErrorIs(t, err, connector.ErrNotFound)
}

func TestRollbackDoesNotSendASecretElsewhere(t *testing.T) {
	r := newRig(t)
	r.create(r.conn("c", "in/#", "t", urls("tcp://127.0.0.1:1")+`,"username":"ada","password":"first-one"`))
	r.update(r.conn("c", "in/#", "t", urls(r.broker.URL())+`,"username":"ada","password":"second-one"`), connector.UpdateOptions{DiscardWaiting: true})
	r.update(r.conn("c", "in/#", "t", urls(r.broker.URL())), connector.UpdateOptions{})
	for to, why := range map[int]string{
		1: "*** keeps a stored secret, and none is stored: give the secret itself",
		2: "*** keeps a stored secret, and none is stored: give the secret itself",
	} {
		_, err := r.Rollback(t.Context(), "c", to, connector.UpdateOptions{})
		var invalid *connector.InvalidError
		require.ErrorAs(t, err, &invalid)
		assert.Equal(t, "config.password", invalid.Field)
		assert.Contains(t, invalid.Why, why)
		assert.Contains(t, invalid.Why, "a history holds no secrets")
		assert.Contains(t, invalid.Why, "update the connector to it instead")
	}
	r.update(r.conn("c", "in/#", "t", urls(r.broker.URL())+`,"username":"ada","password":"third-one"`), connector.UpdateOptions{})
	before := r.find("c").stored(r.Supervisor).Connector.Config
	_, err := r.Rollback(t.Context(), "c", 1, connector.UpdateOptions{})
	require.ErrorContains(t, err, "config.urls changes that")
	assert.Equal(t, before, r.find("c").stored(r.Supervisor).Connector.Config)
	assert.Equal(t, 4, r.revision("c"))
	assert.NotContains(t, r.logs.String(), "-one")
}

func TestAnUnreadableDefinitionIsRolledBackToOneThatIsKept(t *testing.T) {
	r := newRig(t)
	r.create(r.conn("c", "in/#", "t1", ""))
	r.update(r.conn("c", "in/#", "t2", ""), connector.UpdateOptions{})
	r.stopService()
	require.NoError(t, os.WriteFile(filepath.Join(r.dir, "connectors", "c.json"), []byte("{"), 0o600))
	r.start()
	assert.Zero(t, r.revision("c"))
	_, err := r.Update(t.Context(), r.conn("c", "in/#", "t3", ""), connector.UpdateOptions{Expected: connector.Expected{2}})
	require.EqualError(t, err, `connector "c" has no revision, because its definition cannot be read, and this change expects revision 2: read it again and repeat the change`)
	require.Len(t, r.history("c"), 1)
	result, err := r.Rollback(t.Context(), "c", 1, connector.UpdateOptions{})
	require.NoError(t, err)
	assert.Greater(t, result.Revision, 2)
	r.ready("c")
	assert.Equal(t, "t1", r.find("c").stored(r.Supervisor).Connector.Kafka.Topic)
}

func TestRollbackRestoresLabelsToo(t *testing.T) {
	r := newRig(t)
	labelled := func(labels map[string]string) connector.Connector {
		c := r.conn("c", "in/#", "t", "")
		c.Labels = labels
		return c
	}
	r.create(labelled(nil))
	r.update(labelled(map[string]string{"site": "north"}), connector.UpdateOptions{})
	r.update(labelled(map[string]string{"site": "south"}), connector.UpdateOptions{})
	for i, want := range []map[string]string{{}, {"site": "north"}, {"site": "south"}} {
		to := i + 1
		_, err := r.Rollback(t.Context(), "c", to, connector.UpdateOptions{})
		require.NoError(t, err)
		assert.Equal(t, want, r.find("c").stored(r.Supervisor).Connector.Labels, to)
		assert.Equal(t, want, r.history("c")[0].Connector.Labels, to)
	}
	text, err := os.ReadFile(filepath.Join(r.dir, "history", "c.json"))
	require.NoError(t, err)
	// One of a program that knew no labels says nothing about them.
	require.NoError(t, os.WriteFile(filepath.Join(r.dir, "history", "c.json"), []byte(strings.Replace(string(text), `,"labels":{"site":"north"}`, "", 1)), 0o600))
	before := r.find("c").stored(r.Supervisor).Connector.Labels
	r.update(r.conn("c", "in/#", "t2", ""), connector.UpdateOptions{})
	_, err = r.Rollback(t.Context(), "c", 2, connector.UpdateOptions{})
	require.NoError(t, err)
	assert.Equal(t, before, r.find("c").stored(r.Supervisor).Connector.Labels)
}
