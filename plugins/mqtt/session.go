package mqtt

import (
	"context"
	"errors"
	"sync/atomic"
)

// session is one connection of the input, from its CONNACK to its end. What outlives it
// is passed in: the configuration, and what is known about the broker.
type session struct {
	*line
	conf   *config
	log    logger
	broker *broker
	// generation is the same for connections if the broker kept the session between
	// them.
	generation int

	mailbox  *mailbox
	inflight *inflight
	reader   reader

	asking     [][]subscription // by lastIdentifier - packet identifier; nil once answered
	subscribes []byte           // the SUBSCRIBE packets
	subscribed chan struct{}    // closed when all filters are granted
	flowing    chan struct{}    // closed when the first message has arrived

	suspended atomic.Bool
	// releasedAsked is inflight's progress when the last ping was sent. The writing
	// goroutine owns it.
	releasedAsked uint64
}

func newSession(conf *config, log logger, b *broker, l *line) *session {
	s := &session{
		line: l, conf: conf, log: log, broker: b,
		mailbox:    newMailbox(conf.maxPendingBytes),
		inflight:   newInflight(),
		subscribed: make(chan struct{}),
		flowing:    make(chan struct{}),
	}
	s.user = s
	s.reader.topics = newTopics(conf.topicAliases)
	return s
}

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
	unanswered := newUnanswered(s)
	s.running.Go(func() {
		defer unanswered.Stop()
		s.writeLoop(unanswered.C, unanswered.check)
	})
	s.running.Go(s.readLoop)
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

// ended implements user.
func (s *session) ended() {
	s.inflight.discard()
	s.mailbox.close()
}

// mayBeSilent implements user. While reading is suspended an answer cannot be read, and
// the broker may be waiting for us: rumqttd answers nothing while its window is full.
func (s *session) mayBeSilent() bool {
	waiting, released := s.inflight.progress()
	return s.suspended.Load() || waiting > 0 && released == s.releasedAsked
}

// pinging implements user.
func (s *session) pinging() { _, s.releasedAsked = s.inflight.progress() }

// wrote implements user.
func (*session) wrote() {}

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
