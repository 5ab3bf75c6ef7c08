// Package link is the network between one client and its servers, for tests that cut it.
package link

import (
	"context"
	"errors"
	"net"
	"sync"
)

// Link dials for one client. It is up at first.
type Link struct {
	mu    sync.Mutex
	away  bool
	conns map[net.Conn]bool
}

// New returns a link that is up.
func New() *Link { return &Link{conns: map[net.Conn]bool{}} }

// Dial connects to an address. It fails while the link is cut.
func (l *Link) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.away {
		return nil, errors.New("the network is away")
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err == nil {
		l.conns[conn] = true
	}
	return conn, err
}

// Cut closes all connections, and Dial fails until Restore.
func (l *Link) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.away = true
	for conn := range l.conns {
		_ = conn.Close()
	}
	clear(l.conns)
}

// Restore lets Dial connect again.
func (l *Link) Restore() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.away = false
}
