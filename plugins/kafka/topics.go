package kafka

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// topics holds what is known about topics that exist in Kafka and were written to. A
// name that only a message has is never kept.
type topics struct {
	age time.Duration // after which a limit is read again
	// read asks Kafka for the max.message.bytes of topics. The result has 0 for a topic
	// whose limit may not be read, and no entry for an unknown one.
	read func(ctx context.Context, names []string) map[string]int32

	mu      sync.RWMutex
	known   map[string]*topic
	stale   []*topic // whose limit is to be read
	reading bool
}

// topic is what the output knows of one topic.
type topic struct {
	name       string
	partitions atomic.Int32 // of all partitions
	limit      atomic.Int32 // its max.message.bytes; 0 if it is not known
	guess      atomic.Int32 // a size to start from if limit is not known; 0 for none
	due        atomic.Int64 // when to read the limit, in Unix nanoseconds
}

// get returns nil for an unknown topic.
func (t *topics) get(name string) *topic {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.known[name]
}

// add returns the topic, which must exist in Kafka.
func (t *topics) add(name string) *topic {
	t.mu.Lock()
	defer t.mu.Unlock()
	if known := t.known[name]; known != nil {
		return known
	}
	if t.known == nil {
		t.known = map[string]*topic{}
	}
	added := &topic{name: name}
	t.known[name] = added
	return added
}

// limit returns the topic's max.message.bytes, or 0 if it is not known.
func (t *topics) limit(name string) int32 {
	if known := t.get(name); known != nil {
		return known.limit.Load()
	}
	return 0
}

// batchBytes returns the size of a record batch that the topic may accept, at most
// most.
func (t *topic) batchBytes(most int) int {
	if t == nil {
		return most
	}
	bytes := t.limit.Load()
	if bytes == 0 {
		bytes = t.guess.Load()
	}
	if bytes == 0 {
		return most
	}
	return min(most, int(bytes))
}

// refused records that the topic refused a record batch of this size. If its limit is
// not known, the next record batches start from half of that, until it is read again.
func (t *topics) refused(name string, size int) {
	if known := t.get(name); known != nil && known.limit.Load() == 0 {
		known.guess.Store(int32(size / 2))
	}
}

// forget makes the topic's limit unknown, because somebody may have changed it.
func (t *topics) forget(name string) {
	if known := t.get(name); known != nil {
		known.limit.Store(0)
		known.guess.Store(0)
		known.due.Store(0)
	}
}

// markStale adds the topic to the list of those to read, if that is due. It reports whether
// the caller has to start reading.
func (t *topics) markStale(topic *topic, now int64) (start bool) {
	due := topic.due.Load()
	if now < due || !topic.due.CompareAndSwap(due, now+int64(t.age)) {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stale = append(t.stale, topic)
	start = !t.reading
	t.reading = true
	return start
}

// readStale reads until nothing is left. A limit that cannot be read is tried again
// when it is due; until then Kafka's refusals limit the size.
func (t *topics) readStale(ctx context.Context, patience time.Duration) {
	const most = 1000 // topics in a request
	for {
		t.mu.Lock()
		stale := t.stale[:min(len(t.stale), most)]
		t.stale = t.stale[len(stale):]
		if len(stale) == 0 {
			t.stale, t.reading = nil, false
			t.mu.Unlock()
			return
		}
		t.mu.Unlock()
		names := make([]string, len(stale))
		for i, topic := range stale {
			names[i] = topic.name
		}
		ctx, cancel := context.WithTimeout(ctx, patience)
		t.learn(ctx, names)
		cancel()
	}
}

// learn reads the limits of these topics.
func (t *topics) learn(ctx context.Context, names []string) {
	for name, bytes := range t.read(ctx, names) {
		if known := t.get(name); known != nil {
			known.learned(bytes, t.age)
		}
	}
}

func (t *topic) learned(limit int32, age time.Duration) {
	t.limit.Store(limit)
	t.guess.Store(0)
	t.due.Store(time.Now().Add(age).UnixNano())
}

// maxMessageBytes asks Kafka for only the max.message.bytes of topics.
func maxMessageBytes(ctx context.Context, client *kgo.Client, names []string) map[string]int32 {
	limits := map[string]int32{}
	for name, value := range describe(ctx, client, "max.message.bytes", names) {
		if bytes, err := strconv.ParseInt(value, 10, 32); err == nil || value == "" {
			limits[name] = int32(bytes)
		}
	}
	return limits
}

// describe asks for one setting of topics. The result has "" for one that may not be
// read.
func describe(ctx context.Context, client *kgo.Client, setting string, names []string) map[string]string {
	req := kmsg.NewPtrDescribeConfigsRequest()
	for _, name := range names {
		resource := kmsg.NewDescribeConfigsRequestResource()
		resource.ResourceType = kmsg.ConfigResourceTypeTopic
		resource.ResourceName = name
		resource.ConfigNames = []string{setting}
		req.Resources = append(req.Resources, resource)
	}
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return nil
	}
	values := map[string]string{}
	for _, resource := range resp.Resources {
		switch resource.ErrorCode {
		case kerr.TopicAuthorizationFailed.Code:
			values[resource.ResourceName] = ""
		case 0:
			for _, config := range resource.Configs {
				if config.Name == setting && config.Value != nil {
					values[resource.ResourceName] = *config.Value
				}
			}
		}
	}
	return values
}
