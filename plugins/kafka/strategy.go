package kafka

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// The values of failure_strategy and its fields, which are RobustMQ's.
const (
	StrategyBlock             = "block"
	StrategyDiscard           = "discard"
	StrategyDiscardAfterRetry = "discard_after_retry"
	StrategyDeadMessageQueue  = "dead_message_queue"

	fieldStrategy         = "strategy"
	fieldRetryTotalTimes  = "retry_total_times"
	fieldWaitTimeMS       = "wait_time_ms"
	fieldTopicName        = "topic_name"
	fieldBootstrapServers = "bootstrap_servers"
)

// RobustMQ's defaults.
const (
	defaultRetryTotalTimes = 3
	defaultWaitTimeMS      = 1000
	defaultDeadTopic       = "dead_letter_queue"
)

var (
	strategies = []string{StrategyBlock, StrategyDiscard, StrategyDiscardAfterRetry, StrategyDeadMessageQueue}

	// strategyFields are the fields of each strategy in addition to its name.
	strategyFields = map[string][]string{
		StrategyBlock:             nil,
		StrategyDiscard:           nil,
		StrategyDiscardAfterRetry: {fieldRetryTotalTimes, fieldWaitTimeMS},
		StrategyDeadMessageQueue:  {fieldRetryTotalTimes, fieldWaitTimeMS, fieldTopicName, fieldBootstrapServers},
	}
)

// Strategy says what happens to a record that Kafka refuses. Fields that the strategy
// does not use are zero.
type Strategy struct {
	Name             string // one of the Strategy constants; "" for the behaviour of the stock output
	RetryTotalTimes  int
	WaitTime         time.Duration
	TopicName        string   // the dead letter topic
	BootstrapServers []string // of the dead letter topic; nil for the output's own
}

// StrategyProblem is one error in a failure_strategy.
type StrategyProblem struct {
	Field string // failure_strategy, or a field of it after a dot
	What  string // what is wrong, and what is right
}

// ParseStrategy reads the value of a field failure_strategy: a word, or an object as in
// RobustMQ. Use the strategy only if there are no problems.
func ParseStrategy(value any) (Strategy, []StrategyProblem) {
	return ParseStrategyOf(value, checkTopic)
}

// ParseStrategyOf is ParseStrategy for an output of another kind: check judges a dead
// letter topic without bootstrap_servers, which is the output's own kind of topic.
func ParseStrategyOf(value any, check func(topic string) error) (Strategy, []StrategyProblem) {
	r := strategyReader{checkTopic: check}
	switch v := value.(type) {
	case string:
		r.fields = map[string]any{fieldStrategy: v}
		r.bare = true
	case map[string]any:
		r.fields = v
	default:
		r.report("", "must be a word or an object with %s; the words are %s", fieldStrategy, strings.Join(strategies, ", "))
		return Strategy{}, r.problems
	}
	s := r.read()
	return s, r.problems
}

type strategyReader struct {
	fields     map[string]any
	bare       bool                     // a word instead of an object
	checkTopic func(topic string) error // without bootstrap_servers
	problems   []StrategyProblem
}

func (r *strategyReader) report(name, format string, args ...any) {
	field := fieldFailureStrategy
	if name != "" && !r.bare {
		field += "." + name
	}
	r.problems = append(r.problems, StrategyProblem{field, fmt.Sprintf(format, args...)})
}

func (r *strategyReader) read() (s Strategy) {
	name, given := r.fields[fieldStrategy]
	s.Name, _ = name.(string)
	taken, known := strategyFields[s.Name]
	if !known {
		if given {
			r.report(fieldStrategy, "value %q is unknown; must be one of %s", fmt.Sprint(name), strings.Join(strategies, ", "))
		} else {
			r.report(fieldStrategy, "is missing; must be one of %s", strings.Join(strategies, ", "))
		}
		return s
	}
	for _, name := range slices.Sorted(maps.Keys(r.fields)) {
		switch {
		case name == fieldStrategy || slices.Contains(taken, name):
		case slices.Contains(strategyFields[StrategyDeadMessageQueue], name):
			r.report(name, "is not a field of the strategy %s; remove it", s.Name)
		default:
			r.report(name, "is not a field of a failure strategy; the fields are %s, %s",
				fieldStrategy, strings.Join(strategyFields[StrategyDeadMessageQueue], ", "))
		}
	}
	if slices.Contains(taken, fieldRetryTotalTimes) {
		s.RetryTotalTimes = r.number(fieldRetryTotalTimes, 1, defaultRetryTotalTimes)
		s.WaitTime = time.Duration(r.number(fieldWaitTimeMS, 0, defaultWaitTimeMS)) * time.Millisecond
	}
	if slices.Contains(taken, fieldTopicName) {
		s.TopicName = r.topic()
		s.BootstrapServers = r.servers()
	}
	return s
}

