//go:build integration

package integration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
)

// workersFault happens to the first of three workers, or to Kafka.
type workersFault struct {
	name string
	soak bool // only there
	do   func(t *testing.T, s *ownServers, c *crew, connectors int)
}

var workersFaults = []workersFault{
	{name: "hangs", do: func(t *testing.T, _ *ownServers, c *crew, connectors int) {
		began := time.Now()
		c.workers[0].Signal(syscall.SIGSTOP)
		c.without(0).settled(connectors)
		time.Sleep(time.Duration(times(20, 40))*time.Second - time.Since(began))
		c.workers[0].Signal(syscall.SIGCONT)
	}},
	{name: "without Kafka", do: func(t *testing.T, s *ownServers, c *crew, connectors int) {
		s.kafkaWay.sever(c.workers[0].PID())
		c.without(0).settled(connectors)
		s.kafkaWay.open()
	}},
	{name: "without the broker", do: func(t *testing.T, s *ownServers, c *crew, connectors int) {
		s.mqttWay.sever(c.workers[0].PID())
		require.Eventually(t, func() bool { return !c.workers[0].ConnectorsReady() }, time.Minute, 50*time.Millisecond)
		time.Sleep(time.Duration(times(1, 30)) * time.Second)
		s.mqttWay.open()
	}},
	{name: "Kafka is restarted", soak: true, do: func(t *testing.T, s *ownServers, _ *crew, _ int) {
		s.restart(t, "kafka")
	}},
	{name: "Kafka is away", do: func(t *testing.T, s *ownServers, c *crew, connectors int) {
		s.script(t, "kafka", "stop")
		began := time.Now()
		const extra = "crew-faults-extra"
		answers := make([]string, len(c.workers))
		for i, w := range c.workers {
			answer, err := w.call(http.MethodPost, admin.PathCreate, s.definition(extra, "extra/#", "crew-faults-extra"))
			require.NoError(t, err)
			require.NotEqual(t, admin.CodeOK, answer.Code, "%s", answer.Data)
			answers[i] = *answer.Error
			assert.Regexp(t, "Kafka at "+regexp.QuoteMeta(s.kafka)+"|no worker writes the store|looking up the workers", answers[i])
		}
		t.Logf("the answers to a change: %q", answers)
		for _, w := range c.workers {
			assert.Len(t, w.rows(t), connectors)
		}
		time.Sleep(time.Duration(times(20, 60))*time.Second - time.Since(began))
		s.start(t, "kafka")
		for _, row := range c.workers[0].rows(t) {
			if row.ConnectorName == extra {
				assert.Contains(t, strings.Join(answers, "\n"), "the result is unknown")
				c.do(0, admin.PathDelete, admin.Name{Tenant: "default", ConnectorName: extra})
			}
		}
	}},
}

// takeovers counts, by client id, how often a client took the place of one that was
// still connected.
func (s *ownServers) takeovers(t *testing.T, prefix string) map[string]int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, "mosquitto", "server.log"))
	require.NoError(t, err)
	counts := map[string]int{}
	for _, m := range regexp.MustCompile(`Client (\S+) already connected`).FindAllStringSubmatch(string(text), -1) {
		if strings.HasPrefix(m[1], prefix) {
			counts[m[1]]++
		}
	}
	return counts
}

// Three workers share connectors under load. Whatever happens to one of them or to Kafka,
// no message is lost or overtaken, no two workers fight for a session, and afterwards all
// of them tell the same.
func TestWorkersOutliveFaults(t *testing.T) {
	s := startOwnServers(t)
	connectors := times(12, 60)
	l := newLoad(t, s.servers, "crewfaults", connectors)
	c := newCrew(t, s.servers, "crewfaults", 3)
	var names []string
	for i := range connectors {
		names = append(names, fmt.Sprintf("%s-%d", l.name, i))
		c.do(i%3, admin.PathCreate, s.definition(names[i], fmt.Sprintf("%s/%d", l.name, i), l.name))
	}
	c.settled(connectors)
	l.start(t, times(600, 3000))
	for _, f := range workersFaults {
		if f.soak && times(0, 1) == 0 {
			continue
		}
		before, owners := s.takeovers(t, "crew_"), c.owners(l.name+"-", connectors)
		began := time.Now()
		f.do(t, s, c, connectors)
		over := time.Now()
		c.settled(connectors)
		most := 0
		for id, n := range s.takeovers(t, "crew_") {
			most = max(most, n-before[id])
		}
		settled, moved := time.Since(over), 0
		for name, at := range c.owners(l.name+"-", connectors) {
			if at != owners[name] {
				moved++
			}
		}
		t.Logf("%s: over after %s, settled %s later, %d of %d connectors moved, %d takeovers of a session at most", f.name,
			over.Sub(began).Round(100*time.Millisecond), settled.Round(100*time.Millisecond), moved, connectors, most)
		assert.LessOrEqual(t, most, 2, f.name)
	}
	l.verdict(t, "workers with faults")
	for _, name := range names {
		require.Eventually(t, func() bool {
			var totals []uint64
			for _, w := range c.workers {
				answer, err := w.call(http.MethodGet, admin.PathDetail+"?tenant=default&connector_name="+url.QueryEscape(name), nil)
				var d admin.Detail
				if err != nil || json.Unmarshal(answer.Data, &d) != nil {
					return false
				}
				totals = append(totals, uint64(d.SendSuccessTotal))
			}
			return totals[0] > 0 && totals[0] == totals[1] && totals[1] == totals[2]
		}, time.Minute, 200*time.Millisecond, "%s: the workers differ", name)
	}
}
