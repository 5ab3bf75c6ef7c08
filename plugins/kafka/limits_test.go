package kafka

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A message that waited at the broker for longer than the limit is old when it is read.
func TestRecordDeliveryTimeoutCountsFromTheWriteAndNotFromTheTimestamp(t *testing.T) {
	for _, lines := range [][]string{{discard}, nil} {
		c := cluster(t, 1)
		o := started(t, c.ListenAddrs(), append(lines, "record_delivery_timeout: 10s", "timestamp_ms: 1700000000000")...)
		require.NoError(t, o.WriteBatch(t.Context(), messages(0, 3)))
		require.Equal(t, numbers(0, 3), values(t, c, "t"))
	}
}

func TestRecordDeliveryTimeoutEndsTheRetriesOfARecord(t *testing.T) {
	c := cluster(t, 1)
	c.ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		answer := r.ResponseKind().(*kmsg.ProduceResponse)
		for _, topic := range r.(*kmsg.ProduceRequest).Topics {
			refused := kmsg.NewProduceResponseTopic()
			refused.Topic, refused.TopicID = topic.Topic, topic.TopicID
			for _, p := range topic.Partitions {
				partition := kmsg.NewProduceResponseTopicPartition()
				partition.Partition, partition.ErrorCode = p.Partition, kerr.NotEnoughReplicas.Code
				refused.Partitions = append(refused.Partitions, partition)
			}
			answer.Topics = append(answer.Topics, refused)
		}
		return answer, nil, true
	})
	o := started(t, c.ListenAddrs(), "record_delivery_timeout: 1s", "timestamp_ms: 4000000000000") // in the future
	o.silence = time.Minute
	began := time.Now()
	err := o.WriteBatch(t.Context(), messages(0, 1))
	require.ErrorContains(t, err, "the limit record_delivery_timeout was reached")
	require.GreaterOrEqual(t, time.Since(began), time.Second)
}
