package kafka

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/robustmq/robustmq-connect/plugins/constraint"
	"github.com/robustmq/robustmq-connect/plugins/envelope"
	"github.com/robustmq/robustmq-connect/plugins/internal/fields"
)

const (
	fieldTopics           = "topics"
	fieldPatterns         = "regexp_topics_include"
	fieldExcluded         = "regexp_topics_exclude"
	fieldGroup            = "consumer_group"
	fieldStartOffset      = "start_offset"
	fieldInstanceID       = "instance_id"
	fieldSessionTimeout   = "session_timeout"
	fieldRebalanceTimeout = "rebalance_timeout"
	fieldHeartbeat        = "heartbeat_interval"
	fieldCommitPeriod     = "commit_period"
	fieldLagPeriod        = "topic_lag_refresh_period"
	fieldMaxBatchMessages = "max_batch_messages"
	fieldMaxBatchBytes    = "max_batch_bytes"
	fieldMaxPendingBytes  = "max_pending_bytes"
	fieldFetchMaxWait     = "fetch_max_wait"
	fieldIsolation        = "transaction_isolation_level"
	fieldFormat           = "format"
)

// The words of the fields.
const (
	startEarliest   = "earliest"
	startLatest     = "latest"
	readUncommitted = "read_uncommitted"
	readCommitted   = "read_committed"
)

// InputConstraints are the rules of the input that involve several fields.
var InputConstraints = constraint.New(
	constraint.Constraint{
		Field: fieldTopics, Broken: `this.topics.or([]).length() == 0 && this.regexp_topics_include.or([]).length() == 0`,
		What: "is missing: give the topics to read, or regexp_topics_include for those of a pattern",
	},
	constraint.Constraint{
		Field: fieldPatterns, Broken: `this.topics.or([]).length() > 0 && this.regexp_topics_include.or([]).length() > 0`,
		What: "conflicts with topics; remove one of them",
	},
	constraint.Constraint{
		Field: fieldExcluded, Broken: `this.regexp_topics_exclude.or([]).length() > 0 && this.regexp_topics_include.or([]).length() == 0`,
		What: "needs regexp_topics_include; add it, or remove regexp_topics_exclude",
	},
)

// InputSpec describes the input kafka_ordered and its fields.
func InputSpec() *service.ConfigSpec {
	return service.NewConfigSpec().
		Stable().
		Categories("Services").
		Summary("Reads records of Kafka as a member of a consumer group, in order, and commits an offset only once its record was delivered.").
		Description(`
At most one batch of a partition is under way at a time: the next one is handed over once the output has acknowledged it. A message that the output rejects is handed over again before any later one of its partition.

When the group takes a partition away, the input stops handing it over, waits until the output has acknowledged what is in flight, commits, and only then gives the partition up. So two members do not deliver one partition at the same time, and a rebalance repeats nothing. It waits at most three quarters of ` + "`rebalance_timeout`" + `. If the output has not acknowledged by then, the new owner delivers those records again, from the first one that is not acknowledged.

The input is not ready while Kafka does not answer, a topic does not exist, or Kafka refuses the group or a topic.

== Metadata

Each message has the headers of its record as metadata, and kafka_key, kafka_topic, kafka_partition, kafka_offset, kafka_lag (the records behind it in its partition when it was fetched), kafka_timestamp_ms, kafka_timestamp_unix and kafka_tombstone_message. Of several headers with one name, the last one counts. A header does not replace one of these names.

The gauge ` + "`kafka_lag`" + ` has, by topic and partition, the records that the group has not committed.`).
		LintRule(InputConstraints.LintRule()).
		Fields(connectionFields(" New topics of a pattern, and new partitions, are found at that age.")...).
		Fields(groupFields()...).
		Fields(readFields()...)
}

