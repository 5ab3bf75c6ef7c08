package supervisor

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// The engine starts these with the process.
		goleak.IgnoreTopFunction("github.com/golang/glog.(*fileSink).flushDaemon"),
		goleak.IgnoreTopFunction("go.opencensus.io/stats/view.(*worker).start"),
		// franz-go leaves it behind when a consumer is closed just as a fetch arrives.
		goleak.IgnoreTopFunction("github.com/twmb/franz-go/pkg/kgo.(*fetchManager).manageFetchConcurrency"),
	)
}

func TestConnectorCarriesMessages(t *testing.T) {
	r := newRig(t)
	r.create(r.conn("c", "in/#", "out", ""))
	r.ready("c")
	r.publish("in/a", "1", "2", "3")
	for i, record := range r.records("out", 3) {
		var envelope struct{ Topic, Payload string }
		require.NoError(t, json.Unmarshal(record.Value, &envelope))
		assert.Equal(t, "in/a", envelope.Topic)
		assert.Equal(t, "in/a", string(record.Key))
		assert.Equal(t, []string{"MQ==", "Mg==", "Mw=="}[i], envelope.Payload)
	}
	require.Eventually(t, func() bool {
		_, f, err := r.Detail("c")
		return err == nil && f.Sent == 3 && time.Since(f.LastSend) < time.Minute && f.Failed == 0
	}, patience, 10*time.Millisecond)
	require.NoError(t, r.ConnectorsReady())
}

func TestConnectorsOutliveARestart(t *testing.T) {
	r := newRig(t)
	r.create(r.conn("runs", "in/#", "out", `,"username":"u","password":"hush-hush"`))
	r.create(r.conn("paused", "in/#", "out2", ""))
	r.ready("runs")
	require.NoError(t, r.Pause(t.Context(), "paused"))
	before := r.List()
	r.stopService()
	r.publish("in/a", "while down")

	r.start()
	r.ready("runs")
	after := r.List()
	require.Len(t, after, 2)
	assert.Equal(t, connector.Paused, after[0].State)
	for i := range after {
		assert.Equal(t, before[i].Name, after[i].Name)
		assert.True(t, before[i].CreateTime.Equal(after[i].CreateTime))
		assert.False(t, after[i].CreateTime.IsZero())
		assert.JSONEq(t, string(before[i].Config), string(after[i].Config))
		assert.NotContains(t, string(after[i].Config), "hush-hush")
	}
	assert.Len(t, r.records("out", 1), 1)
}

func TestPauseKeepsWhatArrivesMeanwhile(t *testing.T) {
	r := newRig(t)
	r.create(r.conn("c", "in/#", "out", ""))
	r.ready("c")
	require.NoError(t, r.Pause(t.Context(), "c"))
	require.NoError(t, r.Pause(t.Context(), "c"), "it may be paused twice")
	status, _, err := r.Detail("c")
	require.NoError(t, err)
	assert.Equal(t, connector.Paused, status.State)
	require.NoError(t, r.ConnectorsReady(), "a paused connector is not waited for")

	r.publish("in/a", "1", "2")
	require.NoError(t, r.Resume(t.Context(), "c"))
	r.ready("c")
	assert.Len(t, r.records("out", 2), 2)
}

func TestUnknownNamesAreRefused(t *testing.T) {
	r := newRig(t)
	_, err := r.Update(t.Context(), r.conn("c", "a", "t", ""), connector.UpdateOptions{})
	require.ErrorIs(t, err, connector.ErrNotFound)
	_, err = r.Delete(t.Context(), "c")
	require.ErrorIs(t, err, connector.ErrNotFound)
	require.ErrorIs(t, r.Pause(t.Context(), "c"), connector.ErrNotFound)
	require.ErrorIs(t, r.Resume(t.Context(), "c"), connector.ErrNotFound)
	_, _, err = r.Detail("c")
	require.ErrorIs(t, err, connector.ErrNotFound)
	r.create(r.conn("c", "a", "t", ""))
	_, err = r.Create(t.Context(), r.conn("c", "a", "t", ""), connector.CreateOptions{})
	require.ErrorIs(t, err, connector.ErrExists)
}

