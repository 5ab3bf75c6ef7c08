package tests

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/robustmq/robustmq-connect/plugins/embedded"
	"github.com/robustmq/robustmq-connect/plugins/lint"
)

// The tests of this file run the pipelines that resources/docs/delivery.md says undo a promise, so
// that it stays true what it says of them.

// promiseRig is an MQTT broker and a Kafka with topics of one partition.
type promiseRig struct {
	t       *testing.T
	broker  *embedded.Broker
	kafka   *kfake.Cluster
	addr    string
	publish func(payloads ...string)
	logs    logBuffer // of the pipelines
}

// tooLarge is a payload that the Kafka outputs of these tests refuse.
var tooLarge = fmt.Sprintf("large%2000d", 0)

func newPromiseRig(t *testing.T, topics ...string) *promiseRig {
	t.Helper()
	broker, err := embedded.StartBroker("127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(broker.Close)
	kafka, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, topics...))
	require.NoError(t, err)
	t.Cleanup(kafka.Close)
	r := &promiseRig{t: t, broker: broker, kafka: kafka, addr: kafka.ListenAddrs()[0]}
	client := r.client("publisher", true)
	r.publish = func(payloads ...string) {
		for _, payload := range payloads {
			r.await(client.Publish("a", 1, false, payload))
		}
	}
	return r
}

func (r *promiseRig) client(id string, clean bool) paho.Client {
	client := paho.NewClient(paho.NewClientOptions().AddBroker(r.broker.URL()).SetClientID(id).SetCleanSession(clean).SetOrderMatters(true))
	r.await(client.Connect())
	r.t.Cleanup(func() { client.Disconnect(0) })
	return client
}

func (r *promiseRig) await(token paho.Token) {
	r.t.Helper()
	require.True(r.t, token.WaitTimeout(exampleTimeout), "the MQTT broker does not answer")
	require.NoError(r.t, token.Error())
}

// fill puts an MQTT input for $IN, and kafka_franz outputs to the topics t and u
// for $T and $U, of which the first refuses tooLarge.
func (r *promiseRig) fill(pipeline string) string {
	return strings.NewReplacer(
		"$URL", r.broker.URL(),
		"$IN", fmt.Sprintf("urls: [ %q ], topics: [ a ], client_id: bridge, clean_session: false", r.broker.URL()),
		"$T", fmt.Sprintf("seed_brokers: [ %q ], topic: t, max_message_bytes: 1KiB", r.addr),
		"$U", fmt.Sprintf("seed_brokers: [ %q ], topic: u", r.addr),
	).Replace(pipeline)
}

// warned lints a pipeline and requires that it is right but for one warning, of
// a field.
func (r *promiseRig) warned(pipeline, field string) {
	r.t.Helper()
	findings := r.lint(pipeline)
	require.Len(r.t, findings, 1, "%v", findings)
	require.True(r.t, findings[0].Warning)
	require.Equal(r.t, field, findings[0].Field, "%v", findings)
}

func (r *promiseRig) lint(pipeline string) []lint.Finding {
	r.t.Helper()
	linter, err := promiseLinter()
	require.NoError(r.t, err)
	return linter.YAML(r.fill(pipeline), false)
}

var promiseLinter = sync.OnceValues(func() (*lint.Linter, error) {
	env, err := exampleEnvironment()
	if err != nil {
		return nil, err
	}
	standIns, err := lint.StandIns(env)
	if err != nil {
		return nil, err
	}
	return lint.New(standIns, standIns.FullConfigSchema("", ""), lint.Options{Warnings: true}), nil
})

// start runs a pipeline until stop is called, which does not wait for what is in
// flight.
func (r *promiseRig) start(pipeline string) (stop func()) {
	r.t.Helper()
	env, err := exampleEnvironment()
	require.NoError(r.t, err)
	builder := env.NewStreamBuilder()
	builder.SetSchema(exampleSchema(env))
	require.NoError(r.t, builder.SetYAML(r.fill(pipeline)))
	builder.SetLogger(slog.New(slog.NewTextHandler(&r.logs, nil)))
	stream, err := builder.Build()
	require.NoError(r.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- stream.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		ctx, done := context.WithCancel(context.Background())
		done()
		_ = stream.Stop(ctx)
		cancel()
		<-ended
	})
	r.t.Cleanup(stop)
	waiting, done := context.WithTimeout(r.t.Context(), exampleTimeout)
	defer done()
	require.NoError(r.t, r.broker.WaitSubscribed(waiting, "a"))
	return stop
}

