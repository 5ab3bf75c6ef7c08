// Package budget bounds what the inputs of one process hold together.
//
// Half of the total is divided among the inputs: so much each may always hold. The
// other half is for whoever needs more. One that is blocked may use that half up, and
// the others keep their shares.
package budget

import (
	"sync"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// Budget is shared by inputs. A nil budget sets no bound.
type Budget struct {
	total int64

	mu      sync.Mutex
	members map[*Member]struct{}
}

// Member is one input. A nil member has no bound.
type Member struct {
	budget *Budget
	held   func() int64
	// changed has one slot: there may be room again.
	changed chan struct{}
	waiting bool // under the budget's mutex: it was told that there is no room
}

// New makes a budget of so many bytes.
func New(total int64) *Budget {
	return &Budget{total: total, members: make(map[*Member]struct{})}
}

// Total is what all inputs may hold together.
func (b *Budget) Total() int64 { return b.total }

// Held is what they hold now.
func (b *Budget) Held() (held int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for m := range b.members {
		held += m.held()
	}
	return held
}

type key struct{}

// Put makes b the budget of a stream, before it runs.
func Put(r *service.Resources, b *Budget) { r.SetGeneric(key{}, b) }

// Of returns the budget of a component's stream, nil where there is none.
func Of(r *service.Resources) *Budget {
	b, _ := r.GetGeneric(key{})
	budget, _ := b.(*Budget)
	return budget
}

// Join adds an input that tells at any time what it holds.
func (b *Budget) Join(held func() int64) *Member {
	if b == nil {
		return nil
	}
	m := &Member{budget: b, held: held, changed: make(chan struct{}, 1)}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.members[m] = struct{}{}
	return m
}

// Leave takes an input out. The others may have more.
func (m *Member) Leave() {
	if m == nil {
		return
	}
	m.budget.mu.Lock()
	defer m.budget.mu.Unlock()
	delete(m.budget.members, m)
	m.budget.tellLocked()
}

// Room says whether the input may take more. After false, a value in Changed tells
// when to ask again.
func (m *Member) Room() bool {
	if m == nil {
		return true
	}
	m.budget.mu.Lock()
	defer m.budget.mu.Unlock()
	m.waiting = !m.budget.roomLocked(m)
	return !m.waiting
}

// Changed has a value when there may be room again.
func (m *Member) Changed() <-chan struct{} {
	if m == nil {
		return nil
	}
	return m.changed
}

// Released tells that the input holds less than before.
func (m *Member) Released() {
	if m == nil {
		return
	}
	m.budget.mu.Lock()
	defer m.budget.mu.Unlock()
	m.budget.tellLocked()
}

func (b *Budget) tellLocked() {
	for m := range b.members {
		if m.waiting && b.roomLocked(m) {
			m.waiting = false
			select {
			case m.changed <- struct{}{}:
			default:
			}
		}
	}
}

func (b *Budget) roomLocked(m *Member) bool {
	share := b.total / 2 / int64(max(1, len(b.members)))
	// Whoever holds nothing may always go on, or a message larger than a share would
	// never arrive.
	if held := m.held(); held == 0 || held < share {
		return true
	}
	common := b.total / 2
	for other := range b.members {
		common -= max(0, other.held()-share)
	}
	return common > 0
}