func groupFields() []*service.ConfigField {
	return []*service.ConfigField{
		service.NewStringListField(fieldTopics).
			Description("The topics to read. An item with commas counts as several topics.").
			Example([]string{"mqtt_messages"}).Optional(),
		service.NewStringListField(fieldPatterns).
			Description("Regular expressions. Every topic is read whose name one of them matches, also topics that are created later. An expression matches anywhere in a name: write `^` and `$` for the whole name.").
			Example([]string{"^mqtt_.*$"}).Optional(),
		service.NewStringListField(fieldExcluded).
			Description("Regular expressions of topics that are not read though `regexp_topics_include` matches them.").
			Optional(),
		service.NewStringField(fieldGroup).
			Description("The consumer group. Kafka deals out the partitions among all its members and keeps how far the group has read."),
		service.NewStringAnnotatedEnumField(fieldStartOffset, map[string]string{
			startEarliest: "At the oldest record that Kafka has.",
			startLatest:   "At the next record that is written. That place is committed before anything is read, so that a restart or a rebalance skips nothing that was written later. What is written to a new partition before the input finds it is skipped.",
		}).
			Description("Where to start in a partition for which the group has no offset, or one that Kafka does not have any more.").
			Default(startEarliest),
		service.NewStringField(fieldInstanceID).
			Description("Makes the member static: Kafka gives it its partitions back if it returns within `session_timeout`. It must be unique in the group. The member then does not leave the group at a stop.").
			Default("").Advanced(),
		service.NewDurationField(fieldSessionTimeout).
			Description("After how long without a sign of life Kafka gives the partitions of a member to others. After a crash, their records wait for so long.").
			Default("15s").Advanced(),
		service.NewDurationField(fieldRebalanceTimeout).
			Description("How long members may take to give up partitions in a rebalance. For three quarters of it, the input waits for what is in flight.").
			Default("45s").Advanced(),
		service.NewDurationField(fieldHeartbeat).
			Description("How often the member gives a sign of life: at most a third of `session_timeout`.").
			Default("3s").Advanced(),
		service.NewDurationField(fieldCommitPeriod).
			Description("How often the offsets of delivered records are committed. They are also committed when a partition is given up and at a stop. After a crash, records of that time are delivered again.").
			Default("1s").Advanced(),
		service.NewDurationField(fieldLagPeriod).
			Description("How often the lag of the group is read.").
			Default("5s").Advanced(),
	}
}

func readFields() []*service.ConfigField {
	return []*service.ConfigField{
		envelope.FormatField("The record is opened as `robustmq_envelope` does with `operator: decode`; a message that does not open carries an error. Default: a record is handed over as it is."),
		service.NewStringField(fieldRackID).
			Description("The rack of this client. Kafka then lets it read from the nearest replica.").
			Default("").Advanced(),
		service.NewIntField(fieldMaxBatchMessages).
			Description("The number of messages in a batch at most.").
			Default(1000).Advanced(),
		service.NewStringField(fieldMaxBatchBytes).
			Description("The bytes of keys and values in a batch at most. A larger record is a batch of its own.").
			Default("1MiB").Advanced(),
		service.NewStringField(fieldMaxPendingBytes).
			Description("The memory of fetched records that wait for the pipeline, above which nothing more is fetched. One fetch may exceed it.").
			Default("16MiB").Advanced(),
		service.NewDurationField(fieldFetchMaxWait).
			Description("How long Kafka may wait for new records before it answers a fetch.").
			Default("5s").Advanced(),
		service.NewStringAnnotatedEnumField(fieldIsolation, map[string]string{
			readUncommitted: "All records.",
			readCommitted:   "Only records of committed transactions, and those without one.",
		}).
			Description("Which records of transactions are read.").
			Default(readUncommitted).Advanced(),
	}
}

// inputConfig is the parsed configuration of the input.
type inputConfig struct {
	clientConfig

	format                     string // "" to hand records over as they are
	topics, patterns, excluded []string
	group, instanceID, rack    string
	latest                     bool // see fieldStartOffset
	isolation                  kgo.IsolationLevel

	sessionTimeout, rebalanceTimeout, heartbeat time.Duration
	commitPeriod, lagPeriod, fetchMaxWait       time.Duration

	maxBatchMessages, maxBatchBytes, maxPendingBytes int
}

func parseInput(conf *service.ParsedConfig, opts ...Option) (*inputConfig, error) {
	p := fields.NewReader(conf)
	list := func(name string) []string {
		if !conf.Contains(name) {
			return nil
		}
		return fields.Read(p, conf.FieldStringList, name)
	}
	c := &inputConfig{
		format:     p.Word(envelope.Formats, fieldFormat),
		topics:     addresses(list(fieldTopics)...),
		patterns:   list(fieldPatterns),
		excluded:   list(fieldExcluded),
		group:      fields.Read(p, conf.FieldString, fieldGroup),
		instanceID: fields.Read(p, conf.FieldString, fieldInstanceID),
		rack:       fields.Read(p, conf.FieldString, fieldRackID),

		sessionTimeout:   p.Duration(time.Second, 30*time.Minute, fieldSessionTimeout),
		rebalanceTimeout: p.Duration(time.Second, 30*time.Minute, fieldRebalanceTimeout),
		heartbeat:        p.Duration(100*time.Millisecond, 10*time.Minute, fieldHeartbeat),
		commitPeriod:     p.Duration(10*time.Millisecond, time.Hour, fieldCommitPeriod),
		lagPeriod:        p.Duration(100*time.Millisecond, time.Hour, fieldLagPeriod),
		fetchMaxWait:     p.Duration(10*time.Millisecond, time.Minute, fieldFetchMaxWait),

		maxBatchMessages: p.Integer(1, math.MaxInt32, fieldMaxBatchMessages),
		maxBatchBytes:    p.Size(1, math.MaxInt32, fieldMaxBatchBytes),
		maxPendingBytes:  p.Size(1, math.MaxInt32, fieldMaxPendingBytes),
	}
	c.latest = p.Word([]string{startEarliest, startLatest}, fieldStartOffset) == startLatest
	if p.Word([]string{readUncommitted, readCommitted}, fieldIsolation) == readCommitted {
		c.isolation = kgo.ReadCommitted()
	}
	if err := p.Err(); err != nil {
		return nil, err
	}
	var err error
	if c.clientConfig, err = parseClient(conf, "the input kafka_ordered", optionsOf(opts)); err != nil {
		return nil, err
	}
	return c, c.check(conf)
}

