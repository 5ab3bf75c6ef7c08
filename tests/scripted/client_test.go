package scripted

import (
	"bufio"
	"fmt"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const patience = 30 * time.Second

func start(t *testing.T, opts Options) *Broker {
	t.Helper()
	b, err := Listen(opts)
	require.NoError(t, err)
	t.Cleanup(b.Close)
	return b
}

// client exchanges single packets with a broker.
type client struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
}

func connect(t *testing.T, b *Broker, v5, clean bool) *client {
	t.Helper()
	conn, err := net.Dial("tcp", b.ln.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	c := &client{t, conn, bufio.NewReader(conn)}
	version, flags, properties := byte(4), byte(0), []byte(nil)
	if clean {
		flags = 2
	}
	if v5 {
		version, properties = 5, []byte{5, 17, 255, 255, 255, 255}
	}
	c.write(encode(0x10, text("MQTT"), []byte{version, flags, 0, 0}, properties, text("me")))
	return c
}

func (c *client) write(packets ...[]byte) {
	c.t.Helper()
	_, err := c.conn.Write(slices.Concat(packets...))
	require.NoError(c.t, err)
}

func (c *client) read() string {
	c.t.Helper()
	require.NoError(c.t, c.conn.SetReadDeadline(time.Now().Add(patience)))
	f, err := readFrame(c.r)
	if err != nil {
		require.NotErrorIs(c.t, err, &net.OpError{})
		return "gone"
	}
	return fmt.Sprintf("%02x %q", f.first, f.body)
}

func (c *client) silent() {
	c.t.Helper()
	require.NoError(c.t, c.conn.SetReadDeadline(time.Now().Add(30*time.Millisecond)))
	_, err := c.r.Peek(1)
	require.ErrorContains(c.t, err, "timeout")
}

func (c *client) want(packets ...string) {
	c.t.Helper()
	for _, p := range packets {
		require.Equal(c.t, p, c.read())
	}
}

func (c *client) subscribe() {
	c.t.Helper()
	c.write(encode(0x82, u16(9), text("a/#"), []byte{2}))
}

const (
	welcomeNew  = `20 "\x00\x00"`
	welcomeBack = `20 "\x01\x00"`
	granted     = `90 "\x00\t\x02"`
	denied      = `90 "\x00\t\x80"`
)

// publish formats a PUBLISH as read formats it.
func publish(first byte, id int, payload string) string {
	if id == 0 {
		return fmt.Sprintf("%02x %q", first, "\x00\x03a/b"+payload)
	}
	return fmt.Sprintf("%02x %q", first, "\x00\x03a/b\x00"+string(rune(id))+payload)
}

func message(qos byte, payload string) Message {
	return Message{Topic: "a/b", QoS: qos, Payload: payload}
}

// subscribed creates a session with three messages of which the second is answered.
func subscribed(t *testing.T, b *Broker) {
	t.Helper()
	c := connect(t, b, false, false)
	c.want(welcomeNew)
	c.subscribe()
	c.want(granted)
	b.Publish(message(1, "x"), message(2, "y"), message(1, "z"), message(0, "zero"))
	c.want(publish(0x32, 1, "x"), publish(0x34, 2, "y"), publish(0x32, 3, "z"), publish(0x30, 0, "zero"))
	c.write(encode(0x50, u16(2)))
	c.want(`62 "\x00\x02"`)
	c.conn.Close()
	require.Eventually(t, func() bool { b.mu.Lock(); defer b.mu.Unlock(); return b.current == nil }, patience, time.Millisecond)
}
