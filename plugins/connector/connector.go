// Package connector defines RobustMQ's connector: the JSON that its documentation, its
// admin API and its command line share.
package connector

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/robustmq/robustmq-connect/plugins/robustmq"
)

// The maximum lengths of a name, a topic filter and a config, in characters, as
// RobustMQ counts them.
const (
	MaxName   = 128
	MaxFilter = 256
	MaxConfig = 4096
)

// The types of connectors.
const (
	// TypeKafka moves messages from MQTT to Kafka. It is RobustMQ's.
	TypeKafka = "kafka"
	// TypeKafkaSource moves records from Kafka to MQTT. RobustMQ does not have it.
	TypeKafkaSource = "kafka_source"
)

// Types are the types of connectors.
var Types = []string{TypeKafka, TypeKafkaSource}

// Connector is RobustMQ's complete connector definition. Parse checks every field, so a
// Connector from Parse can be rendered.
type Connector struct {
	Name        string
	Type        string // one of Types; "" is TypeKafka
	ClusterName string
	Tenant      string
	// TopicID is the MQTT topic filter to read from: topic_id in the documentation,
	// topic_name in the admin API. Of a source it is the MQTT topic to publish to, which
	// may have interpolations.
	TopicID string
	// Config is the config as it was given, including secrets, as a JSON object. If it
	// was given as a string, this is the object in that string.
	Config json.RawMessage
	Kafka  Kafka
	// MQTT are the config's fields of the input template.
	MQTT Settings
	// Parallelism is the number of members that share the subscription; 0 is 1, a member
	// which subscribes for itself. Member is which of them this is, from 0: a definition
	// is that of the first one.
	Parallelism, Member int
	// FailureStrategy is nil if the definition has none.
	FailureStrategy *FailureStrategy
	// Labels are nil where the definition has none of its own: an update then keeps those
	// that are stored. They change nothing about what the connector does.
	Labels map[string]string

	// RobustMQ's report about a connector as text, empty if null or missing: a broker
	// is 1 or "1" or "-", a time is Unix seconds or a local time.
	Status, BrokerID, CreateTime, UpdateTime string
}

// Kafka is the config of a connector of type kafka. Optional fields that are not given
// are nil.
type Kafka struct {
	BootstrapServers string // host:port, comma-separated
	Topic            string

	Key                *string // "" is no key
	CompressionType    *string // none, gzip, snappy, lz4, zstd
	BatchSize          *int    // bytes
	LingerMS           *int
	Acks               *string // 0, 1, all, -1
	Retries            *int
	MessageTimeoutMS   *int
	CleanupTimeoutSecs *int

	// More are the fields of the output template that RobustMQ does not have.
	More Settings

	// Wrapped reports the form of RobustMQ's list, {"Kafka":{…}}, in which RobustMQ has
	// written its default into every field that the user did not set.
	Wrapped bool
}

// FailureStrategy says what happens to a record that Kafka refuses. Fields that the
// strategy does not use are zero.
type FailureStrategy struct {
	Strategy         string // block, discard, discard_after_retry, dead_message_queue
	RetryTotalTimes  int
	WaitTimeMS       int
	TopicName        string // the dead-letter topic
	BootstrapServers string // of the dead-letter topic, "" for the connector's own
}

// Retries reports whether the strategy retries a record before it gives up.
func (f *FailureStrategy) Retries() bool {
	return f.Strategy == "discard_after_retry" || f.Strategy == "dead_message_queue"
}

