package mqtt

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/robustmq/robustmq-connect/tests/sink"
)

// delivers writes batches as the engine does, until each is done.
func delivers(t *testing.T, out *output, batches ...service.MessageBatch) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	require.NoError(t, connectAgain(out))
	for _, batch := range batches {
		for {
			err := out.WriteBatch(ctx, batch.Copy())
			if err == nil {
				break
			}
			require.ErrorIs(t, err, service.ErrNotConnected)
			require.NoError(t, connectAgain(out))
		}
	}
}

// The connection is cut at every byte, in either direction. At QoS 2 each message arrives
// once, at QoS 1 at least once, and in order apart from repetitions.
func TestOutputLosesNothingWhereverAConnectionIsCut(t *testing.T) {
	for _, version := range []string{version5, version311} {
		for qos := 1; qos <= 2; qos++ {
			for _, window := range []int{2, 100} {
				t.Run(fmt.Sprintf("MQTT %s QoS %d window %d", version, qos, window), func(t *testing.T) {
					cutEverywhere(t, version, qos, window)
				})
			}
		}
	}
}

func cutEverywhere(t *testing.T, version string, qos, window int) {
	t.Helper()
	usual, interrupted := 0, 0
	run := func(cuts ...sink.Cut) {
		if version == version311 { // whose first connection only ends the session of before
			cuts = append([]sink.Cut{{}}, cuts...)
		}
		s, err := sink.Listen(sink.Options{Cuts: cuts, Keep: true, ReceiveMaximum: uint16(window)})
		require.NoError(t, err)
		defer s.Close()
		out, _ := outputTo(t, s.URL(), fmt.Sprintf("topic: a\nqos: %d\nclean_session: false\nprotocol_version: '%s'\nmax_in_flight_publishes: %d", qos, version, window))
		delivers(t, out, batchFrom("0", "1", "2"), batchFrom("3"))
		require.NoError(t, out.Close(t.Context()))
		require.NoError(t, s.Problem())
		next := 0
		for _, m := range s.Messages() {
			var n int
			_, err := fmt.Sscan(m.Payload, &n)
			require.NoError(t, err)
			require.LessOrEqual(t, n, next, "a message overtook another, cut at %v", cuts)
			if n < next {
				require.Equal(t, 1, qos, "a message of QoS 2 came twice, cut at %v", cuts)
				continue
			}
			next++
		}
		require.Equal(t, 4, next, "messages are missing, cut at %v", cuts)
		switch n := s.Connections(); {
		case usual == 0:
			usual = n
		case n > usual:
			interrupted++
		}
	}
	run()
	for n := 1; n < 120; n++ {
		run(sink.Cut{Received: n})
	}
	for n := 1; n < 45; n++ {
		run(sink.Cut{Sent: n})
		run(sink.Cut{Sent: n}, sink.Cut{Received: 3 * n})
	}
	run(sink.Cut{Received: 60}, sink.Cut{Sent: 7}, sink.Cut{Received: 50})
	require.Greater(t, interrupted, 80, "the cuts take effect")
}

func TestOutputKeepsTheOrderOfManyBatches(t *testing.T) {
	s, err := sink.Listen(sink.Options{Keep: true, ReceiveMaximum: 20, Cuts: []sink.Cut{{Received: 50_000}, {Sent: 9_000}, {Received: 70_001}}})
	require.NoError(t, err)
	defer s.Close()
	out, _ := outputTo(t, s.URL(), "topic: a\nqos: 2\nclean_session: false")
	var batches []service.MessageBatch
	for i := range 100 {
		var batch service.MessageBatch
		for k := range 100 {
			batch = append(batch, service.NewMessage(fmt.Appendf(nil, "%d", 100*i+k)))
		}
		batches = append(batches, batch)
	}
	delivers(t, out, batches...)
	require.NoError(t, out.Close(t.Context()))
	require.NoError(t, s.Problem())
	all := s.Messages()
	require.Len(t, all, 10_000)
	for i, m := range all {
		require.Equal(t, strconv.Itoa(i), m.Payload)
	}
}

// What the socket does not take at once is written in the background, and a message may
// be larger than all buffers.
func TestOutputPublishesLargeMessages(t *testing.T) {
	for qos := range 3 {
		s, err := sink.Listen(sink.Options{Keep: true})
		require.NoError(t, err)
		out, _ := outputTo(t, s.URL(), fmt.Sprintf("topic: a\nqos: %d", qos))
		large := make([]byte, 20<<20)
		batch := service.MessageBatch{service.NewMessage(large), service.NewMessage([]byte("small")), service.NewMessage(large)}
		delivers(t, out, batch)
		require.Eventually(t, func() bool { return s.Count() == 3 }, patience, time.Millisecond)
		require.NoError(t, out.Close(t.Context()))
		sizes := []int{}
		for _, m := range s.Messages() {
			sizes = append(sizes, len(m.Payload))
		}
		require.Equal(t, []int{20 << 20, 5, 20 << 20}, sizes)
		s.Close()
	}
}

func BenchmarkOutput(b *testing.B) {
	for _, size := range []int{1, 64, 1024} {
		b.Run(fmt.Sprintf("batches of %d", size), func(b *testing.B) {
			s, err := sink.Listen(sink.Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			conf, err := OutputSpec().ParseYAML("urls: ["+s.URL()+"]\ntopic: a/b/c", nil)
			if err != nil {
				b.Fatal(err)
			}
			c, err := parseOutput(conf)
			if err != nil {
				b.Fatal(err)
			}
			out := newOutput(c, service.MockResources())
			if err := out.Connect(b.Context()); err != nil {
				b.Fatal(err)
			}
			payload := make([]byte, 64)
			b.ResetTimer()
			for n := 0; n < b.N; n += size {
				batch := make(service.MessageBatch, size)
				for i := range batch {
					batch[i] = service.NewMessage(payload)
				}
				if err := out.WriteBatch(b.Context(), batch); err != nil {
					b.Fatal(err)
				}
			}
			b.StopTimer()
			if err := out.Close(context.Background()); err != nil {
				b.Fatal(err)
			}
		})
	}
}
