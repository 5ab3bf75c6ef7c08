package kafka

import (
	"errors"
	"net"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// limits are those that the user has set on the tries to write a record; 0 sets none.
type limits struct {
	retries int
	timeout time.Duration
}

// reached says whether the refusal comes of a limit that the user has set on
// faults that pass. The client returns its own error for it, or the last fault. A
// broker that closes a new connection may want another login, which is no such
// fault.
func (l limits) reached(err error) bool {
	switch {
	case l == limits{}, classify(err) != classCluster, isAuthentication(err),
		errors.Is(err, kgo.ErrClientClosed), errors.As(err, new(*kgo.ErrFirstReadEOF)):
		return false
	case errors.As(err, new(*kerr.Error)):
		return kerr.IsRetriable(err)
	default:
		return errors.Is(err, kgo.ErrRecordTimeout) || errors.Is(err, kgo.ErrRecordRetries) || kgo.IsRetryableBrokerErr(err) ||
			errors.As(err, new(net.Error)) || errors.Is(err, os.ErrDeadlineExceeded)
	}
}
