package kafka

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/robustmq/robustmq-connect/plugins/internal/neterror"
)

// recordError is a fault of a record that Kafka never saw.
type recordError struct{ err error }

func (e *recordError) Error() string { return e.err.Error() }
func (e *recordError) Unwrap() error { return e.err }

// messageError is the error that a message carries, of a processor that failed.
type messageError struct{ err error }

func (e *messageError) Error() string {
	return "the message carries an error of its processing: correct the processor, or handle the error with catch:  " + e.err.Error()
}
func (e *messageError) Unwrap() error { return e.err }

// class says what a refusal is about.
type class string

const (
	// classRecord is a fault of the record: others may pass.
	classRecord class = "record"
	// classTopic is a fault of the topic, which all its records share.
	classTopic class = "topic"
	// classCluster is a fault of the cluster or of the way to it. What is not
	// known to be otherwise counts as one.
	classCluster class = "cluster"
)

var (
	recordFaults = []error{
		kerr.MessageTooLarge, kerr.RecordListTooLarge, kerr.InvalidRecord, kerr.InvalidTimestamp, kerr.CorruptMessage,
	}
	topicFaults = []error{
		kerr.UnknownTopicOrPartition, kerr.UnknownTopicID, kerr.TopicAuthorizationFailed, kerr.InvalidTopicException,
		kerr.PolicyViolation, kerr.NotEnoughReplicas, kerr.NotEnoughReplicasAfterAppend,
	}
)

func isAny(err error, targets []error) bool {
	for _, target := range targets {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

func classify(err error) class {
	switch {
	case errors.As(err, new(*recordError)), isAny(err, recordFaults):
		return classRecord
	case isAny(err, topicFaults), errors.As(err, new(*deadLetterError)):
		return classTopic
	default:
		return classCluster
	}
}

// sharedByBatch says whether Kafka refuses a whole record batch with err for
// the sake of one record, so that it takes smaller ones to know which.
func sharedByBatch(err error) bool { return isAny(err, recordFaults) }

// isTooLarge says whether the refusal depends on the limit of the topic.
func isTooLarge(err error) bool {
	return errors.Is(err, kerr.MessageTooLarge) || errors.Is(err, kerr.RecordListTooLarge)
}

// remembered says whether the client may go by the fault from then on, though it
// is mended: a producer id that it was refused, or a topic that was deleted and
// made anew, whose new id it does not take.
func remembered(err error) bool {
	return classify(err) == classCluster || errors.Is(err, kerr.UnknownTopicID) || errors.Is(err, kerr.UnknownTopicOrPartition)
}

// isAuthentication says whether trying again soon is pointless and may lock an
// account.
func isAuthentication(err error) bool {
	return errors.Is(err, kerr.SaslAuthenticationFailed) || errors.Is(err, kerr.UnsupportedSaslMechanism)
}

// code is the error's short name, for a metric label.
func code(err error) string {
	if e, ok := errors.AsType[*kerr.Error](err); ok {
		return e.Message
	}
	if e, ok := errors.AsType[*deadLetterError](err); ok {
		return code(e.err)
	}
	if errors.As(err, new(*messageError)) {
		return "PROCESSING_FAILED"
	}
	if errors.As(err, new(*recordError)) {
		return "INVALID_MESSAGE"
	}
	return "OTHER"
}

// explain names the record that Kafka refused, the reason, and what mends it.
// index is its place in a batch of total; limit is the topic's
// max.message.bytes, or 0 where that is not known.
func (c *config) explain(err error, r *kgo.Record, index, total int, limit int32) error {
	where := fmt.Sprintf("writing message %d of %d", index+1, total)
	if r.Topic != "" {
		where += fmt.Sprintf(" to topic %q", r.Topic)
	}
	if r.Partition >= 0 {
		where += fmt.Sprintf(", partition %d", r.Partition)
	}
	return fmt.Errorf("%s: %w%s", where, neterror.WithoutLocalPort(err), c.advice(err, r, limit))
}

// advice says what mends the fault; r is nil where the fault is not that of a record.
func (c *config) advice(err error, r *kgo.Record, limit int32) string {
	switch {
	case isTooLarge(err):
		size := recordSize(r) + batchOverhead
		if size > int(c.maxMessageBytes) {
			return fmt.Sprintf(": a record of about %d bytes: raise %s, which is %d", size, fieldMaxMessageBytes, c.maxMessageBytes)
		}
		if c.maxBufferedBytes > 0 && size-batchOverhead > c.maxBufferedBytes {
			return fmt.Sprintf(": a record of about %d bytes: raise %s, which is %d", size, fieldMaxBufferedBytes, c.maxBufferedBytes)
		}
		if limit > 0 {
			return fmt.Sprintf(": a record of about %d bytes: raise max.message.bytes of the topic, which is %d", size, limit)
		}
		return fmt.Sprintf(": a record of about %d bytes: raise max.message.bytes of the topic", size)
	case errors.Is(err, kerr.UnknownTopicOrPartition), errors.Is(err, kerr.UnknownTopicID):
		if c.autoCreate {
			return ": create the topic, or let brokers create it (auto.create.topics.enable)"
		}
		return ": create the topic, or set " + fieldAllowAutoTopicCreation
	case errors.Is(err, kerr.TopicAuthorizationFailed):
		return ": give the user WRITE and DESCRIBE on the topic"
	case errors.Is(err, kerr.ClusterAuthorizationFailed):
		return fmt.Sprintf(": give the user IDEMPOTENT_WRITE on the cluster, or set %s to false", fieldIdempotentWrite)
	case isAuthentication(err):
		return ": correct " + fieldSASL
	case errors.Is(err, kerr.NotEnoughReplicas), errors.Is(err, kerr.NotEnoughReplicasAfterAppend):
		return ": bring replicas back, or lower min.insync.replicas of the topic"
	case errors.Is(err, kgo.ErrRecordRetries):
		return fmt.Sprintf(": %s has run out", fieldRecordRetries)
	case errors.Is(err, kgo.ErrRecordTimeout):
		return fmt.Sprintf(": %s has run out", fieldRecordDeliveryTimeout)
	default:
		return ""
	}
}

// explainConnect names the brokers and the cause.
func (c *config) explainConnect(err error) error {
	return fmt.Errorf("reaching Kafka at %s: %w%s", strings.Join(c.brokers, ", "), neterror.WithoutLocalPort(err), c.connectAdvice(err))
}

func (c *config) connectAdvice(err error) string {
	switch {
	case isAuthentication(err):
		return fmt.Sprintf(": correct %s, which is %s", fieldSASL, c.mechanisms())
	case errors.Is(err, io.EOF) && len(c.sasl) > 0:
		return fmt.Sprintf(": the broker has closed the connection: see whether it knows this user and password (%s, which is %s), and whether it wants TLS", fieldSASL, c.mechanisms())
	case errors.Is(err, io.EOF):
		return fmt.Sprintf(": the broker has closed the connection: see whether it wants TLS (%s) or authentication (%s)", fieldTLS, fieldSASL)
	default:
		return ""
	}
}

// mechanisms are the names of the SASL mechanisms in their order.
func (c *config) mechanisms() string {
	var names []string
	for _, mechanism := range c.sasl {
		names = append(names, mechanism.Name())
	}
	return strings.Join(names, ", ")
}
