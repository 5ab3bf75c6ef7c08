package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// confirmTimeout is how long the coordinator may take to answer.
const confirmTimeout = 5 * time.Second

// ErrNotOwner means that another worker runs a connector, or none at the moment.
var ErrNotOwner = errors.New("another worker runs it")

// Confirm returns nil if this worker owns a partition according to an answer that the
// coordinator gave after the call. A connection to a broker needs it: the worker may
// have been stopped for a while, and another one may run the connector. The error wraps
// ErrNotOwner, or says why the coordinator does not confirm.
func (m *Member) Confirm(ctx context.Context, partition int32) error {
	if !m.Owns(partition) {
		return m.refusal()
	}
	if err := m.heartbeats.confirmed(ctx); err != nil {
		return fmt.Errorf("asking the coordinator whether this worker still runs it: %w", err)
	}
	if !m.Owns(partition) {
		return m.refusal()
	}
	return nil
}

func (m *Member) refusal() error {
	if err := m.missingRight(); err != nil {
		return fmt.Errorf("this worker may not be a member: %w", err)
	}
	if m.Standing().Unconfirmed {
		return errors.New("the coordinator of the workers has not confirmed that this worker still runs it: it reconnects after that")
	}
	return ErrNotOwner
}

// askCoordinator sends one heartbeat.
func (m *Member) askCoordinator(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, confirmTimeout)
	defer cancel()
	for {
		id, generation := m.client.GroupMetadata()
		if id == "" {
			return ErrNotOwner
		}
		req := kmsg.NewPtrHeartbeatRequest()
		req.Group, req.MemberID, req.Generation = m.opts.Group, id, generation
		resp, err := req.RequestWith(ctx, m.client)
		if err != nil {
			return err
		}
		err = kerr.ErrorForCode(resp.ErrorCode)
		switch {
		case errors.Is(err, kerr.RebalanceInProgress):
			return nil // it is a member, and has its partitions until they are revoked
		case errors.Is(err, kerr.IllegalGeneration):
			// A rebalance may have ended between the two lines above.
			if _, now := m.client.GroupMetadata(); now != generation {
				continue
			}
			return ErrNotOwner
		case errors.Is(err, kerr.UnknownMemberID):
			return ErrNotOwner
		}
		return err
	}
}

// heartbeats let callers share a heartbeat: hundreds of connectors may reconnect at once.
type heartbeats struct {
	ask func(context.Context) error

	mu      sync.Mutex
	current *heartbeat // that is under way
	next    *heartbeat // that begins after it
}

type heartbeat struct {
	done chan struct{}
	err  error // read it after done
}

// confirmed returns the answer to a heartbeat that was sent after the call.
func (h *heartbeats) confirmed(ctx context.Context) error {
	h.mu.Lock()
	mine := h.next
	if mine == nil {
		mine = &heartbeat{done: make(chan struct{})}
		if h.current == nil {
			h.current = mine
			go h.run(mine)
		} else {
			h.next = mine
		}
	}
	h.mu.Unlock()
	select {
	case <-mine.done:
		return mine.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// run sends heartbeats until nobody waits for one.
func (h *heartbeats) run(beat *heartbeat) {
	for beat != nil {
		beat.err = h.ask(context.Background()) // which has its own timeout
		h.mu.Lock()
		h.current, h.next = h.next, nil
		close(beat.done)
		beat = h.current
		h.mu.Unlock()
	}
}
