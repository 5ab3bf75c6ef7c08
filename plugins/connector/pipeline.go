package connector

import (
	"crypto/sha256"
	"fmt"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/robustmq/robustmq-connect/plugins/robustmq"
)

// Pipeline renders c as a pipeline of our templates in YAML, with only the settings in
// the definition. notes says, in one sentence each, what the pipeline does not take
// over and what a setting costs.
func Pipeline(c Connector) (document []byte, notes []string) {
	if c.IsSource() {
		return sourcePipeline(c), nil
	}
	k := c.Kafka
	out := output{wrapped: k.Wrapped}
	out.text("bootstrap_servers", &k.BootstrapServers)
	out.text("topic", &k.Topic)
	out.text("key", k.Key)
	out.text("compression_type", k.CompressionType)
	out.number("batch_size", k.BatchSize)
	out.number("linger_ms", k.LingerMS)
	out.acks(k.Acks, k.More.Get("idempotent_write") != nil)
	out.number("retries", k.Retries)
	out.number("message_timeout_ms", k.MessageTimeoutMS)
	out.number("cleanup_timeout_secs", k.CleanupTimeoutSecs)
	addSettings(&out.node, k.More)

	notes = out.notes
	if n := c.Members(); n > 1 {
		notes = append(notes, fmt.Sprintf("not taken over: parallelism %d: start %d pipelines with the topic_id $share/GROUP/%s, each with a client_id of its own", n, n, c.TopicID))
	}
	if len(out.defaults) > 0 {
		notes = append(notes, out.defaultsNote())
	}
	addStrategy(&out.node, c.FailureStrategy)

	// The label distinguishes two connectors with the same filter: the client id that
	// the input derives depends on it. Dead letters have the label of the output, and
	// no two components may have the same label.
	input, sink := mapping("label", text(Label(c.Name))), &yaml.Node{Kind: yaml.MappingNode}
	if f := c.FailureStrategy; f != nil && f.Strategy == "dead_message_queue" {
		input = mapping("label", text(Label(c.Name)+"_mqtt"))
		sink = mapping("label", text(Label(c.Name)))
	}
	sink.Content = append(sink.Content, text("robustmq_kafka"), &out.node)
	in := mapping("topic_id", text(c.TopicID))
	addSettings(in, c.withBufferPath())
	// A payload over the limit is handled like a record that Kafka refuses, unless that
	// would wait forever.
	if f := c.FailureStrategy; f != nil && f.Strategy != "block" && c.MQTT.Get("max_payload_bytes") != nil {
		in.Content = append(in.Content, text("oversized_payload"), text("fail"))
	}
	input.Content = append(input.Content, text("robustmq_kafka"), in)
	root := mapping("input", input)
	root.Content = append(root.Content, text("output"), sink)

	return render(c.Name, root), notes
}

// addStrategy adds the fields that the strategy uses, as in the output template.
func addStrategy(node *yaml.Node, f *FailureStrategy) {
	if f == nil {
		return
	}
	strategy := mapping("strategy", text(f.Strategy))
	if f.Retries() {
		strategy.Content = append(strategy.Content,
			text("retry_total_times"), number(f.RetryTotalTimes), text("wait_time_ms"), number(f.WaitTimeMS))
	}
	if f.Strategy == "dead_message_queue" {
		strategy.Content = append(strategy.Content, text("topic_name"), text(f.TopicName))
		if f.BootstrapServers != "" {
			strategy.Content = append(strategy.Content, text("bootstrap_servers"), text(f.BootstrapServers))
		}
	}
	node.Content = append(node.Content, text("failure_strategy"), strategy)
}

// addSettings adds fields unchanged.
func addSettings(node *yaml.Node, settings Settings) {
	for _, s := range settings {
		v, err := readValue(s.Value)
		if err != nil {
			continue // Parse refuses such a value
		}
		node.Content = append(node.Content, text(s.Name), v.yaml())
	}
}

// Label converts a connector's name to a label for the engine: lower case letters,
// digits and underscores, starting with a letter. A hash distinguishes names that would
// have the same label.
func Label(name string) string {
	legal := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToLower(name))
	if legal == name && legal >= "a" {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return fmt.Sprintf("connector_%.64s_%x", legal, sum[:3])
}

// output collects the fields of the output in RobustMQ's order.
type output struct {
	node     yaml.Node
	wrapped  bool
	defaults []string // not written, as name and value
	notes    []string
}

func (o *output) add(name string, value *yaml.Node) {
	o.node.Kind = yaml.MappingNode
	o.node.Content = append(o.node.Content, text(name), value)
}

// isDefault records a value that RobustMQ filled in.
func (o *output) isDefault(name, value string) bool {
	if !o.wrapped || value != robustmq.FieldOf(name).Default {
		return false
	}
	o.defaults = append(o.defaults, name+" "+value)
	return true
}

// defaultsNote names our defaults that change what arrives in Kafka.
func (o *output) defaultsNote() string {
	note := "not taken over, because they equal RobustMQ's defaults: " + strings.Join(o.defaults, ", ") +
		"; the defaults of robustmq_kafka apply"
	var ours []string
	for _, field := range o.defaults {
		switch name, _, _ := strings.Cut(field, " "); name {
		case "key":
			ours = append(ours, "the key is the MQTT topic (key: \"\" is no key)")
		case "acks":
			ours = append(ours, "acks is all")
		case "retries":
			ours = append(ours, "a record is retried until Kafka accepts it")
		}
	}
	if len(ours) > 0 {
		note += ": " + strings.Join(ours, ", ")
	}
	return note
}

func (o *output) text(name string, value *string) {
	if value == nil || o.isDefault(name, strconv.Quote(*value)) {
		return
	}
	o.add(name, text(*value))
}

func (o *output) number(name string, value *int) {
	if value == nil || o.isDefault(name, strconv.Itoa(*value)) {
		return
	}
	o.add(name, number(*value))
}

func (o *output) acks(value *string, idempotenceSaid bool) {
	if value == nil || o.isDefault("acks", strconv.Quote(*value)) {
		return
	}
	o.add("acks", text(*value))
	price := map[string]string{
		"0": "Kafka confirms nothing, so what it loses or refuses is lost without notice",
		"1": "what one Kafka broker confirmed is lost with that broker",
	}[*value]
	if price == "" || idempotenceSaid {
		return
	}
	o.add("idempotent_write", &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: "false"})
	o.notes = append(o.notes, fmt.Sprintf("acks %q needs idempotent_write: false: a retry may repeat or reorder records, "+
		"and %s; acks all avoids both", *value, price))
}

func mapping(name string, value *yaml.Node) *yaml.Node {
	return &yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{text(name), value}}
}

// text returns a string on one line. The encoder quotes what would be read as another
// type; it would write a line break as a block, which is harder to read.
func text(s string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s}
	if strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) }) {
		n.Style = yaml.DoubleQuotedStyle
	}
	return n
}

func number(i int) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: strconv.Itoa(i)}
}

// commentText returns s on one line without variables: a pipeline's variables are
// replaced before its YAML is read, including those in comments.
func commentText(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) }) {
		s = strconv.Quote(s)
	}
	return strings.ReplaceAll(s, "${", "$ {")
}
