package kafka

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// links knows when the client could not connect to a broker.
type links struct{ failed atomic.Pointer[time.Time] } // nil since a success

// OnBrokerConnect implements kgo.HookBrokerConnect.
func (l *links) OnBrokerConnect(_ kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	switch {
	case err == nil:
		l.failed.Store(nil)
	case errors.Is(err, context.Canceled): // given up by us
	default:
		now := time.Now()
		l.failed.Store(&now)
	}
}

// brokenSince says whether the last attempt to connect failed, after that time.
func (l *links) brokenSince(then time.Time) bool {
	failed := l.failed.Load()
	return failed != nil && failed.After(then)
}
