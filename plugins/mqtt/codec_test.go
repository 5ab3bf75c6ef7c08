package mqtt

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	packets5 "github.com/eclipse/paho.golang/packets"
	packets3 "github.com/eclipse/paho.mqtt.golang/packets"
	"github.com/stretchr/testify/require"
)

func pointer[T any](v T) *T { return &v }

// corpus is a set of well-formed PUBLISH packets of MQTT 5.
func corpus() []packets5.Publish {
	all := &packets5.Properties{
		PayloadFormat: pointer(byte(1)), MessageExpiry: pointer(uint32(1 << 20)),
		ContentType: "application/json", ResponseTopic: "reply/to", CorrelationData: []byte{0, 1, 255},
		SubscriptionIdentifier: pointer(300), TopicAlias: pointer(uint16(3)),
		User: []packets5.User{{Key: "k", Value: "v"}, {Key: "k", Value: "w"}, {Key: "", Value: ""}},
	}
	return []packets5.Publish{
		{Topic: "a", Properties: &packets5.Properties{}},
		{Topic: "a/b/c", QoS: 1, PacketID: 65535, Payload: []byte("payload"), Properties: &packets5.Properties{}},
		{Topic: "é/ß", QoS: 2, PacketID: 1, Duplicate: true, Retain: true, Payload: []byte{0, 255}, Properties: all},
		{Topic: "", QoS: 1, PacketID: 9, Payload: []byte("x"), Properties: &packets5.Properties{TopicAlias: pointer(uint16(3))}},
		{Topic: strings.Repeat("long/", 1000), Payload: bytes.Repeat([]byte("y"), 1000), Properties: &packets5.Properties{ContentType: strings.Repeat("z", 300)}},
	}
}

// split returns the flags and the body of an encoded packet.
func split(t testing.TB, encoded []byte) (byte, []byte) {
	t.Helper()
	first, body, _, err := newFrames(bytes.NewReader(encoded)).next()
	require.NoError(t, err)
	require.Equal(t, byte(typePublish), first>>4)
	return first & 0xf, body
}

func encode5(t testing.TB, p *packets5.Publish) []byte {
	t.Helper()
	var buf bytes.Buffer
	_, err := p.WriteTo(&buf)
	require.NoError(t, err)
	return buf.Bytes()
}

func encode3(t testing.TB, p *packets5.Publish) []byte {
	t.Helper()
	old := packets3.NewControlPacket(packets3.Publish).(*packets3.PublishPacket)
	old.TopicName, old.MessageID, old.Payload = p.Topic, p.PacketID, p.Payload
	old.Qos, old.Dup, old.Retain = p.QoS, p.Duplicate, p.Retain
	var buf bytes.Buffer
	require.NoError(t, old.Write(&buf))
	return buf.Bytes()
}

func TestDecodePublishDecodesPahosPackets(t *testing.T) {
	for _, p := range corpus() {
		flags, body := split(t, encode5(t, &p))
		got, err := decodePublish(flags, body, true)
		require.NoError(t, err)
		same5(t, &p, got)
		if p.Topic == "" {
			continue
		}
		flags, body = split(t, encode3(t, &p))
		got, err = decodePublish(flags, body, false)
		require.NoError(t, err)
		p.Properties = &packets5.Properties{}
		same5(t, &p, got)
	}
}

// same5 compares a decoded PUBLISH with the packet that paho encoded.
func same5(t testing.TB, want *packets5.Publish, got rawPublish) {
	t.Helper()
	require.Equal(t, want.Topic, string(got.topic))
	require.True(t, bytes.Equal(want.Payload, got.payload))
	require.Equal(t, []any{want.QoS, want.Duplicate, want.Retain, want.PacketID}, []any{got.qos, got.dup, got.retain, got.id})
	p := got.properties
	if p == nil {
		p = new(properties)
	}
	w := want.Properties
	require.Equal(t, w.PayloadFormat != nil, p.hasPayloadFormat)
	require.Equal(t, w.MessageExpiry != nil, p.hasExpiry)
	if p.hasPayloadFormat {
		require.Equal(t, *w.PayloadFormat, p.payloadFormat)
	}
	if p.hasExpiry {
		require.Equal(t, *w.MessageExpiry, p.expiry)
	}
	require.Equal(t, []string{w.ContentType, w.ResponseTopic, string(w.CorrelationData)}, []string{p.contentType, p.responseTopic, p.correlation})
	require.Len(t, p.user, len(w.User))
	for i, u := range w.User {
		require.Equal(t, userProperty{u.Key, u.Value}, p.user[i])
	}
	if w.TopicAlias != nil {
		require.Equal(t, *w.TopicAlias, got.alias)
	} else {
		require.Zero(t, got.alias)
	}
}

