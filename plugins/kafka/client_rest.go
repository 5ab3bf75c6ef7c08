package kafka

import (
	"maps"
	"time"
)

// A client costs memory, goroutines and requests for metadata also while nothing is
// written. A service has one for each connector, and many connectors are quiet. So the
// output closes a client that has nothing to write, and makes another one for the next
// batch. No record is in flight then, so order and acknowledgements are not concerned.
const (
	// restUnused is how long a client that has written nothing stays open.
	restUnused = 10 * time.Second
	// restUsed is the same for one that has. It is longer, and doubles each time up to
	// restMost: the next client gets a producer id of its own, and brokers keep each id
	// for a day.
	restUsed = 15 * time.Minute
	restMost = 4 * time.Hour
)

// clientRest is what decides whether the client stays open. The output's mutex guards it.
type clientRest struct {
	users   int       // calls that use the client, and deliveries
	last    time.Time // when the last of them ended
	used    bool      // the client was given a batch
	resting bool      // the client was closed; the next call makes another one
	known   map[string]*topic
	unused  time.Duration // restUnused; tests have less time
	after   time.Duration // restUsed at first
}

// acquireProducer returns what state does. It makes a client if the last one was closed.
// The client then stays open until the caller calls releaseProducer.
func (o *output) acquireProducer() (p *producer, holding *delivery, closed bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.rest.users++
	if o.rest.resting && !o.closed {
		// It is the configuration that made a client before. If it does not any more,
		// Connect reports the error.
		if p, err := newProducer(o.conf, o.warnings); err == nil {
			p.topics.known = o.rest.known
			o.producer, o.rest.resting, o.rest.used = p, false, false
		}
	}
	return o.producer, o.holding, o.closed
}

func (o *output) releaseProducer() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.rest.users--
	o.rest.last = time.Now()
	if o.rest.users == 0 && !o.closed {
		o.idle.Reset(spareFor)
	}
}

// whenIdle drops what the output does not need while nothing is written.
func (o *output) whenIdle() {
	defer o.conf.guard.Catch("the output kafka_franz, closing an idle client")
	if p := o.closableProducer(); p != nil {
		defer o.running.Done()
		p.close()
	}
}

// closableProducer returns the client to close, if it is time. The caller then calls
// running.Done.
func (o *output) closableProducer() *producer {
	o.mu.Lock()
	defer o.mu.Unlock()
	r := &o.rest
	if o.closed || r.users > 0 {
		return nil // the last user sets the timer
	}
	o.spare = nil
	p, wait := o.producer, r.unused
	if r.used {
		wait = r.after
	}
	if p == nil || o.holding != nil {
		return nil // Connect follows
	}
	if left := wait - time.Since(r.last); left > 0 {
		o.idle.Reset(left)
		return nil
	}
	if r.used {
		r.after = min(2*r.after, restMost)
	}
	r.known = p.topics.snapshot()
	r.resting, o.producer = true, nil
	o.running.Add(1)
	return p
}

// snapshot returns a copy of what is known.
func (t *topics) snapshot() map[string]*topic {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return maps.Clone(t.known)
}
