package mqtt

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redpanda-data/benthos/v4/public/service"
)

func TestInputCloseWorksInEveryState(t *testing.T) {
	deadline := func(t *testing.T, in *input) {
		t.Helper()
		begun := time.Now()
		require.NoError(t, in.Close(t.Context()))
		require.NoError(t, in.Close(t.Context()), "twice")
		require.Less(t, time.Since(begun), patience/2)
		require.ErrorIs(t, in.Connect(t.Context()), service.ErrEndOfInput)
		_, _, err := in.ReadBatch(t.Context())
		require.ErrorIs(t, err, service.ErrEndOfInput)
	}
	t.Run("before Connect", func(t *testing.T) {
		in, _ := started(t, "tcp://127.0.0.1:1", "")
		deadline(t, in)
	})
	t.Run("during the handshake", func(t *testing.T) {
		b := newScripted(t)
		in, _ := started(t, b.url(), "")
		done := background(in)
		b.accept().version()
		deadline(t, in)
		require.ErrorIs(t, wait(t, done), service.ErrEndOfInput)
	})
	t.Run("while subscribing", func(t *testing.T) {
		b := newScripted(t)
		in, _ := started(t, b.url(), v311)
		done := background(in)
		p := b.accept()
		p.version()
		p.write([]byte{0x20, 2, 0, 0})
		p.read()
		deadline(t, in)
		require.ErrorIs(t, wait(t, done), service.ErrEndOfInput)
	})
	t.Run("while reading", func(t *testing.T) {
		_, p, in, _ := connected(t, "")
		done := make(chan error, 1)
		go func() { _, _, err := in.ReadBatch(context.Background()); done <- err }()
		go p.gone()
		deadline(t, in)
		require.ErrorIs(t, wait(t, done), service.ErrEndOfInput)
	})
	t.Run("while stalled, by a broker that reads nothing", func(t *testing.T) {
		_, p, in, _ := connected(t, "max_pending_bytes: 10KiB")
		go func() {
			for {
				if _, err := p.conn.Write(publish("a/b", 0, 0, string(make([]byte, 5000)))); err != nil {
					return
				}
			}
		}()
		require.Eventually(t, in.current().suspended.Load, patience, time.Millisecond)
		deadline(t, in)
	})
	t.Run("while reconnecting", func(t *testing.T) {
		b, p, in, _ := connected(t, "")
		b.ln.Close()
		p.conn.Close()
		<-in.current().dead
		require.Error(t, in.Connect(t.Context()))
		done := background(in)
		deadline(t, in)
		require.ErrorIs(t, wait(t, done), service.ErrEndOfInput)
	})
}

func TestInputCloseSendsTheLastAcks(t *testing.T) {
	_, p, in, _ := connected(t, "")
	p.write(publish("a/b", 1, 1, "x"))
	_, acks := readN(t, in, 1)
	ackAll(t, acks, nil)
	go func() { _ = in.Close(context.Background()) }()
	require.Equal(t, ackOf(typePuback, 1), p.read().String())
	require.Equal(t, "e0 ", p.read().String())
	p.conn.Close()
}