// compare checks the decoder against both of paho's: what ours accepts, they accept and
// decode alike.
func compare(t testing.TB, flags byte, body []byte) {
	t.Helper()
	header := []byte{typePublish<<4 | flags}
	header = binary.AppendUvarint(header, uint64(len(body)))
	if got, err := decodePublish(flags, body, true); err == nil {
		cp, err := packets5.ReadPacket(io.MultiReader(bytes.NewReader(header), bytes.NewReader(body)))
		require.NoError(t, err)
		same5(t, cp.Content.(*packets5.Publish), got)
	} else {
		require.ErrorAs(t, err, new(*packetError))
	}
	if got, err := decodePublish(flags, body, false); err == nil {
		cp, err := packets3.ReadPacket(io.MultiReader(bytes.NewReader(header), bytes.NewReader(body)))
		// paho reports the end of the buffer for an empty payload.
		if err != nil {
			require.ErrorIs(t, err, io.EOF)
			require.Empty(t, got.payload)
		}
		p := cp.(*packets3.PublishPacket)
		same5(t, &packets5.Publish{
			Topic: p.TopicName, Payload: p.Payload, QoS: p.Qos, Duplicate: p.Dup, Retain: p.Retain,
			PacketID: p.MessageID, Properties: &packets5.Properties{},
		}, got)
	} else {
		require.ErrorAs(t, err, new(*packetError))
	}
}

func TestDecodePublishEveryTruncationAndBitFlip(t *testing.T) {
	checked := 0
	for _, p := range corpus()[:4] {
		for _, encoded := range [][]byte{encode5(t, &p), encode3(t, &p)} {
			flags, body := split(t, encoded)
			for n := range body {
				compare(t, flags, body[:n])
				for bit := range 8 {
					flipped := bytes.Clone(body)
					flipped[n] ^= 1 << bit
					compare(t, flags, flipped)
					checked++
				}
			}
			for flags := range byte(16) {
				compare(t, flags, body)
			}
		}
	}
	require.Greater(t, checked, 1000)
}

func TestDecodePublishErrors(t *testing.T) {
	for _, c := range []struct {
		flags byte
		body  []byte
		want  string
	}{
		{6, text("a"), "QoS 3 does not exist"},
		{2, append(text("a"), 0, 0), "packet identifier 0"},
		{0, nil, "topic needs 2 bytes, 0 are left"},
		{0, []byte{0, 5, 'a'}, "topic needs 5 bytes, 1 are left"},
		{2, text("a"), "packet identifier needs 2 bytes, 0 are left"},
		{0, append(text(""), 0), "neither a topic nor a topic alias"},
		{0, append(text("a"), 9), "properties needs 9 bytes, 0 are left"},
		{0, append(text("a"), 0xff, 0xff, 0xff, 0xff, 1), "property length has more than 4 bytes"},
		{0, append(text("a"), 2, 1), "properties needs 2 bytes, 1 are left"},
		{0, append(text("a"), 1, 99), "property 99 is not allowed here"},
		{0, append(text("a"), 3, 35, 0, 0), "topic alias 0"},
		{0, append(text("a"), 3, 3, 0, 9), "content type needs 9 bytes, 0 are left"},
	} {
		_, err := decodePublish(c.flags, c.body, true)
		require.EqualError(t, err, "malformed PUBLISH: "+c.want)
	}
}

func FuzzDecodePublish(f *testing.F) {
	for _, p := range corpus() {
		flags, body := split(f, encode5(f, &p))
		f.Add(flags, body)
		flags, body = split(f, encode3(f, &p))
		f.Add(flags, body)
	}
	f.Fuzz(func(t *testing.T, flags byte, body []byte) { compare(t, flags&0xf, body) })
}

