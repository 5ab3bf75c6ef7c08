package tests

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestRoundRobinLetsMessagesOvertake(t *testing.T) {
	t.Parallel()
	r := newPromiseRig(t, "t", "u")
	pipeline := "input: { mqtt: { $IN, max_batch_messages: 1 } }\noutput:\n  broker:\n    pattern: round_robin\n    outputs:\n      - kafka_franz: { $T, failure_strategy: block }\n      - kafka_franz: { $T, failure_strategy: block }\n"
	r.warned(pipeline, "pattern")
	r.start(pipeline)
	r.publish(tooLarge, "2")
	r.eventually("t", "2")
}

func TestBatchingWithoutFailureStrategyRepeatsTheBatch(t *testing.T) {
	t.Parallel()
	// The child sends single messages, because a batch of the child is repeated as a
	// whole.
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
	for inFlight, ordered := range map[int]bool{1: true, 16: false} {
		r := newPromiseRig(t, "t")
		pipeline := fmt.Sprintf("input: { mqtt: { $IN, max_batch_messages: 1 } }\noutput: { kafka_franz: { $T, max_in_flight: %d } }\n", inFlight)
		if ordered {
			require.Empty(t, r.lint(pipeline))
		} else {
			r.warned(pipeline, "max_in_flight")
		}
		r.start(pipeline)
		// Batches overtake each other by chance.
		for sent, round := 0, 1; ; round++ {
			var messages []string
			for range 500 {
				messages = append(messages, fmt.Sprintf("%06d", sent))
				sent++
			}
			r.publishAtOnce(messages...)
			var values []string
			require.Eventually(t, func() bool { values = r.values("t"); return len(values) >= sent }, exampleTimeout, 20*time.Millisecond)
			if slices.IsSorted(values) == ordered {
				break
			}
			require.False(t, ordered, "with %d batch in flight", inFlight)
			require.Less(t, round, 50, "with %d batches in flight", inFlight)
		}
	}
}

func TestNacksThatAreNotReplayedRepeatLaterMessages(t *testing.T) {
	t.Parallel()
	r := newPromiseRig(t, "t")
	pipeline := "input: { mqtt: { $IN, auto_replay_nacks: false } }\noutput: { kafka_franz: { $T } }\n"
	r.warned(pipeline, "auto_replay_nacks")
	require.Empty(t, r.lint(strings.Replace(pipeline, "$T", "$T, failure_strategy: block", 1)))
	r.start(pipeline)
	// The embedded broker redelivers in random order, and what comes before all that Kafka
	// refuses is acknowledged: with one such message, it would be everything in one run of 40.
	messages := slices.Repeat([]string{tooLarge}, 5)
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

// split does not endanger the order, so it has no warning.
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
