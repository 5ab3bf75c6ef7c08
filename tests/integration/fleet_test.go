//go:build integration

package integration

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
)

// Two hundred connectors in one service, each with 50 messages a second, and a
// restart in the middle.
func TestFleetOfConnectors(t *testing.T) {
	const connectors, each = 200, 50
	l := newLoad(t, shared, "fleet", connectors)
	store := filepath.Join(t.TempDir(), "store")
	service := startService(t, store)
	config, err := json.Marshal(map[string]string{"bootstrap_servers": brokers, "topic": "fleet"})
	require.NoError(t, err)
	name := func(i int) string { return fmt.Sprintf("fleet-%d", i) }
	for i := range connectors {
		answer, err := service.call("POST", admin.PathCreate, admin.Definition{
			ConnectorName: name(i), ConnectorType: "kafka", Config: config, Tenant: "default",
			TopicName: fmt.Sprintf("fleet/%d", i), FailureStrategy: json.RawMessage(`{"strategy":"block"}`),
		})
		require.NoError(t, err)
		require.Equal(t, admin.CodeOK, answer.Code, "%v", answer.Error)
	}
	ready := func() {
		require.Eventually(t, service.ConnectorsReady, time.Minute, 10*time.Millisecond)
	}
	ready()
	l.start(t, connectors*each)
	part := time.Duration(times(3, 30)) * time.Second
	time.Sleep(part)
	memory := service.PeakMemory()
	code, took := service.Stop()
	require.Zero(t, code)
	require.Less(t, took, 20*time.Second)

	restarted := time.Now()
	service = startService(t, store)
	ready()
	start := time.Since(restarted)
	time.Sleep(part)
	memory = max(memory, service.PeakMemory())
	l.verdict(t, fmt.Sprintf("%d connectors, %d MB at most, ready %s after the restart", connectors, memory, start.Round(time.Millisecond)))
	assert.Less(t, memory, 500)
	assert.Less(t, start, 10*time.Second)

	for i := range connectors {
		answer, err := service.call("POST", admin.PathDelete, admin.Name{Tenant: "default", ConnectorName: name(i)})
		require.NoError(t, err)
		require.Equal(t, admin.CodeOK, answer.Code, "%v", answer.Error)
	}
}
