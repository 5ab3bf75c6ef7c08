package embedded

import (
	"log/slog"
	"net"
	"sync"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"
)

// goodbye limits how long a client that has stopped reading can delay Close.
const goodbye = time.Second

// acceptor hands connections to the broker. It replaces the broker's own listener,
// whose Close has a race: it waits for the goroutines of connections while new ones
// still join the group, and waits forever for a connection that has not sent CONNECT.
type acceptor struct {
	server *mqtt.Server
	ln     *listener
	gone   func(net.Conn) // called when a connection has ended
	ended  chan struct{}  // closed when the acceptor has stopped accepting
	conns  sync.WaitGroup
}

func newAcceptor(server *mqtt.Server, ln *listener, gone func(net.Conn)) *acceptor {
	return &acceptor{server: server, ln: ln, gone: gone, ended: make(chan struct{})}
}

func (*acceptor) ID() string              { return "tcp" }
func (*acceptor) Protocol() string        { return "tcp" }
func (*acceptor) Init(*slog.Logger) error { return nil }
func (a *acceptor) Address() string       { return a.ln.Addr().String() }

// Serve is called by the broker, once, in its own goroutine.
func (a *acceptor) Serve(establish listeners.EstablishFn) {
	defer close(a.ended)
	for {
		c, err := a.ln.Accept()
		if err != nil {
			return
		}
		a.conns.Go(func() {
			defer c.Close()
			// The error is the client's: a broken connection or a protocol error.
			_ = establish(a.ID(), c)
			a.gone(c)
		})
	}
}

// Close is called by the broker, once. When it returns, all goroutines of connections
// have ended. It does not use the broker's function to disconnect clients, which waits
// forever if one of them leaves meanwhile: it takes one lock twice.
func (a *acceptor) Close(listeners.CloseFn) {
	_ = a.ln.Close() // an error does not matter: the listener is not used again
	<-a.ended
	a.ln.expireWrites(goodbye)
	for _, client := range a.server.Clients.GetAll() {
		if client.Net.Listener == a.ID() && !client.Closed() {
			_ = a.server.DisconnectClient(client, packets.ErrServerShuttingDown) // it returns this reason
		}
	}
	a.ln.closeConns()
	a.conns.Wait()
}
