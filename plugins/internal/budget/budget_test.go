package budget

import (
	"testing"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/stretchr/testify/assert"
)

func TestBlockedInputLeavesTheOthersTheirShares(t *testing.T) {
	b := New(1000)
	held := make([]int64, 5)
	members := make([]*Member, len(held))
	for i := range members {
		members[i] = b.Join(func() int64 { return held[i] })
	}
	// The share is 100 bytes, and 500 are common.
	for held[0] < 10_000 && members[0].Room() {
		held[0] += 10
	}
	assert.Equal(t, int64(600), held[0], "its share and the common half")
	for i := 1; i < len(held); i++ {
		for held[i] < 10_000 && members[i].Room() {
			held[i] += 10
		}
		assert.Equal(t, int64(100), held[i], "its share")
		assert.Empty(t, members[i].Changed())
	}

	// Memory that one releases is available to the others.
	held[0] = 300
	members[0].Released()
	for _, m := range members {
		assert.Len(t, m.Changed(), 1, "each is signalled")
	}
	assert.True(t, members[1].Room())
	held[1] += 300
	assert.False(t, members[1].Room())
	assert.False(t, members[2].Room())
	members[0].Leave()
	assert.Len(t, members[2].Changed(), 1, "the shares have grown")
	assert.True(t, members[2].Room())
}

func TestWithoutABudgetThereIsNoLimit(t *testing.T) {
	r := service.MockResources()
	m := Of(r).Join(nil)
	assert.True(t, m.Room())
	assert.Nil(t, m.Changed())
	m.Released()
	m.Leave()
	b := New(1)
	Put(r, b)
	assert.Same(t, b, Of(r))
}