// never watches for a while. It looks from the goroutine of the test: testify's
// Never leaves its last look running, which fails once the test is over.
func (r *promiseRig) never(happens func() bool, while time.Duration) {
	r.t.Helper()
	for end := time.Now().Add(while); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		require.False(r.t, happens())
	}
}

// values are those that a Kafka topic holds now, as far as they can be read.
func (r *promiseRig) values(topic string) []string {
	client, err := kgo.NewClient(kgo.SeedBrokers(r.addr), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(50*time.Millisecond))
	if err != nil {
		return nil
	}
	defer client.Close()
	ctx, done := context.WithTimeout(context.Background(), exampleTimeout)
	defer done()
	var all []string
	for ctx.Err() == nil && int64(len(all)) < r.kafka.PartitionInfo(topic, 0).HighWatermark {
		client.PollFetches(ctx).EachRecord(func(record *kgo.Record) { all = append(all, name(string(record.Value))) })
	}
	return all
}

// eventually waits until a topic holds these values.
func (r *promiseRig) eventually(topic string, want ...string) {
	r.t.Helper()
	require.Eventually(r.t, func() bool { return slices.Equal(want, r.values(topic)) }, exampleTimeout, 20*time.Millisecond, "%s", &found{r, topic})
}

func name(value string) string {
	if value == tooLarge {
		return "large"
	}
	return value
}

// kept are the messages that the broker still has for the pipeline's client,
// since it never got their acknowledgement.
func (r *promiseRig) kept() []string {
	r.t.Helper()
	var mu sync.Mutex
	var all []string
	end := make(chan struct{})
	options := paho.NewClientOptions().AddBroker(r.broker.URL()).SetClientID("bridge").SetCleanSession(false).SetOrderMatters(true)
	options.SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) {
		mu.Lock()
		defer mu.Unlock()
		if string(m.Payload()) == "end" {
			close(end)
			return
		}
		all = append(all, name(string(m.Payload())))
	})
	client := paho.NewClient(options)
	r.await(client.Connect())
	defer client.Disconnect(0)
	r.await(client.Subscribe("a", 1, nil))
	r.publish("end")
	select {
	case <-end:
	case <-time.After(exampleTimeout):
		require.Fail(r.t, "the end does not come")
	}
	mu.Lock()
	defer mu.Unlock()
	return all
}

// acknowledged waits until the broker has no message on the way to the pipeline.
func (r *promiseRig) acknowledged() {
	r.t.Helper()
	require.Eventually(r.t, func() bool { return r.broker.InFlight() == 0 }, exampleTimeout, 10*time.Millisecond)
}

// publishAtOnce publishes without waiting for each message.
func (r *promiseRig) publishAtOnce(payloads ...string) {
	r.t.Helper()
	client := r.client("at-once", true)
	var last paho.Token
	for _, payload := range payloads {
		last = client.Publish("a", 1, false, payload)
	}
	r.await(last)
}

func count(values []string, value string) (n int) {
	for _, v := range values {
		if v == value {
			n++
		}
	}
	return n
}

// repeats waits until a topic holds a value n times.
func (r *promiseRig) repeats(topic, value string, n int) {
	r.t.Helper()
	require.Eventually(r.t, func() bool { return count(r.values(topic), value) >= n }, exampleTimeout, 20*time.Millisecond)
}