// FuzzRoundTrip encodes packets of any content with paho and decodes them.
func FuzzRoundTrip(f *testing.F) {
	f.Add(int64(1), "a/b", []byte("payload"))
	f.Fuzz(func(t *testing.T, seed int64, topic string, payload []byte) {
		if topic == "" || len(topic) > 65535 {
			return
		}
		r := rand.New(rand.NewPCG(uint64(seed), 1))
		p := &packets5.Publish{Topic: topic, Payload: payload, QoS: byte(r.IntN(3)), Duplicate: r.IntN(2) == 0, Properties: &packets5.Properties{}}
		if p.QoS > 0 {
			p.PacketID = uint16(1 + r.IntN(65535))
		}
		if r.IntN(2) == 0 {
			p.Properties.ContentType = topic
		}
		for range r.IntN(4) {
			p.Properties.User = append(p.Properties.User, packets5.User{Key: topic, Value: string(payload[:min(len(payload), 65535)])})
		}
		flags, body := split(t, encode5(t, p))
		got, err := decodePublish(flags, body, true)
		require.NoError(t, err)
		same5(t, p, got)
	})
}

// FuzzControl feeds arbitrary packets other than PUBLISH.
func FuzzControl(f *testing.F) {
	f.Add([]byte{0, 0, 0})
	f.Add(robustMQConnack[2:])
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, v5 := range []bool{true, false} {
			_, _ = parseConnack(body, v5)
			_, _, _, _ = parseSuback(body, v5)
			s := &line{v5: v5}
			require.Error(t, s.disconnectedBy(body))
		}
	})
}

// robustMQConnack is RobustMQ's answer with MQTT 5. Its Maximum QoS of 2 violates the
// standard (MQTT 5.0 section 3.2.2.3.4).
var robustMQConnack = []byte{
	0x20, 0x20, 0x00, 0x00, 0x1d, 0x11, 0x00, 0x00, 0x00, 0x1e, 0x21, 0xff, 0xff, 0x24, 0x02, 0x25, 0x01,
	0x27, 0x00, 0xa0, 0x00, 0x00, 0x22, 0xff, 0xff, 0x28, 0x01, 0x29, 0x01, 0x2a, 0x01, 0x13, 0x00, 0x3c,
}

func TestParseConnackOfRobustMQ(t *testing.T) {
	ack, err := parseConnack(robustMQConnack[2:], true)
	require.NoError(t, err)
	require.Equal(t, uint16(60), *ack.keepAlive)
	require.Equal(t, uint32(30), *ack.expiry)
	require.Equal(t, uint32(0xa00000), ack.maxPacket)
	require.False(t, ack.noShared)
	require.True(t, ack.robustMQ)
	for _, body := range [][]byte{{0, 0, 0}, {0, 0, 2, 0x24, 1}, {0, 0, 2, 0x24, 0}} {
		ack, err := parseConnack(body, true)
		require.NoError(t, err)
		require.False(t, ack.robustMQ)
	}
}

func TestFramesAllocateOnlyForBytesThatArrived(t *testing.T) {
	// A length of 256 MB, followed by nothing.
	stream := append([]byte{0x30, 0xff, 0xff, 0xff, 0x7f}, make([]byte, 100)...)
	allocated := testing.AllocsPerRun(1, func() {
		_, _, _, err := newFrames(bytes.NewReader(stream)).next()
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	})
	require.Less(t, allocated, 50.0)
	big := packet(0x30, make([]byte, 1<<20))
	_, body, shared, err := newFrames(bytes.NewReader(big)).next()
	require.NoError(t, err)
	require.False(t, shared)
	require.Len(t, body, 1<<20)
	_, _, _, err = newFrames(bytes.NewReader([]byte{0x30, 0xff, 0xff, 0xff, 0xff, 1})).next()
	require.ErrorIs(t, err, errLength)
}

func TestTopicAliasesAreBoundedByTheBytesOfTheirNames(t *testing.T) {
	topics := newTopics(65535)
	name := func(i int) *rawPublish {
		text := []byte(fmt.Sprintf("%05d", i) + strings.Repeat("t", 60_000))
		return &rawPublish{topic: text, alias: uint16(i%65535 + 1)}
	}
	fit := maxAliasBytes / 60_005
	for i := range fit {
		_, err := topics.topicOf(name(i))
		require.NoError(t, err)
	}
	// A new name for an alias frees the bytes of the old one.
	for range 3 * fit {
		_, err := topics.topicOf(name(0))
		require.NoError(t, err)
	}
	known, err := topics.topicOf(&rawPublish{alias: 1})
	require.NoError(t, err)
	require.Len(t, known.name, 60_005)
	_, err = topics.topicOf(name(fit))
	require.Equal(t, &packetError{reasonQuota, "topic aliases for more than 16777216 bytes of topic names: lower topic_alias_maximum"}, err)
}