// check returns the errors that lint finds, and those that the client would find later.
func (c *inputConfig) check(conf *service.ParsedConfig) error {
	var errs []error
	all, err := conf.FieldAny()
	if err == nil {
		err = InputConstraints.Check(all)
	}
	errs = append(errs, err)
	for _, topic := range c.topics {
		if err := checkTopic(topic); err != nil {
			errs = append(errs, fmt.Errorf("field %s: %w", fieldTopics, err))
		}
	}
	for name, patterns := range map[string][]string{fieldPatterns: c.patterns, fieldExcluded: c.excluded} {
		for _, pattern := range patterns {
			if what := CheckPattern(pattern); what != "" {
				errs = append(errs, fmt.Errorf("field %s: %s", name, what))
			}
		}
	}
	if what := CheckGroup(c.group); what != "" {
		errs = append(errs, fmt.Errorf("field %s: %s", fieldGroup, what))
	}
	if 3*c.heartbeat > c.sessionTimeout {
		errs = append(errs, fmt.Errorf("field %s: %s is more than a third of %s, %s", fieldHeartbeat, c.heartbeat, fieldSessionTimeout, c.sessionTimeout))
	}
	if len(c.brokers) == 0 {
		errs = append(errs, fmt.Errorf("field %s: is empty; give at least one address, for example localhost:9092", fieldSeedBrokers))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := kgo.ValidateOpts(c.options(c.connection()...)...); err != nil {
		return fmt.Errorf("configuring the Kafka client: %w", err)
	}
	return nil
}

// CheckPattern returns what is wrong with a regular expression of topics, or "".
func CheckPattern(pattern string) string {
	switch _, err := regexp.Compile(pattern); {
	case pattern == "":
		return "is empty; give a regular expression, for example ^mqtt_"
	case err != nil:
		return fmt.Sprintf("%q is not a regular expression: %s", pattern, strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
	return ""
}

// maxGroup is the length of the longest text in Kafka's protocol, in bytes.
const maxGroup = math.MaxInt16

// CheckGroup returns what is wrong with the name of a consumer group, or "".
func CheckGroup(group string) string {
	switch {
	case group == "":
		return "is empty; give the consumer group that keeps how far was read, for example mqtt-bridge"
	case len(group) > maxGroup:
		return fmt.Sprintf("is %d bytes long; the limit is %d", len(group), maxGroup)
	}
	return ""
}

// options returns those of the client that reads, beside those of its connection.
func (c *inputConfig) options(more ...kgo.Opt) []kgo.Opt {
	start := kgo.NewOffset().AtStart()
	if c.latest {
		start = kgo.NewOffset().AtEnd()
	}
	opts := []kgo.Opt{
		kgo.MetadataMinAge(metadataMinAge),
		kgo.ConsumerGroup(c.group),
		kgo.ConsumeResetOffset(start),
		kgo.FetchIsolationLevel(c.isolation),
		kgo.FetchMaxWait(c.fetchMaxWait),
		kgo.Rack(c.rack),
		kgo.SessionTimeout(c.sessionTimeout),
		kgo.RebalanceTimeout(c.rebalanceTimeout),
		kgo.HeartbeatInterval(c.heartbeat),
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(),
	}
	if len(c.patterns) > 0 {
		opts = append(opts, kgo.ConsumeRegex(), kgo.ConsumeTopics(c.patterns...))
		if len(c.excluded) > 0 {
			opts = append(opts, kgo.ConsumeExcludeTopics(c.excluded...))
		}
	} else {
		opts = append(opts, kgo.ConsumeTopics(c.topics...))
	}
	if c.instanceID != "" {
		opts = append(opts, kgo.InstanceID(c.instanceID))
	}
	return append(opts, more...)
}