func TestFallbackBehindAFailureStrategyGetsNothing(t *testing.T) {
	t.Parallel()
	for _, strategy := range []string{"discard", "{ strategy: dead_message_queue, topic_name: dead }"} {
		r := newPromiseRig(t, "t", "u", "dead")
		pipeline := "input: { mqtt: { $IN } }\noutput:\n  fallback:\n    - kafka_franz: { $T, failure_strategy: " + strategy + " }\n    - kafka_franz: { $U, failure_strategy: block }\n"
		r.warned(pipeline, "failure_strategy")
		r.start(pipeline)
		r.publish("1", tooLarge, "2")
		r.eventually("t", "1", "2")
		require.Empty(t, r.values("u"), strategy)
	}
	t.Run("block", func(t *testing.T) {
		r := newPromiseRig(t, "t", "u")
		pipeline := "input: { mqtt: { $IN } }\noutput:\n  fallback:\n    - kafka_franz: { $T, failure_strategy: block }\n    - kafka_franz: { $U, failure_strategy: block }\n"
		r.warned(pipeline, "failure_strategy")
		stop := r.start(pipeline)
		r.publish("1", tooLarge, "2")
		r.eventually("t", "1")
		r.never(func() bool { return len(r.values("u")) > 0 }, 500*time.Millisecond)
		stop()
		require.Subset(t, r.kept(), []string{"2", "large"})
	})
}

func TestFallbackBehindNoFailureStrategyGetsWhatKafkaRefusesAndNothingElse(t *testing.T) {
	t.Parallel()
	r := newPromiseRig(t, "t", "u")
	pipeline := "input: { mqtt: { $IN, max_batch_messages: 1 } }\noutput:\n  fallback:\n    - kafka_franz: { $T }\n    - kafka_franz: { $U, failure_strategy: block }\n"
	require.Empty(t, r.lint(pipeline))
	r.start(pipeline)
	r.publish("1", tooLarge, "2")
	r.eventually("t", "1", "2")
	r.eventually("u", "large")
}

func TestFallbackDoesNotGoOnWhileKafkaIsAway(t *testing.T) {
	t.Parallel()
	r := newPromiseRig(t, "t")
	pipeline := "input: { mqtt: { $IN } }\noutput:\n  fallback:\n    - kafka_franz: { $T }\n    - drop: {}\n"
	require.Empty(t, r.lint(pipeline))
	r.kafka.Close()
	stop := r.start(pipeline)
	r.publish("1")
	r.never(func() bool { return r.broker.Sent() > 0 && r.broker.InFlight() == 0 }, time.Second)
	stop()
	require.Equal(t, []string{"1"}, r.kept())
}

func TestInputsOfOneClientIDDisconnectEachOther(t *testing.T) {
	t.Parallel()
	r := newPromiseRig(t, "t")
	pipeline := "input: { broker: { inputs: [ { mqtt: { $IN } }, { mqtt: { $IN } } ] } }\noutput: { kafka_franz: { $T, failure_strategy: block } }\n"
	r.warned(pipeline, "client_id")
	r.start(pipeline)
	// Each says so once, and again only when its connection has lasted.
	require.Eventually(t, func() bool { return strings.Count(r.logs.String(), "taken over") >= 2 }, exampleTimeout, 20*time.Millisecond)
}

func TestFanOutHoldsEveryOutputAndRepeatsAfterARestart(t *testing.T) {
	t.Parallel()
	r := newPromiseRig(t, "t", "u")
	pipeline := "input: { mqtt: { $IN, max_batch_messages: 1 } }\noutput:\n  broker:\n    pattern: fan_out\n    outputs:\n      - kafka_franz: { $T, failure_strategy: block }\n      - kafka_franz: { $U, failure_strategy: block }\n"
	require.Empty(t, r.lint(pipeline))
	stop := r.start(pipeline)
	r.publish("1", tooLarge, "2", "3", "4", "5", "6", "7", "8")
	r.repeats("u", "large", 1)
	r.never(func() bool { return count(r.values("u"), "8") > 0 }, 500*time.Millisecond)
	require.Equal(t, []string{"1"}, r.values("t"))
	stop()
	r.start(strings.ReplaceAll(r.fill(pipeline), "max_message_bytes: 1KiB", "max_message_bytes: 1MiB"))
	r.repeats("t", "8", 1)
	r.repeats("u", "large", 2)
}

