package console

import (
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"

	"gopkg.in/yaml.v3"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/robustmq"
	"github.com/robustmq/robustmq-connect/templates"
)

// kind is what a field of the form takes.
type kind string

const (
	text    kind = "text"
	secret  kind = "password"
	integer kind = "number"
	choice  kind = "select"
	toggle  kind = "toggle" // true, false or neither
	object  kind = "object" // JSON or YAML
	labels  kind = "labels" // name=value, separated by commas
)

// field is one of the form.
type field struct {
	Name     string // of the form, and of the definition: config.topic
	Label    string
	Help     string
	Kind     kind
	Words    []string
	Required bool
	Min, Max int
	Length   int

	Value    string
	Error    string
	ReadOnly bool
}

// ID is the field's name in the page.
func (f field) ID() string { return "f-" + strings.ReplaceAll(f.Name, ".", "-") }

// section is a part of the form.
type section struct {
	Title  string
	Fields []field
	Rare   bool // it is closed unless it holds something
}

// Open tells whether the section must be seen.
func (s section) Open() bool {
	if !s.Rare {
		return true
	}
	for _, f := range s.Fields {
		if f.Value != "" || f.Error != "" {
			return true
		}
	}
	return false
}

// manual has what the input and the output template say of their fields, by the end
// and the name of each.
var manual = sync.OnceValue(func() map[string]string {
	all := map[string]string{}
	texts, err := templates.YAML()
	if err != nil {
		return all // a test sees that each field is described
	}
	for name, text := range texts {
		var template struct {
			Fields []struct{ Name, Description string }
		}
		if yaml.Unmarshal([]byte(text), &template) != nil {
			continue // the program does not start with such a template
		}
		end := "mqtt."
		if strings.Contains(name, "output") {
			end = "kafka."
		}
		for _, f := range template.Fields {
			all[end+f.Name] = strings.ReplaceAll(f.Description, "`", "")
		}
	}
	return all
})

// noText stands for a text that is given and empty.
const noText = `""`

