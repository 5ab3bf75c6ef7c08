package mqtt

import (
	"bytes"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// arrived is a connection whose peer has sent these bytes.
type arrived struct {
	net.Conn
	io.Reader
}

func (r arrived) Read(p []byte) (int, error) { return r.Reader.Read(p) }

func TestOnlyAnswersAreReadFromABroker(t *testing.T) {
	connack := []byte{0x20, 2, 1, 0}
	suback := packet(0x90, bytes.Repeat([]byte{1}, 100_000)) // larger than the read buffer
	message := packet(0x32, make([]byte, 300_000))
	sent := bytes.Join([][]byte{message, connack, {0x30, 0}, suback, message, message, {0xd0, 0}}, nil)
	want := bytes.Join([][]byte{connack, suback, {0xd0, 0}}, nil)

	got, err := io.ReadAll(AnswersOnly(arrived{Reader: bytes.NewReader(sent)}))
	require.NoError(t, err)
	require.Equal(t, want, got)
	got, err = io.ReadAll(iotest.OneByteReader(AnswersOnly(arrived{Reader: iotest.OneByteReader(bytes.NewReader(sent))})))
	require.NoError(t, err)
	require.Equal(t, want, got)
	// An answer is read whole.
	got, err = io.ReadAll(AnswersOnly(arrived{Reader: bytes.NewReader(sent[:len(message)+3])}))
	require.NoError(t, err)
	require.Empty(t, got)
}

func TestALargeAnswerIsRefusedBeforeItIsRead(t *testing.T) {
	for name, sent := range map[string][]byte{
		"announced alone":  {0x20, 0xff, 0xff, 0xff, 0x7f},
		"a byte too large": packet(0x20, make([]byte, maxAnswer+1)),
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := io.ReadAll(AnswersOnly(arrived{Reader: bytes.NewReader(sent)}))
			runtime.ReadMemStats(&after)
			require.ErrorContains(t, err, "the broker sent a packet of type 2 with ")
			require.Equal(t, byte(reasonTooLarge), disconnectCode(err))
			assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20), "bytes")
		})
	}
	largest := packet(0x20, make([]byte, maxAnswer))
	got, err := io.ReadAll(AnswersOnly(arrived{Reader: bytes.NewReader(largest)}))
	require.NoError(t, err)
	require.Equal(t, largest, got)
}

// A CONNACK of user properties takes many times its size in memory.
func TestALargeConnackIsNoAnswer(t *testing.T) {
	properties := strings.Repeat("\x26\x00\x04aaaa\x00\x04bbbb", 800_000)
	broker, client := net.Pipe()
	defer func() { _ = broker.Close() }()
	go func() {
		_, _ = io.ReadFull(broker, make([]byte, 2))
		_, _ = broker.Write(packet(0x20, append([]byte{0, 0}, appendVarint(nil, len(properties))...), []byte(properties)))
	}()
	_, err := exchange(client, newFrames(client), []byte{0x10, 0}, true)
	require.EqualError(t, err, "the broker sent a packet of type 2 with 10400006 bytes: 1048576 are allowed")
	var other *otherVersionError
	require.NotErrorAs(t, err, &other, "MQTT 3.1.1 would be no better")
}
