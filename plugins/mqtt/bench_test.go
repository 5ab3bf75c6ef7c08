package mqtt

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// BenchmarkInput reads messages of 64 bytes from a source that keeps a window of them
// in flight, and acknowledges every batch at once. The CPU time is that of the process,
// including the source.
func BenchmarkInput(b *testing.B) {
	for name, window := range map[string]int{"window 20": 20, "window 4000": 4000} {
		b.Run(name, func(b *testing.B) { benchmarkInput(b, window) })
	}
}

func benchmarkInput(b *testing.B, window int) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	defer ln.Close()
	go flood(ln, window)
	conf, err := Spec().ParseYAML("urls: ['tcp://"+ln.Addr().String()+"']\ntopics: [a/#]\nprotocol_version: 3.1.1\nclean_session: false\nclient_id: b", nil)
	require.NoError(b, err)
	parsed, err := parseConfig(conf)
	require.NoError(b, err)
	in := newInput(parsed, service.MockResources())
	defer func() { require.NoError(b, in.Close(context.Background())) }()
	require.NoError(b, in.Connect(b.Context()))
	b.ReportAllocs()
	begun := cpu(b)
	b.ResetTimer()
	batches := 0
	for n := 0; n < b.N; batches++ {
		batch, ack, err := in.ReadBatch(b.Context())
		require.NoError(b, err)
		n += len(batch)
		require.NoError(b, ack(b.Context(), nil))
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
	b.ReportMetric((cpu(b)-begun)/float64(b.N)*1e6, "cpu-µs/msg")
	b.ReportMetric(float64(b.N)/float64(batches), "msg/batch")
}

func cpu(b *testing.B) float64 {
	var u syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// flood serves one client and keeps window messages in flight until it disconnects.
func flood(ln net.Listener, window int) {
	conn, err := ln.Accept()
	if err != nil {
		return
	}
	defer conn.Close()
	in := newFrames(conn)
	for _, answer := range [][]byte{{0x20, 2, 0, 0}, {0x90, 3, 0, 1, 1}} {
		_, body, _, err := in.next()
		if err != nil {
			return
		}
		in.done(body)
		if _, err := conn.Write(answer); err != nil {
			return
		}
	}
	template := publish("a/some/topic", 1, 1, strings.Repeat("x", 64))
	at := 2 + 2 + len("a/some/topic")
	id := uint16(0)
	free, acks := window, make([]byte, 0, 64<<10)
	var out []byte
	for {
		out = out[:0]
		for ; free > 0; free-- {
			if id++; id == 0 {
				id = 1
			}
			binary.BigEndian.PutUint16(template[at:], id)
			out = append(out, template...)
		}
		if _, err := conn.Write(out); err != nil {
			return
		}
		n, err := in.r.Read(acks[len(acks):cap(acks)])
		if err != nil && !errors.Is(err, io.EOF) || n == 0 {
			return
		}
		acks = acks[:len(acks)+n]
		free = len(acks) / 4
		acks = acks[:copy(acks, acks[free*4:])]
	}
}
