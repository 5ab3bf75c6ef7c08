package mqtt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/robustmq/robustmq-connect/plugins/internal/neterror"
)

// logger is the part of the engine's logger that a session uses.
type logger interface {
	Warnf(format string, args ...any)
}

// session is one connection, from its CONNACK to its end. What outlives it is passed
// in: the configuration, and what is known about the broker.
type session struct {
	conf      *config
	log       logger
	broker    *broker
	address   string
	v5        bool
	connack   *connack
	keepAlive time.Duration // 0 without
	began     time.Time
	// generation is the same for connections if the broker kept the session between
	// them.
	generation int

	conn     net.Conn
	in       *frames
	mailbox  *mailbox
	inflight *inflight
	writer   *writer
	reader   reader

	asking     [][]subscription // by lastIdentifier - packet identifier; nil once answered
	subscribes []byte           // the SUBSCRIBE packets
	subscribed chan struct{}    // closed when all filters are granted
	flowing    chan struct{}    // closed when the first message has arrived

	suspended atomic.Bool
	closing   atomic.Bool

	// Owned by the writing goroutine. Times are by clock, 0 for never.
	asked         int64  // when the last ping was sent
	excused       int64  // when the broker last had a reason not to answer
	releasedAsked uint64 // inflight's progress when it was asked

	retired sync.Once
	over    chan struct{} // closed when the connection is no longer usable
	killed  sync.Once
	dead    chan struct{} // closed when the connection is closed
	running sync.WaitGroup
	written chan struct{} // closed when the writer has returned

	mu  sync.Mutex
	err error // why it ended
}

var (
	errClosed = errors.New("the connection was closed by us")
	errSilent = errors.New("the broker does not answer pings")

	errUnanswered = errors.New("the broker does not answer the subscription")
)

// connectionError explains the end of a connection.
func connectionError(doing string, err error) error {
	if errors.Is(err, io.EOF) {
		return errors.New("the broker closed the connection")
	}
	return fmt.Errorf("%s: %w", doing, neterror.WithoutLocalPort(err))
}

func newSession(conf *config, log logger, b *broker, address string, v5 bool, conn net.Conn, in *frames, ack *connack) *session {
	s := &session{
		conf: conf, log: log, broker: b, address: address, v5: v5, connack: ack,
		keepAlive:  time.Duration(conf.keepAlive) * time.Second,
		began:      time.Now(),
		conn:       conn,
		in:         in,
		mailbox:    newMailbox(conf.maxPendingBytes),
		inflight:   newInflight(),
		subscribed: make(chan struct{}),
		flowing:    make(chan struct{}),
		over:       make(chan struct{}),
		dead:       make(chan struct{}),
		written:    make(chan struct{}),
	}
	if ack.keepAlive != nil {
		s.keepAlive = time.Duration(*ack.keepAlive) * time.Second
	}
	if s.keepAlive > 0 {
		limitSilence(conn, s.keepAlive*3/2+time.Second)
	}
	s.writer = newWriter(conn, s.clock)
	s.reader.topics = newTopics(conf.topicAliases)
	return s
}

// clock returns the time since the connection began, in nanoseconds, and never 0. It
// does not follow the wall clock, which somebody may set.
func (s *session) clock() int64 { return int64(time.Since(s.in.began)) + 1 }

// start begins to read and write, and subscribes if subscribe is set. It returns nil
// when the broker has granted every filter, or has sent a message of an older session:
// some brokers grant nothing before that message is acknowledged. The connection may
// have ended at once; the input then hands over what has arrived, and learns the reason.
//
// Otherwise the connection is closed, and nothing has arrived on it.
func (s *session) start(ctx context.Context, subscribe bool) error {
	if subscribe {
		if err := s.subscribe(); err != nil {
			s.fail(err)
			return err
		}
	} else {
		close(s.subscribed)
	}
	s.running.Add(2)
	go s.writeLoop()
	go s.readLoop()
	s.writer.add(func(buf []byte) []byte { return append(buf, s.subscribes...) })
	select {
	case <-s.subscribed:
		return nil
	case <-s.flowing:
		return nil
	case <-s.over:
	case <-ctx.Done():
		s.retire(lateAnswer(ctx))
	}
	s.close() // the reading goroutine may still have delivered something
	select {
	case <-s.subscribed:
		return nil
	case <-s.flowing:
		return nil
	default:
		return s.reason()
	}
}

// lateAnswer returns why a context ended that limits the wait for a SUBACK.
func lateAnswer(ctx context.Context) error {
	if err := context.Cause(ctx); !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return errUnanswered
}

// fail ends the connection at once.
func (s *session) fail(err error) {
	s.retire(err)
	s.killed.Do(func() {
		hangUp(s.conn)
		close(s.dead)
	})
}

// retire marks the connection as no longer usable. close still has to end it. Only the
// first reason counts.
func (s *session) retire(err error) {
	s.retired.Do(func() {
		s.mu.Lock()
		s.err = err
		s.mu.Unlock()
		s.closing.Store(true)
		s.inflight.discard()
		s.mailbox.close()
		close(s.over)
	})
}

// reason returns why the connection ended.
func (s *session) reason() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// closeTimeout is how long a graceful close may take.
const closeTimeout = time.Second

// close sends the acknowledgements that are due and DISCONNECT, and returns when both
// goroutines have ended. It takes at most closeTimeout.
//
// The broker closes the connection after the DISCONNECT; until then, what it sends is
// read. Closing a socket with unread data resets it, and the broker might lose
// acknowledgements that it has not read yet. Closing only our half does not help
// either: Moquette then closes its half while acknowledgements still wait to be
// processed, frees their places in its window, and overwrites the messages that it
// could not send when the session continues.
func (s *session) close() {
	s.retire(errClosed)
	_ = s.conn.SetDeadline(time.Now().Add(closeTimeout)) // it fails on a closed connection
	s.writer.end([]byte{typeDisconnect << 4, 0})
	s.running.Wait()
	s.fail(errClosed)
}

// ack tells the broker, in order of arrival, that the pipeline has finished messages.
// It never blocks.
func (s *session) ack(spans []span) {
	s.writer.add(func(buf []byte) []byte {
		for _, r := range spans {
			buf = s.inflight.ack(buf, r.ticket, r.count)
		}
		return buf
	})
}

// span is a range of consecutive tickets.
type span struct {
	ticket uint64
	count  int
}

// spans returns the tickets of messages as ranges, usually one.
func spans(messages []message) (all []span) {
	for i := range messages {
		if ticket := messages[i].ticket; ticket != 0 {
			all = appendTicket(all, ticket)
		}
	}
	return all
}

// appendTicket adds a ticket to ranges.
func appendTicket(all []span, ticket uint64) []span {
	if n := len(all); n > 0 && all[n-1].ticket+uint64(all[n-1].count) == ticket {
		all[n-1].count++
		return all
	}
	return append(all, span{ticket, 1})
}