func TestFanOutWithoutFailureStrategyIsHeldUpByOneMessage(t *testing.T) {
	t.Parallel()
	r := newPromiseRig(t, "t", "u")
	pipeline := "input: { mqtt: { $IN, max_batch_messages: 1 } }\noutput:\n  broker:\n    outputs:\n      - kafka_franz: { $T }\n      - kafka_franz: { $U, failure_strategy: block }\n"
	r.warned(pipeline, "failure_strategy")
	r.start(pipeline)
	r.publish("1", tooLarge, "2", "3", "4", "5", "6", "7", "8")
	r.repeats("u", "large", 1)
	r.never(func() bool { return count(r.values("u"), "8") > 0 }, 500*time.Millisecond)
}

func TestFanOutFailFastRepeatsInTheOutputThatWorks(t *testing.T) {
	t.Parallel()
	r := newPromiseRig(t, "t", "u")
	pipeline := "input: { mqtt: { $IN } }\noutput:\n  broker:\n    pattern: fan_out_fail_fast\n    outputs:\n      - kafka_franz: { $T }\n      - kafka_franz: { $U, failure_strategy: block }\n"
	r.warned(pipeline, "pattern")
	r.start(pipeline)
	r.publish("1", tooLarge, "2")
	r.repeats("u", "large", 4)
}

func TestRoundRobinLetsMessagesOvertake(t *testing.T) {
	t.Parallel()
	r := newPromiseRig(t, "t", "u")
	pipeline := "input: { mqtt: { $IN, max_batch_messages: 1 } }\noutput:\n  broker:\n    pattern: round_robin\n    outputs:\n      - kafka_franz: { $T, failure_strategy: block }\n      - kafka_franz: { $T, failure_strategy: block }\n"
	r.warned(pipeline, "pattern")
	r.start(pipeline)
	r.publish(tooLarge, "2")
	r.eventually("t", "2")
}

func TestBatchingWithoutFailureStrategyRepeatsTheNeighbours(t *testing.T) {
	t.Parallel()
	// One by one from the child: a batch of the child is repeated as a whole.
	nine := "input: { batched: { child: { mqtt: { $IN, max_batch_messages: 1 } }, policy: { count: 9 } } }\n"
	messages := []string{"1", tooLarge, "2", "3", "4", "5", "6", "7", "8"}
	t.Run("without", func(t *testing.T) {
		r := newPromiseRig(t, "t")
		pipeline := nine + "output: { kafka_franz: { $T, batching: { count: 3 } } }\n"
		r.warned(pipeline, "batching")
		r.start(pipeline)
		r.publish(messages...)
		r.repeats("t", "1", 4)
	})
	for name, output := range map[string]string{
		"with a strategy": "output: { kafka_franz: { $T, batching: { count: 3 }, failure_strategy: discard } }\n",
		"no batching":     "output: { kafka_franz: { $T } }\n",
	} {
		t.Run(name, func(t *testing.T) {
			r := newPromiseRig(t, "t")
			require.Empty(t, r.lint(nine+output))
			r.start(nine + output)
			r.publish(messages...)
			r.eventually("t", "1", "2", "3", "4", "5", "6", "7", "8")
			r.never(func() bool { return len(r.values("t")) > 8 }, 300*time.Millisecond)
		})
	}
}

func TestThreadsLetMessagesOvertake(t *testing.T) {
	t.Parallel()
	r := newPromiseRig(t, "t")
	pipeline := "input: { mqtt: { $IN, max_batch_messages: 1 } }\npipeline:\n  threads: 4\n  processors:\n    - sleep: { duration: '${! if content() == \"1\" { \"1s\" } else { \"0s\" } }' }\noutput: { kafka_franz: { $T, failure_strategy: block } }\n"
	r.warned(pipeline, "pipeline.threads")
	r.start(pipeline)
	r.publish("1", "2")
	r.eventually("t", "2", "1")
}

func TestMaxInFlightLetsBatchesOvertake(t *testing.T) {
	t.Parallel()
	var messages []string
	for i := range 500 {
		messages = append(messages, fmt.Sprintf("%03d", i))
	}
	for inFlight, want := range map[int]bool{1: true, 16: false} {
		r := newPromiseRig(t, "t")
		pipeline := fmt.Sprintf("input: { mqtt: { $IN, max_batch_messages: 1 } }\noutput: { kafka_franz: { $T, max_in_flight: %d } }\n", inFlight)
		if want {
			require.Empty(t, r.lint(pipeline))
		} else {
			r.warned(pipeline, "max_in_flight")
		}
		r.start(pipeline)
		r.publishAtOnce(messages...)
		var values []string
		require.Eventually(t, func() bool { values = r.values("t"); return len(values) >= 500 }, exampleTimeout, 20*time.Millisecond)
		require.Equal(t, want, slices.IsSorted(values), "with %d batches in flight", inFlight)
	}
}

