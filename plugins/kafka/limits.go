package kafka

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// limits remembers the max.message.bytes of topics.
type limits struct {
	age time.Duration // after which a limit is read again

	mu     sync.Mutex
	topics map[string]topicLimit
}

type topicLimit struct {
	bytes int32 // 0 where it may not be read
	guess int   // a size to start from where bytes is not known; 0 for none
	until time.Time
}

// of is the topic's limit, or 0 where it is not known.
func (l *limits) of(topic string) int32 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.topics[topic].bytes
}

// start is the size to try first: the topic's limit, else a guess, else 0.
func (l *limits) start(topic string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	limit := l.topics[topic]
	if limit.bytes > 0 {
		return int(limit.bytes)
	}
	return limit.guess
}

// refused tells that the topic has refused a record batch of this size. Where
// its limit is not known, the next ones start from half, until age has passed.
func (l *limits) refused(topic string, size int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if limit, ok := l.topics[topic]; ok && limit.bytes == 0 {
		limit.guess = size / 2
		l.topics[topic] = limit
	}
}

// forget makes the next learn read the topic's limit again.
func (l *limits) forget(topic string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.topics, topic)
}

// missing are the topics of the records whose limit is not known, or too old.
func (l *limits) missing(records []kgo.Record) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var topics []string
	now := time.Now()
	for i := range records {
		topic := records[i].Topic
		if topic == "" || i > 0 && topic == records[i-1].Topic {
			continue
		}
		limit, ok := l.topics[topic]
		if !ok || now.After(limit.until) {
			topics = append(topics, topic)
			// Asked for once, whatever comes of it.
			l.put(topic, limit.bytes, now)
		}
	}
	return topics
}

func (l *limits) put(topic string, bytes int32, now time.Time) {
	if l.topics == nil {
		l.topics = map[string]topicLimit{}
	}
	l.topics[topic] = topicLimit{bytes: bytes, until: now.Add(l.age)}
}

// learn reads the limits of the records' topics where they are missing. What
// cannot be read stays unknown: then Kafka's refusal tells.
func (l *limits) learn(ctx context.Context, client *kgo.Client, records []kgo.Record) {
	topics := l.missing(records)
	if len(topics) == 0 {
		return
	}
	configs, err := kadm.NewClient(client).DescribeTopicConfigs(ctx, topics...)
	if err != nil && len(configs) == 0 {
		return
	}
	for _, c := range configs {
		if c.Err != nil {
			// A topic that does not exist yet has a limit once it does.
			if errors.Is(c.Err, kerr.UnknownTopicOrPartition) {
				l.forget(c.Name)
			}
			continue
		}
		for _, entry := range c.Configs {
			if entry.Key != "max.message.bytes" || entry.Value == nil {
				continue
			}
			if bytes, err := strconv.ParseInt(*entry.Value, 10, 32); err == nil {
				l.mu.Lock()
				l.put(c.Name, int32(bytes), time.Now())
				l.mu.Unlock()
			}
		}
	}
}
