package kafkastore

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/robustmq/robustmq-connect/plugins/connector/store"
)

// view is what the topic of definitions says, as far as it has been read.
type view struct {
	topic string
	keys  Keys

	mu       sync.Mutex
	entries  map[string]entry         // by record key
	bad      map[string]badRecord     // connectors whose value cannot be read, by record key
	ignored  map[string]error         // other records that cannot be read
	sessions map[string]store.Session // by record key
	gone     int                      // the greatest revision of connectors that are gone
	writer   smallJSON                // the process that has the store; empty without one
	claim    smallJSON                // the last process that wanted it
	answer   smallJSON                // the last answer to such a process
	next     int64                    // the offset after the last record
	awaited  int64                    // the offset of a record that is being written, -1 without
	arrived  bool                     // that record was read: it was committed
	at       time.Time                // when the topic was last known to hold no more than this
	stale    error                    // why that is not now
	moved    chan struct{}            // closed when next changes
	changed  chan struct{}            // closed when what Load returns changes
}

type badRecord struct {
	raw    []byte
	offset int64
	why    error
}

func newView(topic string, keys Keys) *view {
	return &view{
		topic: topic, keys: keys, awaited: -1,
		entries: map[string]entry{}, bad: map[string]badRecord{}, ignored: map[string]error{}, sessions: map[string]store.Session{},
		moved: make(chan struct{}), changed: make(chan struct{}),
	}
}

// apply takes in one record, in the order of the topic.
func (v *view) apply(r *kgo.Record) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.next = r.Offset + 1
	if r.Attrs.IsControl() {
		v.moveLocked()
		return
	}
	if r.Offset == v.awaited {
		v.arrived = true
	}
	if v.takeLocked(string(r.Key), r.Value) {
		close(v.changed)
		v.changed = make(chan struct{})
	}
	v.moveLocked()
}

func (v *view) moveLocked() {
	close(v.moved)
	v.moved = make(chan struct{})
}

// takeLocked reports whether what Load returns may be another.
func (v *view) takeLocked(key string, value []byte) bool {
	switch {
	case strings.HasPrefix(key, connectorKey):
		v.takeConnectorLocked(key, value)
		return true
	case strings.HasPrefix(key, asideKey) || key == probeKey:
		return false
	}
	delete(v.ignored, key)
	var small smallJSON
	if len(value) > 0 {
		if err := strictly(value, &small); err != nil {
			v.ignored[key] = err
			return true
		}
	}
	switch {
	case key == storeKey:
		v.gone = max(v.gone, small.Revision)
		return false
	case key == writerKey:
		v.writer = small
		return false
	case key == claimKey:
		v.claim = small
		return false
	case key == answerKey:
		v.answer = small
		return false
	case strings.HasPrefix(key, sessionKey):
		delete(v.sessions, key)
		switch s := small.Session; {
		case s == nil:
		case s.ClientID == "" || s.Endpoint == "" || sessionKeyOf(s.Endpoint, s.ClientID) != key:
			v.ignored[key] = errors.New("it is not the session that its key says")
		default:
			v.sessions[key] = *s
		}
	case len(value) > 0:
		v.ignored[key] = errors.New("its key is none that this program knows")
	}
	return true
}

func (v *view) takeConnectorLocked(key string, value []byte) {
	delete(v.entries, key)
	delete(v.bad, key)
	if len(value) == 0 {
		return
	}
	e, err := decodeEntry(key, value, v.keys)
	if err != nil {
		v.bad[key] = badRecord{slices.Clone(value), v.next - 1, err}
		return
	}
	v.entries[key] = e
}

// contents returns all that the topic says.
func (v *view) contents() store.Contents {
	v.mu.Lock()
	defer v.mu.Unlock()
	all := store.Contents{At: v.at, Stale: v.stale, Version: store.Version}
	for key, e := range v.entries {
		if e.now != nil {
			all.Definitions = append(all.Definitions, *e.now)
		}
		for _, r := range e.removed {
			all.Released = append(all.Released, released(key, r))
		}
	}
	for _, s := range v.sessions {
		all.Sessions = append(all.Sessions, s)
	}
	for key, b := range v.bad {
		name := strings.TrimPrefix(key, connectorKey)
		_, clientID := store.Guess(connectorOf(b.raw))
		all.Unreadable = append(all.Unreadable, store.Unreadable{File: v.place(key), Why: b.why, Name: name, ClientID: clientID})
	}
	for key, err := range v.ignored {
		all.Ignored = append(all.Ignored, store.Unreadable{File: v.place(key), Why: err})
	}
	slices.SortFunc(all.Definitions, func(a, b store.Definition) int { return strings.Compare(a.Connector.Name, b.Connector.Name) })
	slices.SortFunc(all.Released, func(a, b store.Released) int { return strings.Compare(a.ID, b.ID) })
	slices.SortFunc(all.Unreadable, func(a, b store.Unreadable) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(all.Ignored, func(a, b store.Unreadable) int { return strings.Compare(a.File, b.File) })
	return all
}

// place says where a record is.
func (v *view) place(key string) string {
	return fmt.Sprintf("the record %.200q of topic %q", key, v.topic)
}

// find returns what the record of a connector says. The error is why it cannot be read.
func (v *view) find(key string) (entry, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if b, bad := v.bad[key]; bad {
		return entry{}, b.why
	}
	return v.entries[key].clone(), nil
}

func (v *view) badRecord(key string) (badRecord, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	b, bad := v.bad[key]
	return b, bad
}

func (v *view) hasSession(key string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	_, has := v.sessions[key]
	return has
}

// keysHeld returns the keys of connectors and of sessions that have a record.
func (v *view) keysHeld() (connectors, sessions map[string]bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	connectors, sessions = map[string]bool{}, map[string]bool{}
	for key := range v.entries {
		connectors[key] = true
	}
	for key := range v.bad {
		connectors[key] = true
	}
	for key := range v.sessions {
		sessions[key] = true
	}
	return connectors, sessions
}

// nextRevision returns a revision that no connector of a name can have had.
func (v *view) nextRevision() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.gone + 1
}

// await says that a record is being written at an offset.
func (v *view) await(offset int64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.awaited, v.arrived = offset, false
}

// landed reports whether that record was committed. All that precedes it was read.
func (v *view) landed() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.arrived
}

// parties returns who has the store, who wanted it last, and who was answered last.
func (v *view) parties() (writer, claim, answer smallJSON) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.writer, v.claim, v.answer
}

// seen returns the offset after the last record, and a channel that is closed when there
// are more.
func (v *view) seen() (next int64, moved <-chan struct{}) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.next, v.moved
}

// markComplete says that at a time the topic held no more than the view does.
func (v *view) markComplete(at time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if at.After(v.at) {
		v.at = at
	}
	v.stale = nil
}

// markBehind says why the view may be behind.
func (v *view) markBehind(why error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.stale = why
}

func (v *view) changes() <-chan struct{} {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.changed
}

func released(key string, r removed) store.Released {
	return store.Released{Definition: r.d, ID: key + " " + r.id}
}

// connectorOf returns what may be the definition in a value that cannot be read.
func connectorOf(value []byte) []byte {
	var v struct {
		Connector json.RawMessage `json:"connector"`
	}
	_ = json.Unmarshal(value, &v) // what was read before the error is good enough
	return v.Connector
}
