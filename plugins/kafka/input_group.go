package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// commitTimeout is how long a commit may take.
const commitTimeout = 5 * time.Second

// member is a member of the consumer group.
type member struct {
	*link
	in *input

	// committing is held over a commit: one that is on its way while the group takes a
	// partition away must not set back the offset of its new owner.
	committing sync.Mutex
	closeOnce  sync.Once
}

// newMember joins the group and starts to fetch.
func newMember(i *input) (*member, error) {
	m := &member{in: i}
	linked := make(chan struct{}) // the client may call back before its constructor returns
	l, err := newLink(&i.conf.clientConfig, i.conf.options(
		kgo.WithLogger(memberLog{i.warnings}),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, names map[string][]int32) {
			defer i.conf.guard.Catch(i.conf.where + ", when partitions were assigned")
			i.parts.assign(partitionNames(names))
			i.recovered(true)
		}),
		kgo.OnPartitionsRevoked(func(ctx context.Context, _ *kgo.Client, names map[string][]int32) {
			defer i.conf.guard.Catch(i.conf.where + ", when partitions were taken away")
			<-linked
			m.revoked(ctx, partitionNames(names))
		}),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, names map[string][]int32) {
			defer i.conf.guard.Catch(i.conf.where + ", when partitions were lost")
			m.lost(partitionNames(names))
		}),
		kgo.AdjustFetchOffsetsFn(func(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
			defer i.conf.guard.Catch(i.conf.where + ", when partitions begin to be read")
			<-linked
			return offsets, m.begin(ctx, offsets)
		}),
	)...)
	if err != nil {
		return nil, err
	}
	m.link = l
	close(linked)
	l.goBackground("fetching", m.fetch)
	l.goBackground("committing", func() { m.every(i.conf.commitPeriod, m.commitAcked) })
	l.goBackground("watching", func() { m.every(i.silence, m.watch) })
	l.goBackground("counting", func() { m.every(time.Second, m.count) })
	l.goBackground("reading the lag", func() { m.every(i.conf.lagPeriod, m.readLag) })
	return m, nil
}

// every calls do until the client is closed.
func (m *member) every(period time.Duration, do func(context.Context)) {
	ctx := m.client.Context()
	beat := time.NewTicker(period)
	defer beat.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-beat.C:
			do(ctx)
		}
	}
}

func partitionNames(all map[string][]int32) (names []partitionName) {
	for topic, numbers := range all {
		for _, number := range numbers {
			names = append(names, partitionName{topic, number})
		}
	}
	slices.SortFunc(names, func(a, b partitionName) int {
		return cmp.Or(cmp.Compare(a.topic, b.topic), cmp.Compare(a.number, b.number))
	})
	return names
}

// fetch adds what Kafka has to the partitions. The group cannot take a partition away
// between a poll and the adding of its records: such records could otherwise be added
// to a later assignment of the same partition.
func (m *member) fetch() {
	ctx := m.client.Context()
	for ctx.Err() == nil {
		m.in.parts.awaitRoom(ctx, m.in.conf.maxPendingBytes)
		fetches := m.client.PollFetches(ctx)
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			if len(p.Records) > 0 {
				m.in.parts.add(partitionName{p.Topic, p.Partition}, p.Records, p.HighWatermark)
				m.in.recovered(true)
			}
		})
		m.client.AllowRebalance()
		for _, e := range fetches.Errors() {
			m.fetchFailed(e)
		}
	}
}

func (m *member) fetchFailed(e kgo.FetchError) {
	var loss *kgo.ErrDataLoss
	switch {
	case errors.Is(e.Err, context.Canceled), errors.Is(e.Err, kgo.ErrClientClosed):
	case errors.As(e.Err, &loss):
		m.in.log.Errorf("Kafka has lost records of topic %q, partition %d: it has none from offset %d to %d; the input goes on at offset %d",
			loss.Topic, loss.Partition, loss.ResetTo, loss.ConsumedTo, loss.ResetTo)
	case e.Topic != "":
		m.in.fail(fmt.Errorf("reading topic %q, partition %d: %w%s", e.Topic, e.Partition, e.Err, m.in.conf.readAdvice(e.Err)), true)
	default:
		m.in.fail(fmt.Errorf("reading as the consumer group %q: %w%s", m.in.conf.group, e.Err, m.in.conf.readAdvice(e.Err)), true)
	}
}

// readAdvice names the correction.
func (c *inputConfig) readAdvice(err error) string {
	switch {
	case errors.Is(err, kerr.GroupAuthorizationFailed):
		return ": give the user READ on the group"
	case errors.Is(err, kerr.TopicAuthorizationFailed):
		return ": give the user READ and DESCRIBE on the topic"
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		return ": create the topic"
	case errors.Is(err, kerr.UnknownTopicID):
		return ": the topic was deleted; the input joins the group again, and reads the topic that is created in its place"
	case errors.Is(err, kerr.FencedInstanceID):
		return ": another member has the same " + fieldInstanceID + "; give each its own"
	case errors.Is(err, kerr.InconsistentGroupProtocol):
		return ": the group has members that deal out partitions in another way; give this bridge a group of its own"
	case isAuthentication(err):
		return ": correct " + fieldSASL
	}
	return ""
}

