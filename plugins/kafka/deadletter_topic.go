package kafka

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/robustmq/robustmq-connect/plugins/internal/excerpt"
	"github.com/robustmq/robustmq-connect/plugins/internal/neterror"
)

// Letters are the dead letters of one output, by its own settings: to be looked at, and
// to be replayed. It needs no output that runs.
type Letters struct {
	conf   *config
	source string // what tells them from those of others in the topic
}

// Letter is a record that Kafka has refused, in the dead letter topic.
type Letter struct {
	LetterID
	Time     time.Time // of the record
	Reason   string    // why Kafka has refused it
	Class    string    // the exception that Kafka's own clients have for that
	Stage    string    // Kafka Connect's word for where it has failed
	Topic    string    // that it was to be written to
	Key      excerpt.Excerpt
	Value    excerpt.Excerpt
	Headers  []LetterHeader
	Omitted  int       // headers that are too many to show
	Replayed time.Time // zero unless it was replayed
}

// LetterID is where a letter is in the dead letter topic.
type LetterID struct {
	Partition int32
	Offset    int64
}

// LetterHeader is a header that the record had before it became a letter.
type LetterHeader struct {
	Key   string
	Value excerpt.Excerpt
}

// maxHeaders is how many headers of a letter are shown.
const maxHeaders = 64

// LetterError says why the letters cannot be read or replayed. It is no fault of the
// service.
type LetterError struct{ Err error }

func (e *LetterError) Error() string { return e.Err.Error() }
func (e *LetterError) Unwrap() error { return e.Err }

func letterError(format string, args ...any) *LetterError {
	return &LetterError{fmt.Errorf(format, args...)}
}

// RegisterLetters puts an output kafka_franz into an environment that writes nothing:
// whoever constructs it gets the letters of that configuration.
func RegisterLetters(env *service.Environment, made func(*Letters), opts ...Option) error {
	return env.RegisterBatchOutput("kafka_franz", Spec(),
		func(conf *service.ParsedConfig, mgr *service.Resources) (service.BatchOutput, service.BatchPolicy, int, error) {
			c, err := parseConfig(conf, opts...)
			if err != nil {
				return nil, service.BatchPolicy{}, 0, err
			}
			made(&Letters{conf: c, source: sourceOf(mgr)})
			return unused{}, service.BatchPolicy{}, 1, nil
		})
}

// unused is an output that nothing is written to.
type unused struct{}

func (unused) Connect(context.Context) error { return service.ErrNotConnected }

func (unused) WriteBatch(context.Context, service.MessageBatch) error { return service.ErrNotConnected }
func (unused) Close(context.Context) error                            { return nil }
func (unused) ConnectionTest(context.Context) service.ConnectionTestResults {
	return service.ConnectionTestSucceeded().AsList()
}

// topic is the dead letter topic.
func (l *Letters) topic() (string, error) {
	if l.conf.strategy.Name != StrategyDeadMessageQueue {
		return "", letterError("its %s is %s, which writes no dead letters: %s does", fieldFailureStrategy, l.conf.strategy.Name, StrategyDeadMessageQueue)
	}
	return l.conf.strategy.TopicName, nil
}

// client is one that knows the way to a Kafka. It gives up what does not succeed within
// some time: somebody waits for the answer.
func (c *config) client(more ...kgo.Opt) (*kgo.Client, error) {
	client, err := kgo.NewClient(append(append(c.connection(), kgo.RetryTimeout(10*time.Second)), more...)...)
	if err != nil {
		return nil, fmt.Errorf("configuring the Kafka client: %w", err)
	}
	return client, nil
}

// reach tells why no broker answers.
func (c *config) reach(ctx context.Context, client *kgo.Client) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := pingAny(ctx, client); err != nil {
		if refused := c.refused.Load(); refused != nil {
			err = refused
		}
		return &LetterError{c.unreachable(err)}
	}
	return nil
}

// partitions are the first offset and the one after the last, by partition.
type partitions map[int32]span

// span are the offsets from the first to before the other.
type span struct{ from, to int64 }

