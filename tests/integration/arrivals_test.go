//go:build integration

package integration

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/tests/crashes"
	"github.com/robustmq/robustmq-connect/tests/program"
)

// arrivals counts what became of numbered messages.
type arrivals struct{ sent, records, missing, repeated, outOfOrder int64 }

// tally counts messages as they arrive, each key by itself. Repeats are set aside before
// the order is judged.
type tally struct {
	arrivals
	next map[string]int64
	seen map[string]map[int64]bool
}

func newTally() *tally {
	return &tally{next: map[string]int64{}, seen: map[string]map[int64]bool{}}
}

func (a *tally) add(key string, seq int64) {
	a.records++
	if a.seen[key] == nil {
		a.seen[key] = map[int64]bool{}
	}
	switch {
	case a.seen[key][seq]:
		a.repeated++
		return
	case seq != a.next[key]:
		a.outOfOrder++
	}
	a.seen[key][seq] = true
	a.next[key] = seq + 1
}

// compare counts the messages of a key that were sent and have not arrived.
func (a *tally) compare(key string, sent int64) {
	a.sent += sent
	for seq := range sent {
		if !a.seen[key][seq] {
			a.missing++
		}
	}
}

// crossing is a load and the pipeline that moves it.
type crossing struct {
	load interface {
		start(t *testing.T, rate int)
		arrived(ctx context.Context) (int64, error)
		verdict(t *testing.T, what string) arrivals
	}
	way      crashes.Way
	pipeline string
	process  *program.Process
}

// run starts the pipeline, for the first time or anew.
func (c *crossing) run(t *testing.T) {
	t.Helper()
	c.process = startPipeline(t, c.pipeline)
	c.process.WaitReady()
}

// flows waits until messages arrive again after a fault, and returns for how long.
func (c *crossing) flows(t *testing.T, patience time.Duration) time.Duration {
	t.Helper()
	began := time.Now()
	// Kafka elects leaders anew when it was frozen for long.
	var before int64
	require.Eventually(t, func() bool {
		n, err := c.load.arrived(t.Context())
		before = n
		return err == nil
	}, patience, 20*time.Millisecond, "%s: how much has arrived is not known", c.way)
	// More than what was in flight before the fault.
	require.Eventually(t, func() bool {
		n, err := c.load.arrived(t.Context())
		return err == nil && n >= before+500
	}, patience, 20*time.Millisecond, "%s: nothing flows %s after it", c.way, patience)
	return time.Since(began)
}

// verdict ends the load, judges what has arrived and notes it for the table.
func (c *crossing) verdict(t *testing.T, fault crashes.Fault, times int) arrivals {
	t.Helper()
	a := c.load.verdict(t, string(fault))
	r := crashes.Result{
		Fault: fault, Way: c.way, Times: times, Sent: a.sent, Missing: a.missing, OutOfOrder: a.outOfOrder, Repeated: a.repeated,
	}
	t.Logf("counted %s", r) // testcount prints it
	if path := os.Getenv("CRASHES"); path != "" {
		require.NoError(t, crashes.Add(path, r))
	}
	return a
}

// toKafka is a load from MQTT to Kafka, with more fields of the input. buffered has a disk
// buffer beside it.
func toKafka(t *testing.T, s servers, name, input string) *crossing {
	l := newLoad(t, s, name, 20)
	return &crossing{load: l, way: crashes.ToKafka, pipeline: l.pipeline(input, "")}
}

func buffered(t *testing.T, s servers, name, input string) *crossing {
	l := newLoad(t, s, name, 20)
	l.buffer = t.TempDir()
	return &crossing{load: l, way: crashes.Buffered, pipeline: l.pipeline(input, "")}
}

func toMQTT(t *testing.T, s servers, name string) *crossing {
	w := newWayBack(t, s, name)
	return &crossing{load: w, way: crashes.ToMQTT, pipeline: w.pipeline()}
}
