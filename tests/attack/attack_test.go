//go:build integration

// Package attack tries what a stranger can send against a service that runs: its
// API, the expressions and addresses in a definition, MQTT payloads, the packets of
// a hostile broker and the answers of a hostile Kafka. Ten connectors move messages
// all the while, and none of them may lose, repeat or delay one.
package attack

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/tests/program"
)

func TestMain(m *testing.M) { os.Exit(program.Main(m)) }

const (
	// leastAttacks is how many the suite has at least.
	leastAttacks = 120
	// mostDelay is how long a message of a healthy connector may take, from the
	// publisher to the consumer.
	mostDelay = 2 * time.Second
	// mostMemory is the resident memory of the service at its peak, in MB.
	mostMemory = 400
	patience   = 30 * time.Second
)

// attack is one attempt. It fails the test where the answer is not the one that is
// expected; what it breaks elsewhere shows at the end.
type attack struct {
	name string
	try  func(t *testing.T, s *service)
}

func TestNothingHostileReachesTheHealthyConnectors(t *testing.T) {
	s := startService(t)
	healthy := startHealthy(t, s)

	groups := map[string][]attack{
		"definitions": definitionAttacks(s),
		"targets":     targetAttacks(s),
		"requests":    requestAttacks(),
		"payloads":    payloadAttacks(),
		"packets":     packetAttacks(),
		"endless":     endlessAttacks(),
		"kafka":       kafkaAttacks(),
	}
	tried := 0
	for _, attacks := range groups {
		tried += len(attacks)
	}
	// The groups run at the same time, as attackers do.
	t.Run("attacks", func(t *testing.T) {
		for group, attacks := range groups {
			t.Run(group, func(t *testing.T) {
				t.Parallel()
				for _, a := range attacks {
					t.Run(a.name, func(t *testing.T) {
						a.try(t, s)
						require.True(t, s.Running(), "the service has ended")
					})
				}
			})
		}
	})
	require.GreaterOrEqual(t, tried, leastAttacks)

	require.True(t, s.Running(), "the service has ended")
	code, body := s.Ready()
	assert.Equal(t, 200, code, "%s", body)
	healthy.stop()
	memory := s.PeakMemory()
	assert.Less(t, memory, mostMemory, "MB resident")
	assert.Zero(t, s.trap.accepted.Load(), "connections to an address that is not allowed")
	code, took := s.Stop()
	assert.Zero(t, code)
	assert.Less(t, took, 30*time.Second, "SIGTERM")
	s.judgeTrace()
	// testcount prints it.
	t.Logf("counted %d attacks, %d messages of %d healthy connectors, the slowest in %s, %d MB at the peak",
		tried, healthy.received.Load(), connectors, healthy.slowest.Round(time.Millisecond), memory)
}
