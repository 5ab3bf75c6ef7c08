// Package session owns the sessions of connectors on MQTT brokers: it creates and holds
// them, hands them over and removes them. These rules prevent the loss of messages in a
// session:
//
//   - A session is one endpoint and one client id. It belongs to one connector.
//   - Only a session that a connector of this service created is removed. A session
//     that the broker had before is left alone. The record of who created a session
//     outlives a restart.
//   - No session is removed, at any endpoint, while a connector uses its client id: two
//     endpoints may be one broker.
package session

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"slices"
	"sync"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/connector/store"
)

// Book is what the owner keeps across restarts.
type Book interface {
	PutSession(store.Session) error
	DropSession(endpoint, clientID string) error
	Mark(store.Definition) (store.Released, error)
	Forget(store.Released) error
}

// Options configure an owner.
type Options struct {
	Book Book
	// SideOf returns the MQTT side of a definition as it would run.
	SideOf func(connector.Connector) (Side, error)
	// ClientIDOf returns the client id of a connector that names none.
	ClientIDOf func(name string) string
	Dial       Dial
	Logger     *slog.Logger
	// Runs reports whether this worker runs the first member of a connector, and so removes
	// the sessions that it gives up. Confirm returns nil if it still runs a member, before
	// that connects. Nil means that there is no other worker.
	Runs    func(name string) bool
	Confirm func(ctx context.Context, name string, member int) error
}

// Owner owns the sessions of all connectors of a service. Its methods may be called
// from any goroutine.
type Owner struct {
	book       Book
	sideOf     func(connector.Connector) (Side, error)
	clientIDOf func(name string) string
	dial       Dial
	log        *slog.Logger
	others     bool // there are other workers, which may run members of connectors
	runs       func(name string) bool
	confirm    func(ctx context.Context, name string, member int) error
	wake       chan struct{} // one slot: there is something to remove

	// recording is held while the book is changed, which may take as long as Kafka does.
	// mu is taken after it, never before: reads need only mu, so they do not wait for the
	// book.
	// It has one slot: a mutex would stop the time of tests in virtual time.
	recording chan struct{}

	mu       sync.Mutex
	records  map[ID]store.Session
	held     held
	unread   map[string][]string      // client ids that a connector with an unreadable definition may use
	clearing map[string]chan struct{} // by client id; closed when no removal is running for it
	trouble  map[string]error         // by client id: why the last record could not be written
	marks    []*mark
}

// New returns an owner without sessions: see Load.
func New(opts Options) *Owner {
	others := opts.Runs != nil
	if !others {
		opts.Runs = func(string) bool { return true }
	}
	if opts.Confirm == nil {
		opts.Confirm = func(context.Context, string, int) error { return nil }
	}
	return &Owner{
		book: opts.Book, sideOf: opts.SideOf, clientIDOf: opts.ClientIDOf, dial: opts.Dial, log: opts.Logger,
		others: others, runs: opts.Runs, confirm: opts.Confirm,
		wake: make(chan struct{}, 1), recording: make(chan struct{}, 1),
		records: make(map[ID]store.Session), held: newHeld(), unread: make(map[string][]string),
		clearing: make(map[string]chan struct{}), trouble: make(map[string]error),
	}
}

func (o *Owner) isHeldLocked(id ID) bool {
	_, _, ok := o.held.holder(id)
	return ok
}

// usedLocked reports whether any connector uses a client id, at any broker.
func (o *Owner) usedLocked(clientID string) bool { return o.sharedLocked("", clientID) }

// sharedLocked reports whether a connector other than the named one uses a client id.
func (o *Owner) sharedLocked(name, clientID string) bool {
	if o.held.usedBeside(name, clientID) {
		return true
	}
	for other, ids := range o.unread {
		if other != name && slices.Contains(ids, clientID) {
			return true
		}
	}
	return false
}

