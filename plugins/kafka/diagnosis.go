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

// diagnose looks for the reason why Kafka answers and yet acknowledges no
// record: the client retries such a fault without telling it. It returns "" if
// there is none to be seen.
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
				return where + " has no leader: bring its brokers back"
			case partition.Err != nil:
				return fmt.Sprintf("%s: %s", where, partition.Err)
			case p.conf.acks == "all" && len(partition.ISR) < least[topic.Topic]:
				return fmt.Sprintf("%s has %d of the %d replicas in sync that min.insync.replicas asks for: bring replicas back, or lower it",
					where, len(partition.ISR), least[topic.Topic])
			}
		}
	}
	return ""
}

// onlyLimitReached says whether a limit that the user has set on tries or time is all
// that has failed the records. Where Kafka can be asked and names a fault that a
// person has to correct, it is not.
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