// For one connector Kafka is unavailable, with nothing listening on its port; another
// has a wrong password. The third is not affected.
func TestAWaitingConnectorDoesNotDelayOthers(t *testing.T) {
	r := newRig(t)
	r.create(r.parse("no kafka", "in/#", `{"bootstrap_servers":"127.0.0.1:1","topic":"t"}`, `{"strategy":"discard"}`))
	r.create(r.conn("no broker", "in/#", "t", `,"urls":["tcp://127.0.0.1:1"]`))
	r.create(r.conn("works", "in/#", "out", ""))
	r.ready("works")
	r.publish("in/a", "1")
	r.records("out", 1)

	r.until("no kafka", func(s connector.Status) bool {
		return s.State == connector.Waiting && strings.Contains(s.Reason, "waiting for Kafka since 2") && strings.Contains(s.Reason, "127.0.0.1:1")
	})
	r.until("no broker", func(s connector.Status) bool {
		return strings.Contains(s.Reason, "waiting for the MQTT broker since 2") && strings.Contains(s.Reason, "refused")
	})
	err := r.ConnectorsReady()
	require.ErrorContains(t, err, `"no kafka": waiting for Kafka`)
	require.ErrorContains(t, err, `"no broker": waiting for the MQTT broker`)
	assert.NotContains(t, err.Error(), `"works"`)
	_, f, err := r.Detail("no kafka")
	require.NoError(t, err)
	assert.Contains(t, f.LastError, "127.0.0.1:1")
	assert.False(t, f.LastErrorSince.IsZero())

	// Stopping them takes no longer than the drain timeout.
	began := time.Now()
	_, err = r.Delete(t.Context(), "no kafka")
	require.NoError(t, err)
	assert.Less(t, time.Since(began), 8*time.Second)
}

// There is nothing to drain, so the drain timeout does not matter.
func TestAStopDoesNotWaitForAKafkaThatHasNothingToGet(t *testing.T) {
	r := newRig(t, func(o *Options) { o.DrainTimeout = time.Minute })
	r.create(r.parse("no kafka", "in/#", `{"bootstrap_servers":"127.0.0.1:1","topic":"t"}`, `{"strategy":"discard"}`))
	r.until("no kafka", func(s connector.Status) bool { return strings.Contains(s.Reason, "waiting for Kafka") })
	began := time.Now()
	require.NoError(t, r.Pause(t.Context(), "no kafka"))
	assert.Less(t, time.Since(began), 10*time.Second)
}

func TestUpdateOfTheFilterUnsubscribesTheOldOne(t *testing.T) {
	r := newRig(t)
	r.create(r.conn("c", "old/#", "out", ""))
	r.ready("c")
	created := r.List()[0].CreateTime
	_, err := r.Update(t.Context(), r.conn("c", "new/#", "out", ""), connector.UpdateOptions{})
	require.NoError(t, err)
	r.ready("c")
	r.publish("old/a", "old")
	r.publish("new/a", "new")
	assert.Equal(t, "new/a", string(r.records("out", 1)[0].Key))
	status := r.List()[0]
	assert.Equal(t, "new/#", status.TopicID)
	assert.True(t, created.Equal(status.CreateTime))
	assert.True(t, status.UpdateTime.After(created))

	text, err := os.ReadFile(filepath.Join(r.dir, "connectors", "c.json"))
	require.NoError(t, err)
	assert.NotContains(t, string(text), "hand_over", "what was done is not done again")
}

