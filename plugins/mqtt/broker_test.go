package mqtt

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"testing"
	"time"

	packets5 "github.com/eclipse/paho.golang/packets"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/robustmq/robustmq-connect/tests/logtext"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// patience is how long a test waits for what happens in milliseconds.
const patience = time.Minute

// scripted is a listener whose connections a test serves step by step.
type scripted struct {
	t  *testing.T
	ln net.Listener
}

func newScripted(t *testing.T) *scripted {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { ln.Close() })
	return &scripted{t, ln}
}

func (b *scripted) url() string { return "tcp://" + b.ln.Addr().String() }

func (b *scripted) accept() *peer {
	b.t.Helper()
	p := b.tryAccept(patience)
	require.NotNil(b.t, p, "nobody connects")
	return p
}

// joined accepts a connection of MQTT 3.1.1, welcomes it, and waits until Connect,
// run by background, has returned.
func (b *scripted) joined(done chan error, sessionPresent, subscribes bool) *peer {
	b.t.Helper()
	p := b.accept()
	p.welcome(sessionPresent, subscribes)
	require.NoError(b.t, wait(b.t, done))
	return p
}

// joined5 is joined with MQTT 5.
func (b *scripted) joined5(done chan error, sessionPresent, subscribes bool) *peer {
	b.t.Helper()
	p := b.accept()
	p.welcome5(sessionPresent, subscribes)
	require.NoError(b.t, wait(b.t, done))
	return p
}

// tryAccept accepts a connection, or returns nil if nobody connects in time.
func (b *scripted) tryAccept(d time.Duration) *peer {
	b.t.Helper()
	require.NoError(b.t, b.ln.(*net.TCPListener).SetDeadline(time.Now().Add(d)))
	conn, err := b.ln.Accept()
	if err != nil {
		require.ErrorIs(b.t, err, os.ErrDeadlineExceeded)
		return nil
	}
	b.t.Cleanup(func() { conn.Close() })
	return &peer{t: b.t, conn: conn, in: newFrames(conn)}
}

// peer is the broker's end of one connection.
type peer struct {
	t    *testing.T
	conn net.Conn
	in   *frames
}

type frame struct {
	first byte
	body  []byte
}

func (f frame) String() string { return fmt.Sprintf("%02x %x", f.first, f.body) }

func (p *peer) read() frame {
	p.t.Helper()
	require.NoError(p.t, p.conn.SetReadDeadline(time.Now().Add(patience)))
	first, body, shared, err := p.in.next()
	require.NoError(p.t, err)
	f := frame{first, bytes.Clone(body)}
	if shared {
		p.in.done(body)
	}
	return f
}

// silent checks that nothing arrives for the duration.
func (p *peer) silent(d time.Duration) {
	p.t.Helper()
	require.NoError(p.t, p.conn.SetReadDeadline(time.Now().Add(d)))
	_, err := p.in.r.peek(1)
	require.ErrorContains(p.t, err, "timeout", "something arrived or the connection is gone")
}

// gone waits until the client has closed the connection, and returns what it sent
// before. After its DISCONNECT, the client waits for the broker to close first.
func (p *peer) gone() (all []frame) {
	p.t.Helper()
	require.NoError(p.t, p.conn.SetReadDeadline(time.Now().Add(patience)))
	for {
		first, body, shared, err := p.in.next()
		if err != nil {
			require.NotContains(p.t, err.Error(), "timeout", "the client did not close the connection")
			return all
		}
		all = append(all, frame{first, bytes.Clone(body)})
		if shared {
			p.in.done(body)
		}
		if first == typeDisconnect<<4 {
			p.conn.Close()
			return all
		}
	}
}

func (p *peer) write(packets ...[]byte) {
	p.t.Helper()
	_, err := p.conn.Write(slices.Concat(packets...))
	require.NoError(p.t, err)
}

func packet(first byte, body ...[]byte) []byte {
	all := slices.Concat(body...)
	out := []byte{first}
	n := len(all)
	for {
		b := byte(n & 0x7f)
		if n >>= 7; n > 0 {
			b |= 0x80
		}
		out = append(out, b)
		if n == 0 {
			return append(out, all...)
		}
	}
}

func text(s string) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(s))), s...)
}

func u16(n uint16) []byte { return binary.BigEndian.AppendUint16(nil, n) }

// publish encodes a PUBLISH of MQTT 3.1.1.
func publish(topic string, qos byte, id uint16, payload string) []byte {
	body := text(topic)
	if qos > 0 {
		body = append(body, u16(id)...)
	}
	return packet(typePublish<<4|qos<<1, body, []byte(payload))
}

