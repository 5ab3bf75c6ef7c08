package embedded

import (
	"bytes"
	"maps"
	"sync"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// leavers lets a client connect once a former connection of its id has ended completely.
// The server removes the session of a connection that has ended by the id of the client, and
// would remove that of the new connection instead.
type leavers struct {
	mqtt.HookBase
	server *mqtt.Server

	mu      sync.Mutex
	running map[*mqtt.Client]bool // whether the session ends with the connection, as it began
	leaving map[*mqtt.Client]bool // connections that have ended, until their session is removed
}

// leaveTime limits how long a new connection waits.
const leaveTime = 5 * time.Second

func newLeavers(server *mqtt.Server) *leavers {
	return &leavers{server: server, running: map[*mqtt.Client]bool{}, leaving: map[*mqtt.Client]bool{}}
}

func (*leavers) ID() string { return "leavers" }

func (*leavers) Provides(b byte) bool {
	return bytes.IndexByte([]byte{mqtt.OnConnect, mqtt.OnSessionEstablished, mqtt.OnDisconnect}, b) >= 0
}

func (l *leavers) OnSessionEstablished(cl *mqtt.Client, pk packets.Packet) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running[cl] = pk.ProtocolVersion < 5 && pk.Connect.Clean || pk.ProtocolVersion == 5 && pk.Properties.SessionExpiryInterval == 0
}

func (l *leavers) OnDisconnect(cl *mqtt.Client, _ error, expire bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.running, cl)
	maps.DeleteFunc(l.leaving, func(one *mqtt.Client, _ bool) bool { return !l.hasSession(one) })
	if expire {
		l.leaving[cl] = true
	}
}

func (l *leavers) OnConnect(cl *mqtt.Client, _ packets.Packet) error {
	for began := time.Now(); time.Since(began) < leaveTime; time.Sleep(time.Millisecond) {
		former, ok := l.server.Clients.Get(cl.ID)
		if !ok {
			break
		}
		l.mu.Lock()
		ends, runs := l.running[former]
		leaves := l.leaving[former]
		l.mu.Unlock()
		switch {
		case runs && former.Closed() || leaves:
		case runs && ends:
			_ = l.server.DisconnectClient(former, packets.ErrSessionTakenOver) // the error is this code
		default:
			return nil
		}
	}
	return nil
}

func (l *leavers) hasSession(cl *mqtt.Client) bool {
	is, ok := l.server.Clients.Get(cl.ID)
	return ok && is == cl
}