// formSections are the fields of a definition. Those of Kafka come from the one table
// that lint and the API read too.
func formSections() []section {
	kafka := section{Title: "Kafka"}
	tuning := section{Title: "Kafka: batches and time", Rare: true}
	for _, f := range robustmq.Fields {
		one := field{
			Name: "config." + f.Name, Label: f.Name, Help: manual()["kafka."+f.Name], Kind: integer,
			Required: f.Required, Min: f.Min, Max: f.Max, Length: f.MaxLength, Words: f.Words,
		}
		switch {
		case len(f.Words) > 0:
			one.Kind = choice
		case f.MaxLength > 0:
			one.Kind = text
		}
		if f.Name == "key" {
			one.Help += " Write " + noText + " for no key."
		}
		if f.Required || f.Name == "key" {
			kafka.Fields = append(kafka.Fields, one)
		} else {
			tuning.Fields = append(tuning.Fields, one)
		}
	}
	return []section{
		{Title: "Connector", Fields: []field{
			{Name: "connector_name", Label: "connector_name", Kind: text, Required: true, Length: connector.MaxName, Help: "The name, which stays."},
			{Name: "topic_name", Label: "topic_name", Kind: text, Required: true, Length: connector.MaxFilter, Help: "The MQTT topic filter to read from, sensors/+/data for example."},
			{Name: "labels", Label: "labels", Kind: labels, Help: "Names and values as Kubernetes has them, by which connectors are found: site=berlin, stage=test."},
		}},
		kafka,
		{Title: "When Kafka refuses a record", Fields: []field{
			{
				Name: "failure_strategy.strategy", Label: "strategy", Kind: choice, Words: robustmq.Strategies, Required: true,
				Help: "block keeps the record and stops there until someone acts; discard drops it; dead_message_queue writes it to another topic.",
			},
			{Name: "failure_strategy.retry_total_times", Label: "retry_total_times", Kind: integer, Min: 1, Help: "Retries before a record is given up. Not with block and discard."},
			{Name: "failure_strategy.wait_time_ms", Label: "wait_time_ms", Kind: integer, Help: "The time between them, in milliseconds."},
			{Name: "failure_strategy.topic_name", Label: "topic_name", Kind: text, Length: 256, Help: "The dead letter topic, for dead_message_queue. Empty: dead_letter_queue."},
			{Name: "failure_strategy.bootstrap_servers", Label: "bootstrap_servers", Kind: text, Length: 1024, Help: "Its Kafka, where it is another one."},
		}},
		{Title: "MQTT: where it is not the service's own broker", Rare: true, Fields: []field{
			{Name: "config.urls", Label: "urls", Kind: text, Help: "The brokers as scheme://host:port, separated by commas. Empty: that of the service."},
			{Name: "config.username", Label: "username", Kind: text, Help: "The user to log in as."},
			{Name: "config.password", Label: "password", Kind: secret, Help: "*** keeps the one that is stored."},
			{Name: "config.client_id", Label: "client_id", Kind: text, Help: "Empty: made of the service's prefix and the connector's name."},
			{Name: "config.qos", Label: "qos", Kind: choice, Words: []string{"0", "1", "2"}, Help: manual()["mqtt.qos"]},
			{Name: "config.clean_session", Label: "clean_session", Kind: toggle, Help: manual()["mqtt.clean_session"]},
			{Name: "config.parallelism", Label: "parallelism", Kind: integer, Min: 1, Max: connector.MaxParallelism, Help: "Members that share the subscription, on all workers. With more than one, the broker deals the messages of a topic out to them, and their order is lost. Empty: 1."},
			{Name: "config.keepalive", Label: "keepalive", Kind: integer, Max: 65535, Help: manual()["mqtt.keepalive"]},
			{Name: "config.connect_timeout", Label: "connect_timeout", Kind: text, Help: manual()["mqtt.connect_timeout"]},
			{Name: "config.mqtt_tls", Label: "mqtt_tls", Kind: object, Help: "The TLS settings of the connection to the broker, as JSON or YAML."},
			{Name: "config.disk_buffer", Label: "disk_buffer", Kind: object, Help: "Keeps messages on the service's disk until Kafka has them: max_bytes, max_age, on_full, sync and sync_interval, as JSON or YAML. {} has the defaults. Empty: the broker keeps them."},
		}},
		{Title: "Kafka: format and security", Rare: true, Fields: []field{
			{Name: "config.format", Label: "format", Kind: choice, Words: []string{"robustmq_json", "raw"}, Help: manual()["kafka.format"]},
			{Name: "config.idempotent_write", Label: "idempotent_write", Kind: toggle, Help: manual()["kafka.idempotent_write"]},
			{Name: "config.tls", Label: "tls", Kind: object, Help: "The TLS settings of the connection to Kafka, as JSON or YAML."},
			{Name: "config.sasl", Label: "sasl", Kind: object, Help: "How to log in to Kafka, as JSON or YAML: a list of mechanisms. *** keeps a stored secret."},
		}},
		tuning,
	}
}

// value writes what a field holds into a definition: as its type, or as a text where it
// is none of it, so that the judge of all definitions says so.
func (f field) value() (json.RawMessage, error) {
	if f.Value == noText {
		return json.RawMessage(noText), nil
	}
	quoted, _ := json.Marshal(f.Value) // a string
	switch f.Kind {
	case integer:
		if _, err := strconv.ParseInt(f.Value, 10, 64); err == nil {
			return json.RawMessage(f.Value), nil
		}
	case toggle:
		if f.Value == "true" || f.Value == "false" {
			return json.RawMessage(f.Value), nil
		}
		return nil, errors.New("must be true or false")
	case choice:
		if f.Name == "config.qos" && slices.Contains(f.Words, f.Value) {
			return json.RawMessage(f.Value), nil
		}
	case labels:
		return readLabels(f.Value)
	case object:
		return valueOfYAML(f.Value)
	case text:
		if f.Name == "config.urls" {
			var all []string
			for one := range strings.SplitSeq(f.Value, ",") {
				all = append(all, strings.TrimSpace(one))
			}
			return json.Marshal(all)
		}
	}
	return quoted, nil
}

// setValue sets the value of a field from a definition.
func (f *field) setValue(raw json.RawMessage) {
	var plain string
	var several []string
	var named map[string]string
	switch {
	case len(raw) == 0 || string(raw) == "null":
		f.Value = ""
	case json.Unmarshal(raw, &plain) == nil:
		if f.Value = plain; plain == "" {
			f.Value = noText
		}
	case f.Name == "config.urls" && json.Unmarshal(raw, &several) == nil:
		f.Value = strings.Join(several, ", ")
	case f.Kind == labels && json.Unmarshal(raw, &named) == nil:
		f.Value = writeLabels(named)
	case f.Kind == object:
		shown, err := toYAML(raw)
		if err != nil {
			shown = string(raw)
		}
		f.Value = shown
	default:
		f.Value = string(raw)
	}
}
