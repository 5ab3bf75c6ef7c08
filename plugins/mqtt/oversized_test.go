package mqtt

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// sizes are below and above the read buffer: payloads that fit into it are checked only
// when they are in memory.
var sizes = map[string]struct {
	limit     string
	fits, not int
}{
	"below the read buffer": {"1KiB", 1024, 1025},
	"above the read buffer": {"1MiB", 1 << 20, 1<<20 + 1},
	"far above":             {"100KiB", 100 << 10, 3 << 20},
}

func TestOversizedPayloadIsHeld(t *testing.T) {
	for name, c := range sizes {
		t.Run(name, func(t *testing.T) {
			b := newScripted(t)
			in, l := started(t, b.url(), "clean_session: false\nmax_payload_bytes: "+c.limit)
			done := background(in)
			for round := range 3 {
				p := b.accept()
				p.welcome5(round > 0, true)
				if round == 0 {
					require.NoError(t, wait(t, done))
				} else {
					require.Eventually(t, func() bool { return in.Connect(t.Context()) == nil }, patience, time.Millisecond)
				}
				p.write(publish5("a/fits", 1, 1, nil, strings.Repeat("x", c.fits)))
				payloads, acks := readN(t, in, 1)
				require.Len(t, payloads[0], c.fits)
				ackAll(t, acks, nil)
				require.Equal(t, ackOf(typePuback, 1), p.read().String())
				go func() { _, _ = p.conn.Write(publish5("a/large", 1, 2, nil, strings.Repeat("x", c.not))) }()
				require.Equal(t, []frame{{0xe0, []byte{reasonQuota}}}, p.gone())
				var err error
				require.Eventually(t, func() bool { err = in.Connect(t.Context()); return err != nil }, patience, time.Millisecond)
				require.ErrorContains(t, err, `a message of topic "a/large" has a payload of `)
				require.ErrorContains(t, err, "which was not kept: raise max_payload_bytes, which is ")
				require.ErrorAs(t, err, new(*service.ErrBackOff))
			}
			require.Len(t, l.Lines("Lost the connection"), 1)
		})
	}
}

// A broker sends what waits in a session at once. What precedes the payload must not wait
// until somebody raises the limit.
func TestMessagesBeforeAnOversizedPayloadAreAcknowledged(t *testing.T) {
	for _, version := range []string{"5", "3.1.1"} {
		t.Run(version, func(t *testing.T) {
			b := newScripted(t)
			in, _ := started(t, b.url(), "clean_session: false\nmax_payload_bytes: 1KiB\nprotocol_version: '"+version+"'")
			done := background(in)
			encode, gone := publish, []frame{{typePuback << 4, u16(1)}, {typePuback << 4, u16(2)}}
			join := b.joined
			if version == "5" {
				encode = func(topic string, qos byte, id uint16, payload string) []byte {
					return publish5(topic, qos, id, nil, payload)
				}
				gone = append(gone, frame{0xe0, []byte{reasonQuota}})
				join = b.joined5
			}
			p := join(done, false, true)
			p.write(encode("a/b", 1, 1, "first"), encode("a/b", 1, 2, "second"), encode("a/large", 1, 3, strings.Repeat("x", 1025)), encode("a/b", 1, 4, "after"))
			payloads, acks := readN(t, in, 2)
			require.Equal(t, []string{"first", "second"}, payloads)
			ackAll(t, acks, nil)
			require.Equal(t, gone, p.gone())
			untilLost(t, in)
		})
	}
}

// Brokers do not redeliver a message of QoS 0.
func TestOversizedPayloadOfQoS0IsDroppedWithAWarning(t *testing.T) {
	for name, c := range sizes {
		t.Run(name, func(t *testing.T) {
			_, p, in, l := connected(t, "max_payload_bytes: "+c.limit)
			p.write(publish("a/large", 0, 0, strings.Repeat("x", c.not)), publish("a/b", 1, 7, "next"))
			payloads, acks := readN(t, in, 1)
			require.Equal(t, []string{"next"}, payloads)
			ackAll(t, acks, nil)
			require.Equal(t, ackOf(typePuback, 7), p.read().String())
			require.Len(t, l.Lines("Dropped a message of QoS 0"), 1)
		})
	}
}