func TestCreateChecksThePipelineThatWouldRun(t *testing.T) {
	r := newRig(t)
	for name, test := range map[string]struct{ filter, config, field string }{
		"filter":          {"a/#/b", `{"bootstrap_servers":"h:1","topic":"t"}`, "topic_name"},
		"servers":         {"a", `{"bootstrap_servers":"h:99999","topic":"t"}`, "config.bootstrap_servers"},
		"topic":           {"a", `{"bootstrap_servers":"h:1","topic":"a b"}`, "config.topic"},
		"qos":             {"a", `{"bootstrap_servers":"h:1","topic":"t","qos":3}`, "config.qos"},
		"a type":          {"a", `{"bootstrap_servers":"h:1","topic":"t","qos":"one"}`, "config.qos"},
		"url":             {"a", `{"bootstrap_servers":"h:1","topic":"t","urls":["http://h:1"]}`, "config.urls.0"},
		"a socket":        {"a", `{"bootstrap_servers":"h:1","topic":"t","urls":["unix:///run/docker.sock"]}`, "config.urls.0"},
		"MQTT's tls":      {"a", `{"bootstrap_servers":"h:1","topic":"t","urls":["ssl://h:1"],"mqtt_tls":{"enabled":true,"root_cas":"x","root_cas_file":"y"}}`, "config.mqtt_tls.root_cas_file"},
		"Kafka's tls":     {"a", `{"bootstrap_servers":"h:1","topic":"t","tls":{"root_cas":"x"}}`, "config.tls.enabled"},
		"a certificate":   {"a", `{"bootstrap_servers":"h:1","topic":"t","tls":{"enabled":true,"client_certs":[{"cert":"x","key":"hush-hush"}]}}`, "config.tls"},
		"sasl":            {"a", `{"bootstrap_servers":"h:1","topic":"t","sasl":[{"mechanism":"PLAIN"}]}`, "config.sasl.0.mechanism"},
		"an object":       {"a", `{"bootstrap_servers":"h:1","topic":"t","sasl":{"mechanism":"PLAIN"}}`, "config.sasl"},
		"a switch":        {"a", `{"bootstrap_servers":"h:1","topic":"t","tls":true}`, "config.tls"},
		"a list":          {"a", `{"bootstrap_servers":"h:1","topic":"t","client_id":["a"]}`, "config.client_id"},
		"the environment": {"a", `{"bootstrap_servers":"h:1","topic":"t","sasl":[{"mechanism":"AWS_MSK_IAM"}]}`, "config.sasl.0.aws.credentials"},
		"format":          {"a", `{"bootstrap_servers":"h:1","topic":"t","format":"xml"}`, "config.format"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := r.Create(t.Context(), r.parse("c", test.filter, test.config, `{"strategy":"block"}`), connector.CreateOptions{})
			var invalid *connector.InvalidError
			require.ErrorAs(t, err, &invalid)
			assert.Equal(t, test.field, invalid.Field, "%v", err)
			assert.NotContains(t, err.Error(), "hush-hush")
		})
	}
	assert.Empty(t, r.List())
}

func TestMetricsAreOneRegistryOfExistingConnectors(t *testing.T) {
	r := newRig(t)
	for _, name := range []string{"a", `quote"d`} {
		r.create(r.conn(name, "in/#", "out", ""))
		r.ready(name)
	}
	r.create(r.parse("waits", "in/#", `{"bootstrap_servers":"127.0.0.1:1","topic":"t"}`, `{"strategy":"discard"}`))
	r.publish("in/a", "1", "2")
	r.records("out", 4)
	scrape := func() string {
		answer := httptest.NewRecorder()
		r.Metrics().ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
		require.Equal(t, 200, answer.Code)
		return answer.Body.String()
	}
	require.Eventually(t, func() bool {
		return strings.Contains(scrape(), `mqtt_connector_messages_sent_success_total{connector_name="a",connector_type="kafka",tenant="default"} 2`)
	}, patience, 10*time.Millisecond)
	text := scrape()
	for _, line := range []string{
		`mqtt_connector_messages_sent_success_total{connector_name="quote\"d",connector_type="kafka",tenant="default"} 2`,
		`mqtt_connector_up{connector_name="a",connector_type="kafka",tenant="default"} 1`,
		`mqtt_connector_up{connector_name="waits",connector_type="kafka",tenant="default"} 0`,
		`mqtt_connector_messages_discarded_total{connector_name="waits",connector_type="kafka",strategy="discard",tenant="default"} 0`,
		`mqtt_connector_dlq_messages_total{connector_name="a",connector_type="kafka",result="success",tenant="default"} 0`,
		`mqtt_connector_send_duration_ms_bucket{connector_name="a",connector_type="kafka",tenant="default",le="+Inf"}`,
		`input_received{connector="a",`,
		`kafka_output_records_sent{connector="a",`,
		"go_goroutines ",
	} {
		assert.Contains(t, text, line)
	}

	_, err := r.Delete(t.Context(), "a")
	require.NoError(t, err)
	assert.NotContains(t, scrape(), `"a"`)
	assert.Contains(t, scrape(), `quote\"d`)
}

