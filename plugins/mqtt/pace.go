package mqtt

import (
	"context"
	"math/rand/v2"
	"time"
)

// pace spaces attempts out: each wait is longer than the one before, up to a
// limit, and random by a half so that clients do not come back in step.
type pace struct {
	first, limit time.Duration
	failures     int
}

func (p *pace) reset() { p.failures = 0 }

// next is how long to wait before the next attempt.
func (p *pace) next() time.Duration {
	d := p.limit
	if p.failures < 16 {
		d = min(p.first<<p.failures, p.limit)
		p.failures++
	}
	return d/2 + rand.N(d/2+1)
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
