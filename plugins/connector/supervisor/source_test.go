package supervisor

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/kafka"
)

// source returns a connector of type kafka_source; more are further settings, starting
// with a comma.
func (r *rig) source(name, publishTo, more, strategy string) connector.Connector {
	r.t.Helper()
	c, err := connector.Parse(fmt.Appendf(nil,
		`{"connector_name":%q,"connector_type":"kafka_source","tenant":"default","topic_name":%q,"config":{"bootstrap_servers":%q,"format":"raw"%s},"failure_strategy":%s}`,
		name, publishTo, r.kafka.Addr(), more, strategy))
	require.NoError(r.t, err)
	return c
}

// produce writes records with the MQTT topic a/b in their headers.
func (r *rig) produce(topic string, values ...string) {
	r.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(r.kafka.Addr()))
	require.NoError(r.t, err)
	defer client.Close()
	for _, value := range values {
		record := &kgo.Record{Topic: topic, Value: []byte(value), Headers: []kgo.RecordHeader{{Key: "mqtt_topic", Value: []byte("a/b")}}}
		require.NoError(r.t, client.ProduceSync(r.t.Context(), record).FirstErr())
	}
}

func (r *rig) createTopic(topic string) { r.createPartitions(topic, 1) }

func (r *rig) createPartitions(topic string, n int32) {
	r.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(r.kafka.Addr()))
	require.NoError(r.t, err)
	defer client.Close()
	_, err = kadm.NewClient(client).CreateTopic(r.t.Context(), n, 1, nil, topic)
	require.NoError(r.t, err)
}

// arrivals are the payloads that a subscriber has got.
type arrivals struct {
	mu  sync.Mutex
	all []string
}

func (a *arrivals) add(payload string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all = append(a.all, payload)
}

func (a *arrivals) got() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.all)
}

// subscribe returns what arrives from now on.
func (r *rig) subscribe(filter string) *arrivals {
	r.t.Helper()
	var a arrivals
	c := r.client("subscriber-"+filter, true, a.add)
	r.t.Cleanup(func() { c.Disconnect(50) })
	token := c.Subscribe(filter, 1, nil)
	require.True(r.t, token.WaitTimeout(patience))
	require.NoError(r.t, token.Error())
	return &a
}

func (r *rig) arrive(a *arrivals, want ...string) {
	r.t.Helper()
	require.Eventually(r.t, func() bool { return len(a.got()) >= len(want) }, 3*patience, 10*time.Millisecond, "%s", r.logs)
	require.Equal(r.t, want, a.got())
}

func TestASourcePublishesTheRecordsOfATopic(t *testing.T) {
	r := newRig(t)
	r.createTopic("in")
	got := r.subscribe("a/#")
	r.create(r.source("back", "", `,"topic":"in"`, `{"strategy":"block"}`))
	r.ready("back")
	r.produce("in", "1", "2", "3")
	r.arrive(got, "1", "2", "3")
	var last connector.Figures
	require.Eventually(t, func() bool {
		status, figures, err := r.Detail("back")
		last = figures
		return err == nil && status.Type == connector.TypeKafkaSource && status.TopicID == connector.PublishTopic && figures.Sent == 3 && !figures.LastSend.IsZero() &&
			slices.Equal(figures.Lag, []connector.Lag{{Topic: "in", Partition: 0, Records: 0}})
	}, patience, 10*time.Millisecond, "%+v %s", &last, r.logs)

	// What comes while it is paused, and while the service is down, is published later.
	require.NoError(t, r.Pause(t.Context(), "back"))
	r.produce("in", "4")
	require.NoError(t, r.Resume(t.Context(), "back"))
	r.arrive(got, "1", "2", "3", "4")
	r.stopService()
	r.produce("in", "5")
	r.start()
	r.arrive(got, "1", "2", "3", "4", "5")
}

func TestASourceTellsWhatItWaitsFor(t *testing.T) {
	r := newRig(t)
	r.create(r.source("back", "out/${! @mqtt_topic }", `,"topic":"later"`, `{"strategy":"block"}`))
	r.until("back", func(s connector.Status) bool {
		return s.State == connector.Waiting && slices.ContainsFunc(s.Waits, func(w connector.Wait) bool {
			return w.For == connector.NeedKafka && assert.ObjectsAreEqual(`topic "later": the topic does not exist: create it, or correct topics`, w.Why)
		})
	})
	got := r.subscribe("out/#")
	r.createTopic("later")
	r.ready("back")
	r.produce("later", "1")
	r.arrive(got, "1")
	r.broker.Close()
	r.produce("later", "2") // which is when the loss is noticed
	r.until("back", func(s connector.Status) bool {
		return slices.ContainsFunc(s.Waits, func(w connector.Wait) bool { return w.For == connector.NeedBroker })
	})
}

