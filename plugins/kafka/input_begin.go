package kafka

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// beginAgain is the time between two attempts to begin at the ends of partitions.
const beginAgain = time.Second

// begin decides where partitions are read from that were assigned. It gets what the group
// has committed.
//
// With start_offset: latest, a partition without a committed offset begins at its end, which
// is committed before anything is read. Otherwise the next process, or the next owner of
// the partition, would begin at the end that it finds, and skip what was written meanwhile
// and not acknowledged. begin tries until it succeeds, or the context ends.
func (m *member) begin(ctx context.Context, offsets map[string]map[int32]kgo.Offset) error {
	if !m.in.conf.latest {
		return nil
	}
	for {
		err := m.beginAtEnd(ctx, offsets)
		if err == nil {
			m.in.recovered(true)
			return nil
		}
		if ctx.Err() == nil {
			m.in.fail(fmt.Errorf("committing where the consumer group %q begins: %w%s", m.in.conf.group, err, m.in.conf.readAdvice(err)), true)
		}
		timer := time.NewTimer(beginAgain)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

// beginAtEnd commits the ends of the partitions without a committed offset, and sets their
// offsets to these.
func (m *member) beginAtEnd(ctx context.Context, offsets map[string]map[int32]kgo.Offset) error {
	var topics []string
	for topic, partitions := range offsets {
		for _, offset := range partitions {
			if isUnset(offset) && !slices.Contains(topics, topic) {
				topics = append(topics, topic)
			}
		}
	}
	if len(topics) == 0 {
		return nil
	}
	ends, err := m.ends(ctx, topics)
	if err != nil {
		return err
	}
	begun := map[string]map[int32]kgo.EpochOffset{}
	for _, topic := range topics {
		begun[topic] = map[int32]kgo.EpochOffset{}
		for partition, offset := range offsets[topic] {
			if !isUnset(offset) {
				continue
			}
			end, ok := ends.Lookup(topic, partition)
			switch {
			case !ok:
				return topicError(topic, fmt.Errorf("partition %d is not known to Kafka yet", partition))
			case end.Err != nil:
				return topicError(topic, end.Err)
			}
			begun[topic][partition] = kgo.EpochOffset{Epoch: -1, Offset: end.Offset}
		}
	}
	if err := m.commit(ctx, begun); err != nil {
		return err
	}
	for topic, partitions := range begun {
		for partition, at := range partitions {
			offsets[topic][partition] = kgo.NewOffset().At(at.Offset)
		}
	}
	return nil
}

// memberLog is the log of a member's client without a line that the client writes when an
// offset is committed before anything is read. Errors of commits are logged by the member.
type memberLog struct{ *warnings }

func (l memberLog) Log(level kgo.LogLevel, text string, keyvals ...any) {
	if !strings.HasPrefix(text, "received an OffsetCommitResponse after our group session has ended") {
		l.warnings.Log(level, text, keyvals...)
	}
}

// isUnset reports whether the group has committed nothing.
func isUnset(offset kgo.Offset) bool { return offset.EpochOffset().Offset < 0 }

// ends returns the offsets of the next records that are written.
func (m *member) ends(ctx context.Context, topics []string) (kadm.ListedOffsets, error) {
	ctx, cancel := context.WithTimeout(ctx, m.in.conf.requestOverhead)
	defer cancel()
	client := kadm.NewClient(m.client)
	if m.in.conf.isolation == kgo.ReadCommitted() {
		return client.ListCommittedOffsets(ctx, topics...)
	}
	return client.ListEndOffsets(ctx, topics...)
}
