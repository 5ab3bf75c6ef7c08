package kafka

import (
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// muteAbove listens in front of a Kafka and does not pass on ApiVersions requests above
// a version, as the Kafka listener of RobustMQ ignores them. With -1 it passes none.
func muteAbove(t *testing.T, version int16, upstream string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var running sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	keep := func(c net.Conn) {
		mu.Lock()
		defer mu.Unlock()
		open = append(open, c)
	}
	t.Cleanup(func() {
		_ = listener.Close()
		mu.Lock()
		for _, c := range open {
			_ = c.Close()
		}
		mu.Unlock()
		running.Wait()
	})
	running.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			keep(client)
			server, err := net.Dial("tcp", upstream)
			if err != nil {
				return
			}
			keep(server)
			running.Go(func() { _, _ = io.Copy(client, server) }) // ends with the connections
			running.Go(func() { passRequests(server, client, version) })
		}
	})
	return listener.Addr().String()
}

func passRequests(to io.Writer, from io.Reader, version int16) {
	for {
		var head [8]byte
		if _, err := io.ReadFull(from, head[:]); err != nil {
			return
		}
		rest := make([]byte, binary.BigEndian.Uint32(head[:])-4)
		if _, err := io.ReadFull(from, rest); err != nil {
			return
		}
		key, asked := binary.BigEndian.Uint16(head[4:]), int16(binary.BigEndian.Uint16(head[6:]))
		if kmsg.Key(key) == kmsg.ApiVersions && asked > version {
			continue
		}
		if _, err := to.Write(append(head[:], rest...)); err != nil {
			return
		}
	}
}

func TestBrokerThatDoesNotAnswerNewerVersionsIsNamed(t *testing.T) {
	c := cluster(t, 1)
	address := muteAbove(t, 3, c.ListenAddrs()[0])
	o := unconnected(t, []string{address}, append(block(), "request_timeout_overhead: 600ms")...)
	began := time.Now()
	err := o.Connect(t.Context())
	require.ErrorContains(t, err, "reaching Kafka at "+address+": the broker accepts connections and does not answer the request ApiVersions ("+address+
		"): it may know older versions of Kafka's protocol only: set max_kafka_version, 3.8 for example; check also that it is a Kafka and that tls is as it requires")
	require.Less(t, time.Since(began), patience/2)

	o = started(t, []string{address}, append(block(), "max_kafka_version: 3.8")...)
	require.NoError(t, o.WriteBatch(t.Context(), service.MessageBatch{service.NewMessage([]byte("000000"))}))
	require.Equal(t, numbers(0, 1), values(t, c, "t"))
}

func TestMuteBrokerOfALowVersionIsNamed(t *testing.T) {
	c := cluster(t, 1)
	address := muteAbove(t, -1, c.ListenAddrs()[0])
	o := unconnected(t, []string{address}, append(block(), "request_timeout_overhead: 300ms", "max_kafka_version: 3.8")...)
	require.ErrorContains(t, o.Connect(t.Context()), "("+address+"): lower max_kafka_version; check also that it is a Kafka")
}

func TestMaxKafkaVersionIsChecked(t *testing.T) {
	for _, bad := range []string{"latest", "''", "99.9"} {
		_, err := tryParse([]string{"localhost:1"}, "max_kafka_version: "+bad)
		require.ErrorContains(t, err, "field max_kafka_version: ")
		require.ErrorContains(t, err, "is not a version of Kafka that is known here; want one from 0.8.0 to ")
	}
	for _, good := range []string{"0.8.0", "v2.4.0", "'3.9'", "4.0.1"} {
		c, err := tryParse([]string{"localhost:1"}, "max_kafka_version: "+good)
		require.NoError(t, err)
		require.NotNil(t, c.maxVersion)
	}
}
