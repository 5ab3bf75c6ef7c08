//go:build integration

package integration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
	"github.com/robustmq/robustmq-connect/plugins/connector/cluster"
	"github.com/robustmq/robustmq-connect/tests/program"
)

// crew are workers on one store in Kafka.
type crew struct {
	servers
	t       *testing.T
	store   string
	token   string
	binary  string // that start starts
	workers []serving
}

func newCrew(t *testing.T, s servers, store string, n int) *crew {
	t.Helper()
	c := &crew{servers: s, t: t, store: fmt.Sprintf("kafka://%s/%s", s.kafka, store), token: filepath.Join(t.TempDir(), "token"), binary: program.Path(t)}
	require.NoError(t, os.WriteFile(c.token, []byte(strings.Repeat("0123456789abcdef", 4)), 0o600))
	for range n {
		c.workers = append(c.workers, c.start(program.FreeAddress(t)))
	}
	return c
}

// start starts a worker. It does not wait until that owns anything.
func (c *crew) start(address string) serving {
	c.t.Helper()
	p := serving{program.StartCommand(c.t, address, exec.Command(c.binary,
		"serve", "--store", c.store, "--mqtt-url", c.mqtt, "--listen", address, "--drain-timeout", "5s",
		"--mqtt-client-id-prefix", "crew", "--advertise", "http://"+address, "--cluster-token-file", c.token,
	))}
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

// without are the other workers.
func (c *crew) without(worker int) *crew {
	others := *c
	others.workers = append(append([]serving{}, c.workers[:worker]...), c.workers[worker+1:]...)
	return &others
}

// settled waits until every worker has its share and lists n connectors that run, and each
// of them runs on one worker. It returns how long that took.
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
		if n := partitions(metrics); n < cluster.Partitions/len(c.workers) {
			return fmt.Sprintf("%s owns %d partitions", w.HTTP, n)
		}
		for _, name := range up(metrics) {
			runs[name]++
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

// up reads from the metrics of a worker which connectors run there.
func up(metrics string) (names []string) {
	for line := range strings.Lines(metrics) {
		if name, ok := strings.CutPrefix(line, `robustmq_connect_connector_up{connector="`); ok && strings.HasSuffix(line, "} 1\n") {
			names = append(names, strings.TrimSuffix(name, "\"} 1\n"))
		}
	}
	return names
}

// partitions reads from the metrics of a worker how many partitions it owns.
func partitions(metrics string) (n int) {
	_, rest, _ := strings.Cut(metrics, "\nrobustmq_connect_worker_partitions ")
	number, _, _ := strings.Cut(rest, "\n")
	n, _ = strconv.Atoi(number) // 0 without such a line
	return n
}

// replaced ends each of three workers in turn under load, and starts it again. It returns
// what arrived, and the longest time until all connectors ran elsewhere. Connectors are
// created, changed and deleted at any worker meanwhile.
func replaced(t *testing.T, name string, end func(serving)) (arrivals, time.Duration) {
	t.Helper()
	connectors := times(12, 60)
	l := newLoad(t, shared, name, connectors)
	c := newCrew(t, shared, name, 3)
	for i := range connectors {
		c.do(i%3, admin.PathCreate, definition(fmt.Sprintf("%s-%d", name, i), fmt.Sprintf("%s/%d", name, i), name))
	}
	c.settled(connectors)
	l.start(t, times(600, 3000))
	var longest time.Duration
	rounds := times(3, 20)
	for round := range rounds {
		worker := round % 3
		end(c.workers[worker])
		longest = max(longest, c.without(worker).settled(connectors))
		c.workers[worker] = c.start(c.workers[worker].HTTP)
		c.settled(connectors)
		// Any worker takes changes again.
		extra := fmt.Sprintf("%s-extra-%d", name, round)
		c.do((worker+1)%3, admin.PathCreate, definition(extra, "extra/#", "crew-extra"))
		c.do(worker, admin.PathUpdate, definition(extra, "extra/+", "crew-extra"))
		c.do((worker+2)%3, admin.PathDelete, admin.Name{Tenant: "default", ConnectorName: extra})
	}
	arrived := l.verdict(t, fmt.Sprintf("%d connectors on 3 workers, %d ends: all run elsewhere after %s at most",
		connectors, rounds, longest.Round(100*time.Millisecond)))
	return arrived, longest
}

func TestConnectorsOfAWorkerThatIsKilledRunElsewhere(t *testing.T) {
	_, took := replaced(t, "crew-killed", func(w serving) { w.Kill() })
	assert.Less(t, took, 60*time.Second)
}

func TestAWorkerThatStopsHandsItsConnectorsOver(t *testing.T) {
	arrived, took := replaced(t, "crew-stopped", func(w serving) {
		code, _ := w.Stop()
		require.Zero(t, code, "%s", w.Output())
	})
	assert.Less(t, took, 30*time.Second)
	assert.Zero(t, arrived.repeated)
}
