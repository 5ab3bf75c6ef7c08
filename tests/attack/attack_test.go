//go:build integration

// Package attack sends hostile input to a running service: to its API, as expressions
// and addresses in definitions, as MQTT payloads, as packets of a hostile broker and as
// answers of a hostile Kafka. At the same time ten healthy connectors move messages,
// and none of these messages may be lost, repeated or delayed.
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
	// leastAttacks is the minimum number of attacks of the suite.
	leastAttacks = 120
	// mostDelay is the longest time that a message of a healthy connector may take,
	// from the publisher to the consumer.
	mostDelay = 2 * time.Second
	// mostMemory is the limit of the peak resident memory of the service, in MB.
	mostMemory = 400
	patience   = 30 * time.Second
)

// attack is one attempt. It fails the test if the answer is not the expected one;
// damage elsewhere is found at the end.
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
	// The groups run concurrently, as attackers do.
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
	// testcount prints this line.
	t.Logf("counted %d attacks, %d messages of %d healthy connectors, the slowest in %s, %d MB at the peak",
		tried, healthy.received.Load(), connectors, healthy.slowest.Round(time.Millisecond), memory)
}
