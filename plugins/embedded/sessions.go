package embedded

import (
	"bytes"
	"maps"
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

	mu      sync.Mutex
	running map[*mqtt.Client]bool // whether the session ends with the connection, as it began
	leaving map[*mqtt.Client]bool // connections that have ended, until their session is removed

	publishing map[*mqtt.Client]bool // those whose message is on its way to the subscribers
	resuming   map[*mqtt.Client]bool // those that get the session of their former connection
}

const patience = time.Second

func newSessions(server *mqtt.Server) *sessions {
	return &sessions{
		server: server, running: map[*mqtt.Client]bool{}, leaving: map[*mqtt.Client]bool{},
		publishing: map[*mqtt.Client]bool{}, resuming: map[*mqtt.Client]bool{},
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
		ends, runs := s.running[former]
		leaves := s.leaving[former]
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
		for one := range s.resuming {
			if one.ID == cl.ID {
				return false
			}
		}
		return true
	})
	s.resuming[cl] = true
	s.untilLocked(func() bool { return len(s.publishing) == 0 })
}

// OnPacketEncode is called with the CONNACK after the session has moved.
func (s *sessions) OnPacketEncode(cl *mqtt.Client, pk packets.Packet) packets.Packet {
	if pk.FixedHeader.Type == packets.Connack {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.resuming, cl)
	}
	return pk
}

func (s *sessions) OnSessionEstablished(cl *mqtt.Client, pk packets.Packet) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running[cl] = pk.ProtocolVersion < 5 && pk.Connect.Clean || pk.ProtocolVersion == 5 && pk.Properties.SessionExpiryInterval == 0
}

func (s *sessions) OnDisconnect(cl *mqtt.Client, _ error, expire bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.running, cl)
	maps.DeleteFunc(s.leaving, func(one *mqtt.Client, _ bool) bool {
		is, ok := s.server.Clients.Get(one.ID)
		return !ok || is != one
	})
	if expire {
		s.leaving[cl] = true
	}
}

// OnPublish is called before a message goes to its subscribers, or is refused.
func (s *sessions) OnPublish(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.untilLocked(func() bool { return len(s.resuming) == 0 })
	s.publishing[cl] = true
	return pk, nil
}

func (s *sessions) OnPublished(cl *mqtt.Client, _ packets.Packet) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.publishing, cl)
}

// gone is called after a connection, which may have ended at any of these steps.
func (s *sessions) gone(conn net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, all := range []map[*mqtt.Client]bool{s.running, s.publishing, s.resuming} {
		maps.DeleteFunc(all, func(one *mqtt.Client, _ bool) bool { return one.Net.Conn == conn })
	}
}

// untilLocked waits until done is true.
func (s *sessions) untilLocked(done func() bool) {
	for began := time.Now(); !done() && time.Since(began) < patience; {
		s.mu.Unlock()
		time.Sleep(100 * time.Microsecond)
		s.mu.Lock()
	}
}
