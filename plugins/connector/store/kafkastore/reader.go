package kafkastore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/robustmq/robustmq-connect/plugins/internal/neterror"
	"github.com/robustmq/robustmq-connect/plugins/internal/pace"
)

// askEvery is how often Kafka is asked whether the view is complete.
const askEvery = 5 * time.Second

// askTimeout is how long that may take.
const askTimeout = 10 * time.Second

// read keeps the view up to date, until the store is closed.
func (s *Store) read() {
	for {
		fetches := s.client.PollFetches(s.life)
		if s.life.Err() != nil || fetches.IsClientClosed() {
			return
		}
		fetches.EachRecord(s.view.apply)
		var err error
		for _, failed := range fetches.Errors() {
			err = s.explain("reading the definitions", failed.Err)
		}
		s.mu.Lock()
		s.unread = err
		s.mu.Unlock()
		if err != nil {
			s.view.markBehind(err)
			_ = pace.Sleep(s.life, time.Second) // the loop ends with the store
		}
		s.answerClaim()
	}
}

// ask notes regularly whether the view is complete, and logs when that changes.
func (s *Store) ask() {
	told := false
	for s.life.Err() == nil {
		ctx, cancel := context.WithTimeout(s.life, askTimeout)
		err := s.Sync(ctx)
		cancel()
		switch {
		case s.life.Err() != nil:
			return
		case err != nil && !told:
			s.log.Error("The store in Kafka does not answer: connectors go on, lists are from what was read, and changes are refused", "error", err)
		case err == nil && told:
			s.log.Info("The store in Kafka answers again")
		}
		told = err != nil
		_ = pace.Sleep(s.life, askEvery) // the loop ends with the store
	}
}

// Sync implements store.Store.
func (s *Store) Sync(ctx context.Context) error {
	began := time.Now()
	err := s.sync(ctx)
	if err != nil {
		s.view.markBehind(err)
		return err
	}
	s.view.markComplete(began)
	return nil
}

func (s *Store) sync(ctx context.Context) error {
	next, _ := s.view.seen()
	end, err := s.endOffset(ctx)
	if err != nil {
		return s.explain("reading the definitions", err)
	}
	if end < next {
		return fmt.Errorf("reading the definitions: topic %q ends at offset %d, and record %d was read: it was deleted and made anew, or Kafka has lost records; restore it, or restart the service to take what it holds now", s.address.Definitions(), end, next-1)
	}
	return s.readTo(ctx, end)
}

// readTo waits until all before an offset was read.
func (s *Store) readTo(ctx context.Context, end int64) error {
	for {
		next, moved := s.view.seen()
		if next >= end {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			s.mu.Lock()
			err := s.unread
			s.mu.Unlock()
			if err != nil {
				return err
			}
			return fmt.Errorf("reading the definitions: topic %q was read to offset %d of %d only", s.address.Definitions(), next, end)
		}
	}
}

// endOffset returns the offset behind the last record of the topic that readers see.
func (s *Store) endOffset(ctx context.Context) (int64, error) {
	req := kmsg.NewPtrListOffsetsRequest()
	req.ReplicaID = -1
	req.IsolationLevel = 1 // committed
	topic := kmsg.NewListOffsetsRequestTopic()
	topic.Topic = s.address.Definitions()
	partition := kmsg.NewListOffsetsRequestTopicPartition()
	partition.Timestamp = -1 // the latest
	topic.Partitions = append(topic.Partitions, partition)
	req.Topics = append(req.Topics, topic)
	resp, err := req.RequestWith(ctx, s.client)
	if err != nil {
		return 0, err
	}
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return 0, errors.New("the answer does not say where the topic ends")
	}
	end := resp.Topics[0].Partitions[0]
	return end.Offset, kerr.ErrorForCode(end.ErrorCode)
}

// explain says what to do about an error of Kafka.
func (s *Store) explain(doing string, err error) error {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) || errors.Is(err, kgo.ErrClientClosed) {
		return fmt.Errorf("%s: Kafka at %s does not answer in time", doing, s.brokers())
	}
	advice := ""
	switch {
	case errors.Is(err, kerr.TopicAuthorizationFailed):
		advice = fmt.Sprintf(": give the user READ, WRITE and DESCRIBE on topic %q", s.address.Definitions())
	case errors.Is(err, kerr.TransactionalIDAuthorizationFailed):
		advice = fmt.Sprintf(": give the user WRITE and DESCRIBE on the transactional id %q", s.address.TransactionalID())
	case errors.Is(err, kerr.ClusterAuthorizationFailed):
		advice = ": give the user IDEMPOTENT_WRITE on the cluster"
	case errors.Is(err, kerr.NotEnoughReplicas), errors.Is(err, kerr.NotEnoughReplicasAfterAppend):
		advice = fmt.Sprintf(": restart replicas, or lower min.insync.replicas of topic %q", s.address.Definitions())
	case errors.Is(err, kerr.MessageTooLarge), errors.Is(err, kerr.RecordListTooLarge):
		advice = fmt.Sprintf(": raise max.message.bytes of topic %q to 1048588", s.address.Definitions())
	case errors.Is(err, kerr.UnknownTopicOrPartition), errors.Is(err, kerr.UnknownTopicID):
		advice = fmt.Sprintf(": topic %q was deleted: restore it, or restart the service to begin with an empty one", s.address.Definitions())
	case errors.Is(err, kerr.SaslAuthenticationFailed):
		advice = ": correct the login in the file of --store-config"
	}
	return fmt.Errorf("%s: Kafka at %s: %w%s", doing, s.brokers(), neterror.WithoutLocalPort(err), advice)
}