// GivenUp returns the endpoints at which a connector would leave a joined session
// behind if a side was replaced by others.
func (o *Owner) GivenUp(was Side, is ...Side) []string {
	if was.Clean {
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	all, stays := []string(nil), []ID(nil)
	for _, side := range is {
		if !side.Clean {
			stays = append(stays, side.IDs()...)
		}
	}
	for _, id := range was.IDs() {
		if _, joined := o.records[id]; joined && !slices.Contains(stays, id) {
			all = append(all, id.Endpoint)
		}
	}
	return all
}

// Refiltered returns the endpoints at which a connector continues a joined session that
// has other filters than its new side.
func (o *Owner) Refiltered(is Side) []string {
	if is.Clean {
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	var all []string
	for _, id := range is.IDs() {
		if slices.ContainsFunc(o.records[id].Filters, func(f string) bool { return f != is.Filter }) {
			all = append(all, id.Endpoint)
		}
	}
	return all
}

// Enter is called before a stream connects to a broker: it first does what is due at
// the session. It implements mqtt.Gate.
func (o *Owner) Enter(ctx context.Context, u *url.URL, clientID string, clean bool) error {
	id := ID{EndpointOf(u), clientID}
	o.mu.Lock()
	name, side, ok := o.held.holder(id)
	pending, found := false, false
	for _, s := range o.held.sides[name] {
		if !slices.Contains(s.IDs(), id) {
			continue
		}
		pending = pending || s.Pending
		// A session that is being handed over may be the clean one now.
		if s.Clean == clean && !found {
			side, found = s, true
		}
	}
	member := side.Member
	if pending {
		member = 0
	}
	rec, known := o.records[id]
	clearing := o.clearing[clientID]
	shared := o.sharedLocked(name, clientID)
	o.mu.Unlock()
	if !ok {
		return fmt.Errorf("no connector has the session %q at %s", clientID, u.Redacted())
	}
	if err := o.confirm(ctx, name, member); err != nil {
		return fmt.Errorf("connecting %q: %w", clientID, err)
	}
	side.URLs = []*url.URL{u}
	if clearing != nil {
		select {
		case <-clearing:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		return o.Enter(ctx, u, clientID, clean)
	}
	switch {
	case clean && !rec.Made:
		// Connecting would remove a session that somebody else created.
		kept, err := o.visit(ctx, side, false, nothing)
		if err != nil {
			return err
		}
		if kept {
			return fmt.Errorf("the broker has a session %q that this service did not make, and clean_session: true would remove it: give another client_id, or remove that session first", clientID)
		}
		return o.visited(ctx, id, side, false)
	case rec.Stale && rec.Made && !shared:
		if _, err := o.visit(ctx, side, true, nothing); err != nil {
			return fmt.Errorf("removing the session of the connector that was deleted: %w", err)
		}
		return o.drop(id)
	case rec.Stale:
		// The session existed before us, or may be that of another connector: so it
		// stays.
		rec.Stale = false
		return o.put(rec)
	case clean:
		return nil
	case !known:
		// Whether the broker has the session is recorded before the stream joins it,
		// because the stream's connection may be cut before the answer arrives.
		// Otherwise a session of ours could later count as somebody else's.
		if kept, err := o.visit(ctx, side, false, nothing); err == nil {
			return o.visited(ctx, id, side, kept)
		}
		// The stream will report the error, or connect with MQTT 5.
		return nil
	case pending:
		return nil // its messages are read first
	}
	return o.unsubscribe(ctx, side, rec, side.Filter)
}

// visited records a session after a visit, which has made it unless it was kept. Where
// that fails, the session is removed: the next attempt would count it as somebody else's.
func (o *Owner) visited(ctx context.Context, id ID, side Side, kept bool) error {
	err := o.joined(id, kept)
	if err == nil || kept {
		return err
	}
	if _, failed := o.visit(context.WithoutCancel(ctx), side, true, nothing); failed != nil {
		o.log.Warn("A session that cannot be recorded stays on the broker: it counts as one that this service did not make", "client_id", id.ClientID, "error", failed)
	}
	return err
}

// unsubscribe removes all filters that the session may have except one, which is
// subscribed first, so that messages that match both are covered at any time.
func (o *Owner) unsubscribe(ctx context.Context, side Side, rec store.Session, keep string) error {
	old := slices.DeleteFunc(slices.Clone(rec.Filters), func(f string) bool { return f == keep })
	if len(old) == 0 {
		return nil
	}
	if keep != "" {
		// A broker that refuses it also refuses the stream, which reports the error.
		// Some brokers (mochi) refuse it only while a message with the same packet
		// identifier is in flight.
		_ = o.subscribe(ctx, side)
	}
	if _, err := o.visit(ctx, side, false, func(c paho.Client) paho.Token { return c.Unsubscribe(old...) }); err != nil {
		return fmt.Errorf("unsubscribing from %q: %w", old, err)
	}
	rec.Filters = slices.DeleteFunc(slices.Clone(rec.Filters), func(f string) bool { return f != keep })
	return o.put(rec)
}

// Joined is called when a broker has accepted a stream; kept reports whether it had the
// session. An error ends the connection. It implements mqtt.Gate.
func (o *Owner) Joined(u *url.URL, clientID string, kept bool) error {
	return o.joined(ID{EndpointOf(u), clientID}, kept)
}

func (o *Owner) joined(id ID, kept bool) error {
	return o.record(func() (is store.Session, changed bool, err error) {
		name, side, ok := o.held.holder(id)
		if !ok {
			return is, false, fmt.Errorf("no connector has the session %q", id.ClientID)
		}
		was := o.records[id]
		is = store.Session{
			Endpoint: id.Endpoint, ClientID: id.ClientID, Connector: name,
			Made: was.Made || !kept, Stale: was.Stale, Filters: was.Filters,
		}
		if !slices.Contains(is.Filters, side.Filter) {
			is.Filters = append(slices.Clone(is.Filters), side.Filter)
		}
		if is.Made == was.Made && is.Connector == was.Connector && slices.Equal(is.Filters, was.Filters) {
			delete(o.trouble, id.ClientID)
			return is, false, nil
		}
		return is, true, nil
	})
}

// Trouble returns why the store could not be written when a session was joined, or nil.
func (o *Owner) Trouble(clientID string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.trouble[clientID]
}

func (o *Owner) put(rec store.Session) error {
	return o.record(func() (store.Session, bool, error) { return rec, true, nil })
}

// record writes what changeLocked returns, unless that is no change. It may call
// changeLocked twice: a session that is known needs no turn at the book.
func (o *Owner) record(changeLocked func() (rec store.Session, changed bool, err error)) error {
	judge := func() (store.Session, bool, error) {
		o.mu.Lock()
		defer o.mu.Unlock()
		return changeLocked()
	}
	if _, changed, err := judge(); err != nil || !changed {
		return err
	}
	o.recording <- struct{}{}
	defer func() { <-o.recording }()
	rec, changed, err := judge() // another record may have been written meanwhile
	if err != nil || !changed {
		return err
	}
	err = o.book.PutSession(rec)
	o.mu.Lock()
	defer o.mu.Unlock()
	if err != nil {
		o.trouble[rec.ClientID] = err
		return err
	}
	delete(o.trouble, rec.ClientID)
	o.records[ID{rec.Endpoint, rec.ClientID}] = rec
	return nil
}

func (o *Owner) drop(id ID) error {
	if !o.knows(id) {
		return nil
	}
	o.recording <- struct{}{}
	defer func() { <-o.recording }()
	if !o.knows(id) { // any more
		return nil
	}
	err := o.book.DropSession(id.Endpoint, id.ClientID)
	o.mu.Lock()
	defer o.mu.Unlock()
	if err != nil {
		o.trouble[id.ClientID] = err
		return err
	}
	delete(o.records, id)
	delete(o.trouble, id.ClientID)
	return nil
}

func (o *Owner) knows(id ID) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, known := o.records[id]
	return known
}

// Records returns the sessions that connectors have joined.
func (o *Owner) Records() []store.Session {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Collect(maps.Values(o.records))
}

// Wake makes Sweep retry now.
func (o *Owner) Wake() {
	select {
	case o.wake <- struct{}{}:
	default: // it is awake already
	}
}
