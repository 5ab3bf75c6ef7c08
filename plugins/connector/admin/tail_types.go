package admin

import (
	"github.com/robustmq/robustmq-connect/plugins/internal/excerpt"
	"github.com/robustmq/robustmq-connect/plugins/internal/tail"
)

// PathTail shows the messages of a connector as they get through: GET, query: tenant,
// connector_name, last; server-sent events. It needs a token that may see payloads.
const PathTail = "/api/mqtt/connector/tail"

// MaxLast is the most messages that a tail begins with.
const MaxLast = tail.MaxLast

// The events of a tail. The data of each is one line of JSON.
const (
	EventMembers = "members"  // TailMembers, where the messages are not of all members, and when that changes
	EventMessage = "message"  // TailMessage
	EventLeftOut = "left_out" // TailCount: messages that were not shown because there were too many
	EventDropped = "dropped"  // TailCount: messages that the client was too slow for
	EventEnd     = "end"      // TailEnd, the last one
)

// TailMessage is a message that has got through, and what became of it.
type TailMessage struct {
	Time       string   `json:"time"`        // of its receipt, as 2026-11-23T02:52:14.123Z
	LatencyMS  float64  `json:"latency_ms"`  // from the receipt to Kafka's answer
	Topic      string   `json:"topic"`       // of MQTT; "" of a record that a kafka_source has read
	QoS        int      `json:"qos"`         // 0, 1, 2
	Retain     bool     `json:"retain"`      // the retain flag
	Payload    *Excerpt `json:"payload"`     // of the MQTT message
	KafkaTopic string   `json:"kafka_topic"` // that it was written to, or was to be
	Partition  *int32   `json:"partition"`   // null where it is not known
	Offset     *int64   `json:"offset"`      // null where it is not known
	Key        *Excerpt `json:"key"`         // of the record, null without one
	Value      *Excerpt `json:"value"`       // of the record; null where it is the payload
	Outcome    string   `json:"outcome"`     // sent, discarded, dead_lettered, rejected
	Reason     string   `json:"reason"`      // why it was not sent, else ""
}

// TailMembers is of how many members of a connector a tail shows the messages, where several
// workers run them.
type TailMembers struct {
	Shown   int           `json:"shown"`
	All     int           `json:"all"`
	Missing []TailMissing `json:"missing"` // empty where all are shown
}

// TailMissing is why the messages of some members are not shown.
type TailMissing struct {
	Worker  string `json:"worker"`  // the URL of the one that runs them, "" where it is not known
	Members []int  `json:"members"` // from 1
	Reason  string `json:"reason"`
}

// TailCount is how many messages a tail did not show.
type TailCount struct {
	Count int64 `json:"count"`
}

// TailEnd is why a tail has ended.
type TailEnd struct {
	Reason string `json:"reason"`
	// Again: the same request may soon show the messages that follow, because the service
	// starts again, or another worker runs the connector.
	Again bool `json:"again,omitempty"`
}

// Excerpt is the beginning of a payload, a key or a value: one of text and base64.
type Excerpt struct {
	Text   *string `json:"text,omitempty"`
	Base64 *string `json:"base64,omitempty"` // what is no text
	Size   int     `json:"size"`             // of all of it, in bytes
	Cut    bool    `json:"cut,omitempty"`    // it is longer than what is shown
}

func excerptOf(e excerpt.Excerpt) *Excerpt {
	if e.Data == nil {
		return nil
	}
	shown := &Excerpt{Size: e.Size, Cut: e.Cut()}
	if text, isText := e.Text(); isText {
		shown.Text = &text
	} else {
		shown.Base64 = &text
	}
	return shown
}
