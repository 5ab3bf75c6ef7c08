package supervisor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

// newRigBehindGate is a service whose broker can become unavailable.
func newRigBehindGate(t *testing.T) (*rig, *gate) {
	t.Helper()
	r := newRig(t)
	away := newGate(t, r.broker.Addr())
	r.stopService()
	r.opts.MQTT = connector.Settings{setting("urls", []string{"tcp://" + away.addr})}
	r.start()
	return r, away
}

// nothingWaits joins the session of the connector c. If the session still existed, the
// broker would deliver older messages before the sentinel.
func (r *rig) nothingWaits() {
	r.t.Helper()
	got := make(chan string, 1)
	c := r.client("robustmq_connect_default_c", false, func(payload string) { got <- payload })
	defer c.Disconnect(50)
	require.True(r.t, c.Subscribe("sentinel", 1, nil).WaitTimeout(patience))
	r.publish("sentinel", "end")
	assert.Equal(r.t, "end", <-got)
}

func TestDeleteRemovesTheSession(t *testing.T) {
	r := newRig(t)
	r.create(r.conn("c", "in/#", "out", ""))
	r.ready("c")
	note, err := r.Delete(t.Context(), "c")
	require.NoError(t, err)
	assert.Empty(t, note)
	assert.Empty(t, r.List())
	r.publish("in/a", "nobody wants it")
	r.nothingWaits()
	entries, err := os.ReadDir(filepath.Join(r.dir, "released"))
	require.NoError(t, err)
	assert.Empty(t, entries)
}

// The broker is unavailable when the connector is deleted, and the service is restarted
// before it returns: the session is removed then.
func TestASessionThatRemainsIsRemovedLater(t *testing.T) {
	r, away := newRigBehindGate(t)
	r.create(r.conn("c", "in/#", "out", ""))
	r.ready("c")

	away.close()
	note, err := r.Delete(t.Context(), "c")
	require.NoError(t, err)
	assert.Contains(t, note, `its session remains on the MQTT broker and keeps messages for it: "robustmq_connect_default_c" at localhost:`)
	assert.Empty(t, r.List())
	r.stopService()

	r.start()
	assert.Empty(t, r.List())
	marks, err := os.ReadDir(filepath.Join(r.dir, "released"))
	require.NoError(t, err)
	require.Len(t, marks, 1)
	r.stopService()

	away.open()
	r.start()
	assert.Eventually(t, func() bool {
		marks, err := os.ReadDir(filepath.Join(r.dir, "released"))
		return err == nil && len(marks) == 0
	}, patience, 10*time.Millisecond)
	r.publish("in/a", "nobody wants it")
	r.nothingWaits()
}

// Messages that a deleted connector left on the broker must not reach a new one with
// the same name.
func TestANewConnectorDoesNotInheritASession(t *testing.T) {
	r, away := newRigBehindGate(t)
	r.create(r.conn("c", "old/#", "out", ""))
	r.ready("c")
	away.close()
	note, err := r.Delete(t.Context(), "c")
	require.NoError(t, err)
	require.NotEmpty(t, note)
	r.publish("old/a", "of the deleted one")
	r.create(r.conn("c", "new/#", "out", ""))
	r.until("c", func(s connector.Status) bool {
		return strings.Contains(s.Reason, "removing the session of the connector that was deleted")
	})
	away.open()
	r.ready("c")
	r.publish("old/a", "of the deleted one, later")
	r.publish("new/a", "new")
	assert.Equal(t, "new/a", string(r.records("out", 1)[0].Key))
}

func TestUpdateOfTheClientIDRemovesTheOldSession(t *testing.T) {
	r := newRig(t)
	r.create(r.conn("c", "in/#", "out", ""))
	r.ready("c")
	_, err := r.Update(t.Context(), r.conn("c", "in/#", "out", `,"client_id":"mine"`), connector.UpdateOptions{})
	require.NoError(t, err)
	r.ready("c")
	assert.Eventually(t, func() bool {
		marks, err := os.ReadDir(filepath.Join(r.dir, "released"))
		return err == nil && len(marks) == 0
	}, patience, 10*time.Millisecond)
	r.publish("in/a", "1")
	r.records("out", 1)
	r.nothingWaits()
}

func TestTwoConnectorsCannotShareAClientID(t *testing.T) {
	r := newRig(t)
	r.create(r.conn("a", "in/#", "out", `,"client_id":"mine"`))
	_, err := r.Create(t.Context(), r.conn("b", "in/#", "out", `,"client_id":"mine"`), connector.CreateOptions{})
	var invalid *connector.InvalidError
	require.ErrorAs(t, err, &invalid)
	assert.Equal(t, "config.client_id", invalid.Field)
	r.create(r.conn("b", "in/#", "out", ""))
	_, err = r.Update(t.Context(), r.conn("b", "in/#", "out", `,"client_id":"mine"`), connector.UpdateOptions{})
	require.ErrorAs(t, err, &invalid)
	r.ready("b")
}
