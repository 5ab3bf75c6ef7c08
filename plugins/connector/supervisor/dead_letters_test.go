package supervisor

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/kafka"
)

// limit sets the largest record batch that a topic takes.
func (r *rig) limit(topic, bytes string) {
	r.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(r.kafka.Addr()))
	require.NoError(r.t, err)
	defer client.Close()
	admin := kadm.NewClient(client)
	if _, err = admin.CreateTopic(r.t.Context(), 1, 1, nil, topic); err != nil {
		require.ErrorIs(r.t, err, kerr.TopicAlreadyExists)
	}
	_, err = admin.AlterTopicConfigs(r.t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "max.message.bytes", Value: &bytes}}, topic)
	require.NoError(r.t, err)
}

// deadLettering returns a connector that dead-letters records that Kafka refuses, to
// the topic shared by default.
func (r *rig) deadLettering(name, filter string) connector.Connector {
	r.t.Helper()
	return r.parse(name, filter, fmt.Sprintf(`{"bootstrap_servers":%q,"topic":"t","key":"${! @mqtt_topic }"}`, r.kafka.Addr()),
		`{"strategy":"dead_message_queue","retry_total_times":1,"wait_time_ms":1}`)
}

// Of two connectors that share a dead letter topic, each sees only its own dead
// letters, for any name and while it is paused, and replays them once.
func TestEachConnectorListsAndReplaysItsOwnDeadLetters(t *testing.T) {
	r := newRig(t)
	r.limit("t", "3000")
	names := []string{"line_1", "Line 2 (über)"}
	for i, name := range names {
		r.create(r.deadLettering(name, fmt.Sprintf("a%d/#", i)))
		r.ready(name)
	}
	large := strings.Repeat("x", 5000)
	for i := range names {
		r.publish(fmt.Sprintf("a%d/x", i), "small", strconv.Itoa(i)+large, fmt.Sprintf("%d second", i)+large)
	}
	r.records("dead_letter_queue", 4)
	require.NoError(t, r.Pause(t.Context(), names[1]))
	r.limit("t", "1000000")

	for i, name := range names {
		page, err := r.DeadLetters(t.Context(), name, kafka.LetterQuery{Oldest: true})
		require.NoError(t, err)
		assert.Equal(t, "dead_letter_queue", page.TopicName)
		require.Len(t, page.Letters, 2, name)
		assert.Equal(t, fmt.Sprintf("a%d/x", i), string(page.Letters[0].Key.Data))
		assert.Equal(t, "t", page.Letters[0].Topic)
		assert.Contains(t, page.Letters[0].Reason, "MESSAGE_TOO_LARGE")
		assert.Contains(t, string(page.Letters[0].Value.Data), fmt.Sprintf(`"topic":"a%d/x"`, i))

		done, err := r.Replay(t.Context(), name, kafka.Replay{Chosen: []kafka.LetterID{page.Letters[1].LetterID}})
		require.NoError(t, err)
		assert.Equal(t, kafka.Replayed{TopicName: "dead_letter_queue", Replayed: 1}, done)
	}
	var calls sync.WaitGroup
	failures := make([]error, 3)
	for i := range failures {
		calls.Go(func() {
			var done kafka.Replayed
			done, failures[i] = r.Replay(t.Context(), names[0], kafka.Replay{})
			assert.Equal(t, 2, done.Replayed+done.Already)
		})
	}
	calls.Wait()
	require.NoError(t, errors.Join(failures...))
	page, err := r.DeadLetters(t.Context(), names[0], kafka.LetterQuery{})
	require.NoError(t, err)
	for _, l := range page.Letters {
		assert.False(t, l.Replayed.IsZero())
	}
	// Two that were small, one of each that was chosen, and the other of the first.
	var replayed []string
	for _, rec := range r.records("t", 5) {
		for _, h := range rec.Headers {
			if h.Key == kafka.ReplayedHeader {
				replayed = append(replayed, string(rec.Key))
			}
		}
	}
	assert.ElementsMatch(t, []string{"a0/x", "a0/x", "a1/x"}, replayed)
}

func TestDeadLettersOfAConnectorWithoutThemAreRefused(t *testing.T) {
	r := newRig(t)
	r.create(r.conn("c", "a/#", "t", ""))
	_, err := r.DeadLetters(t.Context(), "c", kafka.LetterQuery{})
	require.ErrorAs(t, err, new(*kafka.LetterError))
	require.EqualError(t, err, `reading the dead letters of "c": its failure_strategy is block, which writes no dead letters: dead_message_queue does`)
	_, err = r.Replay(t.Context(), "c", kafka.Replay{})
	require.ErrorContains(t, err, `replaying dead letters of "c", of which 0 were replayed: its failure_strategy is block`)
	_, err = r.DeadLetters(t.Context(), "gone", kafka.LetterQuery{})
	require.ErrorIs(t, err, connector.ErrNotFound)
	_, err = r.Replay(t.Context(), "gone", kafka.Replay{})
	require.ErrorIs(t, err, connector.ErrNotFound)
}

// Addresses that a connector may not connect to are not reached for its dead letters
// either.
func TestDeadLettersAreReadFromAllowedAddressesOnly(t *testing.T) {
	r := newRig(t, func(o *Options) { o.DenyTargets = []string{"127.0.0.0/8"} })
	r.create(r.deadLettering("c", "a/#"))
	_, err := r.DeadLetters(t.Context(), "c", kafka.LetterQuery{})
	require.ErrorContains(t, err, "127.0.0")
	require.ErrorContains(t, err, "deny")
}
