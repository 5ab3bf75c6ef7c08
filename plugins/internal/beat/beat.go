// Package beat calls functions of many streams at intervals, all from one timer: a
// goroutine or a timer of each would wake the process as often as there are streams.
// Functions that have nothing to do are not called, because the calls alone would cost
// thousands of streams more than anything else that they do at rest.
package beat

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// Group calls the functions of its members, one after the other.
type Group struct {
	began time.Time

	mu      sync.Mutex
	members map[*Member]struct{} // without those that rest
	timer   *time.Timer          // nil without members
	at      time.Time            // when it fires
	calling bool                 // sets the timer when it has finished
	due     []*Member            // of the current call, kept for the next one
}

// Member is a function that is called at intervals.
type Member struct {
	group *Group
	every time.Duration
	next  time.Time // under the group's mutex
	gone  bool      // the same: it has left
	// resting is set during each call, and while f is not called.
	resting atomic.Bool

	mu   sync.Mutex // held during a call
	f    func() (rest bool)
	left bool
}

// New returns a group without members. It has no goroutine while it has none.
func New() *Group { return &Group{began: time.Now(), members: make(map[*Member]struct{})} }

type key struct{}

// Put sets the group of a stream. Call it before the stream runs.
func Put(r *service.Resources, g *Group) { r.SetGeneric(key{}, g) }

// Of returns the group of a component's stream, or one of its own if there is none.
func Of(r *service.Resources) *Group {
	g, _ := r.GetGeneric(key{})
	if group, ok := g.(*Group); ok {
		return group
	}
	return New()
}

// Join calls f at each interval, first after one at most, until Leave. After f has
// returned true it is not called until Resume. f must not block and must not call Join
// or Leave.
func (g *Group) Join(every time.Duration, f func() (rest bool)) *Member {
	g.mu.Lock()
	defer g.mu.Unlock()
	m := &Member{group: g, every: every, f: f}
	g.addLocked(m)
	return m
}

// Leave returns when f is not running and will not be called again.
func (m *Member) Leave() {
	m.mu.Lock()
	m.left = true
	m.mu.Unlock()
	g := m.group
	g.mu.Lock()
	defer g.mu.Unlock()
	m.gone = true
	g.removeLocked(m)
}

func (g *Group) addLocked(m *Member) {
	m.next = g.after(time.Now(), m.every)
	g.members[m] = struct{}{}
	if !g.calling && (g.timer == nil || m.next.Before(g.at)) {
		g.setTimerLocked(m.next)
	}
}

func (g *Group) removeLocked(m *Member) {
	delete(g.members, m)
	if len(g.members) == 0 && g.timer != nil {
		g.timer.Stop()
		g.timer = nil
	}
}

// Resume has f called again, first after one interval at most. What f looks at must have
// changed before: then either f sees it, or Resume sees that f rests. It costs little
// while f does not rest.
func (m *Member) Resume() {
	if !m.resting.Load() {
		return
	}
	g := m.group
	g.mu.Lock()
	defer g.mu.Unlock()
	if !m.resting.Swap(false) || m.gone {
		return
	}
	if _, called := g.members[m]; called {
		return // f is running
	}
	g.addLocked(m)
}

// after returns the first multiple of an interval after now, so that members with the
// same interval are called together.
func (g *Group) after(now time.Time, every time.Duration) time.Time {
	return g.began.Add((now.Sub(g.began)/every + 1) * every)
}

func (g *Group) scheduleLocked() {
	var next time.Time
	for m := range g.members {
		if next.IsZero() || m.next.Before(next) {
			next = m.next
		}
	}
	if !next.IsZero() {
		g.setTimerLocked(next)
	}
}

func (g *Group) setTimerLocked(at time.Time) {
	g.at = at
	wait := time.Until(at)
	if g.timer == nil {
		g.timer = time.AfterFunc(wait, g.call)
	} else {
		g.timer.Reset(wait)
	}
}

func (g *Group) call() {
	g.mu.Lock()
	if g.calling { // the timer was set again while it fired
		g.mu.Unlock()
		return
	}
	g.calling = true
	now := time.Now()
	for m := range g.members {
		if !m.next.After(now) {
			m.next = g.after(now, m.every)
			g.due = append(g.due, m)
		}
	}
	due := g.due
	g.mu.Unlock()
	for _, m := range due {
		m.call()
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	clear(due)
	g.due, g.calling = due[:0], false
	g.scheduleLocked()
}

func (m *Member) call() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.left {
		return
	}
	m.resting.Store(true) // before f looks
	if !m.f() {
		m.resting.Store(false)
		return
	}
	g := m.group
	g.mu.Lock()
	defer g.mu.Unlock()
	if m.resting.Load() { // Resume was not called meanwhile
		g.removeLocked(m)
	}
}
