package supervisor

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

// lines are the texts that a connector logged.
func (r *rig) lines(name string, least slog.Level) []string {
	r.t.Helper()
	logs, err := r.Logs(name, connector.LogQuery{Least: least, Limit: 1000})
	require.NoError(r.t, err)
	var all []string
	for _, line := range logs.Lines {
		all = append(all, line.Text)
	}
	return all
}

func TestAConnectorsLogHasItsOwnLinesWithoutItsSecrets(t *testing.T) {
	r := newRig(t)
	r.create(r.conn("c", "a", "t", `,"username":"ada","password":"hunter-2-hunter"`))
	r.create(r.conn("hunter-2-hunter", "b", "t", ""))
	r.ready("c")
	e := r.find("c")
	log := r.logger(e, e.stored(r.Supervisor).Connector)
	log.Error("Logging in with hunter-2-hunter", "error", errors.New("hunter-2-hunter refused"))
	r.log.Warn("Of the service, about c", "connector", "c", "n", 1)

	assert.Contains(t, r.lines("c", slog.LevelWarn), `Logging in with *** error="*** refused"`)
	assert.Contains(t, r.lines("c", slog.LevelWarn), "Of the service, about c n=1")
	assert.NotContains(t, strings.Join(r.lines("c", slog.LevelDebug), "\n"), "hunter")
	assert.NotContains(t, strings.Join(r.lines("hunter-2-hunter", slog.LevelDebug), "\n"), "Logging in")
	assert.Contains(t, r.logs.String(), `msg="Logging in with ***" connector=c error="*** refused"`, "the service's log is as it was")

	_, err := r.Delete(t.Context(), "c")
	require.NoError(t, err)
	_, err = r.Logs("c", connector.LogQuery{Limit: 1})
	require.ErrorIs(t, err, connector.ErrNotFound)
	r.create(r.conn("c", "a", "t", ""))
	assert.NotContains(t, strings.Join(r.lines("c", slog.LevelDebug), "\n"), "Logging in", "those of another one of that name")
}

func TestTheLogLevelOfAConnectorChangesWhileItRuns(t *testing.T) {
	r := newRig(t)
	r.create(r.conn("c", "a/#", "out", ""))
	r.create(r.conn("d", "a/#", "out", ""))
	r.ready("c")
	r.ready("d")
	logs := func() connector.Logs {
		logs, err := r.Logs("c", connector.LogQuery{Least: slog.LevelDebug, Limit: 1000})
		require.NoError(t, err)
		return logs
	}
	debugs := func(name string) (n int) {
		found, err := r.Logs(name, connector.LogQuery{Least: slog.LevelDebug, Limit: 1000})
		require.NoError(t, err)
		for _, line := range found.Lines {
			if line.Level < slog.LevelInfo {
				n++
			}
		}
		return n
	}
	assert.Zero(t, debugs("c"))
	assert.Empty(t, logs().Level)

	require.NoError(t, r.SetLogLevel("c", "Debug"))
	assert.Equal(t, "debug", logs().Level)
	log := r.logger(r.find("c"), r.find("c").stored(r.Supervisor).Connector)
	log.Debug("Detail")
	assert.Positive(t, debugs("c"))
	assert.Zero(t, debugs("d"))
	assert.Contains(t, r.logs.String(), `level=DEBUG msg=Detail connector=c`)

	require.NoError(t, r.SetLogLevel("c", ""))
	before := debugs("c")
	log.Debug("More")
	assert.Equal(t, before, debugs("c"))

	var invalid *connector.InvalidError
	require.ErrorAs(t, r.SetLogLevel("c", "loud"), &invalid)
	assert.Equal(t, connector.InvalidError{Field: "level", Why: `"loud" is unknown; must be one of debug, info, warn, error`}, *invalid)
	require.ErrorIs(t, r.SetLogLevel("nosuch", "info"), connector.ErrNotFound)
}

func TestLinesAboutADefinitionThatCannotBeReadAreItsOwn(t *testing.T) {
	r, _, _ := unreadRig(t)
	assert.Contains(t, strings.Join(r.lines("c", slog.LevelError), "\n"), "Cannot read the definition of a connector")
	assert.Contains(t, r.lines("c", slog.LevelError)[0], "of_a_newer_version")
}
