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
// All wait for patience at most, so that a client that does not read stops no other.
type sessions struct {
	mqtt.HookBase
	server *mqtt.Server

	mu sync.Mutex
	// By connection: whether the session ends with it, as it began; those that have ended,
	// until their session is removed; those with a message on its way to the subscribers; and
	// those that get the session of their former connection, with the id of the client.
	running, leaving, publishing map[net.Conn]bool
	resuming                     map[net.Conn]string
}

const patience = 5 * time.Second

func newSessions(server *mqtt.Server) *sessions {
	return &sessions{
		server: server, running: map[net.Conn]bool{}, leaving: map[net.Conn]bool{},
		publishing: map[net.Conn]bool{}, resuming: map[net.Conn]string{},
	}
}

func (*sessions) ID() string { return "sessions" }

func (*sessions) Provides(b byte) bool {
	return bytes.IndexByte([]byte{
		mqtt.OnConnect, mqtt.OnSessionEstablish, mqtt.OnSessionEstablished, mqtt.OnPacketEncode, mqtt.OnDisconnect,
		mqtt.OnPublish, mqtt.OnPublished,
	}, b) >= 0
}

func (s *sessions) OnConnect(cl *mqtt.Client, _ packets.Packet) error {
	for began := time.Now(); time.Since(began) < patience; time.Sleep(time.Millisecond) {
		former, ok := s.server.Clients.Get(cl.ID)
		if !ok {
			break
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
	s.mu.Lock()
	defer s.mu.Unlock()
	s.untilLocked(func() bool {
		for _, id := range s.resuming {
			if id == cl.ID {
				return false
			}
		}
		return true
	})
	s.resuming[cl.Net.Conn] = cl.ID
	s.untilLocked(func() bool { return len(s.publishing) == 0 })
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
	s.untilLocked(func() bool { return len(s.resuming) == 0 })
	s.publishing[cl.Net.Conn] = true
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

// untilLocked waits until done is true.
func (s *sessions) untilLocked(done func() bool) {
	for began := time.Now(); !done() && time.Since(began) < patience; {
		s.mu.Unlock()
		time.Sleep(100 * time.Microsecond)
		s.mu.Lock()
	}
}
