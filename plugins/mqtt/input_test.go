package mqtt

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/robustmq/robustmq-connect/tests/logtext"
)

const v311 = "protocol_version: 3.1.1\nclean_session: false\n"

// connected returns an input with one connection of MQTT 3.1.1.

func connected(t *testing.T, yaml string) (*scripted, *peer, *input, *logtext.Text) {
	t.Helper()
	b := newScripted(t)
	in, l := started(t, b.url(), v311+yaml)
	done := background(in)
	p := b.joined(done, false, true)
	return b, p, in, l
}

func TestInputAcksInOrderOfArrival(t *testing.T) {
	_, p, in, _ := connected(t, "max_batch_messages: 2")
	for i := range 6 {
		p.write(publish("a/b", 1, uint16(i+1), strconv.Itoa(i)))
	}
	require.Eventually(t, func() bool { n, _, _ := in.current().inflight.oldest(); return n == 6 }, patience, time.Millisecond)
	payloads, acks := readN(t, in, 6)
	require.Equal(t, []string{"0", "1", "2", "3", "4", "5"}, payloads)
	require.Len(t, acks, 3)

	require.NoError(t, acks[2](t.Context(), nil))
	require.NoError(t, acks[1](t.Context(), nil))
	p.silent(50 * time.Millisecond)
	require.NoError(t, acks[0](t.Context(), nil))
	require.NoError(t, acks[0](t.Context(), nil), "a second ack is ignored")
	for i := range 6 {
		require.Equal(t, ackOf(typePuback, uint16(i+1)), p.read().String())
	}
	p.silent(20 * time.Millisecond)
}

func TestInputAcksOnlyWhenThePipelineHasFinished(t *testing.T) {
	_, p, in, _ := connected(t, "")
	p.write(publish("a/b", 1, 7, "x"))
	_, ack := readBatch(t, in)
	p.silent(50 * time.Millisecond)
	require.NoError(t, ack(t.Context(), nil))
	require.Equal(t, ackOf(typePuback, 7), p.read().String())
}

func TestInputMetadata(t *testing.T) {
	_, p, in, _ := connected(t, "")
	before := time.Now().UnixMilli()
	p.write(packet(0x30|8|2|1, text("a/b"), u16(9), []byte("x")), publish("a/empty", 0, 0, ""))
	var batch service.MessageBatch
	for len(batch) < 2 {
		more, _ := readBatch(t, in)
		batch = append(batch, more...)
	}
	want := map[string]any{
		"mqtt_duplicate": true, "mqtt_qos": 1, "mqtt_retained": true, "mqtt_topic": "a/b", "mqtt_message_id": 9,
	}
	got := metadata(t, batch[0])
	at, ok := got["mqtt_timestamp_ms"].(int64)
	require.True(t, ok)
	require.InDelta(t, before, at, 2000)
	delete(got, "mqtt_timestamp_ms")
	require.Equal(t, want, got)
	require.True(t, batch[1].HasBytes())
}

func metadata(t *testing.T, m *service.Message) map[string]any {
	t.Helper()
	all := map[string]any{}
	require.NoError(t, m.MetaWalkMut(func(key string, value any) error {
		all[key] = value
		return nil
	}))
	return all
}

func TestInputIgnoresLateAckAfterReconnect(t *testing.T) {
	b, p, in, l := connected(t, "")
	p.write(publish("a/b", 1, 1, "one"), publish("a/b", 1, 2, "two"), publish("a/b", 0, 0, "zero"))
	_, acks := readN(t, in, 3)
	p.conn.Close()
	_, _, err := in.ReadBatch(t.Context())
	require.ErrorIs(t, err, service.ErrNotConnected)
	require.Len(t, l.Lines("Lost the connection"), 1)

	done := background(in)
	p = b.accept()
	p.welcome(true, false) // the session is present: the input does not subscribe again
	require.NoError(t, wait(t, done))
	p.write(publish("a/b", 1, 1, "one"), publish("a/b", 1, 2, "two"))
	payloads, again := readN(t, in, 2)
	require.Equal(t, []string{"one", "two"}, payloads)
	ackAll(t, acks, nil)
	p.silent(50 * time.Millisecond)
	ackAll(t, again, nil)
	require.Equal(t, ackOf(typePuback, 1), p.read().String())
	require.Equal(t, ackOf(typePuback, 2), p.read().String())
}

func TestInputSubscribesAgainWhenTheSessionIsLost(t *testing.T) {
	b, p, in, l := connected(t, "")
	p.write(publish("a/b", 1, 1, "kept"), publish("a/b", 0, 0, "zero"))
	require.Eventually(t, func() bool { n, _, _ := in.current().inflight.oldest(); return n == 1 }, patience, time.Millisecond)
	p.conn.Close()
	<-in.current().dead
	done := background(in)
	p = b.joined(done, false, true)
	require.Len(t, l.Lines("has not kept the session"), 1)

	// Messages that nobody redelivers are still handed over.
	payloads, acks := readN(t, in, 2)
	require.Equal(t, []string{"kept", "zero"}, payloads)
	ackAll(t, acks, nil)
	p.silent(20 * time.Millisecond)
}

func TestInputDropsUnreadMessagesThatAreRedelivered(t *testing.T) {
	b, p, in, _ := connected(t, "")
	p.write(publish("a/b", 1, 1, "again"), publish("a/b", 0, 0, "zero"), publish("a/b", 2, 2, "twice"))
	require.Eventually(t, func() bool { n, _, _ := in.current().inflight.oldest(); return n == 2 }, patience, time.Millisecond)
	p.conn.Close()
	<-in.current().dead
	done := background(in)
	p = b.joined(done, true, false)
	p.write(publish("a/b", 1, 5, "again"), publish("a/b", 2, 2, "twice"))
	payloads, acks := readN(t, in, 3)
	require.Equal(t, []string{"zero", "again", "twice"}, payloads)
	ackAll(t, acks, nil)
	require.Equal(t, ackOf(typePuback, 5), p.read().String())
	require.Equal(t, ackOf(typePubrec, 2), p.read().String())
}

