package kafka

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/robustmq/robustmq-connect/plugins/internal/fields"
)

// config is the parsed configuration.
type config struct {
	clientConfig

	records builder

	maxInFlight  int
	linger       time.Duration
	strategy     Strategy
	metricTopics int

	partitioner        string
	idempotent         bool
	acks               string
	compression        string
	autoCreate         bool
	timeout            time.Duration
	maxMessageBytes    int32
	brokerWriteBytes   int32
	maxBufferedRecords int
	maxBufferedBytes   int
	maxRequests        int
	limits             limits
}

// oneAtATime reports whether only one batch is in flight. Then the output may hold it
// for the engine to hand over again; several batches could not be told apart. The
// producer then writes only when a complete part of the batch was handed to it, so that
// a partition gets one record batch per part, and later records cannot overtake a
// refused one.
func (c *config) oneAtATime() bool { return c.maxInFlight == 1 }

// deadTopicIsOwn reports whether a dead letter would be written to the topic that
// refused it.
func (c *config) deadTopicIsOwn() bool {
	return c.strategy.TopicName != "" && c.strategy.BootstrapServers == nil &&
		c.records.topic.isConstant && c.records.topic.constant == c.strategy.TopicName
}

var (
	acksWords        = []string{"all", "leader", "none"}
	compressionWords = []string{"lz4", "snappy", "gzip", "none", "zstd"}
	partitionerWords = []string{"murmur2_hash", "round_robin", "least_backup", "manual"}
)

func parseConfig(conf *service.ParsedConfig, opts ...Option) (*config, error) {
	p := fields.NewReader(conf)
	options := optionsOf(opts)
	c := &config{
		maxInFlight:  p.Integer(1, math.MaxInt32, fieldMaxInFlight),
		linger:       p.Duration(0, time.Minute, fieldLinger),
		metricTopics: p.Integer(0, math.MaxInt32, fieldMetricTopics),

		partitioner:        p.Word(partitionerWords, fieldPartitioner),
		idempotent:         fields.Read(p, conf.FieldBool, fieldIdempotentWrite),
		acks:               p.Word(acksWords, fieldAcks),
		compression:        p.Word(compressionWords, fieldCompression),
		autoCreate:         fields.Read(p, conf.FieldBool, fieldAllowAutoTopicCreation),
		timeout:            p.Duration(100*time.Millisecond, math.MaxInt32*time.Millisecond, fieldTimeout),
		maxMessageBytes:    int32(p.Size(512, 1<<30, fieldMaxMessageBytes)),
		brokerWriteBytes:   int32(p.Size(1<<10, 1<<30, fieldBrokerWriteMaxBytes)),
		maxBufferedRecords: p.Integer(1, math.MaxInt32, fieldMaxBufferedRecords),
		maxBufferedBytes:   p.Size(0, math.MaxInt, fieldMaxBufferedBytes),
		maxRequests:        p.Integer(1, math.MaxInt32, fieldMaxInFlightRequests),
		limits: limits{
			retries: p.Integer(0, math.MaxInt32, fieldRecordRetries),
			timeout: p.Duration(math.MinInt64, math.MaxInt64, fieldRecordDeliveryTimeout),
		},
	}
	if err := p.Err(); err != nil {
		return nil, err
	}
	var err error
	if c.clientConfig, err = parseClient(conf, "the output kafka_franz", options); err != nil {
		return nil, err
	}
	strategy, problems, err := parseStrategy(conf)
	if err != nil {
		return nil, err
	}
	c.strategy = strategy
	if c.records, err = parseBuilder(conf); err != nil {
		return nil, err
	}
	if options.limited {
		c.records.limit()
	}
	return c, c.check(conf, problems)
}

