package pace

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestWaitsGrowUpToTheLimitAndAreRandomizedByHalf(t *testing.T) {
	p := Pace{First: time.Second, Limit: 5 * time.Second}
	for range 2 {
		for _, whole := range []time.Duration{1, 2, 4, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5} {
			got := p.Next()
			assert.GreaterOrEqual(t, got, whole*time.Second/2)
			assert.LessOrEqual(t, got, whole*time.Second)
		}
		p.Reset()
	}
}

func TestSleepEndsWithItsDurationOrWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		require.NoError(t, Sleep(t.Context(), time.Hour))
		assert.Equal(t, time.Hour, time.Since(began))
		why := errors.New("called off")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(why)
		assert.Equal(t, why, Sleep(ctx, time.Hour))
		assert.Equal(t, time.Hour, time.Since(began))
	})
}