// revoked gives partitions up: once what is in flight of them is acknowledged and
// committed, the next member may have them.
func (m *member) revoked(ctx context.Context, names []partitionName) {
	if len(names) == 0 {
		return
	}
	wait, cancel := context.WithTimeout(ctx, m.in.conf.rebalanceTimeout*3/4)
	out := m.in.parts.end(wait, names)
	cancel()
	if out > 0 && !m.in.isClosed() {
		m.in.log.Warnf("The group %q takes partitions away, and the output has not acknowledged %d of their records within %s: their new owner delivers them again",
			m.in.conf.group, out, m.in.conf.rebalanceTimeout*3/4)
	}
	m.commitAcked(ctx)
	m.in.parts.remove(names)
}

// lost forgets partitions that others may have already. What was acknowledged and not
// committed is delivered again.
func (m *member) lost(names []partitionName) {
	if len(names) == 0 {
		return
	}
	m.in.log.Warnf("The group %q has given %d partitions to other members, because it had no sign of life from this one: they deliver again what was not committed",
		m.in.conf.group, len(names))
	m.in.parts.beginEnd(names)
	m.committing.Lock() // a commit that waits for the end of a rejoin would be one of the new member
	defer m.committing.Unlock()
	m.in.parts.remove(names)
}

// commitAcked commits what is acknowledged.
func (m *member) commitAcked(ctx context.Context) {
	m.committing.Lock()
	defer m.committing.Unlock()
	offsets := m.in.parts.toCommit()
	if len(offsets) == 0 {
		return
	}
	if err := m.commit(ctx, offsets); err != nil && !errors.Is(err, context.Canceled) {
		m.in.warnings.warn("commit "+err.Error(), fmt.Sprintf("The offsets of the group %q were not committed and are committed again: %v", m.in.conf.group, err))
	}
}

// commit commits offsets, and notes those that Kafka has taken. The error is of one that it
// has not.
func (m *member) commit(ctx context.Context, offsets map[string]map[int32]kgo.EpochOffset) (err error) {
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	m.client.CommitOffsetsSync(ctx, offsets, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, answer *kmsg.OffsetCommitResponse, failure error) {
		err = failure
		if answer == nil { // there is none with some errors
			answer = new(kmsg.OffsetCommitResponse)
		}
		for _, topic := range answer.Topics {
			for _, p := range topic.Partitions {
				refused := kerr.ErrorForCode(p.ErrorCode)
				if refused == nil {
					m.in.parts.noteCommitted(partitionName{topic.Topic, p.Partition}, offsets[topic.Topic][p.Partition].Offset)
				} else if err == nil {
					err = topicError(topic.Topic, refused)
				}
			}
		}
	})
	return err
}

// watch checks that Kafka answers: the client retries a lost connection without
// reporting it.
func (m *member) watch(ctx context.Context) {
	err := m.ping(ctx, m.in.patience)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		m.in.fail(m.in.conf.unreachable(err), false)
	default:
		m.in.recovered(false)
	}
}

// count tells how many messages are in flight.
func (m *member) count(context.Context) {
	count, oldest := m.in.parts.outstanding()
	age := time.Duration(0)
	if count > 0 {
		age = time.Since(oldest)
	}
	m.in.metrics.inFlight.Set(int64(count))
	m.in.metrics.oldest.SetFloat64(age.Seconds())
}

// readLag reads what the group has not committed.
func (m *member) readLag(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, m.in.conf.requestOverhead)
	defer cancel()
	lags, err := kadm.NewClient(m.client).Lag(ctx, m.in.conf.group)
	if err == nil {
		err = lags.Error()
	}
	if err != nil {
		if ctx.Err() == nil {
			m.in.warnings.warn("lag "+err.Error(), fmt.Sprintf("The lag of the group %q cannot be read: %v", m.in.conf.group, err))
		}
		return
	}
	lags.Each(func(group kadm.DescribedGroupLag) {
		for _, lag := range group.Lag.Sorted() {
			if lag.Err == nil {
				m.in.metrics.lag.Set(max(0, lag.Lag), lag.Topic, strconv.Itoa(int(lag.Partition)))
			}
		}
	})
}

// close commits what is acknowledged and leaves the group. A Kafka that does not answer
// delays it by seconds at most.
func (m *member) close() {
	m.closeOnce.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), commitTimeout)
		defer cancel()
		m.commitAcked(ctx)
		m.client.AllowRebalance()
		_ = m.client.LeaveGroupContext(ctx) // Kafka notices a member that is gone
		m.link.close()
	})
}

// checkTopics checks that Kafka has the topics.
func (c *inputConfig) checkTopics(ctx context.Context, client *kgo.Client) error {
	if len(c.topics) == 0 {
		return nil
	}
	details, err := kadm.NewClient(client).ListTopics(ctx, c.topics...)
	if err != nil {
		return c.unreachable(err)
	}
	for _, topic := range details.Sorted() {
		switch {
		case errors.Is(topic.Err, kerr.UnknownTopicOrPartition):
			return topicError(topic.Topic, errNoTopic)
		case errors.Is(topic.Err, kerr.TopicAuthorizationFailed):
			return topicError(topic.Topic, fmt.Errorf("%w%s", topic.Err, c.readAdvice(topic.Err)))
		}
	}
	return nil
}
