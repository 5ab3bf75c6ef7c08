package kafkastore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/robustmq/robustmq-connect/plugins/connector/store"
)

const (
	// batchBytes is the largest record batch: a value of MaxValue fits.
	batchBytes = 1_048_588
	// transactionTimeout is how long Kafka keeps a transaction of a process that died.
	transactionTimeout = 30 * time.Second
	// retryEvery is how often a request is retried during a change.
	retryEvery = 200 * time.Millisecond
)

// record is one to write; a nil value is a tombstone.
type record struct {
	key   string
	value []byte
}

func small(key string, value smallJSON) (record, error) {
	value.Format = Format
	data, err := bounded(value)
	return record{key, data}, err
}

var errReadsOnly = errors.New("this process only reads the store")

// change writes the records that build returns, all or none. build is called when the
// view is complete, and again after a failure. The result is as store.Store says.
func (s *Store) change(build func() ([]record, error)) error {
	return s.changeWithin(s.timing.change, build)
}

func (s *Store) changeWithin(timeout time.Duration, build func() ([]record, error)) error {
	ctx, cancel := context.WithTimeout(s.life, timeout)
	defer cancel()
	select {
	case <-s.turn:
	case <-ctx.Done():
		return s.explain("waiting for another change", ctx.Err())
	}
	defer func() { s.turn <- struct{}{} }()
	if !s.isWriter() {
		return errReadsOnly
	}
	for attempt := 1; ; attempt++ {
		if err := s.refusal(); err != nil {
			return err
		}
		err := s.tryLocked(ctx, s.process, build)
		if err != nil && isRepeatable(err) && attempt < 3 {
			continue
		}
		return err
	}
}

// tryLocked is one attempt. The caller has the turn.
func (s *Store) tryLocked(ctx context.Context, expected string, build func() ([]record, error)) error {
	if s.producer == nil {
		if err := s.initialise(ctx, expected); err != nil {
			return err
		}
	}
	records, err := build()
	if err != nil || len(records) == 0 {
		return err
	}
	err = s.transact(ctx, records)
	if err != nil {
		s.wrote = time.Time{}
		return err
	}
	s.wrote = time.Now()
	return nil
}

// initialise makes a producer, which ends the transactions of earlier ones, and reads
// what they committed. It fails if another process than expected has the store then.
func (s *Store) initialise(ctx context.Context, expected string) error {
	producer, err := kgo.NewClient(append(s.opts[:len(s.opts):len(s.opts)],
		kgo.TransactionalID(s.address.TransactionalID()), kgo.TransactionTimeout(transactionTimeout),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchMaxBytes(batchBytes), kgo.ProducerLinger(0),
		// A record that is retried too often fails with the last error, and one that is too
		// late without it.
		kgo.RecordRetries(int(s.timing.refused/retryEvery)), kgo.RecordDeliveryTimeout(s.timing.change*9/10),
		kgo.RetryBackoffFn(func(int) time.Duration { return retryEvery }),
	)...)
	if err != nil {
		return &settingError{fmt.Errorf("making a producer: %w", err)}
	}
	_, _, err = producer.ProducerID(ctx)
	if err != nil {
		producer.Close()
		return s.explain("becoming the writer of the store", err)
	}
	if err := s.Sync(ctx); err != nil {
		producer.Close()
		return err
	}
	if writer, _, _ := s.view.parties(); writer.Process != expected && writer.Process != s.process {
		producer.Close()
		err := &InUseError{Host: writer.Host}
		if s.isWriter() {
			s.lose(err)
		}
		return err
	}
	s.producer = producer
	return nil
}

