package workers_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
	"github.com/robustmq/robustmq-connect/plugins/connector/store/kafkastore"
	"github.com/robustmq/robustmq-connect/plugins/connector/supervisor"
	"github.com/robustmq/robustmq-connect/plugins/embedded"
	"github.com/robustmq/robustmq-connect/tests/components"
	"github.com/robustmq/robustmq-connect/tests/link"
	"github.com/robustmq/robustmq-connect/tests/logtext"
)

// A connector that joins its first session records it in the store, and Kafka may take ten
// seconds to not answer. No list waited less.
func TestAListDoesNotWaitForKafka(t *testing.T) {
	r := newRig(t)
	network, logs := link.New(), &logtext.Text{}
	log := slog.New(slog.NewTextHandler(logs, nil))
	address, err := kafkastore.ParseAddress(kafkastore.Scheme + r.kafka.Addr() + "/test")
	require.NoError(t, err)
	kept, err := kafkastore.Open(t.Context(), kafkastore.Options{Address: address, Client: []kgo.Opt{kgo.Dialer(network.Dial)}, Logger: log})
	require.NoError(t, err)
	t.Cleanup(func() { _ = kept.Close() })
	require.NoError(t, kept.Lead(t.Context()))

	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	later := ln.Addr().String() // of a broker that is not there yet
	require.NoError(t, ln.Close())
	env, err := components.Environment()
	require.NoError(t, err)
	urls, err := json.Marshal([]string{"tcp://" + later})
	require.NoError(t, err)
	sup, err := supervisor.New(supervisor.Options{
		Environment: env, Store: kept, DrainTimeout: time.Second, Logger: log,
		MQTT: connector.Settings{{Name: "urls", Value: urls}},
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = sup.Close() })
	require.NoError(t, sup.Start())
	c, err := connector.Parse(fmt.Appendf(nil, `{"connector_name":"c","connector_type":"kafka","tenant":"default","topic_name":"a/#",
		"config":{"bootstrap_servers":%q,"topic":"out"},"failure_strategy":{"strategy":"block"}}`, r.kafka.Addr()))
	require.NoError(t, err)
	_, err = sup.Create(t.Context(), c, connector.CreateOptions{})
	require.NoError(t, err)

	network.Cut()
	broker, err := embedded.StartBroker(later)
	require.NoError(t, err)
	t.Cleanup(broker.Close)
	longest := time.Duration(0)
	list := func() connector.Status {
		began := time.Now()
		all := sup.List()
		longest = max(longest, time.Since(began))
		require.Len(t, all, 1)
		return all[0]
	}
	waitsFor := func(need connector.Need) func() bool {
		return func() bool {
			one := list()
			return len(one.Waits) > 0 && one.Waits[0].For == need
		}
	}
	require.Eventually(t, waitsFor(connector.NeedStore), patience, 50*time.Millisecond, "%s", logs)
	assert.Less(t, longest, 3*time.Second)
	t.Logf("the longest list took %s", longest)
	network.Restore()
	require.Eventually(t, func() bool { return list().State == connector.Running }, patience, 100*time.Millisecond, "%s", logs)
}

// Each list of a worker waited for the store and for the coordinator, four seconds in all.
func TestAListOfAWorkerDoesNotWaitForKafka(t *testing.T) {
	r := newRig(t)
	w := r.worker()
	w.done(admin.PathCreate, w.definition("c", "a/#", "out"))
	agree(t, "Running", []string{"c"}, w)
	w.link.Cut()
	list := func() (took time.Duration, notes string) {
		began := time.Now()
		resp, err := http.Get(w.url + admin.PathList)
		require.NoError(t, err)
		defer resp.Body.Close()
		var answer admin.Answer[admin.List]
		require.NoError(t, json.NewDecoder(resp.Body).Decode(&answer))
		require.Len(t, answer.Data.Data, 1)
		assert.Equal(t, "Running", answer.Data.Data[0].State)
		return time.Since(began), strings.Join(answer.Notes, "; ")
	}
	list() // it finds out
	// The last description of the group gets old.
	require.Eventually(t, func() bool {
		took, notes := list()
		assert.Less(t, took, 3*time.Second)
		return strings.Contains(notes, "this may be old") && len(w.logs.Lines("cannot be reached")) > 0
	}, patience, 100*time.Millisecond, "%s", w.logs)
	took, _ := list()
	t.Logf("a list took %s", took)
	assert.Less(t, took, 3*time.Second)
}
