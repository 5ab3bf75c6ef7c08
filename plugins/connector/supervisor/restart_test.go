package supervisor

import (
	"errors"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

func TestRestartDrainsAndStartsAgain(t *testing.T) {
	r := newRig(t)
	r.create(r.conn("c", "in/#", "out", ""))
	r.ready("c")
	first := r.find("c").run
	r.publish("in/1", "before")
	r.records("out", 1)
	note, err := r.Restart(t.Context(), "c")
	require.NoError(t, err)
	assert.Empty(t, note)
	select {
	case <-first.done:
	default:
		assert.Fail(t, "the run before goes on")
	}
	assert.NotSame(t, first, r.find("c").run)
	r.ready("c")
	r.publish("in/2", "after")
	assert.Len(t, r.records("out", 2), 2, "its session is the same, and nothing comes twice")

	require.NoError(t, r.Pause(t.Context(), "c"))
	_, err = r.Restart(t.Context(), "c")
	require.ErrorIs(t, err, connector.ErrPaused)
	require.EqualError(t, err, `restarting "c": connector is paused: resume it`)
	status, _, err := r.Detail("c")
	require.NoError(t, err)
	assert.Equal(t, connector.Paused, status.State)
	_, err = r.Restart(t.Context(), "nosuch")
	require.ErrorIs(t, err, connector.ErrNotFound)
	require.NoError(t, r.Close())
	_, err = r.Restart(t.Context(), "c")
	require.ErrorIs(t, err, errClosed)
}

func TestRestartStartsOneThatHasFailed(t *testing.T) {
	r := newRig(t)
	r.create(r.conn("c", "in/#", "out", ""))
	r.ready("c")
	r.find("c").run.fail(errors.New("a panic"))
	r.until("c", func(s connector.Status) bool { return s.State == connector.Failed })
	_, err := r.Restart(t.Context(), "c")
	require.NoError(t, err)
	r.ready("c")
}

func TestRestartReadsADefinitionAgainThatCouldNotBeRead(t *testing.T) {
	r, file, corrected := unreadRig(t)
	_, err := r.Restart(t.Context(), "c")
	require.ErrorContains(t, err, `restarting "c": its definition cannot be read: unknown field "of_a_newer_version"`)
	require.NoError(t, os.WriteFile(file, []byte(corrected), 0o600))
	_, err = r.Restart(t.Context(), "c")
	require.NoError(t, err)
	r.ready("c")
}
