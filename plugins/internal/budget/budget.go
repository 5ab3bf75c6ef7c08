// Package budget limits the memory that the inputs of one process hold together.
//
// Half of the total is divided among the inputs: each may always hold its share. The
// other half is common. A blocked input may use all of the common half, and the others
// keep their shares.
package budget

import (
	"sync"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// Budget is shared by inputs. A nil budget sets no limit.
type Budget struct {
	total int64

	mu      sync.Mutex
	members map[*Member]struct{}
	waiting int // of the members; usually none, and then a release has nobody to look at
}

// Member is one input. A nil member has no limit.
type Member struct {
	budget *Budget
	held   func() int64
	// changed has one slot: it is signalled when there may be room again.
	changed chan struct{}
	waiting bool // under the budget's mutex: Room returned false
}

// New returns a budget of total bytes.
func New(total int64) *Budget {
	return &Budget{total: total, members: make(map[*Member]struct{})}
}

// Total returns the number of bytes that all inputs may hold together.
func (b *Budget) Total() int64 { return b.total }

// Held returns the number of bytes that they hold now.
func (b *Budget) Held() (held int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for m := range b.members {
		held += m.held()
	}
	return held
}

type key struct{}

// Put sets the budget of a stream. Call it before the stream runs.
func Put(r *service.Resources, b *Budget) { r.SetGeneric(key{}, b) }

// Of returns the budget of a component's stream, or nil.
func Of(r *service.Resources) *Budget {
	b, _ := r.GetGeneric(key{})
	budget, _ := b.(*Budget)
	return budget
}

// Join adds an input; held returns the number of bytes that it holds.
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

// Leave removes an input. Its share is divided among the others.
func (m *Member) Leave() {
	if m == nil {
		return
	}
	m.budget.mu.Lock()
	defer m.budget.mu.Unlock()
	delete(m.budget.members, m)
	m.waitLocked(false)
	m.budget.tellLocked()
}

// Room reports whether the input may hold more. If not, Changed is signalled when to
// ask again.
func (m *Member) Room() bool {
	if m == nil {
		return true
	}
	m.budget.mu.Lock()
	defer m.budget.mu.Unlock()
	m.waitLocked(!m.budget.roomLocked(m))
	return !m.waiting
}

func (m *Member) waitLocked(waiting bool) {
	switch {
	case waiting && !m.waiting:
		m.budget.waiting++
	case !waiting && m.waiting:
		m.budget.waiting--
	}
	m.waiting = waiting
}

// Changed receives a value when there may be room again.
func (m *Member) Changed() <-chan struct{} {
	if m == nil {
		return nil
	}
	return m.changed
}

// Released records that the input holds less than before.
func (m *Member) Released() {
	if m == nil {
		return
	}
	m.budget.mu.Lock()
	defer m.budget.mu.Unlock()
	m.budget.tellLocked()
}

func (b *Budget) tellLocked() {
	if b.waiting == 0 {
		return
	}
	for m := range b.members {
		if m.waiting && b.roomLocked(m) {
			m.waitLocked(false)
			select {
			case m.changed <- struct{}{}:
			default:
			}
		}
	}
}

func (b *Budget) roomLocked(m *Member) bool {
	share := b.total / 2 / int64(max(1, len(b.members)))
	// An input that holds nothing may always continue, or a message larger than a share
	// would never arrive.
	if held := m.held(); held == 0 || held < share {
		return true
	}
	common := b.total / 2
	for other := range b.members {
		common -= max(0, other.held()-share)
	}
	return common > 0
}