func TestOversizedPayloadIsDeliveredAsAFailedMessage(t *testing.T) {
	for name, c := range sizes {
		t.Run(name, func(t *testing.T) {
			_, p, in, _ := connected(t, "oversized_payload: fail\nmax_payload_bytes: "+c.limit)
			for qos, ack := range map[byte]byte{1: typePuback, 2: typePubrec} {
				p.write(publish("a/b", qos, 1, "before"), publish("a/large", qos, 2, strings.Repeat("x", c.not)), publish("a/b", qos, 3, "after"))
				var batch service.MessageBatch
				var acks []service.AckFunc
				for len(batch) < 3 {
					more, ack := readBatch(t, in)
					batch, acks = append(batch, more...), append(acks, ack)
				}
				for _, m := range []*service.Message{batch[0], batch[2]} {
					require.NoError(t, m.GetError())
					_, found := m.MetaGet(metaPayloadSize)
					require.False(t, found)
				}
				require.ErrorContains(t, batch[1].GetError(), `a message of topic "a/large" has a payload of`)
				payload, err := batch[1].AsBytes()
				require.NoError(t, err)
				require.Empty(t, payload)
				got := metadata(t, batch[1])
				require.InDelta(t, time.Now().UnixMilli(), got["mqtt_timestamp_ms"], 5000)
				delete(got, "mqtt_timestamp_ms")
				require.Equal(t, map[string]any{
					"mqtt_duplicate": false, "mqtt_qos": int(qos), "mqtt_retained": false, "mqtt_topic": "a/large", "mqtt_message_id": 2,
					"mqtt_payload_size": c.not,
				}, got)
				ackAll(t, acks, nil)
				for id := range uint16(3) {
					require.Equal(t, ackOf(ack, id+1), p.read().String())
				}
			}
		})
	}
}

// An identifier that is reused after a reconnect with another payload is another
// message, even if neither payload was kept.
func TestOversizedPayloadsOfQoS2AreDistinguished(t *testing.T) {
	b, p, in, _ := connected(t, "oversized_payload: fail\nmax_payload_bytes: 1KiB")
	size := func() any {
		batch, ack := readBatch(t, in)
		require.Len(t, batch, 1)
		require.NoError(t, ack(t.Context(), nil))
		require.Equal(t, ackOf(typePubrec, 1), p.read().String())
		return metadata(t, batch[0])[metaPayloadSize]
	}
	p.write(publish("a/b", 2, 1, strings.Repeat("x", 2000)))
	require.Equal(t, 2000, size())
	p.conn.Close()
	<-in.current().dead
	done := background(in)
	p = b.joined(done, true, false)
	p.write(publish("a/b", 2, 1, strings.Repeat("x", 2001)))
	require.Equal(t, 2001, size())
}

// Properties may be as large as a packet, and use many times that memory once they are
// decoded.
func TestPropertiesAreBoundedWithThePayload(t *testing.T) {
	b := newScripted(t)
	in, _ := started(t, b.url(), "clean_session: false\nmax_payload_bytes: 1KiB")
	done := background(in)
	p := b.joined5(done, false, true)
	property := append([]byte{propUserProperty}, append(text("k"), text("v")...)...)
	properties := bytes.Repeat(property, 20_000)
	length := []byte{byte(len(properties)&0x7f | 0x80), byte(len(properties)>>7&0x7f | 0x80), byte(len(properties) >> 14)}
	go func() {
		_, _ = p.conn.Write(packet(0x32, text("a/b"), u16(1), length, properties, []byte("small")))
	}()
	require.Equal(t, []frame{{0xe0, []byte{reasonQuota}}}, p.gone())
	err := in.Connect(t.Context())
	for err == nil {
		err = in.Connect(t.Context())
	}
	require.ErrorContains(t, err, "whose payload does not begin within the first 65536, as it must where max_payload_bytes is set")
}
