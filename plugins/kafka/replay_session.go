package kafka

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/robustmq/robustmq-connect/plugins/internal/neterror"
)

// ReplayedHeader is the header of a replayed record: the letter that it was, and when it
// was replayed, as JSON.
const ReplayedHeader = "robustmq_replayed"

const (
	transactionTime = time.Minute
	// abortTime is how long ending a transaction may take when its asker has gone.
	abortTime = 10 * time.Second
)

// replaySession writes replayed letters in transactions. Whoever opens one fences the
// session before it, of this process or another, and then reads what that one has
// committed:
//
//   - Kafka ends the open transaction of the older session before it answers
//   - the memory is read
//   - whatever the older session tries from then on, Kafka refuses
//
// So no letter is replayed twice. After any fault a session is over, and what Kafka
// remembers decides again.
type replaySession struct {
	conf   *config
	client *kgo.Client
	memory *memory
	id     string // of the transactions
}

// openSession opens a session for the letters of a topic.
func (l *Letters) openSession(ctx context.Context, letters string, id kadm.TopicID) (*replaySession, error) {
	s := &replaySession{conf: l.conf, memory: l.newMemory(letters, id), id: "robustmq_connect_replay." + letters + "." + l.source}
	options := []kgo.Opt{
		kgo.TransactionalID(s.id), kgo.TransactionTimeout(transactionTime),
		kgo.RecordPartitioner(partitioners[l.conf.partitioner]),
		kgo.ProducerBatchMaxBytes(l.conf.brokerWriteBytes), kgo.BrokerMaxWriteBytes(l.conf.brokerWriteBytes), // the topic's own limit is to count
		kgo.ProduceRequestTimeout(l.conf.timeout), kgo.UnknownTopicRetries(2),
		kgo.ProducerLinger(0),
	}
	if l.conf.compression != "" {
		options = append(options, kgo.ProducerBatchCompression(codecs[l.conf.compression]))
	}
	client, err := l.conf.client(options...)
	if err != nil {
		return nil, err
	}
	s.client = client
	if err := s.begin(ctx); err != nil {
		client.Close()
		return nil, err
	}
	return s, nil
}

func (s *replaySession) begin(ctx context.Context) error {
	if err := s.conf.reach(ctx, s.client); err != nil {
		return err
	}
	if err := s.memory.ensure(ctx, s.client); err != nil {
		return err
	}
	producer, _, err := s.client.ProducerID(ctx)
	if err != nil {
		return s.fault("beginning to replay", err)
	}
	if producer < 0 {
		return letterError("beginning to replay: this Kafka has no transactions, which keep a letter from being replayed twice: upgrade it to 0.11 or later")
	}
	return s.memory.read(ctx, s.conf, s.client)
}

func (s *replaySession) close() { s.client.Close() }

// fault explains what Kafka does not let a session do.
func (s *replaySession) fault(doing string, err error) error {
	advice := ""
	switch {
	case errors.Is(err, kerr.ProducerFenced), errors.Is(err, kerr.InvalidProducerEpoch), errors.Is(err, kerr.TransactionCoordinatorFenced):
		advice = ": another replay of these dead letters has begun, or Kafka took too long: ask again when it has ended; nothing is replayed twice"
	case errors.Is(err, kerr.TransactionalIDAuthorizationFailed):
		advice = fmt.Sprintf(": give the user WRITE and DESCRIBE on the transactional id %q", s.id)
	case errors.Is(err, kerr.ClusterAuthorizationFailed):
		advice = ": give the user IDEMPOTENT_WRITE on the cluster"
	case errors.Is(err, kerr.TopicAuthorizationFailed):
		advice = fmt.Sprintf(": give the user READ, WRITE and DESCRIBE on the topic %q", s.memory.topic)
	case errors.Is(err, context.DeadlineExceeded):
		advice = ": Kafka takes too long: ask again; nothing is replayed twice"
	}
	return letterError("%s: %w%s", doing, neterror.WithoutLocalPort(err), advice)
}

// refusedLetter is a letter that Kafka refuses again, or that is of no use to it.
type refusedLetter struct{ err error }

func (e *refusedLetter) Error() string { return e.err.Error() }
func (e *refusedLetter) Unwrap() error { return e.err }