// transact writes records in one transaction and reads them back.
func (s *Store) transact(ctx context.Context, records []record) error {
	producer := s.producer
	refused := func(doing string, err error) error {
		// What was not committed never takes effect: the next producer ends it.
		s.closeProducer(producer)
		return s.explain(doing, err)
	}
	if err := producer.BeginTransaction(); err != nil {
		return refused("writing to the store", err)
	}
	batch := make([]*kgo.Record, len(records))
	for i, r := range records {
		batch[i] = &kgo.Record{Topic: s.address.Definitions(), Partition: 0, Key: []byte(r.key), Value: r.value}
	}
	if err := callWithin(ctx, producer, func() error { return producer.ProduceSync(ctx, batch...).FirstErr() }); err != nil {
		return refused("writing to the store", err)
	}
	last := batch[len(batch)-1].Offset
	s.view.await(last)
	err := callWithin(ctx, producer, func() error {
		if err := producer.Flush(ctx); err != nil { // EndTransaction requires it
			return err
		}
		return producer.EndTransaction(ctx, kgo.TryCommit)
	})
	if err == nil {
		err = s.readTo(ctx, last+1)
		switch {
		case err == nil && s.view.landed():
			return nil
		case err == nil:
			return refused("committing a change to the store", errAborted)
		}
	}
	if ke := (*kerr.Error)(nil); errors.As(err, &ke) && isFenced(err) {
		return s.fencedOutcome(ctx, refused("committing a change to the store", err))
	}
	// Kafka may have got the commit or not.
	s.closeProducer(producer)
	return s.findOutcome(s.explain("committing a change to the store", err))
}

// fencedOutcome finds out whether a transaction was committed whose producer is fenced.
// The client repeats a commit that is not answered, and Kafka may have done the first one.
// Whoever fenced the producer has ended the transaction, so reading to the end tells.
func (s *Store) fencedOutcome(ctx context.Context, why error) error {
	err := s.Sync(ctx)
	switch {
	case s.view.landed():
		return nil
	case err != nil:
		return &store.UnknownError{Why: why}
	}
	return why
}

// findOutcome finds out whether the last transaction was committed: it initialises another
// producer, which ends what is open, and reads to the end.
func (s *Store) findOutcome(why error) error {
	ctx, cancel := context.WithTimeout(s.life, s.timing.followup)
	defer cancel()
	if err := s.initialise(ctx, s.process); err != nil && !s.view.landed() {
		return &store.UnknownError{Why: why}
	}
	if s.view.landed() {
		return nil
	}
	return why
}

// callWithin calls f and closes the client when the context ends, which ends f.
func callWithin(ctx context.Context, client *kgo.Client, f func() error) error {
	result := make(chan error, 1)
	go func() { result <- f() }()
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
	}
	client.Close()
	err := <-result
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// closeProducer ends a producer that has failed.
func (s *Store) closeProducer(producer *kgo.Client) {
	s.producer = nil
	producer.Close()
}

// errAborted is a transaction of which the client says that it is committed, and whose
// records readers do not get.
var errAborted = errors.New("the transaction was aborted")

// isRepeatable reports whether nothing was committed and another producer may succeed:
// either the store is lost, which that one finds out, or another process has tried to
// get it in vain, or Kafka has forgotten the producer or aborted its transaction.
func isRepeatable(err error) bool {
	return isFenced(err) || errors.Is(err, kerr.OutOfOrderSequenceNumber) || errors.Is(err, errAborted)
}

// isFenced reports whether Kafka refuses a producer because of a later one.
func isFenced(err error) bool {
	for _, fence := range []*kerr.Error{kerr.InvalidProducerEpoch, kerr.ProducerFenced, kerr.InvalidProducerIDMapping, kerr.InvalidTxnState, kerr.UnknownProducerID} {
		if errors.Is(err, fence) {
			return true
		}
	}
	return false
}

func (s *Store) isWriter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writing
}

// refusal returns why no change is possible any more, or nil.
func (s *Store) refusal() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lostWhy != nil {
		return fmt.Errorf("the store is lost for this process: %w", s.lostWhy)
	}
	if s.closed {
		return errors.New("the store is closed")
	}
	return nil
}

func (s *Store) lose(why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lostWhy == nil {
		s.lostWhy = why
		close(s.lost)
	}
}

// Probe implements store.Store. It writes a record now and then, and always after a
// failure.
func (s *Store) Probe() error {
	err := s.refusal()
	if err == nil {
		err = s.change(func() ([]record, error) {
			if time.Since(s.wrote) < s.timing.probe {
				return nil, nil
			}
			data, err := json.Marshal(smallJSON{Format: Format, Host: s.host})
			return []record{{probeKey, data}}, err
		})
	}
	if err == nil {
		err = s.view.contents().Stale
	}
	if err != nil {
		return fmt.Errorf("writing to the store: %w", err)
	}
	return nil
}