// check returns the errors that lint finds, and those that the client would find later.
func (c *config) check(conf *service.ParsedConfig, problems []StrategyProblem) error {
	var errs []error
	refuse := func(when bool, format string, args ...any) {
		if when {
			errs = append(errs, fmt.Errorf("field "+format, args...))
		}
	}
	for _, p := range problems {
		refuse(true, "%s: %s", p.Field, p.What)
	}
	all, err := conf.FieldAny()
	if err == nil {
		err = Constraints.Check(all)
	}
	if err != nil {
		errs = append(errs, err)
	}
	refuse(c.deadTopicIsOwn(), ownDeadTopic, c.strategy.TopicName)
	refuse(c.limits.timeout != 0 && c.limits.timeout < time.Second, shortDelivery, c.limits.timeout)
	refuse(c.brokerWriteBytes < c.maxMessageBytes, smallWrite, c.brokerWriteBytes, c.maxMessageBytes)
	refuse(len(c.brokers) == 0, "%s: is empty; give at least one address, for example localhost:9092", fieldSeedBrokers)
	if len(errs) == 0 {
		if err := kgo.ValidateOpts(c.options(new(topics), nil)...); err != nil {
			errs = append(errs, fmt.Errorf("configuring the Kafka client: %w", err))
		}
	}
	return errors.Join(errs...)
}

var (
	acksByName = map[string]kgo.Acks{"all": kgo.AllISRAcks(), "leader": kgo.LeaderAck(), "none": kgo.NoAck()}
	codecs     = map[string]kgo.CompressionCodec{
		"lz4": kgo.Lz4Compression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"zstd": kgo.ZstdCompression(), "none": kgo.NoCompression(),
	}
	partitioners = map[string]kgo.Partitioner{
		"": kgo.StickyKeyPartitioner(nil), "murmur2_hash": kgo.StickyKeyPartitioner(nil), "manual": kgo.ManualPartitioner(),
		"round_robin": kgo.RoundRobinPartitioner(), "least_backup": kgo.LeastBackupPartitioner(),
	}
)

// largestAnswer limits the answers of Kafka, in bytes. kgo allocates what an answer
// announces before it arrives. The metadata of 100,000 partitions takes 10 MB.
const largestAnswer = 16 << 20

// options returns those of the client that writes; logger may be nil.
func (c *config) options(topics *topics, logger kgo.Logger, hooks ...kgo.Hook) []kgo.Opt {
	opts := append(c.connection(),
		kgo.BrokerMaxReadBytes(largestAnswer), kgo.FetchMaxBytes(largestAnswer), // it fetches nothing
		kgo.RecordPartitioner(pinning{partitioners[c.partitioner], topics, c.guard}),
		kgo.RequiredAcks(acksByName[c.acks]),
		kgo.ProduceRequestTimeout(c.timeout),
		kgo.ProducerBatchMaxBytes(c.maxMessageBytes),
		kgo.BrokerMaxWriteBytes(c.brokerWriteBytes),
		kgo.MaxBufferedRecords(c.maxBufferedRecords),
		kgo.MaxProduceRequestsInflightPerBroker(c.maxRequests),
		kgo.MetadataMinAge(metadataMinAge),
		// With waits this short, the default of 4 would not give brokers enough time to
		// create a topic.
		kgo.UnknownTopicRetries(10),
	)
	if logger != nil {
		opts = append(opts, kgo.WithLogger(logger))
	}
	if len(hooks) > 0 {
		opts = append(opts, kgo.WithHooks(hooks...))
	}
	// With a manual flush, the delivery waits itself.
	if c.oneAtATime() {
		opts = append(opts, kgo.ManualFlushing(), kgo.ProducerLinger(0))
	} else {
		opts = append(opts, kgo.ProducerLinger(c.linger))
	}
	if c.maxBufferedBytes > 0 {
		opts = append(opts, kgo.MaxBufferedBytes(c.maxBufferedBytes))
	}
	if c.limits.retries > 0 {
		opts = append(opts, kgo.RecordRetries(c.limits.retries))
	}
	if c.compression != "" {
		opts = append(opts, kgo.ProducerBatchCompression(codecs[c.compression]))
	}
	if !c.idempotent {
		opts = append(opts, kgo.DisableIdempotentWrite())
	}
	if c.autoCreate {
		opts = append(opts, kgo.AllowAutoTopicCreation())
	}
	return opts
}