func TestMemoryBufferLosesWhatItHolds(t *testing.T) {
	t.Parallel()
	r := newPromiseRig(t, "t")
	pipeline := "input: { mqtt: { $IN } }\nbuffer: { memory: {} }\noutput: { kafka_franz: { $T, failure_strategy: block } }\n"
	r.warned(pipeline, "")
	stop := r.start(pipeline)
	r.publish("1", tooLarge, "2")
	r.eventually("t", "1")
	r.acknowledged()
	stop()
	require.Empty(t, r.kept())
	require.Equal(t, []string{"1"}, r.values("t"))
}

func TestSwitchDropsWhatNoCaseTakes(t *testing.T) {
	t.Parallel()
	r := newPromiseRig(t, "t", "u")
	pipeline := "input: { mqtt: { $IN } }\noutput:\n  switch:\n    cases:\n      - { check: content() == \"1\", output: { kafka_franz: { $T, failure_strategy: block } } }\n      - { check: content() == \"2\", output: { kafka_franz: { $U, failure_strategy: block } } }\n"
	r.warned(pipeline, "cases")
	require.Empty(t, r.lint(strings.Replace(pipeline, "cases:", "strict_mode: true\n    cases:", 1)))
	require.Empty(t, r.lint(strings.Replace(pipeline, "check: content() == \"2\", ", "", 1)))
	stop := r.start(pipeline)
	r.publish("3", "1", "2")
	r.eventually("t", "1")
	r.eventually("u", "2")
	r.acknowledged()
	stop()
	require.Empty(t, r.kept())
}

func TestDedupeDropsWhatKafkaRefused(t *testing.T) {
	t.Parallel()
	r := newPromiseRig(t, "t")
	pipeline := "cache_resources: [ { label: seen, memory: {} } ]\ninput: { mqtt: { $IN } }\npipeline: { processors: [ { dedupe: { cache: seen, key: '${! content() }' } } ] }\noutput: { kafka_franz: { $T } }\n"
	r.warned(pipeline, "")
	require.Empty(t, r.lint(strings.Replace(pipeline, "$T", "$T, failure_strategy: block", 1)))
	stop := r.start(pipeline)
	r.publish("1", tooLarge, "2")
	r.eventually("t", "1", "2")
	r.acknowledged()
	stop()
	require.Empty(t, r.kept())
}

func TestDedupeWithACacheThatOutlivesTheProcessLosesMessages(t *testing.T) {
	t.Parallel()
	r := newPromiseRig(t, "t")
	pipeline := "cache_resources: [ { label: seen, file: { directory: " + t.TempDir() + " } } ]\ninput: { mqtt: { $IN } }\npipeline: { processors: [ { dedupe: { cache: seen, key: '${! content().length() }' } } ] }\noutput: { kafka_franz: { $T, failure_strategy: block } }\n"
	r.warned(pipeline, "cache")
	stop := r.start(pipeline)
	r.publish("1", tooLarge)
	r.eventually("t", "1")
	require.Eventually(t, func() bool { return r.broker.Sent() >= 2 }, exampleTimeout, 10*time.Millisecond)
	r.never(func() bool { return len(r.values("t")) > 1 }, 300*time.Millisecond)
	stop()
	stop = r.start(strings.ReplaceAll(r.fill(pipeline), "max_message_bytes: 1KiB", "max_message_bytes: 1MiB"))
	r.publish("22")
	r.eventually("t", "1", "22")
	r.publish("333")
	r.eventually("t", "1", "22", "333")
	stop()
	require.NotContains(t, r.kept(), "large")
}

