package mqtt

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redpanda-data/benthos/v4/public/service"
)

func slogTo(l *logs) *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

const v311 = "protocol_version: 3.1.1\nclean_session: false\n"

// connected is an input with one connection of MQTT 3.1.1.
func connected(t *testing.T, yaml string) (*scripted, *peer, *input, *logs) {
	t.Helper()
	b := newScripted(t)
	in, l := started(t, b.url(), v311+yaml)
	done := background(in)
	p := b.accept()
	p.welcome(false, true)
	require.NoError(t, wait(t, done))
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
	require.NoError(t, acks[0](t.Context(), nil), "a second ack does nothing")
	for i := range 6 {
		require.Equal(t, ackOf(typePuback, uint16(i+1)), p.read().String())
	}
	p.silent(20 * time.Millisecond)
}

func TestInputWithholdsAckUntilPipelineIsDone(t *testing.T) {
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

func TestInputReconnectRedeliversAndLateAckDoesNothing(t *testing.T) {
	b, p, in, l := connected(t, "")
	p.write(publish("a/b", 1, 1, "one"), publish("a/b", 1, 2, "two"), publish("a/b", 0, 0, "zero"))
	_, acks := readN(t, in, 3)
	p.conn.Close()
	_, _, err := in.ReadBatch(t.Context())
	require.ErrorIs(t, err, service.ErrNotConnected)
	require.Equal(t, 1, l.count("Lost the connection"))

	done := background(in)
	p = b.accept()
	p.welcome(true, false) // the session is there: nothing is subscribed again
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

func TestInputSubscribesAgainWhenSessionIsGone(t *testing.T) {
	b, p, in, l := connected(t, "")
	p.write(publish("a/b", 1, 1, "kept"), publish("a/b", 0, 0, "zero"))
	require.Eventually(t, func() bool { n, _, _ := in.current().inflight.oldest(); return n == 1 }, patience, time.Millisecond)
	p.conn.Close()
	<-in.current().dead
	done := background(in)
	p = b.accept()
	p.welcome(false, true)
	require.NoError(t, wait(t, done))
	require.Equal(t, 1, l.count("has not kept our session"))

	// What nobody sends again is handed over all the same.
	payloads, acks := readN(t, in, 2)
	require.Equal(t, []string{"kept", "zero"}, payloads)
	ackAll(t, acks, nil)
	p.silent(20 * time.Millisecond)
}

func TestInputDropsUnreadMessagesThatComeAgain(t *testing.T) {
	b, p, in, _ := connected(t, "")
	p.write(publish("a/b", 1, 1, "again"), publish("a/b", 0, 0, "zero"), publish("a/b", 2, 2, "twice"))
	require.Eventually(t, func() bool { n, _, _ := in.current().inflight.oldest(); return n == 2 }, patience, time.Millisecond)
	p.conn.Close()
	<-in.current().dead
	done := background(in)
	p = b.accept()
	p.welcome(true, false)
	require.NoError(t, wait(t, done))
	p.write(publish("a/b", 1, 5, "again"), publish("a/b", 2, 2, "twice"))
	payloads, acks := readN(t, in, 3)
	require.Equal(t, []string{"zero", "again", "twice"}, payloads)
	ackAll(t, acks, nil)
	require.Equal(t, ackOf(typePuback, 5), p.read().String())
	require.Equal(t, ackOf(typePubrec, 2), p.read().String())
}

func TestInputNackClosesTheConnectionSoThatTheBrokerRedelivers(t *testing.T) {
	b, p, in, l := connected(t, "max_batch_messages: 1")
	p.write(publish("a/b", 1, 1, "good"), publish("a/b", 2, 2, "bad"))
	_, acks := readN(t, in, 2)
	require.NoError(t, acks[0](t.Context(), nil))
	require.NoError(t, acks[1](t.Context(), errors.New("no room")))
	_, _, err := in.ReadBatch(t.Context())
	require.ErrorIs(t, err, service.ErrNotConnected)
	require.Equal(t, 1, l.count("no room"))

	done := background(in)
	var got []string
	for _, f := range p.gone() {
		got = append(got, f.String())
	}
	require.Equal(t, []string{ackOf(typePuback, 1), "e0 "}, got)
	p = b.accept()
	p.welcome(true, false)
	require.NoError(t, wait(t, done))
	p.write(publish("a/b", 2, 2, "bad"))
	payloads, acks := readN(t, in, 1)
	require.Equal(t, []string{"bad"}, payloads)
	ackAll(t, acks, nil)
	require.Equal(t, ackOf(typePubrec, 2), p.read().String())
}

func TestInputQoS2(t *testing.T) {
	b, p, in, _ := connected(t, "")
	p.write(publish("a/b", 2, 1, "one"), publish("a/b", 2, 1, "one"), publish("a/b", 2, 2, "two"))
	payloads, acks := readN(t, in, 2)
	require.Equal(t, []string{"one", "two"}, payloads)
	ackAll(t, acks, nil)
	require.Equal(t, ackOf(typePubrec, 1), p.read().String())
	require.Equal(t, ackOf(typePubrec, 2), p.read().String())
	p.write(publish("a/b", 2, 1, "one"))
	require.Equal(t, ackOf(typePubrec, 1), p.read().String(), "a repetition after PUBREC gets another")
	p.write(appendAck(nil, typePubrel, 1))
	require.Equal(t, ackOf(typePubcomp, 1), p.read().String())
	p.write(publish("a/b", 2, 1, "one"))
	payloads, acks = readN(t, in, 1)
	require.Equal(t, []string{"one"}, payloads, "after PUBREL the identifier is free")

	// Over a reconnect: 2 was acknowledged, 1 is with the pipeline, 3 is new.
	p.conn.Close()
	<-in.current().dead
	done := background(in)
	p = b.accept()
	p.welcome(true, false)
	require.NoError(t, wait(t, done))
	p.write(publish("a/b", 2, 2, "two"), publish("a/b", 2, 1, "one"), publish("a/b", 2, 3, "three"))
	require.Equal(t, ackOf(typePubrec, 2), p.read().String())
	payloads, more := readN(t, in, 1)
	require.Equal(t, []string{"three"}, payloads)
	ackAll(t, more, nil)
	p.silent(50 * time.Millisecond)
	ackAll(t, acks, nil)
	require.Equal(t, ackOf(typePubrec, 1), p.read().String())
	require.Equal(t, ackOf(typePubrec, 3), p.read().String())
	p.write(appendAck(nil, typePubrel, 99))
	require.Equal(t, ackOf(typePubcomp, 99), p.read().String(), "an unknown PUBREL is answered")
}

// A broker that numbers anew after a reconnect uses the identifier of a message
// that was acknowledged for another one. Taking it for a repetition would lose it.
func TestInputQoS2RenumberedMessageIsNotTakenForARepetition(t *testing.T) {
	b, p, in, _ := connected(t, "")
	p.write(publish("a/b", 2, 1, "one"))
	_, acks := readN(t, in, 1)
	ackAll(t, acks, nil)
	require.Equal(t, ackOf(typePubrec, 1), p.read().String())
	p.conn.Close()
	<-in.current().dead
	done := background(in)
	p = b.accept()
	p.welcome(true, false)
	require.NoError(t, wait(t, done))
	p.write(publish("a/b", 2, 1, "other"))
	payloads, _ := readN(t, in, 1)
	require.Equal(t, []string{"other"}, payloads)
}

func TestInputRefusedSubscription(t *testing.T) {
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
	require.Equal(t, stubbornWait, backOff.Wait)
}

func TestInputTakenOver(t *testing.T) {
	b := newScripted(t)
	in, l := started(t, b.url(), "")
	done := background(in)
	p := b.accept()
	p.welcome5(false, true)
	require.NoError(t, wait(t, done))
	p.write([]byte{0xe0, 1, 0x8e})
	_, _, err := in.ReadBatch(t.Context())
	require.ErrorIs(t, err, service.ErrNotConnected)
	require.Equal(t, 1, l.count("session taken over (0x8E): another client connected with the same client_id"))
}

func TestInputMalformedPacketClosesTheConnection(t *testing.T) {
	b := newScripted(t)
	in, l := started(t, b.url(), "")
	done := background(in)
	p := b.accept()
	p.welcome5(false, true)
	require.NoError(t, wait(t, done))
	p.write(publish5("a/b", 1, 1, nil, "fine"), packet(0x36, text("a/b"), u16(1)))
	require.Equal(t, []frame{{0xe0, []byte{0x81}}}, p.gone())
	_, _, err := in.ReadBatch(t.Context())
	require.ErrorIs(t, err, service.ErrNotConnected)
	require.Equal(t, 1, l.count("QoS 3 does not exist"))
}

func TestInputBackPressure(t *testing.T) {
	_, p, in, _ := connected(t, "max_pending_bytes: 64KiB\nmax_batch_messages: 10\nkeepalive: 1")
	payload := string(make([]byte, 1000))
	written := make(chan error, 1)
	const total = 20_000
	go func() {
		for range total / 100 {
			var chunk []byte
			for range 100 {
				chunk = append(chunk, publish("a/b", 0, 0, payload)...)
			}
			if _, err := p.conn.Write(chunk); err != nil {
				written <- err
				return
			}
		}
		written <- nil
	}()
	s := in.current()
	require.Eventually(t, s.suspended.Load, patience, time.Millisecond)
	// A PINGRESP cannot be seen behind what we do not read. Pings go on.
	for range 3 {
		require.Equal(t, "c0 ", p.read().String())
	}
	s.mailbox.mu.Lock()
	held := s.mailbox.bytes
	s.mailbox.mu.Unlock()
	require.Less(t, held, 64<<10+2*readBuffer)
	payloads, _ := readN(t, in, total)
	require.Len(t, payloads, total)
	require.NoError(t, wait(t, written))
	require.Same(t, s, in.current())
	require.NoError(t, s.reason())
}

func TestInputSilentBrokerIsLeft(t *testing.T) {
	_, p, in, l := connected(t, "keepalive: 1")
	require.Equal(t, "c0 ", p.read().String())
	p.write([]byte{0xd0, 0})
	require.Equal(t, "c0 ", p.read().String())
	_, _, err := in.ReadBatch(t.Context())
	require.ErrorIs(t, err, service.ErrNotConnected)
	require.Equal(t, 1, l.count("does not answer pings"))
}

// A broker with a large backlog sends it before its SUBACK. Connect must not
// wait for an answer that cannot be read before the pipeline takes messages.
func TestInputBacklogBeforeTheSuback(t *testing.T) {
	b := newScripted(t)
	in, _ := started(t, b.url(), v311+"max_pending_bytes: 10KiB")
	done := background(in)
	p := b.accept()
	require.Equal(t, byte(4), p.version())
	p.write([]byte{0x20, 2, 1, 0})
	p.read()
	const total = 2000
	go func() {
		var all []byte
		for i := range total {
			all = append(all, publish("a/b", 1, uint16(i+1), strconv.Itoa(i))...)
		}
		_, _ = p.conn.Write(append(all, 0x90, 3, 0, 1, 1)) // the reader tells
	}()
	require.NoError(t, wait(t, done))
	_, acks := readN(t, in, total)
	ackAll(t, acks, nil)
	for i := range total {
		require.Equal(t, ackOf(typePuback, uint16(i+1)), p.read().String())
	}
	wait(t, in.current().subscribed)
}

func TestInputStallWarning(t *testing.T) {
	_, p, in, l := connected(t, "stall_warning: 50ms")
	p.write(publish("a/slow", 1, 1, "x"), publish("a/b", 1, 2, "y"))
	_, acks := readN(t, in, 2)
	in.monitor.note(errors.New("kafka is away"))
	require.Eventually(t, func() bool { return l.count("kafka is away") == 1 }, patience, time.Millisecond)
	require.Equal(t, 1, l.count("a/slow"))
	time.Sleep(100 * time.Millisecond) // a second line would come by now
	require.Equal(t, 1, l.count("a/slow"))
	ackAll(t, acks, nil)
}

func TestInputWarnsWhenReconnectLoses(t *testing.T) {
	for yaml, want := range map[string]int{
		"":                                    1,
		"clean_session: false":                0,
		"clean_session: false\nclient_id: ''": 1,
		"qos: 0":                              0,
	} {
		conf, err := parse(t, "urls: ['tcp://127.0.0.1:1']\ntopics: [a]\nclient_id: x\n"+yaml)
		if err != nil { // client_id stands twice
			conf, err = parse(t, "urls: ['tcp://127.0.0.1:1']\ntopics: [a]\n"+yaml)
		}
		require.NoError(t, err)
		l := new(logs)
		in := newInput(conf, service.MockResources(service.MockResourcesOptUseLogger(service.NewLoggerFromSlog(slogTo(l)))))
		require.Error(t, in.Connect(t.Context()))
		require.Equal(t, want, l.count("are lost, because"), yaml)
		require.NoError(t, in.Close(t.Context()))
	}
}

func TestInputRepeatedFailureIsToldOnce(t *testing.T) {
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

func TestInputEndsEverywhere(t *testing.T) {
	deadline := func(t *testing.T, in *input) {
		t.Helper()
		begun := time.Now()
		require.NoError(t, in.Close(t.Context()))
		require.NoError(t, in.Close(t.Context()), "twice")
		require.Less(t, time.Since(begun), 3*time.Second)
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

func TestInputGoodbyeCarriesTheLastAcks(t *testing.T) {
	_, p, in, _ := connected(t, "")
	p.write(publish("a/b", 1, 1, "x"))
	_, acks := readN(t, in, 1)
	ackAll(t, acks, nil)
	go func() { _ = in.Close(context.Background()) }()
	require.Equal(t, ackOf(typePuback, 1), p.read().String())
	require.Equal(t, "e0 ", p.read().String())
	p.conn.Close()
}
