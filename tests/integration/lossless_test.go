//go:build integration

package integration

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/tests/crashes"
	"github.com/robustmq/robustmq-connect/tests/program"
)

// ended runs a pipeline under load and ends it again and again at random moments.
func ended(t *testing.T, c *crossing, fault crashes.Fault, times, rate int, end func(*program.Process)) {
	t.Helper()
	c.run(t)
	c.load.start(t, rate)
	for range times {
		time.Sleep(time.Duration(300+rand.IntN(700)) * time.Millisecond)
		end(c.process)
		c.run(t)
	}
	c.verdict(t, fault, times)
}

// stop ends a process by a signal, which it obeys soon.
func stop(t *testing.T) func(*program.Process) {
	return func(p *program.Process) {
		code, took := p.Stop()
		require.Zero(t, code)
		require.Less(t, took, 20*time.Second)
	}
}

func TestCleanStopsLoseNothing(t *testing.T) {
	ended(t, toKafka(t, shared, "clean_stops", ""), crashes.Stop, times(3, 20), 5000, stop(t))
}

// TestCrashesLoseNothing sets no bound to the repeats. They are what the broker
// has in flight, and mosquitto 2.0.11 does not keep to its window of 20, nor to a
// receive maximum: with the first acknowledgement it sends all that has queued up
// (eclipse-mosquitto/mosquitto#2301).
func TestCrashesLoseNothing(t *testing.T) {
	ended(t, toKafka(t, shared, "crashes", ""), crashes.Kill, times(5, 50), 5000, (*program.Process).Kill)
}

func TestCleanStopsWithADiskBufferLoseNothing(t *testing.T) {
	ended(t, buffered(t, shared, "buffered_stops", ""), crashes.Stop, times(3, 20), 5000, stop(t))
}

// Every second crash happens while Kafka is away, so that messages are on disk alone.
func TestCrashesWithADiskBufferLoseNothing(t *testing.T) {
	s := startOwnServers(t)
	c := buffered(t, s.servers, "buffered_crashes", "")
	crashed := 0
	c.run(t)
	c.load.start(t, 5000)
	for range times(6, 50) {
		if crashed++; crashed%2 == 0 {
			s.kafkaWay.block()
		}
		time.Sleep(time.Duration(300+rand.IntN(700)) * time.Millisecond)
		c.process.Kill()
		s.kafkaWay.open()
		c.run(t)
	}
	c.verdict(t, crashes.Kill, crashed)
}

// A fault happens to the servers or to the network before them. do returns when it is
// over.
type fault struct {
	name   string
	row    crashes.Fault
	do     func(t *testing.T, s *ownServers)
	within time.Duration // until messages flow again to Kafka
	input  string
}

var faults = []fault{
	{
		name: "kafka_frozen", row: crashes.KafkaFrozen, within: 15 * time.Second,
		do: func(t *testing.T, s *ownServers) {
			s.signalKafka(t, "STOP")
			time.Sleep(time.Duration(times(8, 60)) * time.Second)
			s.signalKafka(t, "CONT")
		},
	},
	{
		name: "kafka_restarted", row: crashes.KafkaRestart, within: 15 * time.Second,
		do: func(t *testing.T, s *ownServers) { s.restart(t, "kafka") },
	},
	{
		name: "mosquitto_restarted", row: crashes.BrokerRestart, within: 15 * time.Second,
		do: func(t *testing.T, s *ownServers) { s.restart(t, "mosquitto") },
	},
	{
		name: "mqtt_cut", row: crashes.BrokerCut, within: 15 * time.Second,
		do: func(_ *testing.T, s *ownServers) { s.mqttWay.cut() },
	},
	{
		name: "kafka_cut", row: crashes.KafkaCut, within: 15 * time.Second,
		do: func(_ *testing.T, s *ownServers) { s.kafkaWay.cut() },
	},
	// No error reports a half-open connection: towards the broker the keepalive finds it,
	// towards Kafka the time-out of a request.
	{
		name: "mqtt_half_open", row: crashes.BrokerHalfOpen, within: 20 * time.Second, input: ", keepalive: 2",
		do: func(_ *testing.T, s *ownServers) { s.mqttWay.swallow() },
	},
	{
		name: "kafka_half_open", row: crashes.KafkaHalfOpen, within: 45 * time.Second,
		do: func(_ *testing.T, s *ownServers) { s.kafkaWay.swallow() },
	},
}

// Each fault happens to all ways at once.
func TestFaultsLoseNothing(t *testing.T) {
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			s := startOwnServers(t)
			all := []*crossing{
				toKafka(t, s.servers, f.name, f.input),
				buffered(t, s.servers, "buffered_"+f.name, f.input),
				toMQTT(t, s.servers, "back_"+f.name),
			}
			for _, c := range all {
				c.run(t)
				c.load.start(t, 1000)
			}
			var longest time.Duration
			count := times(1, 5)
			for range count {
				time.Sleep(time.Second)
				f.do(t, s)
				// A bound for the first alone: the others wait for what Kafka decides about
				// their group, or were looked at later.
				longest = max(longest, all[0].flows(t, f.within))
				assert.Less(t, longest, f.within)
				for _, c := range all[1:] {
					c.flows(t, 90*time.Second)
				}
			}
			t.Logf("%d times, flowing to Kafka again after %s at most", count, longest.Round(time.Millisecond))
			for _, c := range all {
				c.verdict(t, f.row, count)
			}
		})
	}
}

// TestMemoryWhileKafkaIsAway also looks at the time after it, when the broker
// sends all that has waited as fast as it is taken. The pipeline with the disk buffer takes
// its messages all the time.
func TestMemoryWhileKafkaIsAway(t *testing.T) {
	s := startOwnServers(t)
	l := newLoad(t, s.servers, "kafka_away", 20)
	l.size = 1 << 10
	plain := &crossing{load: l, way: crashes.ToKafka, pipeline: l.pipeline("", "")}
	onDisk := buffered(t, s.servers, "buffered_kafka_away", "")
	plain.run(t)
	onDisk.run(t)
	plain.load.start(t, times(5000, 1000))
	onDisk.load.start(t, 1000)
	time.Sleep(time.Second)
	s.kafkaWay.block()
	time.Sleep(time.Duration(times(20, 600)) * time.Second)
	away, awayOnDisk := plain.process.PeakMemory(), onDisk.process.PeakMemory()
	s.kafkaWay.open()
	plain.verdict(t, crashes.KafkaAway, 1)
	onDisk.verdict(t, crashes.KafkaAway, 1)
	after, afterOnDisk := plain.process.PeakMemory(), onDisk.process.PeakMemory()
	t.Logf("%d MB at most while Kafka was away, %d MB with the backlog; with the disk buffer %d and %d MB", away, after, awayOnDisk, afterOnDisk)
	for _, most := range []int{away, awayOnDisk} {
		assert.Less(t, most, 150)
	}
	// The program at rest takes about 100, and the garbage collector lets the heap grow to
	// twice what is alive. A list that grows with the backlog takes another 100 at least.
	for _, most := range []int{after, afterOnDisk} {
		assert.Less(t, most, 190)
	}
}
