package session

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/robustmq/robustmq-connect/plugins/connector/store"
	"github.com/robustmq/robustmq-connect/plugins/internal/crash"
)

// sweepEvery is how often the removal of a session is retried.
const sweepEvery = 30 * time.Second

// mark is a deleted connector with those of its sessions that may remain.
type mark struct {
	released store.Released
	left     map[ID]Side
	busy     bool // Clear is working on it, so Sweep must not
}

// errInUse is why a session is not removed yet.
var errInUse = errors.New("a connector uses its client id, so the session might be that connector's")

// SidesOf returns the MQTT sides of a definition: those of its members, the first one
// first, and those that are being handed over.
func (o *Owner) SidesOf(d store.Definition) ([]Side, error) {
	sides := make([]Side, d.Connector.Members())
	for i := range sides {
		var err error
		if sides[i], err = o.sideOf(d.Connector.WithMember(i)); err != nil {
			return nil, err
		}
	}
	for _, h := range d.HandOver {
		old, err := o.sideOf(h.From)
		if err != nil {
			return nil, err
		}
		old = old.At(h.Endpoints...)
		old.Pending = true
		sides = append(sides, old)
	}
	return sides, nil
}

func (o *Owner) newMark(r store.Released) (*mark, error) {
	sides, err := o.SidesOf(r.Definition)
	if err != nil {
		return nil, fmt.Errorf("reading the sessions of connector %q: %w", r.Connector.Name, err)
	}
	m := &mark{released: r, left: map[ID]Side{}}
	for _, side := range sides {
		for _, id := range side.IDs() {
			m.left[id] = side.At(id.Endpoint)
		}
	}
	return m, nil
}

func (o *Owner) markedLocked(id ID) bool {
	return slices.ContainsFunc(o.marks, func(m *mark) bool { _, has := m.left[id]; return has })
}

// Remains says what happened to sessions that should be removed.
type Remains struct {
	Later   []string // why sessions could not be removed yet, a sentence each
	Foreign []ID     // not made by this service, and left alone
}

// Clear removes the sessions of a deleted connector, where that is allowed. Sweep
// retries what fails.
func (o *Owner) Clear(ctx context.Context, r store.Released) (Remains, error) {
	m, err := o.newMark(r)
	if err != nil {
		return Remains{}, err
	}
	// The mark exists from the start, so that a connector that takes one of the
	// sessions in the meantime gets it without its messages.
	left := maps.Clone(m.left)
	m.busy = true
	if !o.remember(m) {
		return Remains{}, nil
	}
	var all Remains
	var mu sync.Mutex
	var removing sync.WaitGroup
	for id, side := range left {
		removing.Go(func() {
			defer o.guard(side).Catch(removal)
			foreign, err := o.clear(ctx, id, side)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err != nil:
				all.Later = append(all.Later, fmt.Sprintf("%q at %s: %v", id.ClientID, id.Endpoint, err))
				return
			case foreign:
				all.Foreign = append(all.Foreign, id)
			}
			o.done(m, id)
		})
	}
	removing.Wait()
	o.mu.Lock()
	m.busy = false
	o.mu.Unlock()
	slices.Sort(all.Later)
	slices.SortFunc(all.Foreign, func(a, b ID) int { return strings.Compare(a.Endpoint, b.Endpoint) })
	if len(all.Later) > 0 {
		o.Wake()
	}
	return all, nil
}

// GiveUp leaves the removal of a former definition's sessions to Sweep.
func (o *Owner) GiveUp(r store.Released) error {
	m, err := o.newMark(r)
	if err == nil && o.remember(m) {
		o.Wake()
	}
	return err
}

// remember keeps a mark, unless connectors have all of its sessions. That of another
// worker is for that one to judge.
func (o *Owner) remember(m *mark) bool {
	o.mu.Lock()
	if o.runs(m.released.Connector.Name) {
		maps.DeleteFunc(m.left, func(id ID, _ Side) bool { return o.isHeldLocked(id) })
	}
	some := len(m.left) > 0
	if some {
		o.marks = append(o.marks, m)
	}
	o.mu.Unlock()
	if !some {
		o.forget(m)
	}
	return some
}

// forget drops a mark without remaining sessions.
func (o *Owner) forget(m *mark) {
	o.mu.Lock()
	o.marks = slices.DeleteFunc(o.marks, func(other *mark) bool { return other == m })
	o.mu.Unlock()
	if err := o.book.Forget(m.released); err != nil {
		o.log.Warn("Cannot drop the mark of a deleted connector: it is dropped at the next start", "connector", m.released.Connector.Name, "error", err)
	}
}

// clear removes one session, unless we must not remove it. A panic becomes an error:
// the removal is retried, and the process continues.
func (o *Owner) clear(ctx context.Context, id ID, side Side) (foreign bool, err error) {
	defer o.guard(side).Catch(removal, func(panicked error) { err = panicked })
	foreign, done, err := o.beginClearing(ctx, id, side)
	if done == nil {
		return foreign, err
	}
	defer done()
	if _, err := o.visit(ctx, side, true, nothing); err != nil {
		return false, err
	}
	return false, o.drop(id)
}

