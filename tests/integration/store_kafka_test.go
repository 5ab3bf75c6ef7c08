//go:build integration

package integration

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
	"github.com/robustmq/robustmq-connect/tests/program"
)

// kafkaStore returns the address of a new store in Kafka, whose topic is compacted as
// soon as possible, and the flags that go with it.
func kafkaStore(t *testing.T) (address string, flags []string) {
	t.Helper()
	prefix := fmt.Sprintf("store_%d", time.Now().UnixNano())
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers))
	require.NoError(t, err)
	defer client.Close()
	_, err = kadm.NewClient(client).CreateTopic(t.Context(), 1, 1, map[string]*string{
		"cleanup.policy": kadm.StringPtr("compact"), "segment.ms": kadm.StringPtr("500"),
		"min.cleanable.dirty.ratio": kadm.StringPtr("0.001"), "delete.retention.ms": kadm.StringPtr("100"),
	}, prefix+"-definitions")
	require.NoError(t, err)
	keys := filepath.Join(t.TempDir(), "keys")
	require.NoError(t, os.WriteFile(keys, []byte("k1 "+base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", 32)))+"\n"), 0o600))
	return "kafka://" + brokers + "/" + prefix, []string{"--store-key-file", keys, "--state-dir", t.TempDir(), "--mqtt-client-id-prefix", prefix}
}

// startOnKafka is startService with patience for the 10 seconds that a service waits for
// the one before it to answer. Its address may be taken meanwhile: then it is another one.
func startOnKafka(t *testing.T, store string, flags ...string) serving {
	t.Helper()
	for {
		address := program.FreeAddress(t)
		p := serving{program.Start(t, address, append([]string{
			"serve", "--store", store, "--mqtt-url", mqttURL, "--listen", address, "--drain-timeout", "5s",
		}, flags...)...)}
		require.Eventually(t, func() bool {
			code, _ := p.Ready()
			return code != 0 || p.Ended()
		}, time.Minute, 10*time.Millisecond, "the service does not answer: %s", p.Output())
		if !p.Ended() {
			return p
		}
		require.Contains(t, p.Output(), "address already in use")
	}
}

func (p serving) mustCall(t *testing.T, path string, body any) {
	t.Helper()
	answer, err := p.call("POST", path, body)
	require.NoError(t, err)
	require.Equal(t, admin.CodeOK, answer.Code, "%s: %v", path, answer.Error)
}

func (p serving) rows(t *testing.T) []admin.Row {
	t.Helper()
	answer, err := p.call("GET", admin.PathList+"?limit=100", nil)
	require.NoError(t, err)
	var listed admin.List
	require.NoError(t, json.Unmarshal(answer.Data, &listed))
	return listed.Data
}

func filtersOf(rows []admin.Row) map[string]string {
	found := map[string]string{}
	for _, row := range rows {
		found[row.ConnectorName] = row.TopicName
	}
	return found
}

// The service is killed between changes, and Kafka compacts the topic meanwhile.
func TestAStoreInKafkaKeepsEveryConfirmedChange(t *testing.T) {
	address, flags := kafkaStore(t)
	want := map[string]string{}
	service := startOnKafka(t, address, flags...)
	for round := range times(2, 10) {
		for i := range 5 {
			name, filter := fmt.Sprint("store-kafka-", i), fmt.Sprintf("store/kafka/%d/%d", round, i)
			path := admin.PathUpdate
			if want[name] == "" {
				path = admin.PathCreate
			}
			service.mustCall(t, path, definition(name, filter, "store_kafka_out"))
			want[name] = filter
		}
		service.mustCall(t, admin.PathDelete, admin.Name{Tenant: "default", ConnectorName: "store-kafka-0"})
		delete(want, "store-kafka-0")
		service.Kill()
		service = startOnKafka(t, address, flags...)
		assert.Equal(t, want, filtersOf(service.rows(t)))
	}
	topic := strings.TrimPrefix(address, "kafka://"+brokers+"/") + "-definitions"
	require.Eventually(t, func() bool { return hasHoles(t, topic) }, 3*time.Minute, 5*time.Second, "Kafka has compacted nothing")
	service.Kill()
	service = startOnKafka(t, address, flags...)
	assert.Equal(t, want, filtersOf(service.rows(t)))
	code, _ := service.Stop()
	assert.Zero(t, code)
}

// hasHoles reports whether records in the middle of a topic are gone.
func hasHoles(t *testing.T, topic string) bool {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers), kgo.ConsumeTopics(topic), kgo.KeepControlRecords())
	require.NoError(t, err)
	defer client.Close()
	ends, err := kadm.NewClient(client).ListEndOffsets(t.Context(), topic)
	require.NoError(t, err)
	end, _ := ends.Lookup(topic, 0)
	var count int64
	for next := int64(0); next < end.Offset; {
		fetches := client.PollFetches(t.Context())
		require.NoError(t, fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) {
			count++
			next = r.Offset + 1
		})
	}
	return count < end.Offset
}

// A service that hung while another one took its store must not write any more.
func TestAServiceThatHungLosesItsStoreInKafka(t *testing.T) {
	address, flags := kafkaStore(t)
	hung := startOnKafka(t, address, flags...)
	hung.mustCall(t, admin.PathCreate, definition("store-hung", "store/hung/1", "store_hung_out"))
	hung.Signal(syscall.SIGSTOP)
	next := startOnKafka(t, address, flags...)
	next.mustCall(t, admin.PathUpdate, definition("store-hung", "store/hung/2", "store_hung_out"))
	hung.Signal(syscall.SIGCONT)
	require.Eventually(t, hung.Ended, time.Minute, 50*time.Millisecond, "%s", hung.Output())
	assert.Contains(t, hung.Output(), "another service has it now, so this one stops its connectors and ends")
	assert.Equal(t, map[string]string{"store-hung": "store/hung/2"}, filtersOf(next.rows(t)))
	next.mustCall(t, admin.PathDelete, admin.Name{Tenant: "default", ConnectorName: "store-hung"})
}
