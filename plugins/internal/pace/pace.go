// Package pace calculates the pauses between attempts.
package pace

import (
	"context"
	"math/rand/v2"
	"time"
)

// Pace calculates the pauses between attempts: each is longer than the one before, up
// to a limit, and randomized by half so that clients do not reconnect at the same time.
type Pace struct {
	First, Limit time.Duration
	failures     int
}

// Reset makes the next pause the first again.
func (p *Pace) Reset() { p.failures = 0 }

// Next returns how long to wait before the next attempt.
func (p *Pace) Next() time.Duration {
	d := p.Limit
	if p.failures < 16 {
		d = min(p.First<<p.failures, p.Limit)
		p.failures++
	}
	return d/2 + rand.N(d/2+1)
}

// Sleep waits. It returns the context's error if the context ends first.
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
