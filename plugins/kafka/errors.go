package kafka

import (
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"
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
// is corrected: a producer id that it was refused, or a topic that was deleted and
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
