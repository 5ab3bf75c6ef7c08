package embedded

import (
	"log/slog"
	"sync"
	"time"

	"github.com/mochi-mqtt/server/v2/listeners"
)

// goodbye bounds what a client that has stopped reading can delay Close by.
const goodbye = time.Second

// acceptor hands connections to the broker. It exists beside the broker's own
// because that one ends in a race: it waits for the goroutines of connections
// while new ones still join the group, and without end for a connection that has
// not said CONNECT.
type acceptor struct {
	ln    *listener
	ended chan struct{} // closed when nothing is accepted any more
	conns sync.WaitGroup
}

func newAcceptor(ln *listener) *acceptor {
	return &acceptor{ln: ln, ended: make(chan struct{})}
}

func (*acceptor) ID() string              { return "tcp" }
func (*acceptor) Protocol() string        { return "tcp" }
func (*acceptor) Init(*slog.Logger) error { return nil }
func (a *acceptor) Address() string       { return a.ln.Addr().String() }

// Serve is called by the broker, once, in a goroutine of its own.
func (a *acceptor) Serve(establish listeners.EstablishFn) {
	defer close(a.ended)
	for {
		c, err := a.ln.Accept()
		if err != nil {
			return
		}
		a.conns.Go(func() {
			defer c.Close()
			// The error is the client's: a broken connection or protocol.
			_ = establish(a.ID(), c)
		})
	}
}

// Close is called by the broker, once. When it returns no goroutine of a
// connection is left.
func (a *acceptor) Close(disconnect listeners.CloseFn) {
	_ = a.ln.Close() // it was open, and is not any more
	<-a.ended
	a.ln.expireWrites(goodbye)
	disconnect(a.ID())
	a.ln.closeConns()
	a.conns.Wait()
}
