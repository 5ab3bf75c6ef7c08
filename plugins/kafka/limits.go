package kafka

import (
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

// reached reports whether the refusal is due to a limit of the user on retrying
// transient errors. The client returns its own error for that, or the last error. A
// broker that closes a new connection may require another login, which is not a
// transient error.
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
