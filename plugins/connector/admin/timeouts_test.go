package admin

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// pipes is a listener whose connections are pipes, whose time a test controls.
type pipes struct {
	dialled chan net.Conn
	closed  chan struct{}
}

func newPipes() *pipes { return &pipes{make(chan net.Conn), make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.dialled:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 58080} }

func (p *pipes) dial() net.Conn {
	ours, theirs := net.Pipe()
	p.dialled <- theirs
	return ours
}

// withPipes serves m in a bubble with a time of its own.
func withPipes(t *testing.T, m *memory, options Options, test func(p *pipes)) {
	synctest.Test(t, func(t *testing.T) {
		options.Listen = listening
		s := newServer(t, m, options)
		p := newPipes()
		s.listener = p
		ctx, cancel := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() { served <- s.Serve(ctx) }()
		test(p)
		cancel()
		require.NoError(t, <-served)
	})
}

func TestAClientThatIsSlowIsHungUpOn(t *testing.T) {
	half := "POST " + PathCreate + " HTTP/1.1\r\nHost: " + listening + "\r\nContent-Length: 100\r\n\r\n{"
	whole := "GET " + PathHealth + " HTTP/1.1\r\nHost: " + listening + "\r\n\r\n"
	for sent, test := range map[string]struct {
		after  time.Duration
		answer string
	}{
		"":                   {headerTime, ""},
		"POST " + PathCreate: {headerTime, ""},
		half:                 {bodyTime, `"error":"JSON parsing failed: reading the request body: `},
		whole:                {idleTime, `"data":"healthy"`},
	} {
		withPipes(t, newMemory(), Options{}, func(p *pipes) {
			began := time.Now()
			connection := p.dial()
			_, err := connection.Write([]byte(sent))
			require.NoError(t, err)
			answer, err := io.ReadAll(connection)
			require.NoError(t, err)
			// The server looks away for half a second after an answer to a body it left.
			assert.InDelta(t, test.after, time.Since(began), float64(time.Second), "%q: %s", sent, answer)
			assert.Contains(t, string(answer), test.answer, "%q", sent)
			require.NoError(t, connection.Close())
		})
	}
}

// Whoever called Serve closes the manager next. A request that takes too long is
// waited for no longer (TestStoppingIsBounded).
func TestServeReturnsAfterTheLastRequest(t *testing.T) {
	const took = 10*time.Second + lastTime + lastTime/2
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		m.during = func(context.Context) error {
			time.Sleep(took) // a manager that cannot be hurried
			return nil
		}
		s := newServer(t, m, Options{})
		p := newPipes()
		s.listener = p
		ctx, cancel := context.WithCancel(t.Context())
		served := make(chan error, 1)
		began := time.Now()
		go func() { served <- s.Serve(ctx) }()
		connection := p.dial()
		body := nameOf("c")
		_, err := fmt.Fprintf(connection, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n%s", PathDelete, listening, len(body), body)
		require.NoError(t, err)
		synctest.Wait()
		cancel()
		require.NoError(t, <-served)
		assert.Equal(t, took, time.Since(began))
		require.NoError(t, connection.Close())
	})
}

// A delete that drains takes longer than any other answer may.
func TestALongChangeIsAnsweredWhenItIsDone(t *testing.T) {
	const took = 10 * time.Minute
	m := newMemory()
	m.during = func(ctx context.Context) error {
		select {
		case <-time.After(took):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	withPipes(t, m, Options{LongTimeout: time.Hour}, func(p *pipes) {
		began := time.Now()
		connection := p.dial()
		body := definitionOf("c", plainConfig)
		_, err := fmt.Fprintf(connection, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n%s", PathCreate, listening, len(body), body)
		require.NoError(t, err)
		answer, err := http.ReadResponse(bufio.NewReader(connection), nil)
		require.NoError(t, err)
		text, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		assert.Equal(t, success, string(text))
		assert.Equal(t, took, time.Since(began))
		require.NoError(t, connection.Close())
	})
}

func TestWhatIsARiskIsWarnedOf(t *testing.T) {
	for _, test := range []struct {
		options Options
		want    string
	}{
		{Options{Listen: "127.0.0.1:0"}, ""},
		{Options{Listen: "127.0.0.1:0", InsecureNoAuth: true}, ""},
		{Options{Listen: "0.0.0.0:0", InsecureNoAuth: true}, "answers everybody who can reach it"},
		{Options{Listen: "0.0.0.0:0", TokenFile: tokenFile(t, token)}, "cross the network in clear"},
	} {
		var log bytes.Buffer
		test.options.Logger = slog.New(slog.NewTextHandler(&log, nil))
		newServer(t, newMemory(), test.options).warn()
		assert.Equal(t, test.want == "", log.Len() == 0, log.String())
		assert.Contains(t, log.String(), test.want)
	}
}
