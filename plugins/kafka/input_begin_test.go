package kafka

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// Nothing was acknowledged before the stop, so nothing but the beginning was committed.
func TestInputSkipsNothingAfterItsLatestBeginning(t *testing.T) {
	for _, isolation := range []string{readUncommitted, readCommitted} {
		c := cluster(t, 2)
		produce(t, c, "t", 2, 0, 10)
		var commits atomic.Int32 // of which the first is refused
		c.ControlKey(int16(kmsg.OffsetCommit), func(req kmsg.Request) (kmsg.Response, error, bool) {
			c.KeepControl()
			if commits.Add(1) > 1 {
				return nil, nil, false
			}
			answer := req.ResponseKind().(*kmsg.OffsetCommitResponse)
			for _, topic := range req.(*kmsg.OffsetCommitRequest).Topics {
				in := kmsg.OffsetCommitResponseTopic{Topic: topic.Topic, TopicID: topic.TopicID}
				for _, p := range topic.Partitions {
					in.Partitions = append(in.Partitions, kmsg.OffsetCommitResponseTopicPartition{Partition: p.Partition, ErrorCode: kerr.GroupAuthorizationFailed.Code})
				}
				answer.Topics = append(answer.Topics, in)
			}
			return answer, nil, true
		})
		lines := []string{"start_offset: latest", "commit_period: 20ms", "transaction_isolation_level: " + isolation}
		first := startReader(t, c.ListenAddrs(), lines...)
		require.Eventually(t, func() bool { return commits.Load() > 1 }, patience, 10*time.Millisecond)
		require.Eventually(t, func() bool { return committed(t, c, "t", 0) == 5 && committed(t, c, "t", 1) == 5 }, patience, 10*time.Millisecond)
		produce(t, c, "t", 2, 10, 20)
		require.Eventually(t, func() bool { return first.Connect(t.Context()) == nil }, patience, 10*time.Millisecond)
		first.next()
		require.NoError(t, first.Close(t.Context()))
		for reason := range first.warnings.repeats.reasons {
			require.NotContains(t, reason, "OffsetCommitResponse", "a line of the client that means nothing to a user")
		}
		produce(t, c, "t", 2, 20, 30)
		second := startReader(t, c.ListenAddrs(), lines...)
		require.ElementsMatch(t, numbers(10, 30), second.acked(20))
		require.Eventually(t, func() bool { return committed(t, c, "t", 0) == 15 && committed(t, c, "t", 1) == 15 }, patience, 10*time.Millisecond)
	}
}

// The client of a member never reads a topic that has another id than the one that it
// began to read.
func TestInputReadsATopicThatIsCreatedAgain(t *testing.T) {
	c := cluster(t, 1)
	produce(t, c, "t", 1, 0, 10)
	r := startReader(t, c.ListenAddrs(), "commit_period: 20ms")
	require.Equal(t, numbers(0, 10), r.acked(10))
	client, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...))
	require.NoError(t, err)
	defer client.Close()
	_, err = kadm.NewClient(client).DeleteTopic(t.Context(), "t")
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	_, _, err = r.ReadBatch(ctx)
	require.ErrorIs(t, err, service.ErrNotConnected)
	require.ErrorContains(t, r.Connect(ctx), "UNKNOWN_TOPIC_ID")
	require.ErrorContains(t, r.Connect(ctx), errNoTopic.Error())
	createTopic(t, c, "t")
	produce(t, c, "t", 1, 0, 5)
	require.Eventually(t, func() bool { return r.Connect(ctx) == nil }, patience, 10*time.Millisecond)
	require.Equal(t, numbers(0, 5), r.acked(5))
}
