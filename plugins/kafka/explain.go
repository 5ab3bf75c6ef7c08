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

// explainer turns errors into messages for the person who has to correct the cause. It
// uses the configuration to name the field or setting.
type explainer struct{ conf *config }

// refusal names the record that Kafka refused, the reason, and the correction. index is
// its place in a batch of total; limit is the topic's max.message.bytes, or 0 if it is
// not known.
func (e explainer) refusal(err error, r *kgo.Record, index, total int, limit int32) error {
	where := fmt.Sprintf("writing message %d of %d", index+1, total)
	if r.Topic != "" {
		where += fmt.Sprintf(" to topic %q", r.Topic)
	}
	if r.Partition >= 0 {
		where += fmt.Sprintf(", partition %d", r.Partition)
	}
	return fmt.Errorf("%s: %w%s", where, neterror.WithoutLocalPort(err), e.advice(err, r, limit))
}

// advice names the correction; r is nil if the error does not concern a record.
func (e explainer) advice(err error, r *kgo.Record, limit int32) string {
	switch {
	case isTooLarge(err):
		size := recordSize(r) + batchOverhead
		if size > int(e.conf.maxMessageBytes) {
			return fmt.Sprintf(": a record of about %d bytes: raise %s, which is %d", size, fieldMaxMessageBytes, e.conf.maxMessageBytes)
		}
		if e.conf.maxBufferedBytes > 0 && size-batchOverhead > e.conf.maxBufferedBytes {
			return fmt.Sprintf(": a record of about %d bytes: raise %s, which is %d", size, fieldMaxBufferedBytes, e.conf.maxBufferedBytes)
		}
		if limit > 0 {
			return fmt.Sprintf(": a record of about %d bytes: raise max.message.bytes of the topic, which is %d", size, limit)
		}
		return fmt.Sprintf(": a record of about %d bytes: raise max.message.bytes of the topic", size)
	case errors.Is(err, kerr.UnknownTopicOrPartition), errors.Is(err, kerr.UnknownTopicID):
		if e.conf.autoCreate {
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
		return ": restart replicas, or lower min.insync.replicas of the topic"
	case errors.Is(err, kgo.ErrRecordRetries):
		return fmt.Sprintf(": the limit %s was reached", fieldRecordRetries)
	case errors.Is(err, kgo.ErrRecordTimeout):
		return fmt.Sprintf(": the limit %s was reached", fieldRecordDeliveryTimeout)
	default:
		return ""
	}
}

// unreachable names the brokers and the cause.
func (c *clientConfig) unreachable(err error) error {
	return fmt.Errorf("reaching Kafka at %s: %w%s", strings.Join(c.brokers, ", "), neterror.WithoutLocalPort(err), c.connectAdvice(err))
}

func (c *clientConfig) connectAdvice(err error) string {
	switch {
	case errors.Is(err, errMute) && c.maxVersion == nil:
		return fmt.Sprintf(": it may know older versions of Kafka's protocol only: set %s, 3.8 for example; check also that it is a Kafka and that %s is as it requires", fieldMaxKafkaVersion, fieldTLS)
	case errors.Is(err, errMute):
		return fmt.Sprintf(": lower %s; check also that it is a Kafka and that %s is as it requires", fieldMaxKafkaVersion, fieldTLS)
	case isAuthentication(err):
		return fmt.Sprintf(": correct %s, which is %s", fieldSASL, c.mechanisms())
	case errors.Is(err, io.EOF) && len(c.sasl) > 0:
		return fmt.Sprintf(": the broker closed the connection: check whether it knows this user and password (%s, which is %s), and whether it requires TLS", fieldSASL, c.mechanisms())
	case errors.Is(err, io.EOF):
		return fmt.Sprintf(": the broker closed the connection: check whether it requires TLS (%s) or authentication (%s)", fieldTLS, fieldSASL)
	default:
		return ""
	}
}
