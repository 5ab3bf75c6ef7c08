package kafka

import (
	"encoding/binary"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// announcing is a Kafka that announces an answer of that size to each request, and sends
// nothing of it.
func announcing(t *testing.T, size uint32) (address string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				_, _ = conn.Read(make([]byte, 1000))
				_, _ = conn.Write(binary.BigEndian.AppendUint32(nil, size))
				_, _ = io.Copy(io.Discard, conn) // until the client closes
			}()
		}
	}()
	return ln.Addr().String()
}

func TestAnAnswerThatIsTooLargeIsRefusedBeforeItIsRead(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	o := unconnected(t, []string{announcing(t, 90<<20)})
	require.Contains(t, reason(t, o), "invalid large response size 94371840 > limit 16777216")
	runtime.ReadMemStats(&after)
	assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(60<<20), "bytes")
}

func TestInputReadsRecordsThatAreLargerThanAnswersToAnOutput(t *testing.T) {
	c := cluster(t, 1, kfake.BrokerConfigs(map[string]string{"message.max.bytes": "50000000"}))
	client, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.ProducerBatchMaxBytes(40<<20), kgo.ProducerBatchCompression(kgo.NoCompression()))
	require.NoError(t, err)
	defer client.Close()
	large := strings.Repeat("x", 2*largestAnswer)
	require.NoError(t, client.ProduceSync(t.Context(), &kgo.Record{Topic: "t", Value: []byte(large)}, &kgo.Record{Topic: "t", Value: []byte("after")}).FirstErr())
	r := startReader(t, c.ListenAddrs())
	var got []string
	for len(got) < 2 {
		batch, ack := r.next()
		got = append(got, texts(t, batch)...)
		require.NoError(t, ack(t.Context(), nil))
	}
	require.Equal(t, []string{large, "after"}, got)
}
