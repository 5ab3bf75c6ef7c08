package connector

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/robustmq/robustmq-connect/plugins/internal/tail"
	"github.com/robustmq/robustmq-connect/plugins/kafka"
)

// DefaultTenant is the one tenant that exists.
const DefaultTenant = "default"

// Errors of a Manager, wrapped with the connector's name.
var (
	ErrNotFound = errors.New("connector does not exist")
	ErrExists   = errors.New("connector already exists")
	ErrPaused   = errors.New("connector is paused: resume it")
)

// InvalidError says which field of a request cannot be taken, and what would be
// right.
type InvalidError struct {
	Field string
	Why   string
}

func (e *InvalidError) Error() string { return fmt.Sprintf("%s: %s", e.Field, e.Why) }

// Status is a connector as list shows it. Config never holds a secret in clear.
type Status struct {
	Name            string
	Type            string // one of Types
	Tenant          string
	TopicID         string          // the MQTT topic filter, or the topic that a source publishes to
	Config          json.RawMessage // the Kafka settings as given, secrets as ***
	FailureStrategy *FailureStrategy
	Labels          map[string]string // nil without any
	State           State
	// Waits is what a connector that is Waiting waits for, in the order start, MQTT
	// broker, Kafka, progress.
	Waits []Wait
	// Reason says in a sentence why a connector is Waiting or Failed, or that one which
	// is Paused has not ended: since when, what, and what to do. It is empty when all is
	// well.
	Reason     string
	CreateTime time.Time
	UpdateTime time.Time
	// Buffer is what is in the connector's disk buffer, nil if it has none.
	Buffer *Buffer
	// Revision counts the definitions that the connector has had. It is 0 where the
	// definition cannot be read.
	Revision int
	// Parallelism is the number of its members as in its definition, and Members are those
	// that run where this is told, by number. They are nil where it has one member.
	Parallelism int
	Members     []MemberStatus
	// Worker is the URL of the worker that runs the first member, or UnknownWorker. It is
	// empty where no other workers share the connectors, and where the connector is Paused.
	Worker string
}

// Buffer is what is in a disk buffer.
type Buffer struct {
	Messages int64         // that Kafka has not got
	Bytes    int64         // of the files
	MaxBytes int64         // the most that Bytes may be, 0 if that is not known yet
	Oldest   time.Duration // age of the oldest message, 0 without any
}

// Figures are what a connector has done since the service started.
type Figures struct {
	LastSend      time.Time // zero before the first
	Sent          int64     // records that Kafka acknowledged, or messages that the MQTT broker of a source did
	Failed        int64     // records that Kafka refused
	Retried       int64
	Discarded     int64
	DeadLettered  int64
	InFlight      int64         // messages received from the MQTT broker and not acknowledged to it
	OldestUnacked time.Duration // age of the oldest of them, 0 without any
	// Lag are the records that the consumer group of a source has not committed, by
	// partition; nil for other connectors and until it was read.
	Lag []Lag
	// LagUnknown says why Lag, or a part of it, is not known; "" if it is.
	LagUnknown     string
	LastError      string
	LastErrorSince time.Time
	// LastMessage is the payload of the newest message that a tail has shown, in base64
	// where it is no text; nil unless somebody tails.
	LastMessage *string
}

// Lag is how far a consumer group is behind in one partition.
type Lag struct {
	Topic     string
	Partition int
	Records   int64
}

// Probe is the answer of Check for one end of a connector.
type Probe struct {
	End   string // mqtt or kafka
	Error string // empty when it was reached
	Note  string // what a person should know though it was
}

// CreateOptions say how a connector is created.
type CreateOptions struct {
	// Paused: it does not run until it is resumed.
	Paused bool
}

// UpdateOptions say how a connector is changed.
type UpdateOptions struct {
	// DiscardWaiting: what waits in sessions that the connector does not have any more
	// is discarded. Otherwise it is delivered before the change takes effect.
	DiscardWaiting bool
	// Expected are the revisions that the change may replace.
	Expected Expected
}

// DeleteOptions say how a connector is deleted.
type DeleteOptions struct {
	// DiscardWaiting: what waits in the connector's disk buffer is discarded. Otherwise
	// nothing is deleted until Kafka has it.
	DiscardWaiting bool
	// Expected are the revisions that may be deleted.
	Expected Expected
}

