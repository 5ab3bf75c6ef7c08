package kafka

import (
	"context"
	"errors"
	"net"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// limits are the user's limits on the tries to write a record; 0 means no limit.
type limits struct {
	retries int
	timeout time.Duration
}

// context returns the context that records are written with from now on. The client's
// own limit counts from the timestamp of a record instead, so it would refuse a record
// that is older than the limit without trying it.
func (l limits) context() (context.Context, context.CancelFunc) {
	if l.timeout <= 0 {
		return context.Background(), func() {}
	}
	return context.WithTimeout(context.Background(), l.timeout)
}

// reached reports whether the refusal is due to a limit of the user on retrying
// transient errors. The client returns its own error for that, or the last error. A
// broker that closes a new connection may require another login, which is not a
// transient error.
func (l limits) reached(err error) bool {
	switch {
	case l == limits{}, classify(err) != classCluster, notConnected(err), errors.Is(err, kgo.ErrClientClosed):
		return false
	case errors.As(err, new(*kerr.Error)):
		return kerr.IsRetriable(err)
	default:
		return errors.Is(err, kgo.ErrRecordTimeout) || errors.Is(err, kgo.ErrRecordRetries) || kgo.IsRetryableBrokerErr(err) ||
			errors.As(err, new(net.Error)) || errors.Is(err, os.ErrDeadlineExceeded)
	}
}
