package tests

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestFallbackAfterAFailureStrategyGetsNothing(t *testing.T) {
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

func TestFallbackWithoutFailureStrategyGetsOnlyWhatKafkaRefuses(t *testing.T) {
	t.Parallel()
	r := newPromiseRig(t, "t", "u")
	pipeline := "input: { mqtt: { $IN, max_batch_messages: 1 } }\noutput:\n  fallback:\n    - kafka_franz: { $T }\n    - kafka_franz: { $U, failure_strategy: block }\n"
	require.Empty(t, r.lint(pipeline))
	r.start(pipeline)
	r.publish("1", tooLarge, "2")
	r.eventually("t", "1", "2")
	r.eventually("u", "large")
}

func TestFallbackWaitsWhileKafkaIsUnavailable(t *testing.T) {
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

func TestSwitchDropsMessagesThatMatchNoCase(t *testing.T) {
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
