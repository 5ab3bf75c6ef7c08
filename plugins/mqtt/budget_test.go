package mqtt

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/robustmq/robustmq-connect/plugins/internal/budget"
)

// One pipeline takes no messages: its input reads until it holds its share of the
// budget and the common part, and the input beside it continues. The blocked input
// returns the memory with its acknowledgements and continues then.
func TestBlockedInputStaysWithinItsMemoryBudget(t *testing.T) {
	const (
		total   = 2 << 20
		payload = 32 << 10
		count   = 200
	)
	shared := budget.New(total)
	connect := func() (*peer, *input) {
		b := newScripted(t)
		in, _ := started(t, b.url(), v311+"max_pending_bytes: 100MiB\nmax_batch_messages: 4")
		in.conf.share = shared.Join(in.held)
		done := background(in)
		p := b.accept()
		p.welcome(false, true)
		require.NoError(t, wait(t, done))
		return p, in
	}
	blocked, blockedInput := connect()
	free, freeInput := connect()

	flood := func(p *peer) chan struct{} {
		done := make(chan struct{})
		go func() {
			defer close(done)
			for i := range count {
				if _, err := p.conn.Write(publish("a/b", 1, uint16(i+1), strings.Repeat("x", payload))); err != nil {
					return
				}
			}
		}()
		return done
	}
	flooded := flood(blocked)
	most := int64(total/2 + total/4)
	require.Eventually(t, func() bool { return blockedInput.held() >= most }, patience, time.Millisecond)
	// Messages that the pipeline holds count as well.
	_, ack := readBatch(t, blockedInput)
	require.GreaterOrEqual(t, blockedInput.held(), most)
	require.Never(t, func() bool { return blockedInput.held() > most+2*largestReadBuffer+2*payload }, 100*time.Millisecond, 10*time.Millisecond)

	freed := flood(free)
	for read := 0; read < count; {
		batch, ack := readBatch(t, freeInput)
		require.NoError(t, ack(t.Context(), nil))
		read += len(batch)
	}
	<-freed

	require.NoError(t, ack(t.Context(), nil))
	require.NoError(t, ack(t.Context(), nil), "it is released once")
	for read := 4; read < count; {
		batch, ack := readBatch(t, blockedInput)
		require.NoError(t, ack(t.Context(), nil))
		read += len(batch)
	}
	<-flooded
	require.Zero(t, blockedInput.held())
	require.Zero(t, freeInput.held())
}

func TestInputUsesTheMemoryBudgetOfItsStream(t *testing.T) {
	mgr := service.MockResources()
	shared := budget.New(1)
	budget.Put(mgr, shared)
	conf, err := parse(t, "urls: [tcp://127.0.0.1:1]\ntopics: [a]\nclient_id: c")
	require.NoError(t, err)
	in := newInput(conf, mgr)
	require.True(t, in.conf.share.Room())
	in.handed.Store(1)
	require.False(t, in.conf.share.Room())
	require.NoError(t, in.Close(t.Context()))
}
