package supervisor

import (
	"crypto/sha256"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

// unreadRig is a service with a connector c whose definition was written by a newer
// version, and a running one.
func unreadRig(t *testing.T) (r *rig, file, corrected string) {
	t.Helper()
	r = newRig(t)
	r.create(r.conn("c", "in/#", "out", ""))
	r.create(r.conn("runs", "in/#", "out2", ""))
	r.ready("c")
	r.stopService()
	r.publish("in/a", "waits")
	file = filepath.Join(r.dir, "connectors", "c.json")
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	corrected = string(text)
	require.NoError(t, os.WriteFile(file, []byte(strings.Replace(corrected, "{", `{ "of_a_newer_version": 1,`, 1)), 0o600))
	r.start()
	return r, file, corrected
}

// An older version of the program must not empty the service.
func TestAnUnreadableConnectorFailsAndItsFileStays(t *testing.T) {
	r, file, corrected := unreadRig(t)
	r.ready("runs")
	all := r.List()
	require.Len(t, all, 2)
	assert.Equal(t, "c", all[0].Name)
	assert.Equal(t, connector.Failed, all[0].State)
	assert.Contains(t, all[0].Reason, `its definition cannot be read: unknown field "of_a_newer_version"`)
	assert.Contains(t, all[0].Reason, file+"); correct it and resume the connector, or update or delete it")
	status, figures, err := r.Detail("c")
	require.NoError(t, err)
	assert.Equal(t, all[0].Reason, status.Reason)
	assert.Contains(t, figures.LastError, "of_a_newer_version")
	require.ErrorContains(t, r.ConnectorsReady(), `"c": failed since `)
	assert.Contains(t, r.logs.String(), `level=ERROR msg="Cannot read the definition of a connector: it does not run. It stays as it is: correct it and resume the connector, or update or delete it" connector=c file=`+file)
	assert.Contains(t, r.logs.String(), `level=ERROR msg="Connectors do not run because their definitions cannot be read" failed=1 of=2`)

	answer := httptest.NewRecorder()
	r.Metrics().ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
	assert.Contains(t, answer.Body.String(), "\nmqtt_connector_unreadable 1\n")
	assert.Contains(t, answer.Body.String(), `mqtt_connector_up{connector_name="c",connector_type="kafka",tenant="default"} 0`)

	_, err = r.Create(t.Context(), r.conn("c", "in/#", "out", ""), connector.CreateOptions{})
	require.ErrorIs(t, err, connector.ErrExists)
	_, err = r.Create(t.Context(), r.conn("d", "in/#", "out", `,"client_id":"robustmq_connect_default_c"`), connector.CreateOptions{})
	require.ErrorContains(t, err, `"robustmq_connect_default_c" may be that of connector "c", whose definition cannot be read`)
	require.ErrorContains(t, r.Pause(t.Context(), "c"), "its definition cannot be read")
	require.ErrorContains(t, r.Resume(t.Context(), "c"), `unknown field "of_a_newer_version"`)
	assert.FileExists(t, file)

	// The newer version comes back, or somebody corrects the file.
	require.NoError(t, os.WriteFile(file, []byte(corrected), 0o600))
	require.NoError(t, r.Resume(t.Context(), "c"))
	r.ready("c")
	r.arrived("out", []string{"waits"})
	answer = httptest.NewRecorder()
	r.Metrics().ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
	assert.Contains(t, answer.Body.String(), "\nmqtt_connector_unreadable 0\n")
}

func TestAnUpdateReplacesAnUnreadableDefinition(t *testing.T) {
	r, file, _ := unreadRig(t)
	unread, err := os.ReadFile(file)
	require.NoError(t, err)
	notes := r.update(r.conn("c", "in/#", "out", ""), connector.UpdateOptions{})
	require.Len(t, notes, 1)
	assert.Contains(t, notes[0], "the definition that could not be read is kept as ")
	r.ready("c")
	r.arrived("out", []string{"waits"})
	assert.False(t, r.List()[0].CreateTime.IsZero())
	kept, err := filepath.Glob(filepath.Join(r.dir, "set_aside", "*"))
	require.NoError(t, err)
	require.Len(t, kept, 1)
	text, err := os.ReadFile(kept[0])
	require.NoError(t, err)
	assert.Equal(t, string(unread), string(text))
}

func TestADefinitionThatCannotBeReadIsDeleted(t *testing.T) {
	r, file, _ := unreadRig(t)
	note, err := r.Delete(t.Context(), "c")
	require.NoError(t, err)
	assert.Contains(t, note, "the definition could not be read and is kept as ")
	assert.NoFileExists(t, file)
	assert.True(t, r.sessionOn(r.broker, "robustmq_connect_default_c"))
	require.Len(t, r.List(), 1)
	r.stopService()
	r.start()
	require.Len(t, r.List(), 1)
}

// A read error must not remove a connector.
func TestAFileThatCannotBeOpenedStays(t *testing.T) {
	r := newRig(t)
	r.create(r.conn("c", "in/#", "out", ""))
	r.stopService()
	file := filepath.Join(r.dir, "connectors", "c.json")
	whole, err := os.ReadFile(file)
	require.NoError(t, err)
	// Permissions do not stop root, but nobody can open a link to itself.
	require.NoError(t, os.Remove(file))
	require.NoError(t, os.Symlink("c.json", file))
	r.start()
	status := r.List()[0]
	assert.Equal(t, connector.Failed, status.State)
	assert.Contains(t, status.Reason, "too many levels of symbolic links")
	require.ErrorContains(t, r.Resume(t.Context(), "c"), "too many levels of symbolic links")
	_, err = os.Lstat(file)
	require.NoError(t, err)
	require.NoError(t, os.Remove(file))
	require.NoError(t, os.WriteFile(file, whole, 0o600))
	require.NoError(t, r.Resume(t.Context(), "c"))
	r.ready("c")
}

func TestAConnectorWhoseFileIsGoneIsDeleted(t *testing.T) {
	r := newRig(t)
	r.create(r.conn("c", "in/#", "out", ""))
	r.ready("c")
	require.NoError(t, os.Remove(filepath.Join(r.dir, "connectors", "c.json")))
	note, err := r.Delete(t.Context(), "c")
	require.NoError(t, err)
	assert.Empty(t, note)
	assert.Empty(t, r.List())
	assert.False(t, r.sessionOn(r.broker, "robustmq_connect_default_c"))
}

// The session cannot be recorded on disk: the broker is not reported as the cause.
func TestAnErrorOfTheDiskIsNotReportedAsTheBrokers(t *testing.T) {
	r := newRig(t)
	c := r.conn("c", "in/#", "out", "")
	side, err := r.sideOf(c)
	require.NoError(t, err)
	id := side.IDs()[0]
	sum := sha256.Sum256([]byte(id.Endpoint + "\x00" + id.ClientID))
	// A non-empty directory is in place of the file to write.
	tmp := filepath.Join(r.dir, "sessions", fmt.Sprintf("%x.json.tmp", sum[:16]))
	require.NoError(t, os.MkdirAll(filepath.Join(tmp, "full"), 0o700))
	r.create(c)
	r.until("c", func(s connector.Status) bool {
		return s.State == connector.Waiting && len(s.Waits) > 0 && s.Waits[0].For == connector.NeedStore
	})
	status, figures, err := r.Detail("c")
	require.NoError(t, err)
	assert.Contains(t, status.Reason, `cannot write the store since `)
	assert.Contains(t, status.Reason, `storing the session "robustmq_connect_default_c": open `)
	assert.NotContains(t, status.Reason, "waiting for the MQTT broker")
	assert.Contains(t, figures.LastError, "the store: storing the session")
	require.NoError(t, os.RemoveAll(tmp))
	r.ready("c")
}

func TestAStreamThatLastsResetsTheWaitBeforeARestart(t *testing.T) {
	waits := newRestarts()
	first := func(wait time.Duration) { // it is random by a half
		assert.LessOrEqual(t, wait, 200*time.Millisecond)
		assert.GreaterOrEqual(t, wait, 100*time.Millisecond)
	}
	first(waits.after(0))
	assert.LessOrEqual(t, waits.after(time.Second), 400*time.Millisecond)
	for range 20 {
		waits.after(0)
	}
	assert.GreaterOrEqual(t, waits.after(0), 15*time.Second)
	first(waits.after(steady + 1)) // it had run for long, and the fault is a new one
	assert.LessOrEqual(t, waits.after(0), 400*time.Millisecond)
}