func (r *strategyReader) number(name string, least, otherwise int64) int {
	value, given := r.fields[name]
	n := otherwise
	switch v := value.(type) {
	case int:
		n = int64(v)
	case int64:
		n = v
	case float64:
		n = int64(v)
		if v != math.Trunc(v) || math.Abs(v) > math.MaxInt32 {
			n = -1
		}
	default:
		if given {
			r.report(name, "must be a whole number, not %v", value)
			return int(otherwise)
		}
	}
	if n < least || n > math.MaxInt32 {
		r.report(name, "%v is out of range; must be %d to %d", value, least, math.MaxInt32)
	}
	return int(n)
}

func (r *strategyReader) topic() string {
	value, given := r.fields[fieldTopicName]
	if !given {
		return defaultDeadTopic
	}
	check := checkTopic
	if r.fields[fieldBootstrapServers] == nil {
		check = r.checkTopic
	}
	topic, isText := value.(string)
	if !isText {
		r.report(fieldTopicName, "must be the name of a topic, not %v", value)
	} else if err := check(topic); err != nil {
		r.report(fieldTopicName, "%s", err)
	}
	return topic
}

// servers reads a list as kafka_franz does, or a text with commas as RobustMQ does.
func (r *strategyReader) servers() []string {
	value, given := r.fields[fieldBootstrapServers]
	if !given {
		return nil
	}
	var servers []string
	switch v := value.(type) {
	case string:
		servers = addresses(v)
	case []string:
		servers = addresses(v...)
	case []any:
		for _, item := range v {
			text, isText := item.(string)
			if !isText {
				servers = nil
				break
			}
			servers = append(servers, addresses(text)...)
		}
	}
	if len(servers) == 0 {
		r.report(fieldBootstrapServers, "must be addresses as host:port, a list or a text with commas, not %v", value)
	}
	return servers
}

// addresses returns those in the items, each of which may hold several.
func addresses(items ...string) []string {
	var all []string
	for _, item := range items {
		for address := range strings.SplitSeq(item, ",") {
			if address = strings.TrimSpace(address); address != "" {
				all = append(all, address)
			}
		}
	}
	return all
}

// parseStrategy reads the field of the output. Default: a strategy without a name.
func parseStrategy(conf *service.ParsedConfig) (Strategy, []StrategyProblem, error) {
	if !conf.Contains(fieldFailureStrategy) {
		return Strategy{}, nil, nil
	}
	value, err := conf.FieldAny(fieldFailureStrategy)
	if err != nil {
		return Strategy{}, nil, fmt.Errorf("field %s: %w", fieldFailureStrategy, err)
	}
	s, problems := ParseStrategy(value)
	return s, problems, nil
}

func strategyField() *service.ConfigField {
	return service.NewAnyField(fieldFailureStrategy).
		Description(`What happens to a record that Kafka refuses for good: one that is too large, has an illegal topic or timestamp, or was made of a message that carries an error. It is a word, or an object as in RobustMQ, with the fields of the examples:

- `+"`block`"+`: the batch is held, and every later one behind it, until the cause is corrected. Meanwhile the output is not ready and reports the cause. It continues by itself, in order, and writes nothing twice.
- `+"`discard`"+`: the record is dropped, counted and logged.
- `+"`discard_after_retry`"+`: the record is retried up to `+"`retry_total_times`"+` times (1 or more, 3 by default), `+"`wait_time_ms`"+` (1000 by default) apart, and then dropped.
- `+"`dead_message_queue`"+`: the record is retried as often, and then written to the Kafka topic `+"`topic_name`"+` (dead_letter_queue by default), with the same key, value and headers and with Kafka Connect's error headers. The topic is on the same cluster, or on that of `+"`bootstrap_servers`"+`, reached with the same `+"`tls` and `sasl`"+`. If it cannot be written there, the batch is held as with block.

Every strategy acts on the refused record alone. The others keep their order, and nothing is written ahead of a record that is retried. An error of the topic or the cluster (a missing topic, a missing permission, too few replicas in sync, an unavailable Kafka) holds the batch as with block. A message that cannot become a record is not retried. If `+"`record_retries` or `record_delivery_timeout`"+` is set and runs out, the strategy acts too.

Without a strategy the refused messages are rejected, and their input decides, as with the stock output.`).
		Examples(
			StrategyBlock,
			StrategyDiscard,
			map[string]any{fieldStrategy: StrategyDiscardAfterRetry, fieldRetryTotalTimes: defaultRetryTotalTimes, fieldWaitTimeMS: defaultWaitTimeMS},
			map[string]any{
				fieldStrategy: StrategyDeadMessageQueue, fieldTopicName: defaultDeadTopic,
				fieldRetryTotalTimes: defaultRetryTotalTimes, fieldWaitTimeMS: defaultWaitTimeMS,
			},
		).
		Optional()
}