// beginClearing locks the client id of a session until done is called. If done is nil,
// there is nothing to remove, or not now.
//
// The check and the lock are one step: a connector that takes the client id afterwards
// waits in Enter until the removal has ended.
func (o *Owner) beginClearing(ctx context.Context, id ID, side Side) (foreign bool, done func(), err error) {
	for {
		o.mu.Lock()
		rec, known := o.records[id]
		if !known || !rec.Made || side.Clean && !rec.Stale {
			// Nobody has joined it, somebody else created it, or the broker keeps none.
			o.mu.Unlock()
			return known && !rec.Made, nil, o.drop(id)
		}
		if o.usedLocked(id.ClientID) {
			o.mu.Unlock()
			return false, nil, errInUse
		}
		before := o.clearing[id.ClientID]
		if before == nil {
			break
		}
		o.mu.Unlock()
		select {
		case <-before:
		case <-ctx.Done():
			return false, nil, ctx.Err()
		}
	}
	ended := make(chan struct{})
	o.clearing[id.ClientID] = ended
	o.mu.Unlock()
	return false, func() {
		o.mu.Lock()
		delete(o.clearing, id.ClientID)
		o.mu.Unlock()
		close(ended)
	}, nil
}

// Sweep removes the remaining sessions until the context ends. Each broker has its own
// goroutine, so an unavailable one does not delay the others. It logs once that a
// broker cannot be reached.
func (o *Owner) Sweep(ctx context.Context) {
	var sweeping sync.WaitGroup
	defer sweeping.Wait()
	busy := map[string]chan struct{}{} // by endpoint; closed at the end
	told := &warned{}
	for {
		for endpoint, ids := range o.due() {
			if before := busy[endpoint]; before != nil {
				select {
				case <-before:
				default:
					continue
				}
			}
			done := make(chan struct{})
			busy[endpoint] = done
			sweeping.Go(func() {
				defer close(done)
				defer o.guard(Side{}).Catch(removal)
				o.sweepEndpoint(ctx, ids, told)
			})
		}
		again := time.NewTimer(sweepEvery)
		select {
		case <-ctx.Done():
		case <-o.wake:
		case <-again.C:
		}
		again.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// due returns the sessions to remove, by endpoint.
func (o *Owner) due() map[string][]ID {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := map[string][]ID{}
	for _, m := range o.marks {
		if m.busy || !o.runs(m.released.Connector.Name) {
			continue
		}
		for id := range m.left {
			if !o.usedLocked(id.ClientID) && !slices.Contains(all[id.Endpoint], id) {
				all[id.Endpoint] = append(all[id.Endpoint], id)
			}
		}
	}
	return all
}

func (o *Owner) sweepEndpoint(ctx context.Context, ids []ID, told *warned) {
	for _, id := range ids {
		for _, m := range o.marksOf(id) {
			_, err := o.clear(ctx, id, m.left[id])
			if ctx.Err() != nil {
				return
			}
			if err == nil {
				o.done(m, id)
				continue
			}
			if errors.Is(err, errInUse) {
				continue
			}
			level := slog.LevelWarn
			if told.before(id) {
				level = slog.LevelDebug
			}
			text := strings.NewReplacer(hidden(m.left[id].Password)...).Replace(err.Error())
			o.log.Log(ctx, level, "The session of a deleted connector remains on the MQTT broker: its removal is tried again",
				"connector", m.released.Connector.Name, "client_id", id.ClientID, "error", text)
		}
	}
}

// removal is the place named in the report of a panic.
const removal = "the removal of a session"

// guard prevents a panic about the sessions of a side from ending the process.
func (o *Owner) guard(side Side) *crash.Guard {
	return crash.New(func(err *crash.Error) {
		o.log.Error("A panic in the service's own code: report it with this stack", "client_id", side.ClientID,
			"error", strings.NewReplacer(hidden(side.Password)...).Replace(err.Error()), "stack", string(err.Stack))
	})
}

// hidden removes a password from the text of an error.
func hidden(password string) []string {
	if len(password) < 4 {
		return nil
	}
	return []string{password, "***"}
}

func (o *Owner) marksOf(id ID) []*mark {
	o.mu.Lock()
	defer o.mu.Unlock()
	var all []*mark
	for _, m := range o.marks {
		if side, has := m.left[id]; has && !m.busy {
			all = append(all, &mark{released: m.released, left: map[ID]Side{id: side}})
		}
	}
	return all
}

// done removes a session from its mark.
func (o *Owner) done(of *mark, id ID) {
	o.mu.Lock()
	var none *mark
	for _, m := range o.marks {
		if m.released.Is(of.released) {
			if delete(m.left, id); len(m.left) == 0 {
				none = m
			}
		}
	}
	o.mu.Unlock()
	if none != nil {
		o.forget(none)
	}
}

// warned records what was logged.
type warned struct {
	mu  sync.Mutex
	ids map[ID]bool
}

func (w *warned) before(id ID) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	told := w.ids[id]
	if w.ids == nil {
		w.ids = map[ID]bool{}
	}
	w.ids[id] = true
	return told
}
