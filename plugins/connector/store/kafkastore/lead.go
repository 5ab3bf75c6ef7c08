package kafkastore

import (
	"context"
	"fmt"
)

// Lead makes this process the writer, in place of whoever was. It is for workers that
// have agreed which of them writes; Claim is for a process that has not asked the
// others. Kafka refuses what the former writer sends from then on. It retries until the
// context ends while Kafka cannot be reached.
func (s *Store) Lead(ctx context.Context) error {
	err := s.untilReached(ctx, func(ctx context.Context) error {
		if err := s.Sync(ctx); err != nil {
			return err
		}
		s.regain()
		writer, _, _ := s.view.parties()
		return s.lead(ctx, writer.Process)
	})
	if err != nil {
		return fmt.Errorf("becoming the writer of the store %s: %w", s.address, err)
	}
	return nil
}

// regain lets a process write again that another one has replaced before. Until it has
// become the writer, the store still names that one, which is no loss.
func (s *Store) regain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writing = false
	if s.lostWhy != nil {
		s.lostWhy, s.lost = nil, make(chan struct{})
	}
}

// Resign ends what Lead has begun. The process goes on reading.
func (s *Store) Resign() {
	s.resign()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writing = false
}
