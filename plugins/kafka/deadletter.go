package kafka

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/robustmq/robustmq-connect/plugins/internal/neterror"
)

// deadLetters writes records to the dead letter topic, one at a time and therefore in
// order. It has its own client: settings of the output's client that made it refuse a
// record, such as max_message_bytes, must not refuse the dead letter too.
type deadLetters struct {
	conf     *config
	topic    string
	source   string // the connector's name
	warnings *warnings

	mu       sync.Mutex
	producer *producer // nil until needed
	closed   bool
}

func newDeadLetters(conf *config, mgr *service.Resources) *deadLetters {
	return &deadLetters{conf: conf.forDeadLetters(), topic: conf.strategy.TopicName, source: sourceOf(mgr), warnings: newWarnings(mgr.Logger())}
}

// sourceOf is the name of the connector in its dead letters, which tells them from those
// of others in the same topic.
func sourceOf(mgr *service.Resources) string { return cmp.Or(mgr.Label(), "kafka_franz") }

// forDeadLetters returns the configuration for writing dead letters: that of the
// output, as far as it concerns the connection to Kafka.
func (c *config) forDeadLetters() *config {
	dead := *c
	if servers := c.strategy.BootstrapServers; servers != nil {
		dead.brokers = servers
	}
	dead.strategy = Strategy{}
	dead.maxInFlight, dead.linger = 1, 0
	dead.partitioner = ""
	dead.acks = "all"
	dead.maxRequests = 1
	// Only the topic's own limit applies.
	dead.maxMessageBytes = c.brokerWriteBytes
	dead.maxBufferedBytes = 0
	dead.limits = limits{}
	return &dead
}

// deadLetterError means that a dead letter could not be written.
type deadLetterError struct {
	topic   string
	refusal error // why the record was to be dead-lettered
	err     error
}

func (e *deadLetterError) Error() string {
	return fmt.Sprintf("%s; writing it to the dead letter topic %q: %s", e.refusal, e.topic, e.err)
}

// open returns the producer. The first call creates it.
func (l *deadLetters) open() (*producer, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, kgo.ErrClientClosed
	}
	if l.producer == nil {
		p, err := newProducer(l.conf, l.warnings)
		if err != nil {
			return nil, err
		}
		l.producer = p
	}
	return l.producer, nil
}

// renew makes the next open return another producer.
func (l *deadLetters) renew(p *producer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.producer == p {
		l.producer = nil
	}
	p.close()
}

func (l *deadLetters) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	if l.producer != nil {
		l.producer.close()
	}
}

// write returns when the record's dead letter is in Kafka or was refused.
func (l *deadLetters) write(record *kgo.Record, refusal error, d *delivery) error {
	failed := func(err error) error { return &deadLetterError{l.topic, refusal, err} }
	p, err := l.open()
	if err != nil {
		return failed(err)
	}
	records := []kgo.Record{l.record(record, refusal)}
	d.deadLettersVia.Store(p)
	failures := p.write(records, segment{from: 0, to: 1}, &d.progress)
	d.deadLettersVia.Store(nil)
	if len(failures) == 0 {
		return nil
	}
	err = failures[0].err
	if isTooLarge(err) {
		p.learnNow(l.topic)
	}
	advice := explainer{l.conf}.advice(err, &records[0], p.topics.limit(l.topic))
	if remembered(err) {
		l.renew(p)
	}
	return failed(fmt.Errorf("%w%s", neterror.WithoutLocalPort(err), advice))
}

// The headers of a dead letter that are read again, behind letterPrefix.
const (
	letterPrefix    = "__connect.errors."
	letterTopic     = "topic"
	letterPartition = "partition"
	letterSource    = "connector.name"
	letterComponent = "class.name"
	letterStage     = "stage"
	letterClass     = "exception.class.name"
	letterReason    = "exception.message"
)

// record returns the record with the headers of Kafka Connect's dead letter queues.
func (l *deadLetters) record(record *kgo.Record, refusal error) kgo.Record {
	letter := kgo.Record{
		Topic:     l.topic,
		Partition: -1,
		Key:       record.Key,
		Value:     record.Value,
		Timestamp: record.Timestamp,
		Headers:   slices.Clone(record.Headers),
	}
	if errors.Is(refusal, kerr.InvalidTimestamp) {
		letter.Timestamp = time.Time{}
	}
	about := LetterAbout{
		Topic: record.Topic, Partition: record.Partition, Source: l.source, Stage: stage(refusal),
		Component: "kafka_franz", Class: exceptionClass(refusal), Reason: refusal.Error(),
	}
	for _, header := range about.Headers() {
		letter.Headers = append(letter.Headers, kgo.RecordHeader{Key: header[0], Value: []byte(header[1])})
	}
	return letter
}

// stage returns Kafka Connect's name for the stage at which a record failed.
func stage(refusal error) string {
	switch {
	case errors.As(refusal, new(*messageError)):
		return StageProcessor
	case errors.As(refusal, new(*recordError)):
		return StageConvert
	default:
		return stageProduce
	}
}

// exceptionClass returns the exception with which Kafka's own clients report the
// refusal.
func exceptionClass(refusal error) string {
	for _, known := range []struct {
		err   error
		class string
	}{
		{kerr.MessageTooLarge, "common.errors.RecordTooLargeException"},
		{kerr.RecordListTooLarge, "common.errors.RecordBatchTooLargeException"},
		{kerr.InvalidRecord, "common.InvalidRecordException"},
		{kerr.InvalidTimestamp, "common.errors.InvalidTimestampException"},
		{kerr.CorruptMessage, "common.errors.CorruptRecordException"},
		{kerr.InvalidTopicException, "common.errors.InvalidTopicException"},
		{kgo.ErrRecordTimeout, "common.errors.TimeoutException"},
	} {
		if errors.Is(refusal, known.err) {
			return "org.apache.kafka." + known.class
		}
	}
	if errors.As(refusal, new(*recordError)) {
		return ClassData
	}
	return "org.apache.kafka.common.errors.RetriableException"
}
