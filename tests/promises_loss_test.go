package tests

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestInputsOfOneClientIDDisconnectEachOther(t *testing.T) {
	t.Parallel()
	r := newPromiseRig(t, "t")
	pipeline := "input: { broker: { inputs: [ { mqtt: { $IN } }, { mqtt: { $IN } } ] } }\noutput: { kafka_franz: { $T, failure_strategy: block } }\n"
	r.warned(pipeline, "client_id")
	r.start(pipeline)
	// Each input reports it once, and again only when its connection has lasted.
	require.Eventually(t, func() bool { return strings.Count(r.logs.String(), "taken over") >= 2 }, exampleTimeout, 20*time.Millisecond)
}

func TestMemoryBufferLosesItsContents(t *testing.T) {
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

func TestCleanSessionLosesMessagesThatArriveWhileDisconnected(t *testing.T) {
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
	require.Eventually(t, func() bool { return !r.broker.Subscribed("a") }, exampleTimeout, 10*time.Millisecond)
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
	connected := r.broker.Connected()
	stop()
	// The broker learns of the end after the stream has ended.
	require.Eventually(t, func() bool { return r.broker.Connected() == connected-1 }, exampleTimeout, 10*time.Millisecond)
	r.publish("2")
	r.start(pipeline)
	require.Eventually(t, func() bool { r.publish("3"); return count(r.values("t"), "3") > 0 }, exampleTimeout, 50*time.Millisecond)
	require.Zero(t, count(r.values("t"), "2"))
}