// Parse reads one connector definition. The error names the wrong field and what is
// right.
func Parse(data []byte) (Connector, error) {
	fields, err := object(data)
	if err != nil {
		return Connector{}, err
	}
	_, hasCode := fields["code"]
	if _, hasData := fields["data"]; hasData && (hasCode || fields["total_count"] != nil) {
		return Connector{}, errors.New(
			"this is an answer of the admin API: give one connector of it (jq '.data.data[0]')")
	}

	r := reader{fields: fields}
	c := Connector{
		Name:        r.text("connector_name", 1, MaxName),
		ClusterName: r.optionalText("cluster_name"),
		Tenant:      r.optionalText("tenant"),
		Status:      r.optionalText("status"),
		BrokerID:    r.textOrNumber("broker_id"),
		CreateTime:  r.textOrNumber("create_time"),
		UpdateTime:  r.textOrNumber("update_time"),
	}
	c.Type = strings.ToLower(r.text("connector_type", 1, 0))
	if r.err == nil && !slices.Contains(Types, c.Type) {
		r.fail("connector_type", "%q is not supported: it must be %s", c.Type, strings.Join(Types, " or "))
	}
	if c.IsSource() {
		c.TopicID = r.publishTopic()
	} else {
		c.TopicID = r.topicFilter()
	}
	config := r.raw("config")
	strategy := r.raw("failure_strategy")
	c.Labels = r.labels("labels")
	for _, told := range []string{"state", "waits_for", "buffer", "reason", "worker", "members"} {
		_ = r.raw(told) // the state in a list: not part of the definition
	}
	if err := r.done(); err != nil {
		return Connector{}, err
	}

	if config == nil {
		return Connector{}, errors.New(
			`config: missing: give the Kafka settings, e.g. {"bootstrap_servers":"localhost:9092","topic":"mqtt_messages"}`)
	}
	if c.Config, err = unwrapString("config", config); err != nil {
		return Connector{}, err
	}
	if err := c.readConfig(); err != nil {
		return Connector{}, err
	}
	if strategy != nil {
		if c.FailureStrategy, err = parseFailureStrategy(strategy); err != nil {
			return Connector{}, err
		}
	}
	return c, nil
}

// topicFilter reads topic_id or topic_name, which mean the same.
func (r *reader) topicFilter() string {
	id, name := r.raw("topic_id"), r.raw("topic_name")
	switch {
	case id == nil && name == nil:
		r.fail("topic_id", "missing: give the MQTT topic filter to read from, e.g. sensors/+/data")
		return ""
	case id == nil:
		return r.literal("topic_name", MaxFilter)
	case name == nil:
		return r.literal("topic_id", MaxFilter)
	}
	filter := r.literal("topic_id", MaxFilter)
	if other := r.literal("topic_name", MaxFilter); r.err == nil && other != filter {
		r.fail("topic_name", "%q conflicts with topic_id %q, which means the same; remove one of them", other, filter)
	}
	return filter
}

// unwrapString returns the JSON inside a JSON string, or any other value unchanged.
func unwrapString(field string, raw json.RawMessage) (json.RawMessage, error) {
	if raw[0] != '"' {
		return raw, nil
	}
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return nil, fmt.Errorf("%s: %w", field, err)
	}
	if strings.TrimSpace(text) == "" {
		return nil, fmt.Errorf("%s: empty: it must hold a JSON object", field)
	}
	return json.RawMessage(text), nil
}

// readConfig reads Config into Kafka and MQTT.
func (c *Connector) readConfig() error {
	if n := utf8.RuneCount(c.Config); n > MaxConfig {
		return fmt.Errorf("config: %d characters long: at most %d are allowed", n, MaxConfig)
	}
	fields, err := object(c.Config)
	if err != nil {
		return fmt.Errorf("config: %w", err)
	}

	if c.IsSource() {
		return c.readSource(reader{path: "config", fields: fields})
	}
	path, wrapped := "config", false
	if len(fields) == 1 {
		for name, inner := range fields {
			if inner[0] != '{' {
				break
			}
			if !strings.EqualFold(name, "kafka") {
				return fmt.Errorf("config: holds the settings of a %q connector: it must be Kafka", name)
			}
			path, wrapped = "config."+name, true
			if fields, err = object(inner); err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
		}
	}

	r := reader{path: path, fields: fields}
	if r.raw("failure_strategy") != nil {
		r.fail("failure_strategy", "it belongs next to config, not inside it")
	}
	r.known = nil
	c.Kafka = Kafka{
		Wrapped:            wrapped,
		BootstrapServers:   or(r.textField("bootstrap_servers"), ""),
		Topic:              or(r.textField("topic"), ""),
		Key:                r.textField("key"),
		CompressionType:    r.textField("compression_type"),
		BatchSize:          r.numberField("batch_size"),
		LingerMS:           r.numberField("linger_ms"),
		Acks:               r.textField("acks"),
		Retries:            r.numberField("retries"),
		MessageTimeoutMS:   r.numberField("message_timeout_ms"),
		CleanupTimeoutSecs: r.numberField("cleanup_timeout_secs"),
		More:               r.settings(kafkaFields),
	}
	c.MQTT = r.settings(MQTTFields)
	c.Parallelism = or(r.optionalInt("parallelism", 1, MaxParallelism), 0)
	if c.Parallelism > 1 && c.HasBuffer() {
		r.fail("parallelism", "a disk_buffer keeps the order of one member, and %d share the messages: remove parallelism or disk_buffer", c.Parallelism)
	}
	if c.Parallelism > 1 && strings.HasPrefix(c.TopicID, sharePrefix) {
		r.fail("parallelism", "%d members share a subscription of their own, and topic_name %q shares one already: give the filter behind the share name, or remove parallelism", c.Parallelism, c.TopicID)
	}
	return r.done()
}

