package cluster

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// contested is a store that another process can take over.
type contested struct {
	writable

	mu    sync.Mutex
	leads int // calls of Lead
	fails error
	lost  chan struct{}
}

func (c *contested) Lead(context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leads++
	if c.fails == nil {
		c.lost = make(chan struct{})
	}
	return c.fails
}

func (c *contested) Lost() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lost
}

// takeOver returns how often this process has led before, after which all its attempts fail.
func (c *contested) takeOver(fails error) (leads int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fails = fails
	close(c.lost)
	return c.leads
}

func (c *contested) set(fails error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fails = fails
}

func (c *contested) led() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.leads
}

// A worker whose attempt began before it lost its partitions can succeed after the next
// owner of the partition of the writer. Nobody wrote the store then: the one did not own
// it, and the other had lost it for good.
func TestTheOwnerOfTheWriterPartitionTakesTheStoreBack(t *testing.T) {
	t.Parallel()
	s := &contested{writable: writingService(t).local.(writable)}
	a := startNeighbourOf(t, startKafka(t), s)
	require.Eventually(t, a.writes, patience, 10*time.Millisecond)

	leads := s.takeOver(errors.New("Kafka is away"))
	require.Eventually(t, func() bool { return s.led() > leads }, patience, 10*time.Millisecond)
	assert.False(t, a.writes())
	s.set(nil)
	require.Eventually(t, a.writes, patience, 10*time.Millisecond)

	// One that is no member any more does not.
	require.NoError(t, a.joined().Leave())
	leads = s.takeOver(nil)
	require.Eventually(t, func() bool { return !a.writes() }, patience, 10*time.Millisecond)
	time.Sleep(1500 * time.Millisecond) // the next attempt is due after a second
	assert.Equal(t, leads, s.led())
	assert.False(t, a.writes())
}
