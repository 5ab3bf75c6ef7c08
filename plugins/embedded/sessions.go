package embedded

import (
	"bytes"
	"net"
	"sync"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// sessions keeps what the server loses where a client connects again:
//   - It removes the session of a connection that has ended by the id of the client, also
//     when that is the session of a newer connection by then. So a client connects once
//     the end of its former connection is complete.
//   - It moves what waits in a session to the new connection, and forgets what is published
//     in that moment, or what a third connection of the client takes then. So nothing is
//     published meanwhile, and one connection of a client at a time gets its session.
//
// Nobody waits for longer than patience for a client: one that does not read stops no other.
type sessions struct {
	mqtt.HookBase
	server *mqtt.Server

	mu sync.Mutex
	// By connection: whether the session ends with it, as it began, and those that have ended,
	// until their session is removed.
	running, leaving map[net.Conn]bool
	// Since when a message is on its way to the subscribers, and a connection gets the session
	// of the former one.
	publishing map[net.Conn]time.Time
	resuming   map[net.Conn]resumption
}

type resumption struct {
	clientID string
	since    time.Time
}

const patience = 500 * time.Millisecond

func newSessions(server *mqtt.Server) *sessions {
	return &sessions{
		server: server, running: map[net.Conn]bool{}, leaving: map[net.Conn]bool{},
		publishing: map[net.Conn]time.Time{}, resuming: map[net.Conn]resumption{},
	}
}

func (*sessions) ID() string { return "sessions" }

func (*sessions) Provides(b byte) bool {
	return bytes.IndexByte([]byte{
		mqtt.OnConnect, mqtt.OnSessionEstablish, mqtt.OnSessionEstablished, mqtt.OnPacketEncode, mqtt.OnDisconnect,
		mqtt.OnPublish, mqtt.OnPublished,
	}, b) >= 0
}

// OnConnect waits until the end of a former connection without a session is complete.
func (s *sessions) OnConnect(cl *mqtt.Client, _ packets.Packet) error {
	for began := time.Now(); time.Since(began) < patience; time.Sleep(time.Millisecond) {
		former, ok := s.server.Clients.Get(cl.ID)
		if !ok {
			return nil
		}
		s.mu.Lock()
		ends, runs := s.running[former.Net.Conn]
		leaves := s.leaving[former.Net.Conn]
		s.mu.Unlock()
		switch {
		case runs && former.Closed() || leaves:
		case runs && ends:
			_ = s.server.DisconnectClient(former, packets.ErrSessionTakenOver) // the error is this code
		default:
			return nil
		}
	}
	return nil
}

// OnSessionEstablish is called before the session moves.
func (s *sessions) OnSessionEstablish(cl *mqtt.Client, _ packets.Packet) {
	// The server does this next. It takes long where the former connection does not read.
	if former, ok := s.server.Clients.Get(cl.ID); ok {
		_ = s.server.DisconnectClient(former, packets.ErrSessionTakenOver) // the error is this code
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.whileLocked(func() bool { return s.resumesLocked(func(id string) bool { return id == cl.ID }) })
	s.resuming[cl.Net.Conn] = resumption{cl.ID, time.Now()}
	s.whileLocked(func() bool {
		for _, since := range s.publishing {
			if time.Since(since) < patience {
				return true
			}
		}
		return false
	})
}

// resumesLocked reports whether a connection gets the session of such a client.
func (s *sessions) resumesLocked(is func(clientID string) bool) bool {
	for _, one := range s.resuming {
		if is(one.clientID) && time.Since(one.since) < patience {
			return true
		}
	}
	return false
}

// OnPacketEncode is called with the CONNACK after the session has moved.
func (s *sessions) OnPacketEncode(cl *mqtt.Client, pk packets.Packet) packets.Packet {
	if pk.FixedHeader.Type == packets.Connack {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.resuming, cl.Net.Conn)
	}
	return pk
}

func (s *sessions) OnSessionEstablished(cl *mqtt.Client, pk packets.Packet) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running[cl.Net.Conn] = pk.ProtocolVersion < 5 && pk.Connect.Clean || pk.ProtocolVersion == 5 && pk.Properties.SessionExpiryInterval == 0
}

func (s *sessions) OnDisconnect(cl *mqtt.Client, _ error, expire bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.running, cl.Net.Conn)
	if expire {
		s.leaving[cl.Net.Conn] = true
	}
}

// OnPublish is called before a message goes to its subscribers, or is refused.
func (s *sessions) OnPublish(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	began := time.Now()
	s.whileLocked(func() bool {
		return time.Since(began) < patience && s.resumesLocked(func(string) bool { return true })
	})
	s.publishing[cl.Net.Conn] = time.Now()
	return pk, nil
}

func (s *sessions) OnPublished(cl *mqtt.Client, _ packets.Packet) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.publishing, cl.Net.Conn)
}

// gone is called after a connection, which may have ended at any of these steps.
func (s *sessions) gone(conn net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.running, conn)
	delete(s.leaving, conn)
	delete(s.publishing, conn)
	delete(s.resuming, conn)
}

// whileLocked waits as long as something is true.
func (s *sessions) whileLocked(is func() bool) {
	for is() {
		s.mu.Unlock()
		time.Sleep(100 * time.Microsecond)
		s.mu.Lock()
	}
}