func TestASourceIsRefusedAsOthersAre(t *testing.T) {
	r := newRig(t)
	r.createTopic("in")
	r.create(r.source("back", "", `,"topic":"in","client_id":"bridge"`, `{"strategy":"block"}`))
	r.create(r.conn("there", "x/#", "out", ""))
	for want, err := range map[string]error{
		`"bridge" is that of connector "back"`:                 second(r.Create(t.Context(), r.source("other", "", `,"topic":"in","client_id":"bridge"`, `{"strategy":"block"}`), connector.CreateOptions{})),
		`connector_type: a connector keeps its type`:           second(r.Update(t.Context(), r.conn("back", "x/#", "out", ""), connector.UpdateOptions{})),
		`config.topic: is empty; give the Kafka topic to read`: second(r.Validate(r.source("c", "", "", `{"strategy":"block"}`))),
		`topic_name: "a/#" has a wildcard`:                     second(r.Validate(r.source("c", "a/#", `,"topic":"in"`, `{"strategy":"block"}`))),
		`config.qos: 3 is out of range`:                        second(r.Validate(r.source("c", "", `,"topic":"in","qos":3`, `{"strategy":"block"}`))),
		`config.group_id: is empty`:                            second(r.Validate(r.source("c", "", `,"topic":"in","group_id":""`, `{"strategy":"block"}`))),
		`topic_name: the method from_yaml`:                     nil,
		`config.sasl.0.mechanism: SCRAM-SHA-256 needs`:         second(r.Validate(r.source("c", "", `,"topic":"in","sasl":[{"mechanism":"SCRAM-SHA-256","username":"a"}]`, `{"strategy":"block"}`))),
		`files are read only from the service's --secrets-dir`: second(r.Validate(r.source("c", "", `,"topic":"in","tls":{"enabled":true,"root_cas_file":"/etc/hosts"}`, `{"strategy":"block"}`))),
		`only the service's own --mqtt-url may be one`:         second(r.Validate(r.source("c", "", `,"topic":"in","urls":["unix:///tmp/s"]`, `{"strategy":"block"}`))),
	} {
		if want == `topic_name: the method from_yaml` {
			_, err = r.Validate(r.source("c", `${! file("/etc/hosts") }`, `,"topic":"in"`, `{"strategy":"block"}`))
			want = "topic_name: "
		}
		require.ErrorContains(t, err, want)
	}
	_, _, err := r.Preview(t.Context(), r.source("c", "", `,"topic":"in"`, `{"strategy":"block"}`), connector.SampleMessage{Topic: "a"})
	require.ErrorContains(t, err, "connector_type: a kafka_source has no preview")
	_, err = r.DeadLetters(t.Context(), "back", kafka.LetterQuery{})
	require.ErrorContains(t, err, "it is a kafka_source, whose dead letters are MQTT messages")
	plan, err := r.Plan(t.Context(), r.source("back", "", `,"topic":"other","client_id":"bridge"`, `{"strategy":"block"}`))
	require.NoError(t, err)
	require.Len(t, plan.Changes, 1)
	assert.Equal(t, "config.topic", plan.Changes[0].Field)
	require.Len(t, r.List(), 2)
}

func second[T any](_ T, err error) error { return err }

func TestACheckOfASourceTriesBothEnds(t *testing.T) {
	r := newRig(t)
	r.createTopic("in")
	probes, err := r.Check(t.Context(), r.source("c", "", `,"topic":"in"`, `{"strategy":"block"}`))
	require.NoError(t, err)
	require.Equal(t, []connector.Probe{{End: "kafka"}, {End: "mqtt"}}, probes)
	probes, err = r.Check(t.Context(), r.source("c", "", `,"topic":"missing","urls":["tcp://127.0.0.1:1"]`, `{"strategy":"block"}`))
	require.NoError(t, err)
	assert.Contains(t, probes[0].Error, `topic "missing": the topic does not exist`)
	assert.NotEmpty(t, probes[1].Error)
}
