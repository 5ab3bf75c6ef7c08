package admin

import (
	"bufio"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/internal/tail"
)

// Over TLS the connection is HTTP/2, whose deadlines are those of a stream.
func TestATailOutlivesTheTimesOfOtherAnswersOverHTTP2(t *testing.T) {
	m, feed := tailable()
	cert, key, _ := certificate(t)
	withPipes(t, m, Options{TLSCertFile: cert, TLSKeyFile: key}, func(p *pipes) {
		transport := &http.Transport{
			ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // it is a test's own
			DialContext: func(context.Context, string, string) (net.Conn, error) { return p.dial(), nil },
		}
		defer transport.CloseIdleConnections()
		ctx, cancel := context.WithCancel(context.Background()) // that of the test is outside of the bubble
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+listening+tailC, nil)
		require.NoError(t, err)
		answer, err := transport.RoundTrip(r)
		require.NoError(t, err)
		defer func() { _ = answer.Body.Close() }()
		assert.Equal(t, 2, answer.ProtoMajor)
		s := &tailing{t: t, answer: answer, lines: bufio.NewScanner(answer.Body)}
		began := time.Now()
		_, _ = s.next()
		for range 40 {
			event, data := s.next()
			require.Equal(t, "comment", event, "%v after %s", s.lines.Err(), time.Since(began))
			require.Equal(t, "still here", data)
		}
		feed.Offer(1, func(int) tail.Message { return tail.Message{Topic: "late"} })
		event, _ := s.next()
		assert.Equal(t, EventMessage, event)
	})
}