// publish5 encodes a PUBLISH of MQTT 5 with raw properties.
func publish5(topic string, qos byte, id uint16, properties []byte, payload string) []byte {
	body := text(topic)
	if qos > 0 {
		body = append(body, u16(id)...)
	}
	return packet(typePublish<<4|qos<<1, body, []byte{byte(len(properties))}, properties, []byte(payload))
}

func ackOf(packetType byte, id uint16) string {
	return frame{appendAck(nil, packetType, id)[0], u16(id)}.String()
}

func (p *peer) version() byte {
	p.t.Helper()
	f := p.read()
	require.Equal(p.t, byte(0x10), f.first, "want a CONNECT")
	require.Equal(p.t, "MQTT", string(f.body[2:6]))
	return f.body[6]
}

// welcome reads a CONNECT of MQTT 3.1.1 and, if subscribes is set, a SUBSCRIBE, and
// accepts both.
func (p *peer) welcome(sessionPresent, subscribes bool) {
	p.t.Helper()
	require.Equal(p.t, byte(4), p.version())
	p.write([]byte{0x20, 2, map[bool]byte{true: 1}[sessionPresent], 0})
	if subscribes {
		f := p.read()
		require.Equal(p.t, byte(0x82), f.first, "want a SUBSCRIBE")
		p.write(packet(0x90, f.body[:2], []byte{f.body[len(f.body)-1]}))
	}
}

// welcome5 is welcome with MQTT 5 and raw properties for the CONNACK.
func (p *peer) welcome5(sessionPresent, subscribes bool, properties ...byte) {
	p.t.Helper()
	require.Equal(p.t, byte(5), p.version())
	p.write(packet(0x20, []byte{map[bool]byte{true: 1}[sessionPresent], 0, byte(len(properties))}, properties))
	if subscribes {
		p.grant5()
	}
}

// grant5 reads a SUBSCRIBE of MQTT 5 and grants it.
func (p *peer) grant5() {
	p.t.Helper()
	sub := p.subscribe5()
	p.write(packet(0x90, u16(sub.PacketID), []byte{0}, bytes.Repeat([]byte{2}, len(sub.Subscriptions))))
}

func (p *peer) subscribe5() packets5.Subscribe {
	p.t.Helper()
	f := p.read()
	require.Equal(p.t, byte(0x82), f.first, "want a SUBSCRIBE")
	sub := packets5.Subscribe{Properties: &packets5.Properties{}}
	require.NoError(p.t, sub.Unpack(bytes.NewBuffer(f.body)))
	return sub
}

func parse(t *testing.T, yaml string) (*config, error) {
	t.Helper()
	conf, err := Spec().ParseYAML(yaml, nil)
	require.NoError(t, err)
	return parseConfig(conf)
}

// started returns an input with the given configuration that connects to the broker.
func started(t *testing.T, url, yaml string) (*input, *logtext.Text) {
	t.Helper()
	conf, err := parse(t, "urls: ["+url+"]\ntopics: [a/#]\nclient_id: test\n"+yaml)
	require.NoError(t, err)
	collected := new(logtext.Text)
	mgr := service.MockResources(service.MockResourcesOptUseLogger(service.NewLoggerFromSlog(slogTo(collected))))
	in := newInput(conf, mgr)
	in.keeper.retries.First, in.keeper.rejoins.First, in.keeper.refusals.First = time.Millisecond, time.Millisecond, time.Millisecond
	in.keeper.permanentWait = 10 * time.Millisecond
	t.Cleanup(func() { require.NoError(t, in.Close(context.Background())) })
	return in, collected
}

// background runs Connect and returns a channel for its error.
func background(in *input) chan error {
	done := make(chan error, 1)
	go func() { done <- in.Connect(context.Background()) }()
	return done
}

func wait[T any](t *testing.T, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		require.FailNow(t, "nothing came")
		panic("unreachable")
	}
}

func readBatch(t *testing.T, in service.BatchInput) (service.MessageBatch, service.AckFunc) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	batch, ack, err := in.ReadBatch(ctx)
	require.NoError(t, err)
	require.NotEmpty(t, batch)
	return batch, ack
}

// readN reads batches until n messages have arrived.
func readN(t *testing.T, in service.BatchInput, n int) (payloads []string, acks []service.AckFunc) {
	t.Helper()
	for len(payloads) < n {
		batch, ack := readBatch(t, in)
		for _, m := range batch {
			b, err := m.AsBytes()
			require.NoError(t, err)
			payloads = append(payloads, string(b))
		}
		acks = append(acks, ack)
	}
	return payloads, acks
}

func ackAll(t *testing.T, acks []service.AckFunc, err error) {
	t.Helper()
	for _, ack := range acks {
		require.NoError(t, ack(t.Context(), err))
	}
}

func slogTo(l *logtext.Text) *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }
