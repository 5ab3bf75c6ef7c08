package kafkastore

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// InUseError means that another process has the store.
type InUseError struct{ Host string }

func (e *InUseError) Error() string {
	return fmt.Sprintf("another service uses it (%s): stop that one, or name another prefix", e.Host)
}

// Claim makes this process the writer. It asks the process that is the writer to answer.
// If that answers in time, the error is an *InUseError. If not, it is dead or cannot be
// reached, and Kafka refuses its changes from then on.
func (s *Store) Claim(ctx context.Context) error {
	if err := s.claim(ctx); err != nil {
		return fmt.Errorf("opening the store %s: %w", s.address, err)
	}
	return nil
}

func (s *Store) claim(ctx context.Context) error {
	err := s.untilReached(ctx, func(ctx context.Context) error {
		return s.writePlain(ctx, claimKey, smallJSON{Process: s.process, Host: s.host})
	})
	if err != nil {
		return err
	}
	writer, _, _ := s.view.parties()
	if writer.Process != "" {
		s.log.Info("Another service has used the store: waiting whether it answers", "service", writer.Host, "for", s.timing.claim.String())
		if err := s.awaitAnswer(ctx); err != nil {
			return err
		}
		writer, _, _ = s.view.parties()
	}
	return s.untilReached(ctx, func(ctx context.Context) error { return s.lead(ctx, writer.Process) })
}

// lead makes this process the writer, in place of the expected one.
func (s *Store) lead(ctx context.Context, expected string) error {
	<-s.turn
	defer func() { s.turn <- struct{}{} }()
	err := s.tryLocked(ctx, expected, func() ([]record, error) {
		one, err := small(writerKey, smallJSON{Process: s.process, Host: s.host})
		return []record{one}, err
	})
	if err != nil && isRepeatable(err) {
		err = &raceError{err}
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.writing = true
	s.mu.Unlock()
	s.answerClaim() // one that was read meanwhile
	return nil
}

// raceError means that two processes have become the writer at once, or that Kafka has
// aborted the attempt. It is tried again: then one of them is the writer.
type raceError struct{ error }

// resign says that this process does not write any more.
func (s *Store) resign() {
	if s.isWriter() && !s.isLost() {
		ctx, cancel := context.WithTimeout(s.life, s.timing.change/2)
		defer cancel()
		<-s.turn
		err := s.tryLocked(ctx, s.process, func() ([]record, error) { return []record{{key: writerKey}}, nil })
		s.turn <- struct{}{}
		if err != nil {
			s.log.Warn("The store does not know that this service ends: the next one waits a little longer", "error", err)
		}
	}
	<-s.turn
	if s.producer != nil {
		s.closeProducer(s.producer)
	}
	s.turn <- struct{}{}
}

// awaitAnswer returns an error if the writer answers in time. It returns earlier if the
// writer resigns.
func (s *Store) awaitAnswer(ctx context.Context) error {
	timeout := time.NewTimer(s.timing.claim)
	defer timeout.Stop()
	// The writer sees the last claim alone, and perhaps was none yet.
	again := time.NewTicker(s.timing.claim/10 + time.Millisecond)
	defer again.Stop()
	for {
		_, moved := s.view.seen()
		writer, _, answer := s.view.parties()
		switch {
		case answer.To == s.process:
			return &InUseError{Host: answer.Host}
		case writer.Process == "":
			return nil
		}
		select {
		case <-moved:
		case <-again.C:
			if err := s.writePlain(ctx, claimKey, smallJSON{Process: s.process, Host: s.host}); err != nil {
				return err
			}
		case <-timeout.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// answerClaim tells a process that wants the store that this one has it. It is called
// after each read.
func (s *Store) answerClaim() {
	writer, claim, _ := s.view.parties()
	s.mu.Lock()
	mine := s.writing && s.lostWhy == nil && !s.closed
	due := mine && claim.Process != "" && claim.Process != s.process && claim.Process != s.answered
	if due {
		s.answered = claim.Process
	}
	s.mu.Unlock()
	switch {
	case mine && writer.Process != "" && writer.Process != s.process:
		s.lose(&InUseError{Host: writer.Host})
	case due:
		s.log.Warn("Another service wants the store: it is told that this one has it", "service", claim.Host)
		s.client.Produce(s.life, s.plain(answerKey, smallJSON{Process: s.process, Host: s.host, To: claim.Process}), func(_ *kgo.Record, err error) {
			if err != nil && s.life.Err() == nil {
				s.log.Warn("Cannot answer another service that wants the store", "error", s.explain("answering", err))
			}
		})
	}
}

func (s *Store) plain(key string, value smallJSON) *kgo.Record {
	value.Format = Format
	data, _ := json.Marshal(value) // texts and numbers
	return &kgo.Record{Topic: s.address.Definitions(), Partition: 0, Key: []byte(key), Value: data}
}

func (s *Store) isLost() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lostWhy != nil
}

// writePlain writes a record without a transaction, and returns when it was read back.
func (s *Store) writePlain(ctx context.Context, key string, value smallJSON) error {
	r := s.plain(key, value)
	if err := s.client.ProduceSync(ctx, r).FirstErr(); err != nil {
		return s.explain("writing to the store", err)
	}
	return s.readTo(ctx, r.Offset+1)
}
