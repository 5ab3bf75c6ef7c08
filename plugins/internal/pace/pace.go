// Package pace spaces attempts out.
package pace

import (
	"context"
	"math/rand/v2"
	"time"
)

// Pace spaces attempts out: each wait is longer than the one before, up to a limit,
// and random by a half so that clients do not come back in step.
type Pace struct {
	First, Limit time.Duration
	failures     int
}

// Reset makes the next wait the first again.
func (p *Pace) Reset() { p.failures = 0 }

// Next is how long to wait before the next attempt.
func (p *Pace) Next() time.Duration {
	d := p.Limit
	if p.failures < 16 {
		d = min(p.First<<p.failures, p.Limit)
		p.failures++
	}
	return d/2 + rand.N(d/2+1)
}

// Sleep waits, and returns why the context has ended if it ends before.
func Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