func TestCleanSessionLosesWhatArrivesMeanwhile(t *testing.T) {
	t.Parallel()
	r := newPromiseRig(t, "t")
	pipeline := "input: { mqtt: { urls: [ $URL ], topics: [ a ], client_id: bridge } }\noutput: { kafka_franz: { $T, failure_strategy: block } }\n"
	r.warned(pipeline, "clean_session")
	r.warned(strings.Replace(pipeline, "bridge", "bridge, clean_session: true", 1), "clean_session")
	require.Empty(t, r.lint(strings.Replace(pipeline, "bridge", "bridge, clean_session: false", 1)))
	stop := r.start(pipeline)
	r.publish("1")
	r.eventually("t", "1")
	stop()
	require.Eventually(t, func() bool {
		ctx, done := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer done()
		return r.broker.WaitSubscribed(ctx, "a") != nil
	}, exampleTimeout, 10*time.Millisecond)
	r.publish("2")
	r.start(pipeline)
	r.publish("3")
	r.eventually("t", "1", "3")
}

func TestSessionWithoutAClientIDIsNotFoundAgain(t *testing.T) {
	t.Parallel()
	r := newPromiseRig(t, "t")
	pipeline := "input: { mqtt: { urls: [ $URL ], topics: [ a ], clean_session: false } }\noutput: { kafka_franz: { $T, failure_strategy: block } }\n"
	r.warned(pipeline, "client_id")
	stop := r.start(pipeline)
	r.publish("1")
	r.eventually("t", "1")
	stop()
	r.publish("2")
	r.start(pipeline)
	require.Eventually(t, func() bool { r.publish("3"); return count(r.values("t"), "3") > 0 }, exampleTimeout, 50*time.Millisecond)
	require.Zero(t, count(r.values("t"), "2"))
}

func TestNacksThatAreNotReplayedRepeatWhatIsBehindThem(t *testing.T) {
	t.Parallel()
	r := newPromiseRig(t, "t")
	pipeline := "input: { mqtt: { $IN, auto_replay_nacks: false } }\noutput: { kafka_franz: { $T } }\n"
	r.warned(pipeline, "auto_replay_nacks")
	require.Empty(t, r.lint(strings.Replace(pipeline, "$T", "$T, failure_strategy: block", 1)))
	r.start(pipeline)
	// The embedded broker delivers again in random order: what comes before the
	// message that Kafka refuses is acknowledged.
	messages := []string{tooLarge}
	for n := range 40 {
		messages = append(messages, strconv.Itoa(n))
	}
	r.publish(messages...)
	require.Eventually(t, func() bool {
		values := r.values("t")
		return slices.ContainsFunc(messages, func(m string) bool { return count(values, m) >= 3 })
	}, exampleTimeout, 20*time.Millisecond)
}

func TestGroupByChangesTheOrder(t *testing.T) {
	t.Parallel()
	r := newPromiseRig(t, "t")
	pipeline := "input: { batched: { child: { mqtt: { $IN } }, policy: { count: 4 } } }\npipeline: { processors: [ { group_by_value: { value: '${! content().number() % 2 }' } } ] }\noutput: { kafka_franz: { $T, failure_strategy: block } }\n"
	r.warned(pipeline, "")
	require.Empty(t, r.lint(strings.Replace(pipeline, "content().number() % 2", "@mqtt_topic", 1)))
	r.start(pipeline)
	r.publish("1", "2", "3", "4")
	r.eventually("t", "1", "3", "2", "4")
}

// split is no danger, and so has no warning.
func TestSplitKeepsTheOrder(t *testing.T) {
	t.Parallel()
	r := newPromiseRig(t, "t")
	pipeline := "input: { batched: { child: { mqtt: { $IN } }, policy: { count: 6 } } }\npipeline: { processors: [ { split: { size: 2 } } ] }\noutput: { kafka_franz: { $T, failure_strategy: discard } }\n"
	require.Empty(t, r.lint(pipeline))
	stop := r.start(pipeline)
	r.publish("1", "2", "3", tooLarge, "4", "5")
	r.eventually("t", "1", "2", "3", "4", "5")
	r.acknowledged()
	stop()
	require.Empty(t, r.kept())
}

// found tells what a topic holds once a message is printed.
type found struct {
	rig   *promiseRig
	topic string
}

func (f *found) String() string {
	return fmt.Sprintf("topic %s holds %q", f.topic, f.rig.values(f.topic))
}