func parseFailureStrategy(raw json.RawMessage) (*FailureStrategy, error) {
	raw, err := unwrapString("failure_strategy", raw)
	if err != nil {
		return nil, err
	}
	fields, err := object(raw)
	if err != nil {
		return nil, fmt.Errorf("failure_strategy: %w", err)
	}
	r := reader{path: "failure_strategy", fields: fields}
	word := r.word("strategy", robustmq.Strategies...)
	retries := r.optionalInt("retry_total_times", 1, 1<<31-1)
	wait := r.optionalInt("wait_time_ms", 0, 1<<31-1)
	topic := r.optionalLiteral("topic_name", robustmq.FieldOf("topic").MaxLength)
	servers := r.optionalLiteral("bootstrap_servers", robustmq.FieldOf("bootstrap_servers").MaxLength)
	if err := r.done(); err != nil {
		return nil, err
	}

	f := &FailureStrategy{Strategy: word}
	if !f.Retries() {
		return f, nil
	}
	f.RetryTotalTimes, f.WaitTimeMS = or(retries, 3), or(wait, 1000)
	if word == "dead_message_queue" {
		f.TopicName, f.BootstrapServers = or(topic, "dead_letter_queue"), or(servers, "")
	}
	return f, nil
}

func or[T any](value *T, otherwise T) T {
	if value == nil {
		return otherwise
	}
	return *value
}

// maxDepth is the maximum nesting of a definition. A real one has ten levels.
const maxDepth = 32

// CheckDepth refuses JSON that is nested deeper than any definition, before it is read
// at the cost of time and memory. Invalid JSON is left to the reader.
func CheckDepth(data []byte) error {
	depth, inText := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case inText && c == '\\':
			i++
		case c == '"':
			inText = !inText
		case inText:
		case c == '{', c == '[':
			if depth++; depth > maxDepth {
				return fmt.Errorf("nested deeper than %d levels at byte %d: it is not a connector", maxDepth, i+1)
			}
		case c == '}', c == ']':
			depth--
		}
	}
	return nil
}

// object reads data as one JSON object and nothing after it. encoding/json keeps the
// last of two fields with the same name; here that is an error, because it is unclear
// which one was meant.
func object(data []byte) (map[string]json.RawMessage, error) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if !utf8.Valid(data) {
		return nil, errors.New("not UTF-8: save the file as UTF-8")
	}
	if err := CheckDepth(data); err != nil {
		return nil, err
	}
	var probe any
	if err := json.Unmarshal(data, &probe); err != nil {
		var syntax *json.SyntaxError
		switch {
		case len(bytes.TrimSpace(data)) == 0:
			return nil, errors.New("empty: it must hold a JSON object")
		case errors.As(err, &syntax):
			return nil, fmt.Errorf("not one JSON object: %w at byte %d", err, syntax.Offset)
		}
		return nil, fmt.Errorf("not a JSON object: %w", err)
	}
	if list, ok := probe.([]any); ok {
		return nil, fmt.Errorf("a list of %d: give one JSON object of it (jq '.[0]')", len(list))
	}
	if _, ok := probe.(map[string]any); !ok {
		return nil, fmt.Errorf("%s is not a JSON object", kind(bytes.TrimSpace(data)))
	}

	// The data is one well-formed object, so no error can occur.
	d := json.NewDecoder(bytes.NewReader(data))
	_, _ = d.Token()
	fields := map[string]json.RawMessage{}
	for d.More() {
		token, _ := d.Token()
		name, _ := token.(string)
		var value json.RawMessage
		_ = d.Decode(&value)
		if _, twice := fields[name]; twice {
			return nil, fmt.Errorf("field %q is given twice: remove one", name)
		}
		fields[name] = value
	}
	return fields, nil
}