// write replays letters in one transaction. A *refusedLetter says that Kafka refuses one
// of them, and so has none. After an error the session is over.
func (s *replaySession) write(ctx context.Context, letters []*kgo.Record, at time.Time) error {
	if err := s.client.BeginTransaction(); err != nil {
		return s.fault("beginning to replay", err)
	}
	ctx, cancel := context.WithTimeout(ctx, transactionTime/2)
	defer cancel()
	var mu sync.Mutex
	var refused, failed error
	for _, letter := range letters {
		id := LetterID{letter.Partition, letter.Offset}
		s.client.Produce(ctx, replayOf(letter, at), func(r *kgo.Record, err error) {
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
			case isLetterFault(err) && refused == nil:
				refused = fmt.Errorf("writing it to topic %q: %w%s", r.Topic, neterror.WithoutLocalPort(err), letterAdvice(err, r))
			case failed == nil:
				failed = err
			}
		})
		s.client.Produce(ctx, s.memory.mark(id, at), func(_ *kgo.Record, err error) {
			mu.Lock()
			defer mu.Unlock()
			if err != nil && failed == nil {
				failed = err
			}
		})
	}
	if err := s.end(ctx, func() error {
		mu.Lock()
		defer mu.Unlock()
		if refused != nil {
			return &refusedLetter{refused} // which may have failed the others
		}
		return failed
	}); err != nil {
		return err
	}
	for _, letter := range letters {
		s.memory.replayed[LetterID{letter.Partition, letter.Offset}] = at
	}
	return nil
}

// forget removes letters from the memory.
func (s *replaySession) forget(ctx context.Context, records []*kgo.Record) error {
	if err := s.client.BeginTransaction(); err != nil {
		return s.fault("clearing what was replayed long ago", err)
	}
	ctx, cancel := context.WithTimeout(ctx, transactionTime/2)
	defer cancel()
	results := make(chan error, len(records))
	for _, r := range records {
		s.client.Produce(ctx, r, func(_ *kgo.Record, err error) { results <- err })
	}
	return s.end(ctx, func() (failed error) {
		for range records {
			failed = errors.Join(failed, <-results)
		}
		return failed
	})
}

// end commits the transaction if all records of it were taken. Nothing of one that fails
// is to be seen.
func (s *replaySession) end(ctx context.Context, outcome func() error) error {
	err := s.client.Flush(ctx)
	if err == nil {
		err = outcome()
	}
	if err == nil {
		if err := s.client.EndTransaction(ctx, kgo.TryCommit); err != nil {
			return s.fault("committing what was replayed, of which the last letters may be or not", err)
		}
		return nil
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTime)
	defer cancel()
	// What cannot be ended now is ended by the next session, or by Kafka.
	if s.client.AbortBufferedRecords(last) == nil {
		_ = s.client.EndTransaction(last, kgo.TryAbort)
	}
	if errors.As(err, new(*refusedLetter)) {
		return err
	}
	return s.fault("replaying", err)
}

// isLetterFault says whether the fault is that of the letter or of its topic: others may
// be replayed.
func isLetterFault(err error) bool {
	return isAny(err, recordFaults) || errors.Is(err, kerr.UnknownTopicOrPartition) || errors.Is(err, kerr.UnknownTopicID) ||
		errors.Is(err, kerr.InvalidTopicException) || errors.Is(err, kerr.TopicAuthorizationFailed) || errors.Is(err, kerr.PolicyViolation)
}

func letterAdvice(err error, r *kgo.Record) string {
	switch {
	case isTooLarge(err):
		return fmt.Sprintf(": a record of about %d bytes: raise max.message.bytes of the topic", recordSize(r)+batchOverhead)
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		return ": create the topic"
	case errors.Is(err, kerr.TopicAuthorizationFailed):
		return ": give the user WRITE and DESCRIBE on the topic"
	}
	return ""
}

// replayOf is the record that a letter was made of, with a header that says so.
func replayOf(letter *kgo.Record, at time.Time) *kgo.Record {
	r := &kgo.Record{
		Topic: letterHeader(letter, letterTopic), Partition: -1, Key: letter.Key, Value: letter.Value, Timestamp: letter.Timestamp,
	}
	// Only a producer whose partitions are chosen by hand goes by it.
	if p, err := strconv.ParseInt(letterHeader(letter, letterPartition), 10, 32); err == nil {
		r.Partition = int32(p)
	}
	for _, h := range letter.Headers {
		if !strings.HasPrefix(h.Key, letterPrefix) {
			r.Headers = append(r.Headers, h)
		}
	}
	origin, _ := json.Marshal(map[string]any{ // of texts and numbers
		"topic": letter.Topic, "partition": letter.Partition, "offset": letter.Offset, "time": at.UTC().Format(time.RFC3339Nano),
	})
	r.Headers = append(r.Headers, kgo.RecordHeader{Key: ReplayedHeader, Value: origin})
	return r
}
