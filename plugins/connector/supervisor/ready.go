package supervisor

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

const (
	// probeEvery is how long an answer of the disk is reused: callers may ask as often
	// as they like.
	probeEvery = 2 * time.Second
	// probeTimeout is how long the disk may take to answer.
	probeTimeout = 2 * time.Second
)

// storeHealth reports whether the store can be written. Only one goroutine at a time
// accesses the disk, which may hang.
type storeHealth struct {
	probe func() error

	mu     sync.Mutex
	asking chan struct{} // closed with the answer; nil while nobody asks
	since  time.Time     // when it was asked
	at     time.Time     // when it answered last
	err    error         // what it answered
}

func (h *storeHealth) check() error {
	h.mu.Lock()
	if h.asking == nil {
		if time.Since(h.at) < probeEvery {
			defer h.mu.Unlock()
			return h.err
		}
		h.asking, h.since = make(chan struct{}), time.Now()
		go h.ask(h.asking)
	}
	answered, since := h.asking, h.since
	h.mu.Unlock()

	timeout := time.NewTimer(probeTimeout)
	defer timeout.Stop()
	select {
	case <-answered:
	case <-timeout.C:
		return fmt.Errorf("writing to the store: no answer since %s", since.Format(time.DateTime))
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.err
}

func (h *storeHealth) ask(answered chan struct{}) {
	err := h.probe()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asking, h.at, h.err = nil, time.Now(), err
	close(answered)
}

// StoreReady implements connector.Manager.
func (s *Supervisor) StoreReady() error { return s.health.check() }

// ConnectorsReady implements connector.Manager.
func (s *Supervisor) ConnectorsReady() error {
	waits := s.outliving()
	for _, e := range s.ownEntries() {
		status := s.standing(e)
		if status.State == connector.Waiting || status.State == connector.Failed {
			waits = append(waits, fmt.Sprintf("%q: %s", status.Name, status.Reason))
		}
	}
	if len(waits) == 0 {
		return nil
	}
	return errors.New("not ready: " + strings.Join(waits, ", "))
}

// storeWarning says that what is listed may be old.
func (s *Supervisor) storeWarning() string {
	if s.store.Changed() == nil {
		return "" // it answers each call itself
	}
	all, err := s.store.Load()
	if err != nil || all.Stale == nil {
		return ""
	}
	return fmt.Sprintf("the store does not answer; what is known of it is of %s: %v", all.At.Format(time.DateTime), all.Stale)
}