func TestCheckTriesBothEndsAndCreatesNothing(t *testing.T) {
	r := newRig(t)
	probe := func(c connector.Connector) (mqtt, kafka string) {
		probes, err := r.Check(t.Context(), c)
		require.NoError(t, err)
		require.Len(t, probes, 2)
		require.Equal(t, "mqtt", probes[0].End)
		require.Equal(t, "kafka", probes[1].End)
		return probes[0].Error, probes[1].Error
	}
	mqtt, kafka := probe(r.conn("c", "in/#", "out", ""))
	assert.Empty(t, mqtt)
	assert.Empty(t, kafka)
	mqtt, kafka = probe(r.parse("c", "in/#", `{"bootstrap_servers":"127.0.0.1:1","topic":"t","urls":["tcp://127.0.0.1:1"]}`, `{"strategy":"block"}`))
	assert.Contains(t, mqtt, "127.0.0.1:1")
	assert.Contains(t, kafka, "127.0.0.1:1")
	assert.Empty(t, r.List())

	// A running connector is not disconnected from the broker.
	r.create(r.conn("c", "in/#", "out", ""))
	r.ready("c")
	mqtt, kafka = probe(r.conn("c", "in/#", "out", ""))
	assert.Empty(t, mqtt+kafka)
	assert.NotContains(t, r.logs.String(), "Lost the connection")
}

// A message without the key that its connector requires becomes a dead letter, which
// names the connector.
func TestDeadLettersNameTheirConnector(t *testing.T) {
	r := newRig(t)
	r.create(r.parse("c", "in/#", fmt.Sprintf(`{"bootstrap_servers":%q,"topic":"out","key":"${! json(\"device\") }"}`, r.kafka.Addr()),
		`{"strategy":"dead_message_queue","topic_name":"letters","retry_total_times":1,"wait_time_ms":0}`))
	r.ready("c")
	r.publish("in/a", "no JSON", `{"device":"d"}`)
	assert.Equal(t, "d", string(r.records("out", 1)[0].Key))
	headers := map[string]string{}
	for _, h := range r.records("letters", 1)[0].Headers {
		headers[h.Key] = string(h.Value)
	}
	assert.Equal(t, "c", headers["__connect.errors.connector.name"])
	require.Eventually(t, func() bool {
		_, f, err := r.Detail("c")
		return err == nil && f.DeadLettered == 1 && f.Sent == 1
	}, patience, 10*time.Millisecond)
}

func TestTwoHundredConnectorsStart(t *testing.T) {
	const n = 200
	r := newRig(t)
	for i := range n {
		r.create(r.conn(fmt.Sprint("c", i), fmt.Sprintf("in/%d", i), "out", ""))
	}
	r.stopService()
	began := time.Now()
	r.start()
	require.Eventually(t, func() bool { return len(r.List()) == n && r.ConnectorsReady() == nil }, 60*time.Second, 20*time.Millisecond)
	t.Logf("%d connectors are ready after %s", n, time.Since(began))
	began = time.Now()
	r.stopService()
	t.Logf("and stop within %s", time.Since(began))
	// The bounds are wide: tests of other packages run at the same time.
	assert.Less(t, time.Since(began), 30*time.Second)
}

func TestNothingIsDoneAfterClose(t *testing.T) {
	r := newRig(t)
	r.create(r.conn("c", "in/#", "out", ""))
	require.NoError(t, r.Close())
	require.NoError(t, r.Close())
	_, err := r.Create(t.Context(), r.conn("d", "in/#", "out", ""), connector.CreateOptions{})
	require.ErrorIs(t, err, errClosed)
	_, err = r.Update(t.Context(), r.conn("c", "in/#", "out", ""), connector.UpdateOptions{})
	require.ErrorIs(t, err, errClosed)
	require.ErrorIs(t, r.Pause(t.Context(), "c"), errClosed)
}

func TestAnOperationWaitsForTheOneBeforeOrGivesUp(t *testing.T) {
	l := newLocks()
	unlock, err := l.lock(t.Context(), "a")
	require.NoError(t, err)
	other, err := l.lock(t.Context(), "b")
	require.NoError(t, err)
	other()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = l.lock(ctx, "a")
	require.ErrorIs(t, err, context.Canceled)

	var waited sync.WaitGroup
	for range 10 {
		waited.Go(func() {
			unlock, err := l.lock(t.Context(), "a")
			if assert.NoError(t, err) {
				unlock()
			}
		})
	}
	unlock()
	waited.Wait()
	assert.Empty(t, l.all)
}
