package kafka

import (
	"context"
	"fmt"
	"strconv"

	"github.com/redpanda-data/benthos/v4/public/service"
	"gopkg.in/yaml.v3"

	"github.com/robustmq/robustmq-connect/plugins/envelope"
	"github.com/robustmq/robustmq-connect/plugins/internal/crash"
)

// LetterAbout says what the headers of a dead letter tell. A dead letter of an output of
// another kind has the number -1 as its partition.
type LetterAbout struct {
	Topic     string // that the message was to be written to
	Partition int32
	Source    string // the connector's name
	Stage     string // one of the Stage constants
	Component string // the output
	Class     string // one of the Class constants, or another exception of Kafka
	Reason    string
}

// Kafka Connect's names for the stage at which a message failed.
const (
	StageProcessor = "TRANSFORMATION"
	StageConvert   = "VALUE_CONVERTER" // the message cannot be written as it is
	StagePut       = "TASK_PUT"        // a system other than Kafka has refused it
	stageProduce   = "KAFKA_PRODUCE"   // Kafka has refused the record
)

// Kafka Connect's exceptions for messages that fail outside of Kafka.
const (
	ClassData    = "org.apache.kafka.connect.errors.DataException"    // at StageProcessor and StageConvert
	ClassConnect = "org.apache.kafka.connect.errors.ConnectException" // at StagePut
)

// Headers returns the headers in the order of Kafka Connect's DeadLetterQueueReporter, a
// name and a value each. In Kafka Connect, topic, partition and offset are those of the
// record that the connector read. Here they are those of the message that could not be
// written, with -1 for numbers that it never got.
func (a LetterAbout) Headers() [][2]string {
	all := [][2]string{
		{letterTopic, a.Topic},
		{letterPartition, strconv.Itoa(int(a.Partition))},
		{"offset", "-1"},
		{letterSource, a.Source},
		{"task.id", "0"},
		{letterStage, a.Stage},
		{letterComponent, a.Component},
		{letterClass, a.Class},
		{letterReason, a.Reason},
		{"exception.stacktrace", a.Class + ": " + a.Reason},
	}
	for i := range all {
		all[i][0] = letterPrefix + all[i][0]
	}
	return all
}

// Letterbox says how an output of another kind writes its dead letters to a topic of
// Kafka.
type Letterbox struct{ conf *config }

// LetterboxFields are the fields of an output of another kind that say how to connect to
// the Kafka of its dead letters.
func LetterboxFields() []*service.ConfigField {
	return []*service.ConfigField{service.NewTLSToggledField(fieldTLS), saslField()}
}

// AccessGiven reports whether one of the LetterboxFields has a value that is not its
// default.
func AccessGiven(access *service.ParsedConfig) bool {
	_, encrypted, err := access.FieldTLSToggled(fieldTLS)
	logins, _ := access.FieldObjectList(fieldSASL) // one that is wrong is found when it is used
	return err != nil || encrypted || len(logins) > 0
}

// ParseLetterbox returns the letterbox for a topic. access has the LetterboxFields.
func ParseLetterbox(servers []string, topic string, access *service.ParsedConfig, opts ...Option) (*Letterbox, error) {
	text, err := yaml.Marshal(map[string]any{
		fieldSeedBrokers: servers, fieldTopic: topic, fieldKey: "${! @" + envelope.MetaKafkaKey + `.or("") }`,
		fieldMetadata: map[string]any{"include_prefixes": []string{"mqtt_", metaTopic, metaPartition, metaOffset, letterPrefix}},
	})
	if err != nil {
		return nil, fmt.Errorf("configuring the dead letters: %w", err)
	}
	conf, err := Spec().ParseYAML(string(text), nil)
	if err != nil {
		return nil, fmt.Errorf("configuring the dead letters: %w", err)
	}
	c, err := parseConfig(conf, opts...)
	if err != nil {
		return nil, fmt.Errorf("configuring the dead letters: %w", err)
	}
	if err := c.readAccess(access, optionsOf(opts)); err != nil {
		return nil, err
	}
	return &Letterbox{c.forDeadLetters()}, nil
}

// Open returns an output to the topic. The payload of a message is the value of its
// record, its metadata kafka_key the key. The headers are its metadata of MQTT, those that
// tell where in Kafka it came from, and those with the names of LetterAbout.Headers. The
// caller drives the output as the engine does: Connect, WriteBatch, and Close at the end.
func (l *Letterbox) Open(mgr *service.Resources) service.BatchOutput {
	c := *l.conf
	c.guard = crash.Of(mgr)
	return newOutput(&c, mgr)
}

// Test checks that Kafka answers.
func (l *Letterbox) Test(ctx context.Context, log *service.Logger) error {
	if err := probe(ctx, l.conf, log); err != nil {
		return fmt.Errorf("dead letters: %w", err)
	}
	return nil
}
