package workers

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// missing returns which messages are not in Kafka. Those that the broker gave to one member
// must be there in the order in which they were published, repeats set aside.
func (w *world) missing() error {
	arrived, err := w.arrived()
	if err != nil {
		return err
	}
	for _, s := range w.names {
		s.mu.Lock()
		highest, seen := map[string]int{}, map[int]bool{}
		for _, n := range arrived[s.topic] {
			to := w.broker.receivers(s.topic, n)
			if len(to) == 1 { // several get it while a filter changes
				if !seen[n] && n < highest[to[0]] {
					w.fail(fmt.Errorf("message %d of %s came after message %d, and %s got both", n, s.name, highest[to[0]], to[0]))
				}
				highest[to[0]] = max(highest[to[0]], n)
			}
			seen[n] = true
		}
		var lost []int
		for _, m := range s.messages {
			if !seen[m.number] && !m.optional {
				lost = append(lost, m.number)
			}
		}
		s.mu.Unlock()
		if len(lost) > 0 {
			return fmt.Errorf("of %d messages of %s, these are missing: %v", len(s.messages), s.name, lost)
		}
	}
	return nil
}

// arrived returns the messages in Kafka by topic.
func (w *world) arrived() (map[string][]int, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(kafkaAddress), kgo.ConsumeTopics(records), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.Dialer(func(ctx context.Context, _, to string) (net.Conn, error) {
			return w.net.dial(ctx, "test", w.always, to)
		}))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	all := map[string][]int{}
	want := w.cluster.PartitionInfo(records, 0).HighWatermark
	for got := int64(0); got < want; {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return nil, fmt.Errorf("consuming: %w", err)
		}
		for r := range fetches.RecordsAll() {
			got = r.Offset + 1
			var one struct {
				Topic   string
				Payload []byte
			}
			if err := json.Unmarshal(r.Value, &one); err != nil {
				return nil, err
			}
			n, err := strconv.Atoi(string(one.Payload))
			if err != nil {
				return nil, err
			}
			all[one.Topic] = append(all[one.Topic], n)
		}
	}
	return all, nil
}