// bounds reads where the partitions of a topic begin and end. found is false where there
// is no such topic.
func (c *config) bounds(ctx context.Context, client *kgo.Client, topic string) (all partitions, id kadm.TopicID, found bool, err error) {
	admin := kadm.NewClient(client)
	details, err := admin.ListTopics(ctx, topic)
	if err != nil {
		return nil, id, false, c.letterFault("reading the metadata of topic", topic, err)
	}
	detail := details[topic]
	switch {
	case errors.Is(detail.Err, kerr.UnknownTopicOrPartition):
		return nil, id, false, nil
	case detail.Err != nil:
		return nil, id, false, c.letterFault("reading the metadata of topic", topic, detail.Err)
	}
	starts, err := admin.ListStartOffsets(ctx, topic)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return nil, id, false, c.letterFault("reading the first offsets of topic", topic, err)
	}
	ends, err := admin.ListEndOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, id, false, c.letterFault("reading the last offsets of topic", topic, err)
	}
	all = partitions{}
	starts.Each(func(start kadm.ListedOffset) {
		if end, ok := ends.Lookup(topic, start.Partition); ok {
			all[start.Partition] = span{start.Offset, end.Offset}
		}
	})
	return all, detail.ID, true, nil
}

// letterFault names the topic, the cause and what corrects it.
func (c *config) letterFault(doing, topic string, err error) error {
	advice := ""
	switch {
	case errors.Is(err, kerr.TopicAuthorizationFailed):
		advice = ": give the user READ and DESCRIBE on the topic"
	case errors.Is(err, context.DeadlineExceeded):
		advice = ": Kafka takes too long: ask again, or for less"
	}
	return letterError("%s %q: %w%s", doing, topic, neterror.WithoutLocalPort(err), advice)
}

// scan gives the records of the spans of a topic, those of a partition in order, until
// got returns false. What the clean-up of the topic has removed meanwhile is missing.
// committed waits for open transactions, and leaves out what was aborted.
func (c *config) scan(ctx context.Context, topic string, spans partitions, committed bool, got func(*kgo.Record) bool) error {
	from := map[int32]kgo.Offset{}
	open := partitions{}
	for p, s := range spans {
		if s.from < s.to {
			from[p], open[p] = kgo.NewOffset().At(s.from), s
		}
	}
	if len(open) == 0 {
		return nil
	}
	// Control records are the last of a transaction: without them, the end would not be seen.
	isolation := kgo.ReadUncommitted()
	if committed {
		isolation = kgo.ReadCommitted()
	}
	client, err := c.client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}), kgo.KeepControlRecords(),
		kgo.FetchIsolationLevel(isolation), kgo.FetchMaxBytes(4<<20), kgo.FetchMaxWait(500*time.Millisecond))
	if err != nil {
		return err
	}
	defer client.Close()
	for len(open) > 0 {
		fetches := client.PollFetches(ctx)
		for _, e := range fetches.Errors() {
			return c.letterFault("reading topic", topic, e.Err)
		}
		for records := fetches.RecordIter(); !records.Done(); {
			r := records.Next()
			s, wanted := open[r.Partition]
			if !wanted {
				continue
			}
			if r.Offset >= s.from && r.Offset < s.to && !r.Attrs.IsControl() && !got(r) {
				return nil
			}
			if r.Offset >= s.to-1 {
				delete(open, r.Partition)
			}
		}
	}
	return nil
}

// header is what the letter says about itself.
func letterHeader(r *kgo.Record, name string) string {
	for i := len(r.Headers) - 1; i >= 0; i-- { // a header of the message may have the name too
		if key, ok := strings.CutPrefix(r.Headers[i].Key, letterPrefix); ok && key == name {
			return string(r.Headers[i].Value)
		}
	}
	return ""
}

// metadataHeader returns a header that was metadata of the message, "" without it.
func metadataHeader(r *kgo.Record, name string) string {
	for _, header := range r.Headers {
		if header.Key == name {
			return string(header.Value)
		}
	}
	return ""
}

// isOurs tells the letters of this connector from those of others in the topic.
func (l *Letters) isOurs(r *kgo.Record) bool { return letterHeader(r, letterSource) == l.source }

func letterOf(r *kgo.Record) Letter {
	letter := Letter{
		LetterID: LetterID{r.Partition, r.Offset}, Time: r.Timestamp,
		Reason: excerpt.Line(letterHeader(r, letterReason)), Class: excerpt.Line(letterHeader(r, letterClass)),
		Stage: excerpt.Line(letterHeader(r, letterStage)), Topic: excerpt.Line(letterHeader(r, letterTopic)),
		Key: excerpt.Of(r.Key), Value: excerpt.Of(r.Value),
	}
	for _, h := range r.Headers {
		switch {
		case strings.HasPrefix(h.Key, letterPrefix):
		case len(letter.Headers) == maxHeaders:
			letter.Omitted++
		default:
			letter.Headers = append(letter.Headers, LetterHeader{excerpt.Line(h.Key), excerpt.Short(h.Value)})
		}
	}
	return letter
}
