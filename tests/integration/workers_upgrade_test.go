//go:build integration

package integration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
	"github.com/robustmq/robustmq-connect/tests/program"
)

// olderCommit is a commit of this repository, the first whose workers share connectors.
const olderCommit = "60372788103d229752294aea4a38c55f8cdb16f2"

// olderProgram builds the program of olderCommit. Without that commit, as in a source
// archive or a shallow clone, the test is skipped.
func olderProgram(t *testing.T) string {
	t.Helper()
	git := func(args ...string) *exec.Cmd {
		return exec.Command("git", append([]string{"-C", "../.."}, args...)...)
	}
	if out, err := git("cat-file", "-e", olderCommit+"^{commit}").CombinedOutput(); err != nil {
		t.Skipf("the checkout does not have the older commit %.10s: %v %s", olderCommit, err, out)
	}
	dir := t.TempDir()
	archive := filepath.Join(dir, "older.tar")
	source := filepath.Join(dir, "source")
	require.NoError(t, os.Mkdir(source, 0o755))
	binary := filepath.Join(dir, "robustmq-connect-older")
	build := exec.Command("go", "build", "-o", binary, "./cmd/robustmq-connect")
	build.Dir = source
	for _, cmd := range []*exec.Cmd{
		git("archive", "--output", archive, olderCommit), exec.Command("tar", "-xf", archive, "-C", source), build,
	} {
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s\n%s", cmd, out)
	}
	return binary
}

// replace ends a worker by SIGTERM, and starts one of another program in its place.
func (c *crew) replace(worker int, binary string) {
	c.t.Helper()
	code, _ := c.workers[worker].Stop()
	require.Zero(c.t, code, "%s", c.workers[worker].Output())
	c.binary = binary
	c.workers[worker] = c.start(c.workers[worker].HTTP)
}

// stored returns the value of a connector in the topic of definitions.
func (s servers) stored(t *testing.T, store, name string) (value string) {
	t.Helper()
	s.readWithKcat(t, store+"-definitions", func(key string, text []byte) {
		if key == "default/"+name {
			value = string(text)
		}
	})
	return value
}

// Workers are replaced by those of another version one after the other, and back, while
// messages flow and connectors are changed at both.
func TestARollingUpgradeAndBack(t *testing.T) {
	older, now := olderProgram(t), program.Path(t)
	connectors := times(8, 30)
	l := newLoad(t, shared, "crew-upgraded", connectors)
	c := newCrew(t, shared, "crew-upgraded", 0)
	c.binary = older
	for range 2 {
		c.workers = append(c.workers, c.start(program.FreeAddress(t)))
	}
	c.settled(0)
	for i := range connectors {
		c.do(i%2, admin.PathCreate, definition(fmt.Sprintf("%s-%d", l.name, i), fmt.Sprintf("%s/%d", l.name, i), l.name))
	}
	c.settled(connectors)
	l.start(t, times(600, 3000))

	changes := 0
	changed := func() {
		t.Helper()
		for worker := range 2 {
			name := fmt.Sprintf("upgraded-extra-%d", changes)
			changes++
			c.do(worker, admin.PathCreate, definition(name, "extra/#", "crew-extra"))
			c.do(1-worker, admin.PathUpdate, definition(name, "extra/+", "crew-extra"))
			c.do(worker, admin.PathPause, admin.Name{Tenant: "default", ConnectorName: name})
			c.do(1-worker, admin.PathDelete, admin.Name{Tenant: "default", ConnectorName: name})
		}
	}
	changed()
	c.replace(0, now)
	c.settled(connectors)
	changed()
	c.replace(1, now)
	c.settled(connectors)
	changed()

	// A connector of the newer version stays as it is in older hands.
	const newer = "upgraded-newer"
	d := definition(newer, "newer/#", "crew-extra")
	d.Config, _ = json.Marshal(map[string]any{"bootstrap_servers": shared.kafka, "topic": "crew-extra", "parallelism": 1})
	c.do(0, admin.PathCreate, d)
	c.settled(connectors + 1)
	value := shared.stored(t, l.name, newer)
	require.Contains(t, value, "parallelism")
	for worker := range 2 {
		c.replace(worker, older)
		c.owners(l.name, connectors)
		changed()
		assert.Equal(t, value, shared.stored(t, l.name, newer))
	}
	for _, w := range c.workers {
		answer, err := w.call(http.MethodGet, admin.PathDetail+"?tenant=default&connector_name="+newer, nil)
		require.NoError(t, err)
		assert.Contains(t, string(answer.Data), `unknown field \"parallelism\"`)
		assert.Contains(t, string(answer.Data), `"state":"Failed"`)
	}
	for worker := range 2 {
		c.replace(worker, now)
	}
	c.settled(connectors + 1)
	arrived := l.verdict(t, fmt.Sprintf("%d connectors on 2 workers, upgraded, back, and upgraded again", connectors))
	assert.Zero(t, arrived.repeated)
	c.do(0, admin.PathDelete, admin.Name{Tenant: "default", ConnectorName: newer})
}
