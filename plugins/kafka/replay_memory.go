package kafka

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// What was replayed is remembered in a compacted topic beside the topics of the
// connector: a record for each letter, in the same transaction as the record that the
// letter became. Its key names the connector, the dead letter topic and the letter.

// memoryTopic is the topic of that memory.
func memoryTopic(letters string) string { return letters + "_replayed" }

// memory is what was replayed of the letters of one connector.
type memory struct {
	topic    string
	prefix   string // of the keys
	replayed map[LetterID]time.Time
}

// newMemory is the memory before it was read. A topic that was deleted and made anew
// under its name has another id, and its letters are others. Old brokers know no ids.
func (l *Letters) newMemory(letters string, id kadm.TopicID) *memory {
	identity := hex.EncodeToString(id[:])
	if id == (kadm.TopicID{}) {
		identity = letters
	}
	return &memory{topic: memoryTopic(letters), prefix: l.source + "/" + identity + "/", replayed: map[LetterID]time.Time{}}
}

func (m *memory) key(id LetterID) []byte {
	return fmt.Appendf(nil, "%s%d/%d", m.prefix, id.Partition, id.Offset)
}

// read reads the whole topic, if there is one.
func (m *memory) read(ctx context.Context, c *config, client *kgo.Client) error {
	bounds, _, found, err := c.bounds(ctx, client, m.topic)
	if err != nil || !found {
		return err
	}
	return c.scan(ctx, m.topic, bounds, true, func(r *kgo.Record) bool {
		rest, ours := strings.CutPrefix(string(r.Key), m.prefix)
		if !ours {
			return true
		}
		partition, offset, _ := strings.Cut(rest, "/")
		p, err := strconv.ParseInt(partition, 10, 32)
		o, offsetErr := strconv.ParseInt(offset, 10, 64)
		if err != nil || offsetErr != nil {
			return true // none of ours, after all
		}
		id := LetterID{int32(p), o}
		if r.Value == nil {
			delete(m.replayed, id)
		} else {
			m.replayed[id] = r.Timestamp
		}
		return true
	})
}

// mark is the record that remembers a letter.
func (m *memory) mark(id LetterID, at time.Time) *kgo.Record {
	return &kgo.Record{Topic: m.topic, Key: m.key(id), Value: []byte(at.UTC().Format(time.RFC3339Nano)), Timestamp: at}
}

// forgotten are the records that forget the letters that the topic has no more: nobody
// can replay those again, and the memory would grow for ever.
func (m *memory) forgotten(letters partitions) (records []*kgo.Record) {
	for id := range m.replayed {
		if s, found := letters[id.Partition]; found && id.Offset < s.from {
			records = append(records, &kgo.Record{Topic: m.topic, Key: m.key(id)})
		}
	}
	slices.SortFunc(records, func(a, b *kgo.Record) int { return strings.Compare(string(a.Key), string(b.Key)) })
	return records
}

// ensure creates the topic. One that drops what is old would let letters be replayed
// twice, and is refused.
func (m *memory) ensure(ctx context.Context, client *kgo.Client) error {
	admin := kadm.NewClient(client)
	compact := "compact"
	created, err := admin.CreateTopic(ctx, 1, -1, map[string]*string{"cleanup.policy": &compact}, m.topic)
	if err == nil {
		err = created.Err
	}
	switch {
	case errors.Is(err, kerr.TopicAlreadyExists), err == nil:
	case errors.Is(err, kerr.TopicAuthorizationFailed), errors.Is(err, kerr.ClusterAuthorizationFailed):
		// It may be there, and made by somebody else.
		details, listErr := admin.ListTopics(ctx, m.topic)
		if listErr != nil || !details.Has(m.topic) {
			return letterError("creating the topic %q, which remembers what was replayed: %w: give the user CREATE on it, or create it with cleanup.policy=compact", m.topic, err)
		}
	case errors.Is(err, kerr.InvalidTopicException):
		return letterError("creating the topic %q, which remembers what was replayed: %w: give the dead letter topic a name of 240 characters at most", m.topic, err)
	default:
		return letterError("creating the topic %q, which remembers what was replayed: %w", m.topic, err)
	}
	if policy, known := describe(ctx, client, "cleanup.policy", []string{m.topic})[m.topic]; known && policy != "" && policy != compact {
		return letterError("the topic %q remembers what was replayed, and its cleanup.policy is %s: set it to compact, or letters would be replayed twice", m.topic, policy)
	}
	return nil
}

// markReplayed says which of the letters were replayed, and when.
func (l *Letters) markReplayed(ctx context.Context, topic string, id kadm.TopicID, letters []Letter) error {
	if len(letters) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, listTime)
	defer cancel()
	client, err := l.conf.client()
	if err != nil {
		return err
	}
	defer client.Close()
	if err := l.conf.reach(ctx, client); err != nil {
		return err
	}
	m := l.newMemory(topic, id)
	if err := m.read(ctx, l.conf, client); err != nil {
		return err
	}
	for i := range letters {
		letters[i].Replayed = m.replayed[letters[i].LetterID]
	}
	return nil
}
