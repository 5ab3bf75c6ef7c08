// Package store keeps the definitions of connectors, what they were before, and what is
// known of their sessions on MQTT brokers. Store is the interface; Dir keeps a file per
// connector, and package kafkastore a record per connector in a topic of Kafka. Package
// storetest has the test that both pass.
package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

// Store keeps connectors. Its methods may be called from any goroutine, but those that
// change something for one name by only one at a time.
//
// A change has one of three results:
//
//   - done, a nil error: it outlives a crash of this process and of the machine, and the
//     contents have it from now on.
//   - refused, any other error: the store is as before, for good. What is wrong is in the
//     error.
//   - unknown, an error for which Unknown is true: Kafka has not answered, and the change
//     may still take effect. Changed tells once it is known, and until then other
//     changes are refused. A repeated change is safe: it finds the revision that it
//     expects, or is refused.
//
// An entry of a newer format (ErrNewer) is part of the contents as Unreadable. It is
// neither changed nor set aside.
type Store interface {
	// Load returns all that the store holds. An entry that cannot be read is reported and
	// stays as it is; the error means that nothing can be read. A store in Kafka answers
	// at once, from what it has read; Contents.At says how old that is.
	Load() (Contents, error)
	// Sync waits until Load includes all that was stored before the call.
	Sync(ctx context.Context) error
	// Changed returns a channel that is closed when the contents change, by whomever. It
	// is nil for a store that only this process changes, through its own calls.
	Changed() <-chan struct{}
	// Lost returns a channel that is closed when this process must not go on with the
	// store, because another one has it now. Changes are refused from then on. It is nil
	// for a store that nobody can take over.
	Lost() <-chan struct{}

	// Create stores the first definition of a connector, and returns it with its revision.
	// Two connectors that use a name one after the other have no revision in common.
	Create(d Definition) (Definition, error)
	// Revise stores a definition as the next revision of a connector and adds the one
	// before to its history, without secrets. before is nil if it cannot be read. aside is
	// where a history is kept that could not be read, "" usually.
	Revise(before *Definition, d Definition) (revised Definition, aside string, err error)
	// Put stores a definition in place of the current one, with the same revision.
	Put(d Definition) error
	// Release removes a connector in one step and keeps what is needed to remove its
	// sessions, until Forget.
	Release(d Definition) (Released, error)
	// Mark keeps what is needed to remove the sessions that a connector had before it was
	// changed, until Forget.
	Mark(d Definition) (Released, error)
	// Forget removes what Release or Mark kept. It may be removed already.
	Forget(r Released) error
	// History returns the connector's former definitions, latest first. If the current one
	// cannot be read, these are all.
	History(d Definition) ([]connector.Revision, error)

	// PutSession records a session, and DropSession removes the record, if there is one.
	PutSession(one Session) error
	DropSession(endpoint, clientID string) error

	// Retry reads a definition again that could not be read.
	Retry(u Unreadable) (Definition, error)
	// SetAside moves such a definition, and returns where it is then.
	SetAside(u Unreadable) (string, error)
	// Discard removes the connector of such a definition, and returns where that is kept.
	Discard(u Unreadable) (string, error)

	// Whole returns all that the store holds, and Fill makes it hold that and nothing else.
	// What could not be read is not part of it. They move a store to another place.
	Whole() (Whole, error)
	Fill(w Whole) error

	// Upgrade sets the version of the store to this one. A newer store keeps its own.
	Upgrade() error
	// Probe reports whether the store takes changes.
	Probe() error
	// Close gives up the store.
	Close() error
}

// ErrNewer is why an entry cannot be read that a newer version of this program wrote.
var ErrNewer = errors.New("it needs a newer version of this program")

// UnknownError means that nobody knows yet whether a change took effect.
type UnknownError struct{ Why error }

func (e *UnknownError) Error() string {
	return fmt.Sprintf("the result is unknown: %v: the change may still take effect; read the connector again before you repeat it", e.Why)
}

func (e *UnknownError) Unwrap() error { return e.Why }

// Unknown reports whether the result of a change is unknown.
func Unknown(err error) bool { return errors.As(err, new(*UnknownError)) }

// Definition is a stored connector.
type Definition struct {
	// Connector has its times as time.RFC3339Nano, and Stop as its status while it is
	// paused.
	Connector connector.Connector
	// HandOver are sessions that an update gave up: their messages are delivered before
	// the connector runs with its current definition.
	HandOver []HandOver
	// Revision counts the definitions of the connector. Create and Revise set it.
	Revision int
	// Actor is who made this revision, "" if that is not known.
	Actor string
	// Old is what version 1 of the store had instead.
	Old Old
}

// HandOver is a definition from before an update, and the endpoints of those of its
// sessions that the connector no longer has.
type HandOver struct {
	From      connector.Connector
	Endpoints []string
}

// Old are the tasks of version 1 of the store.
type Old struct {
	ForgetSession bool     // the session is that of a connector that was deleted
	Unsubscribe   []string // filters that the connector no longer reads from
}

// Session is one session on an MQTT broker that a connector has joined.
type Session struct {
	Endpoint string `json:"endpoint"` // as the session package normalises it
	ClientID string `json:"client_id"`
	// Connector is the name of the last connector that joined it.
	Connector string `json:"connector"`
	// Made: the broker had no such session before a connector of this service joined
	// it. Only such a session is ever removed.
	Made bool `json:"made"`
	// Stale: it belonged to a deleted connector, and is removed before another one
	// joins it.
	Stale bool `json:"stale,omitempty"`
	// Filters are those that it may be subscribed to.
	Filters []string `json:"filters,omitempty"`
}

// Released is a deleted connector, or its definition before an update, whose sessions
// may remain on MQTT brokers.
type Released struct {
	Definition
	// Old: it is from version 1 of the store, which did not record who created a
	// session.
	Old bool
	// ID identifies it in its store.
	ID string
}

// Is reports whether two are the same.
func (r Released) Is(o Released) bool { return r.ID == o.ID }

// Unreadable is an entry that could not be read. It was not moved.
type Unreadable struct {
	// File says where it is: the path of a file, or the record of a topic.
	File string
	Why  error
	// Name and ClientID are what could be read of a connector's definition.
	Name, ClientID string
}

// Contents are what a store holds.
type Contents struct {
	// At is the time of the contents: all that was stored before it is in them.
	At time.Time
	// Stale says why the contents are not those of now, nil while they are.
	Stale error

	Version     int          // that wrote it; 1 where it has none and is not empty
	Definitions []Definition // by name
	Sessions    []Session
	Released    []Released
	// Unreadable are the definitions that could not be read, by name.
	Unreadable []Unreadable
	// Ignored are other entries that could not be read.
	Ignored []Unreadable
}
