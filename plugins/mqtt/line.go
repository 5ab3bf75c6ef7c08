package mqtt

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	packets5 "github.com/eclipse/paho.golang/packets"

	"github.com/robustmq/robustmq-connect/plugins/internal/crash"
	"github.com/robustmq/robustmq-connect/plugins/internal/neterror"
)

// line is one connection from its CONNACK to its end, for the input and the output: it
// writes, keeps the connection alive and ends it. Its user reads.
type line struct {
	user      user
	component string // for the text of a panic, such as: the input mqtt
	guard     *crash.Guard
	address   string
	v5        bool
	connack   *connack
	keepAlive time.Duration // 0 without
	patience  time.Duration // that one write may take, 0 without a limit
	began     time.Time

	conn   net.Conn
	in     *frames
	writer *writer

	closing atomic.Bool

	// Owned by the writing goroutine. Times are by clock, 0 for never.
	asked   int64 // when the last ping was sent
	excused int64 // when the broker last had a reason not to answer

	retired sync.Once
	over    chan struct{} // closed when the connection is no longer usable
	killed  sync.Once
	dead    chan struct{} // closed when the connection is closed
	running sync.WaitGroup
	written chan struct{} // closed when the writer has returned

	mu  sync.Mutex
	err error // why it ended
}

// user is what uses a line.
type user interface {
	// ended is called once, when the connection is no longer usable.
	ended()
	// mayBeSilent reports whether the broker has a reason not to answer a ping. Only the
	// writing goroutine calls it.
	mayBeSilent() bool
	// pinging is called when a ping is sent. Only the writing goroutine calls it.
	pinging()
	// wrote is called when the writing goroutine has written what it took.
	wrote()
}

var (
	errClosed = errors.New("the connection was closed by us")
	errSilent = errors.New("the broker does not answer pings")
)

// connectionError explains the end of a connection.
func connectionError(doing string, err error) error {
	if errors.Is(err, io.EOF) {
		return errHungUp
	}
	return fmt.Errorf("%s: %w", doing, neterror.WithoutLocalPort(err))
}

func newLine(conf *connection, component, address string, v5 bool, conn net.Conn, in *frames, ack *connack) *line {
	l := &line{
		component: component, guard: conf.guard, address: address, v5: v5, connack: ack,
		keepAlive: time.Duration(conf.keepAlive) * time.Second,
		began:     time.Now(),
		conn:      conn,
		in:        in,
		over:      make(chan struct{}),
		dead:      make(chan struct{}),
		written:   make(chan struct{}),
	}
	if ack.keepAlive != nil {
		l.keepAlive = time.Duration(*ack.keepAlive) * time.Second
	}
	if l.keepAlive > 0 {
		// A broker that reads nothing for that long has given up the connection.
		l.patience = l.keepAlive*3/2 + time.Second
		limitSilence(conn, l.patience)
	}
	l.writer = newWriter(conn, l.clock)
	return l
}

// clock returns the time since the connection began, in nanoseconds, and never 0. It
// does not follow the wall clock, which somebody may set.
func (l *line) clock() int64 { return int64(time.Since(l.in.began)) + 1 }

// fail ends the connection at once.
func (l *line) fail(err error) {
	l.retire(err)
	l.killed.Do(func() {
		hangUp(l.conn)
		close(l.dead)
	})
}

// retire marks the connection as no longer usable. close still has to end it. Only the
// first reason counts.
func (l *line) retire(err error) {
	l.retired.Do(func() {
		l.mu.Lock()
		l.err = err
		l.mu.Unlock()
		l.closing.Store(true)
		l.user.ended()
		close(l.over)
	})
}

// reason returns why the connection ended.
func (l *line) reason() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// closeTimeout is how long a graceful close may take.
const closeTimeout = time.Second

// close sends what is due and DISCONNECT, and returns when both goroutines have ended.
// It takes at most closeTimeout.
//
// The broker closes the connection after the DISCONNECT; until then, what it sends is
// read. Closing a socket with unread data resets it, and the broker might lose
// acknowledgements that it has not read yet. Closing only our half does not help
// either: Moquette then closes its half while acknowledgements still wait to be
// processed, frees their places in its window, and overwrites the messages that it
// could not send when the session continues.
func (l *line) close() { l.closeWith([]byte{typeDisconnect << 4, 0}) }

// closeWith is close with another DISCONNECT.
func (l *line) closeWith(disconnect []byte) {
	l.retire(errClosed)
	_ = l.conn.SetDeadline(time.Now().Add(closeTimeout)) // it fails on a closed connection
	l.writer.end(disconnect)
	l.running.Wait()
	l.fail(errClosed)
}

// endForViolation ends the connection because of what the broker sent. An MQTT 5 broker
// is told the reason.
func (l *line) endForViolation(err error) {
	if code := disconnectCode(err); code != 0 {
		var last []byte
		if l.v5 {
			last = []byte{typeDisconnect << 4, 1, code}
		}
		_ = l.conn.SetWriteDeadline(time.Now().Add(closeTimeout)) // if it fails, the wait ends when the peer closes
		l.writer.end(last)
		select {
		case <-l.written:
		case <-time.After(closeTimeout):
		}
	}
	l.fail(err)
}

// disconnectCode returns the reason code that tells an MQTT 5 broker why, or 0.
func disconnectCode(err error) byte {
	if wrong, ok := errors.AsType[*packetError](err); ok {
		return wrong.code
	}
	if _, ok := errors.AsType[*oversizedError](err); ok {
		return reasonQuota
	}
	return 0
}

// disconnectedBy explains a DISCONNECT of the broker.
func (l *line) disconnectedBy(body []byte) error {
	if !l.v5 || len(body) == 0 {
		return errors.New("the broker ended the connection")
	}
	p := packets5.Disconnect{Properties: &packets5.Properties{}}
	if err := p.Unpack(bytes.NewBuffer(body)); err != nil {
		return fmt.Errorf("malformed DISCONNECT: %w", err)
	}
	err := ReasonError(p.ReasonCode, p.Properties.ReasonString)
	if p.Properties.ServerReference != "" {
		err = fmt.Errorf("%w: the broker names %s", err, p.Properties.ServerReference)
	}
	return fmt.Errorf("the broker ended the connection: %w", err)
}
