package kafka

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// diagnose looks for the reason why Kafka answers but acknowledges no record: the
// client retries such errors without reporting them. It returns "" if it finds none.
func (p *producer) diagnose(ctx context.Context, topics []string) string {
	ctx, cancel := context.WithTimeout(ctx, p.conf.requestOverhead)
	defer cancel()
	admin := kadm.NewClient(p.client)
	details, err := admin.ListTopics(ctx, topics...)
	if err != nil {
		return ""
	}
	least := map[string]int{}
	for topic, value := range describe(ctx, p.client, "min.insync.replicas", topics) {
		least[topic], _ = strconv.Atoi(value)
	}
	for _, topic := range details.Sorted() {
		if topic.Err != nil {
			return fmt.Sprintf("topic %q: %s%s", topic.Topic, topic.Err, explainer{p.conf}.advice(topic.Err, nil, 0))
		}
		partitions := topic.Partitions.Sorted()
		slices.SortStableFunc(partitions, func(a, b kadm.PartitionDetail) int { return cmp.Compare(len(a.ISR), len(b.ISR)) })
		for _, partition := range partitions {
			where := fmt.Sprintf("topic %q, partition %d", topic.Topic, partition.Partition)
			switch {
			case partition.Leader < 0:
				return where + " has no leader: restart its brokers"
			case partition.Err != nil:
				return fmt.Sprintf("%s: %s", where, partition.Err)
			case p.conf.acks == "all" && len(partition.ISR) < least[topic.Topic]:
				return fmt.Sprintf("%s has %d of the %d replicas in sync that min.insync.replicas requires: restart replicas, or lower min.insync.replicas",
					where, len(partition.ISR), least[topic.Topic])
			}
		}
	}
	return ""
}

// onlyLimitReached reports whether the records failed only because a limit of the user
// on retries or time was reached. It returns false if Kafka reports an error that a
// person has to correct.
func (p *producer) onlyLimitReached(records []kgo.Record, failures []failure) bool {
	first := failures[0]
	if !p.conf.limits.reached(first.err) {
		return false
	}
	ctx := p.client.Context()
	if err := p.ping(ctx, p.conf.requestOverhead); err != nil {
		return !isAuthentication(err) && ctx.Err() == nil
	}
	return p.diagnose(ctx, []string{records[first.index].Topic}) == ""
}