func TestInputNackClosesTheConnectionSoThatTheBrokerRedelivers(t *testing.T) {
	b, p, in, l := connected(t, "max_batch_messages: 1\nauto_replay_nacks: false")
	p.write(publish("a/b", 1, 1, "good"), publish("a/b", 2, 2, "bad"))
	_, acks := readN(t, in, 2)
	require.NoError(t, acks[0](t.Context(), nil))
	require.NoError(t, acks[1](t.Context(), errors.New("no room")))
	_, _, err := in.ReadBatch(t.Context())
	require.ErrorIs(t, err, service.ErrNotConnected)
	require.Len(t, l.Lines("no room"), 1)

	done := background(in)
	var got []string
	for _, f := range p.gone() {
		got = append(got, f.String())
	}
	require.Equal(t, []string{ackOf(typePuback, 1), "e0 "}, got)
	p = b.joined(done, true, false)
	p.write(publish("a/b", 2, 2, "bad"))
	payloads, acks := readN(t, in, 1)
	require.Equal(t, []string{"bad"}, payloads)
	ackAll(t, acks, nil)
	require.Equal(t, ackOf(typePubrec, 2), p.read().String())
}

func TestInputReportsARefusedSubscription(t *testing.T) {
	b := newScripted(t)
	in, _ := started(t, b.url(), "protocol_version: '5'")
	done := background(in)
	p := b.accept()
	require.Equal(t, byte(5), p.version())
	p.write([]byte{0x20, 3, 0, 0, 0})
	sub := p.subscribe5()
	reason := append([]byte{31}, text("go away")...)
	p.write(packet(0x90, u16(sub.PacketID), []byte{byte(len(reason))}, reason, []byte{0x87}))
	err := wait(t, done)
	require.ErrorContains(t, err, `subscribing to "a/#": not authorized (0x87), "go away": check what the broker permits this user`)
	require.ErrorContains(t, err, b.url())
	var backOff *service.ErrBackOff
	require.ErrorAs(t, err, &backOff)
	require.Equal(t, in.keeper.permanentWait, backOff.Wait, "longer than after other errors")
}

func TestInputReportsASessionTakeover(t *testing.T) {
	b := newScripted(t)
	in, l := started(t, b.url(), "")
	done := background(in)
	p := b.joined5(done, false, true)
	p.write([]byte{0xe0, 1, 0x8e})
	_, _, err := in.ReadBatch(t.Context())
	require.ErrorIs(t, err, service.ErrNotConnected)
	require.Len(t, l.Lines("session taken over (0x8E): another client connected with the same client_id"), 1)
}

func TestInputMalformedPacketClosesTheConnection(t *testing.T) {
	b := newScripted(t)
	in, l := started(t, b.url(), "")
	done := background(in)
	p := b.joined5(done, false, true)
	p.write(publish5("a/b", 1, 1, nil, "fine"), packet(0x36, text("a/b"), u16(1)))
	// The broker may send both on every connection: what comes first must get through.
	payloads, acks := readN(t, in, 1)
	require.Equal(t, []string{"fine"}, payloads)
	ackAll(t, acks, nil)
	require.Equal(t, []frame{{typePuback << 4, u16(1)}, {0xe0, []byte{reasonMalformed}}}, p.gone())
	untilLost(t, in)
	require.Len(t, l.Lines("QoS 3 does not exist"), 1)
}

// untilLost reads until the input reports that the connection is lost.
func untilLost(t *testing.T, in *input) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		if _, _, err := in.ReadBatch(ctx); err != nil {
			require.ErrorIs(t, err, service.ErrNotConnected)
			return
		}
	}
}

func TestInputWarnsWhenReconnectLoses(t *testing.T) {
	for yaml, want := range map[string]int{
		"":                                    1,
		"clean_session: false":                0,
		"clean_session: false\nclient_id: ''": 1,
		"qos: 0":                              0,
	} {
		conf, err := parse(t, "urls: ['tcp://127.0.0.1:1']\ntopics: [a]\nclient_id: x\n"+yaml)
		if err != nil { // client_id is set twice
			conf, err = parse(t, "urls: ['tcp://127.0.0.1:1']\ntopics: [a]\n"+yaml)
		}
		require.NoError(t, err)
		l := new(logtext.Text)
		in := newInput(conf, service.MockResources(service.MockResourcesOptUseLogger(service.NewLoggerFromSlog(slogTo(l)))))
		require.Error(t, in.Connect(t.Context()))
		require.Len(t, l.Lines("are lost, because"), want, yaml)
		require.NoError(t, in.Close(t.Context()))
	}
}

func TestInputReportsARepeatedFailureOnce(t *testing.T) {
	b := newScripted(t)
	in, _ := started(t, b.url(), v311)
	refuse := func() {
		p := b.accept()
		p.version()
		p.write([]byte{0x20, 2, 0, 3})
	}
	done := background(in)
	refuse()
	err := wait(t, done)
	require.ErrorContains(t, err, "connecting to "+b.url()+": server unavailable (0x88)")
	done = background(in)
	refuse()
	refuse()
	require.Empty(t, done)
	p := b.accept()
	p.version()
	p.write([]byte{0x20, 2, 0, 4})
	require.ErrorContains(t, wait(t, done), "bad user name or password (0x86): check user and password")
}
