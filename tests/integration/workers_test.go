//go:build integration

package integration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
	"github.com/robustmq/robustmq-connect/tests/program"
)

// crew are workers on one store in Kafka.
type crew struct {
	t       *testing.T
	store   string
	token   string
	workers []serving
}

func newCrew(t *testing.T, store string, n int) *crew {
	t.Helper()
	c := &crew{t: t, store: fmt.Sprintf("kafka://%s/%s", brokers, store), token: filepath.Join(t.TempDir(), "token")}
	require.NoError(t, os.WriteFile(c.token, []byte(strings.Repeat("0123456789abcdef", 4)), 0o600))
	for range n {
		c.workers = append(c.workers, c.start(program.FreeAddress(t)))
	}
	return c
}

// start starts a worker. It does not wait until that owns anything.
func (c *crew) start(address string) serving {
	c.t.Helper()
	p := serving{program.Start(c.t, address,
		"serve", "--store", c.store, "--mqtt-url", mqttURL, "--listen", address, "--drain-timeout", "5s",
		"--mqtt-client-id-prefix", "crew", "--advertise", "http://"+address, "--cluster-token-file", c.token,
	)}
	require.Eventually(c.t, func() bool {
		code, _ := p.Ready()
		return code != 0
	}, time.Minute, 10*time.Millisecond, "the worker does not answer: %s", p.Output())
	return p
}

// do repeats a call at a worker while connectors move.
func (c *crew) do(worker int, path string, body any) {
	c.t.Helper()
	var last string
	require.Eventually(c.t, func() bool {
		answer, err := c.workers[worker].call(http.MethodPost, path, body)
		switch {
		case err != nil:
			last = err.Error()
			return false
		case answer.Code == admin.CodeOK:
			last = ""
			return true
		}
		last = *answer.Error
		return !strings.Contains(last, "try again")
	}, time.Minute, 100*time.Millisecond)
	require.Empty(c.t, last, "%s", path)
}

// settled waits until every worker lists n connectors that run, and each of them runs on
// one worker. It returns how long that took.
func (c *crew) settled(n int) time.Duration {
	c.t.Helper()
	began := time.Now()
	for last := ""; ; {
		if last = c.unsettled(n); last == "" {
			return time.Since(began)
		}
		require.Less(c.t, time.Since(began), 2*time.Minute, last)
		time.Sleep(100 * time.Millisecond)
	}
}

func (c *crew) unsettled(n int) string {
	runs := map[string]int{}
	for _, w := range c.workers {
		answer, err := w.call(http.MethodGet, admin.PathList+"?limit=1000", nil)
		if err != nil {
			return err.Error()
		}
		var list admin.List
		if answer.Code != admin.CodeOK || json.Unmarshal(answer.Data, &list) != nil {
			return fmt.Sprintf("%+v", answer)
		}
		if len(list.Data) != n {
			return fmt.Sprintf("%s lists %d connectors", w.HTTP, len(list.Data))
		}
		for _, row := range list.Data {
			if row.State != "Running" {
				return fmt.Sprintf("%s: %s is %s: %v", w.HTTP, row.ConnectorName, row.State, row.Reason)
			}
		}
		_, metrics := w.Get("/metrics")
		for line := range strings.Lines(metrics) {
			if name, ok := strings.CutPrefix(line, `robustmq_connect_connector_up{connector="`); ok && strings.HasSuffix(line, "} 1\n") {
				runs[strings.TrimSuffix(name, "\"} 1\n")]++
			}
		}
	}
	for name, times := range runs {
		if times != 1 {
			return fmt.Sprintf("%s runs %d times", name, times)
		}
	}
	if len(runs) != n {
		return fmt.Sprintf("%d connectors run", len(runs))
	}
	return ""
}

// Three workers share connectors under load. Each is killed in turn, and then stopped in
// turn, and comes back. Connectors are created, changed and deleted at any worker.
func TestWorkersShareConnectors(t *testing.T) {
	connectors := times(12, 60)
	l := newLoad(t, shared, "crew", connectors)
	c := newCrew(t, "crew", 3)
	name := func(i int) string { return fmt.Sprintf("crew-%d", i) }
	for i := range connectors {
		c.do(i%3, admin.PathCreate, definition(name(i), fmt.Sprintf("crew/%d", i), "crew"))
	}
	c.settled(connectors)
	l.start(t, times(600, 3000))

	replace := func(worker int) { c.workers[worker] = c.start(c.workers[worker].HTTP) }
	var killed, stopped time.Duration
	for round := range times(3, 20) {
		worker := round % 3
		c.workers[worker].Kill()
		all := c.workers
		c.workers = append(append([]serving{}, all[:worker]...), all[worker+1:]...)
		killed = max(killed, c.settled(connectors))
		c.workers = all
		replace(worker)
		c.settled(connectors)
		// Any worker takes changes again.
		extra := fmt.Sprintf("extra-%d", round)
		c.do((worker+1)%3, admin.PathCreate, definition(extra, "extra/#", "crew-extra"))
		c.do(worker, admin.PathUpdate, definition(extra, "extra/+", "crew-extra"))
		c.do((worker+2)%3, admin.PathDelete, admin.Name{Tenant: "default", ConnectorName: extra})
	}
	assert.Less(t, killed, 60*time.Second)
	unrepeated := l.recordCount(t, l.name)
	for round := range times(3, 20) {
		worker := round % 3
		code, _ := c.workers[worker].Stop()
		require.Zero(t, code, "%s", c.workers[worker].Output())
		all := c.workers
		c.workers = append(append([]serving{}, all[:worker]...), all[worker+1:]...)
		stopped = max(stopped, c.settled(connectors))
		c.workers = all
		replace(worker)
		c.settled(connectors)
	}
	assert.Less(t, stopped, 30*time.Second)
	assert.Greater(t, l.recordCount(t, l.name), unrepeated)
	l.verdict(t, fmt.Sprintf("%d connectors on 3 workers: all flow elsewhere %s after kill -9, %s after SIGTERM, at most",
		connectors, killed.Round(100*time.Millisecond), stopped.Round(100*time.Millisecond)))
}