// Manager runs connectors and keeps them over a restart. Its methods may be
// called from any goroutine. An error is an *InvalidError, a *MismatchError, wraps
// ErrNotFound, ErrExists or ErrPaused, or says what else went wrong.
type Manager interface {
	// Create returns once the definition is on disk; Kafka and the MQTT broker may
	// be away. The notes say what of the definition does not apply, and where it
	// lets messages be lost, repeated or reordered, a sentence each.
	Create(ctx context.Context, c Connector, how CreateOptions) (Result, error)
	// Update replaces a definition. The notes are as those of Create. A secret that comes back as *** stays as it was,
	// while it is sent where it was sent before.
	// Where the connector gives up a session on a broker, the notes say so.
	Update(ctx context.Context, c Connector, how UpdateOptions) (Result, error)
	// Rollback updates a connector to a definition that it had. A secret is that of
	// today where it is sent where it was sent then.
	Rollback(ctx context.Context, name string, to int, how UpdateOptions) (Result, error)
	// History returns the definitions that a connector has and had, the latest first.
	History(name string) ([]Revision, error)
	// Delete drains and removes a connector. The note is not empty where its stream
	// does not end, or where its session on the MQTT broker could not be removed yet,
	// which is tried again later.
	Delete(ctx context.Context, name string, how DeleteOptions) (note string, err error)
	// Pause drains a connector and stops it until it is resumed. The note is not empty
	// where its stream does not end.
	Pause(ctx context.Context, name string) (note string, err error)
	// Resume lets a paused connector run, and one that has failed again. The note is as
	// that of Pause.
	Resume(ctx context.Context, name string) (note string, err error)
	// Restart drains a connector and starts it again, also one that has failed. One that
	// is paused stays so. The note is as that of Pause.
	Restart(ctx context.Context, name string) (note string, err error)
	// Validate judges a definition as Create and Update do, and changes nothing. The notes
	// are as theirs.
	Validate(c Connector) (notes []string, err error)
	// Plan says what Create or Update would change, and judges the definition as they do.
	// It changes nothing.
	Plan(ctx context.Context, c Connector) (Plan, error)
	// Check tries both ends of a connector and creates nothing.
	Check(ctx context.Context, c Connector) ([]Probe, error)
	// Preview makes the record that a connector would write of a message. It creates
	// nothing and connects to nothing. The notes are as those of Create.
	Preview(ctx context.Context, c Connector, m SampleMessage) (p Preview, notes []string, err error)

	// Tail shows the last messages of a connector that were seen since somebody has
	// looked, and then those that get through. Whoever opens it closes it.
	Tail(name string, last int) (*tail.Reader, error)

	// DeadLetters lists records that Kafka has refused a connector, from its dead letter
	// topic. An error of Kafka, or of a connector that writes none, is a *kafka.LetterError,
	// and that of a cursor a *kafka.CursorError.
	DeadLetters(ctx context.Context, name string, query kafka.LetterQuery) (kafka.LetterPage, error)
	// Replay writes dead letters of a connector to the topics that they were meant for,
	// each once at most. The errors are as those of DeadLetters; what was replayed before
	// one is in the result.
	Replay(ctx context.Context, name string, what kafka.Replay) (kafka.Replayed, error)

	// List returns all connectors by name.
	List() []Status
	Detail(name string) (Status, Figures, error)
	// PausedLag asks Kafka for the lag of a source that is paused. It returns within
	// seconds, and takes an answer that is some seconds old. unknown says why the lag, or a
	// part of it, is not known. Other connectors have none.
	PausedLag(ctx context.Context, name string) (lag []Lag, unknown string)
	// Logs returns the last lines that a connector logged, its secrets as ***.
	Logs(name string, which LogQuery) (Logs, error)
	// SetLogLevel sets from which level on a connector logs, until the service ends:
	// debug, info, warn or error, "" for the service's own.
	SetLogLevel(name, level string) error
	// StoreReady returns nil while the store takes changes, whatever the connectors
	// do. It returns within seconds, also where the disk hangs.
	StoreReady() error
	// ConnectorsReady returns nil when every connector that should run is Running and
	// no stream has outlived its connector, else an error that names them.
	ConnectorsReady() error
	// Warnings are what an operator has to act on though the service works, a
	// sentence each.
	Warnings() []string
}
