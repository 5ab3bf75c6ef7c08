package kafka

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// recordError is an error of a record that was never sent to Kafka.
type recordError struct{ err error }

func (e *recordError) Error() string { return e.err.Error() }
func (e *recordError) Unwrap() error { return e.err }

// FieldError is the error of a field of the configuration for one message.
type FieldError struct {
	Field string
	err   error
}

func (e *FieldError) Error() string { return e.err.Error() }
func (e *FieldError) Unwrap() error { return e.err }

func evaluating(field string, err error) error {
	return &FieldError{field, fmt.Errorf("evaluating field %s: %w", field, err)}
}

// messageError is the error that a message carries because a processor failed.
type messageError struct{ err error }

func (e *messageError) Error() string {
	return "a processor failed on the message: correct the processor, or handle the error with catch: " + e.err.Error()
}
func (e *messageError) Unwrap() error { return e.err }

// class says what a refusal depends on.
type class string

const (
	// classRecord is an error of the record: others may succeed.
	classRecord class = "record"
	// classTopic is an error of the topic, which affects all its records.
	classTopic class = "topic"
	// classCluster is an error of the cluster or the connection to it. Unknown errors
	// belong to this class.
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

// sharedByBatch reports whether Kafka refuses a whole record batch with err because of
// one record, so that smaller record batches are needed to find that record.
func sharedByBatch(err error) bool { return isAny(err, recordFaults) }

// isTooLarge reports whether the refusal depends on the topic's limit.
func isTooLarge(err error) bool {
	return errors.Is(err, kerr.MessageTooLarge) || errors.Is(err, kerr.RecordListTooLarge)
}

// remembered reports whether the client may keep returning the error after its cause
// was corrected. Examples are a producer id that it was refused, and a topic that was
// deleted and created again, whose new id it does not accept.
func remembered(err error) bool {
	return classify(err) == classCluster || errors.Is(err, kerr.UnknownTopicID) || errors.Is(err, kerr.UnknownTopicOrPartition)
}

// isAuthentication reports whether retrying soon is pointless and may lock an account.
func isAuthentication(err error) bool {
	return errors.Is(err, kerr.SaslAuthenticationFailed) || errors.Is(err, kerr.UnsupportedSaslMechanism)
}

// notConnected reports whether the client gave up a record because no broker let it in,
// so that Kafka has not seen the record. A broker that is starting or stopping may do
// so. The client retries every other failure to connect by itself.
func notConnected(err error) bool {
	return isAuthentication(err) || errors.As(err, new(*kgo.ErrFirstReadEOF))
}

// code returns the error's short name, for a metric label.
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
