// Package admin serves RobustMQ's admin API for connectors, so that RobustMQ's
// robust-ctl can manage them, with additional routes of ours. This file has what a
// client needs: the routes, and the JSON of requests and answers.
package admin

import (
	"encoding/json"
	"time"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

// The routes. RobustMQ has the first four; the others are ours, in the same style.
const (
	PathList   = "/api/cluster/connector/list"   // GET, query: ListQuery's fields; data: List
	PathDetail = "/api/cluster/connector/detail" // GET, query: tenant, connector_name; data: Detail
	PathCreate = "/api/cluster/connector/create" // POST Creation; data: "success"
	PathDelete = "/api/cluster/connector/delete" // POST Deletion; data: "success"
	PathUpdate = "/api/cluster/connector/update" // POST Change; data: "success"
	PathPause  = "/api/cluster/connector/pause"  // POST Name; data: "success"
	PathResume = "/api/cluster/connector/resume" // POST Name; data: "success"
	PathCheck  = "/api/cluster/connector/check"  // POST Definition; data: []Probe

	PathRestart  = "/api/mqtt/connector/restart"   // POST Name; data: "success"
	PathLogs     = "/api/mqtt/connector/logs"      // GET, query: tenant, connector_name, since, limit, level; data: Logs
	PathLogLevel = "/api/mqtt/connector/log_level" // POST Level; data: "success"
	PathPlan     = "/api/mqtt/connector/plan"      // POST Definition; data: Plan
	PathPreview  = "/api/mqtt/connector/preview"   // POST PreviewRequest; data: Preview
	PathHistory  = "/api/mqtt/connector/history"   // GET, query: tenant, connector_name; data: []Revision
	PathValidate = "/api/mqtt/connector/validate"  // POST Definition; data: []Finding
	PathRollback = "/api/mqtt/connector/rollback"  // POST Rollback; data: "success"
	PathWorkers  = "/api/mqtt/connector/workers"   // GET; data: []Worker

	PathHealth = "/health" // GET: 200 while the process serves, never needs a token
	// GET: 200 if the store can be written, else 503. It works without a token, but
	// shows reasons only with one. With ?connector_name=NAME it is PathReadyNames.
	PathReady = "/ready"
	// GET: 200 if every connector that should run does, else 503. Regarding the token,
	// it is like PathReady.
	PathReadyConnectors = "/ready/connectors"
	PathReadyNames      = "/ready/"       // GET with a name behind it: 200 while that connector runs
	PathMetrics         = "/metrics"      // GET: Prometheus
	PathVersion         = "/version"      // GET; data: Build
	PathOpenAPI         = "/openapi.json" // GET: this API, in OpenAPI 3.1
)

// ServerName is the Server header of every answer, which distinguishes this program
// from a RobustMQ.
const ServerName = "robustmq-connect"

// The codes of an answer.
const (
	CodeOK    = 0
	CodeError = 100 // whatever went wrong; the error says what
)

// Success is the data of an answer without other data.
const Success = "success"

// Answer is the envelope of every answer. RobustMQ's content type is text/plain, and
// the HTTP status of a failure may be 200: check Code.
type Answer[T any] struct {
	Code  int     `json:"code"`
	Data  T       `json:"data"` // "" with an error
	Error *string `json:"error"`
	// Notes are ours: what in a definition is ignored, or has a cost, one sentence
	// each. The member is omitted if there are none.
	Notes []string `json:"notes,omitempty"`
}

// Definition is the body of check, and part of that of create and update. All fields
// are required, as for RobustMQ. In a connector's complete JSON, topic_id means
// topic_name, and what a list reports (status, broker_id, the times) is ignored.
type Definition struct {
	ConnectorName string `json:"connector_name"` // 1 to 128 characters
	ConnectorType string `json:"connector_type"` // kafka, in any case
	// Config is a JSON object as a string of 1 to 4096 characters, as in RobustMQ; the
	// object itself is accepted too.
	Config json.RawMessage `json:"config"`
	// FailureStrategy has no default here: RobustMQ requires it.
	FailureStrategy json.RawMessage `json:"failure_strategy"`
	Tenant          string          `json:"tenant"`     // default
	TopicName       string          `json:"topic_name"` // the MQTT topic filter, 1 to 256 characters
	// Labels are ours: names and values as Kubernetes has them, 32 at most. An update
	// without them keeps those that the connector has.
	Labels map[string]string `json:"labels,omitempty"`
}

// Creation is the body of create.
type Creation struct {
	Definition
	// Paused is ours: the connector does not run until it is resumed.
	Paused bool `json:"paused,omitempty"`
}

// Change is the body of update.
type Change struct {
	Definition
	// DiscardWaiting is ours. An update of the broker or of the client id gives up a
	// session there: its messages are delivered before the update takes effect, or
	// discarded if this is true.
	DiscardWaiting bool `json:"discard_waiting,omitempty"`
}

// Name is the body of pause, resume and restart.
type Name struct {
	Tenant        string `json:"tenant"`
	ConnectorName string `json:"connector_name"`
}

// Chosen is the body of pause, resume and restart: one connector, or those that a
// selector selects. With a selector the data is []Selected.
type Chosen struct {
	Tenant        string `json:"tenant"`
	ConnectorName string `json:"connector_name,omitempty"`
	Selector      string `json:"selector,omitempty"` // for example site=north,stage!=test
}

// Deletion is the body of delete.
type Deletion struct {
	Chosen
	// DiscardWaiting is ours: what waits in the connector's disk buffer is discarded.
	// Otherwise nothing is deleted until Kafka has it.
	DiscardWaiting bool `json:"discard_waiting,omitempty"`
}

// Selected is what became of one of several connectors.
type Selected struct {
	ConnectorName string   `json:"connector_name"`
	Error         *string  `json:"error"` // null: it is done
	Notes         []string `json:"notes,omitempty"`
}

// List is the data of a list: one page, and the total number of connectors.
type List struct {
	Data       []Row `json:"data"`
	TotalCount int   `json:"total_count"`
}

// Row is a connector in a list. A row is itself a connector definition: connector.Parse
// and create accept it.
type Row struct {
	Tenant        string `json:"tenant"`
	ConnectorName string `json:"connector_name"`
	ConnectorType string `json:"connector_type"`
	// Config is a JSON object as a string, wrapped and filled like RobustMQ's:
	// {"Kafka":{…}}. Secrets are ***. Detail has what the user gave.
	Config     string `json:"config"`
	TopicName  string `json:"topic_name"`
	Status     string `json:"status"`      // RobustMQ's word: Idle, Running, Stop
	BrokerID   string `json:"broker_id"`   // "1", or "-" where it does not run
	CreateTime string `json:"create_time"` // 2026-11-23 02:52:14, local
	UpdateTime string `json:"update_time"`

	// Ours: RobustMQ has neither.
	FailureStrategy *Strategy         `json:"failure_strategy,omitempty"`
	Labels          map[string]string `json:"labels,omitempty"`
	State           string            `json:"state"`               // Running, Waiting, Failed, Paused
	WaitsFor        []Wait            `json:"waits_for,omitempty"` // what one that is Waiting waits for
	Buffer          *Buffer           `json:"buffer,omitempty"`    // of one that has a disk buffer
	Reason          string            `json:"reason,omitempty"`    // why it is Waiting or Failed, or Paused and not ended
	placement
}

// Wait is one thing that a connector waits for.
type Wait struct {
	For   string `json:"for"`   // start, update, store, mqtt, kafka, buffer or progress
	Since int64  `json:"since"` // Unix seconds
	Why   string `json:"why"`
}

// Detail is the data of a detail. RobustMQ's four members come first.
type Detail struct {
	LastSendTime     int64   `json:"last_send_time"` // Unix seconds, 0 before the first
	SendSuccessTotal int64   `json:"send_success_total"`
	SendFailTotal    int64   `json:"send_fail_total"`
	LastMsg          *string `json:"last_msg"` // null unless somebody tails

	// Ours. The figures count from the start of the service.
	RetryTotal        int64 `json:"retry_total"`
	DiscardedTotal    int64 `json:"discarded_total"`
	DeadLetteredTotal int64 `json:"dead_lettered_total"`
	InFlight          int64 `json:"in_flight"`         // received over MQTT, not acknowledged there
	OldestUnackedMS   int64 `json:"oldest_unacked_ms"` // age of the oldest of them
	Lag               []Lag `json:"lag,omitempty"`     // of the consumer group of a kafka_source
	// LagUnknown says why the lag of a paused kafka_source, or a part of it, is not known.
	LagUnknown    string  `json:"lag_unknown,omitempty"`
	Buffer        *Buffer `json:"buffer,omitempty"` // of a connector that has a disk buffer
	LastError     string  `json:"last_error"`       // "" without one
	LastErrorTime int64   `json:"last_error_time"`  // Unix seconds since when, 0 without one

	Tenant        string `json:"tenant"`
	ConnectorName string `json:"connector_name"`
	ConnectorType string `json:"connector_type"`
	// Config is what the user gave, as a string, with secrets as ***: neither wrapped
	// (unless given so) nor filled. Sent back, it has the same meaning.
	Config          string            `json:"config"`
	TopicName       string            `json:"topic_name"`
	FailureStrategy *Strategy         `json:"failure_strategy"` // never null
	Labels          map[string]string `json:"labels,omitempty"`
	State           string            `json:"state"`     // Running, Waiting, Failed, Paused
	WaitsFor        []Wait            `json:"waits_for"` // never null
	Reason          string            `json:"reason"`    // "" when all is well
	CreateTime      string            `json:"create_time"`
	UpdateTime      string            `json:"update_time"`
	placement
}

// Buffer is what is in a disk buffer.
type Buffer struct {
	Messages int64 `json:"messages"`  // that Kafka has not got
	Bytes    int64 `json:"bytes"`     // of the files
	MaxBytes int64 `json:"max_bytes"` // the most that bytes may be, 0 if that is not known yet
	OldestMS int64 `json:"oldest_ms"` // age of the oldest message, 0 without any
}

// Lag is how many records of one partition the consumer group has not committed.
type Lag struct {
	Topic     string `json:"topic"`
	Partition int    `json:"partition"`
	Records   int64  `json:"records"`
}

// Strategy is a failure strategy; block if none was given. Fields that it does not use
// are omitted.
type Strategy struct {
	Strategy         string `json:"strategy"`
	RetryTotalTimes  *int   `json:"retry_total_times,omitempty"`
	WaitTimeMS       *int   `json:"wait_time_ms,omitempty"`
	TopicName        string `json:"topic_name,omitempty"`        // the dead letter topic
	BootstrapServers string `json:"bootstrap_servers,omitempty"` // of it, where not the connector's own
}

// Probe is the result of check at one end of a connector.
type Probe struct {
	End   string  `json:"end"`   // mqtt or kafka
	Error *string `json:"error"` // null: it was reached
}

func bufferOf(b *connector.Buffer) *Buffer {
	if b == nil {
		return nil
	}
	return &Buffer{Messages: b.Messages, Bytes: b.Bytes, MaxBytes: b.MaxBytes, OldestMS: b.Oldest.Milliseconds()}
}

// localTime formats a time like RobustMQ: local, to the second, without a zone.
func localTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format(time.DateTime)
}

func waitsOf(waits []connector.Wait) []Wait {
	all := make([]Wait, len(waits))
	for i, w := range waits {
		all[i] = Wait{For: string(w.For), Since: unix(w.Since), Why: withoutUserInfo(w.Why)}
	}
	return all
}

func strategyOf(f *connector.FailureStrategy) *Strategy {
	if f == nil {
		return &Strategy{Strategy: "block"}
	}
	s := &Strategy{Strategy: f.Strategy, TopicName: f.TopicName, BootstrapServers: f.BootstrapServers}
	if f.Retries() {
		s.RetryTotalTimes, s.WaitTimeMS = &f.RetryTotalTimes, &f.WaitTimeMS
	}
	return s
}
