package mqtt

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Regression: a mailbox that is never empty, because messages arrive as fast as they
// are taken, kept the memory of every message that it had ever held.
func TestMailboxThatIsNeverEmptyDoesNotGrow(t *testing.T) {
	const waiting, batch = 1000, 100
	m := newMailbox(1 << 30)
	put := 0
	fill := func(n int) {
		messages := make([]message, n)
		for i := range messages {
			messages[i].ticket, messages[i].size = uint64(put), 1
			put++
		}
		require.True(t, m.put(messages))
	}
	fill(waiting)
	for next := 0; next < 100*waiting; {
		fill(batch)
		taken, open := m.take(batch, 1<<30)
		require.True(t, open)
		require.Len(t, taken, batch)
		for _, got := range taken {
			require.EqualValues(t, next, got.ticket)
			next++
		}
	}
	assert.Less(t, cap(m.items), 8*waiting)
	for _, free := range m.items[len(m.items):cap(m.items)] {
		require.Zero(t, free.size, "what was taken is kept in memory")
	}
	require.Len(t, m.takeRemaining(), waiting)
}
