//go:build integration

package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
)

// memoryLimit is what 200 connectors may take at the most, in kB.
const memoryLimit = 500_000

// Many connectors, each at 50 messages/s: every message arrives, in order, in
// little memory, and a restart with all of them takes no time.
func TestServiceOfManyConnectorsLosesNothing(t *testing.T) {
	n, seconds := times(100, 200), times(5, 60)
	store := filepath.Join(t.TempDir(), "store")
	topic := fmt.Sprintf("service_many_%d", time.Now().UnixNano())
	shared.createTopic(t, topic, 1)
	service := startService(t, store)
	for i := range n {
		answer, err := service.call("POST", admin.PathCreate, definition(fmt.Sprint("many-", i), fmt.Sprintf("many/%d/#", i), topic))
		require.NoError(t, err)
		require.Equal(t, admin.CodeOK, answer.Code, "%v", answer.Error)
	}
	code, _ := service.stop()
	require.Zero(t, code)
	began := time.Now()
	service = startService(t, store)
	require.Eventually(t, func() bool { code, _ := service.ready(); return code == http.StatusOK }, time.Minute, 10*time.Millisecond)
	took := time.Since(began)
	assert.Less(t, took, 10*time.Second)

	const publishers, rate = 10, 50
	var publishing sync.WaitGroup
	for p := range publishers {
		client := mqttClient(t, mqttURL, fmt.Sprint("service-many-", p))
		publishing.Go(func() {
			beat := time.NewTicker(time.Second / rate)
			defer beat.Stop()
			var tokens []paho.Token
			for k := range seconds * rate {
				<-beat.C
				for i := p; i < n; i += publishers {
					tokens = append(tokens, client.Publish(fmt.Sprintf("many/%d/x", i), 1, false, strconv.Itoa(k)))
				}
			}
			for _, token := range tokens {
				if !token.WaitTimeout(30*time.Second) || token.Error() != nil {
					t.Errorf("publishing: %v", token.Error())
					return
				}
			}
		})
	}
	publishing.Wait()

	client, err := kgo.NewClient(kgo.SeedBrokers(brokers), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	require.NoError(t, err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	next := map[string]int{}
	for total := 0; total < n*seconds*rate; {
		fetches := client.PollFetches(ctx)
		require.NoError(t, ctx.Err(), "%d of %d messages arrived", total, n*seconds*rate)
		fetches.EachRecord(func(record *kgo.Record) {
			var envelope struct{ Topic string }
			require.NoError(t, json.Unmarshal(record.Value, &envelope))
			require.Equal(t, strconv.Itoa(next[envelope.Topic]), payloadOf(t, record), envelope.Topic)
			next[envelope.Topic]++
			total++
		})
	}
	assert.Len(t, next, n)

	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", service.cmd.Process.Pid))
	require.NoError(t, err)
	peak := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(status)
	require.NotNil(t, peak)
	kB, err := strconv.Atoi(string(peak[1]))
	require.NoError(t, err)
	assert.Less(t, kB, memoryLimit)
	code, _ = service.stop()
	assert.Zero(t, code)
	cpu := service.cmd.ProcessState.UserTime() + service.cmd.ProcessState.SystemTime()
	t.Logf("%d connectors ready after %s; %d messages, %d MB at the peak, %s of CPU, %s a message",
		n, took, n*seconds*rate, kB/1000, cpu, cpu/time.Duration(n*seconds*rate))

	service = startService(t, store)
	for i := range n { // their sessions go with them
		_, err := service.call("POST", admin.PathDelete, admin.Name{Tenant: "default", ConnectorName: fmt.Sprint("many-", i)})
		require.NoError(t, err)
	}
}
