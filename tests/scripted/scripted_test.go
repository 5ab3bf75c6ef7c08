package scripted

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 5 * time.Second

func start(t *testing.T, opts Options) *Broker {
	t.Helper()
	b, err := Listen(opts)
	require.NoError(t, err)
	t.Cleanup(b.Close)
	return b
}

// client speaks to a broker packet by packet.
type client struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
}

func connect(t *testing.T, b *Broker, v5, clean bool) *client {
	t.Helper()
	conn, err := net.Dial("tcp", b.ln.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	c := &client{t, conn, bufio.NewReader(conn)}
	version, flags, properties := byte(4), byte(0), []byte(nil)
	if clean {
		flags = 2
	}
	if v5 {
		version, properties = 5, []byte{5, 17, 255, 255, 255, 255}
	}
	c.write(encode(0x10, text("MQTT"), []byte{version, flags, 0, 0}, properties, text("me")))
	return c
}

func (c *client) write(packets ...[]byte) {
	c.t.Helper()
	_, err := c.conn.Write(slices.Concat(packets...))
	require.NoError(c.t, err)
}

func (c *client) read() string {
	c.t.Helper()
	require.NoError(c.t, c.conn.SetReadDeadline(time.Now().Add(patience)))
	f, err := readFrame(c.r)
	if err != nil {
		require.NotErrorIs(c.t, err, &net.OpError{})
		return "gone"
	}
	return fmt.Sprintf("%02x %q", f.first, f.body)
}

func (c *client) silent() {
	c.t.Helper()
	require.NoError(c.t, c.conn.SetReadDeadline(time.Now().Add(30*time.Millisecond)))
	_, err := c.r.Peek(1)
	require.ErrorContains(c.t, err, "timeout")
}

func (c *client) want(packets ...string) {
	c.t.Helper()
	for _, p := range packets {
		require.Equal(c.t, p, c.read())
	}
}

func (c *client) subscribe() {
	c.t.Helper()
	c.write(encode(0x82, u16(9), text("a/#"), []byte{2}))
}

const (
	welcomeNew  = `20 "\x00\x00"`
	welcomeBack = `20 "\x01\x00"`
	granted     = `90 "\x00\t\x02"`
	denied      = `90 "\x00\t\x80"`
)

// publish is how a PUBLISH looks to read.
func publish(first byte, id int, payload string) string {
	if id == 0 {
		return fmt.Sprintf("%02x %q", first, "\x00\x03a/b"+payload)
	}
	return fmt.Sprintf("%02x %q", first, "\x00\x03a/b\x00"+string(rune(id))+payload)
}

func message(qos byte, payload string) Message {
	return Message{Topic: "a/b", QoS: qos, Payload: payload}
}

// subscribed has a session with three messages of which the second is answered.
func subscribed(t *testing.T, b *Broker) {
	t.Helper()
	c := connect(t, b, false, false)
	c.want(welcomeNew)
	c.subscribe()
	c.want(granted)
	b.Publish(message(1, "x"), message(2, "y"), message(1, "z"), message(0, "zero"))
	c.want(publish(0x32, 1, "x"), publish(0x34, 2, "y"), publish(0x32, 3, "z"), publish(0x30, 0, "zero"))
	c.write(encode(0x50, u16(2)))
	c.want(`62 "\x00\x02"`)
	c.conn.Close()
	require.Eventually(t, func() bool { b.mu.Lock(); defer b.mu.Unlock(); return b.current == nil }, patience, time.Millisecond)
}

func TestRealClientsGetEverything(t *testing.T) {
	for _, qos := range []byte{0, 1, 2} {
		for _, how := range []Behaviour{{}, {BytewiseUpTo: 1 << 20}, {Window: 1}, {Suback: SubackLate, SubackDelay: time.Millisecond}} {
			b := start(t, Options{Script: []Behaviour{how}})
			got := make(chan string, 100)
			c := paho.NewClient(paho.NewClientOptions().AddBroker(b.URL()).SetClientID("x").SetProtocolVersion(4).
				SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) { got <- string(m.Payload()) }))
			token := c.Connect()
			require.True(t, token.WaitTimeout(patience))
			require.NoError(t, token.Error())
			token = c.Subscribe("a/+", qos, nil)
			require.True(t, token.WaitTimeout(patience))
			require.NoError(t, token.Error())
			for i := range 100 {
				b.Publish(message(2, strconv.Itoa(i)))
			}
			for i := range 100 {
				require.Equal(t, strconv.Itoa(i), <-got)
			}
			if qos > 0 {
				require.Eventually(t, func() bool { return len(b.Acked()) == 100 && b.Waiting() == 0 }, patience, time.Millisecond)
			}
			c.Disconnect(100)
			require.Empty(t, b.Problems())
			b.Close()
		}
	}
}

func TestRedelivery(t *testing.T) {
	for name, test := range map[string]struct {
		how  Behaviour
		want []string
	}{
		"as the standard wants it": {Behaviour{}, []string{publish(0x3a, 1, "x"), publish(0x3a, 3, "z")}},
		"fresh identifiers":        {Behaviour{FreshIdentifiers: true}, []string{publish(0x3a, 4, "x"), publish(0x3a, 5, "z")}},
		"never DUP":                {Behaviour{Dup: DupNever}, []string{publish(0x32, 1, "x"), publish(0x32, 3, "z")}},
		"shuffled": {
			Behaviour{Shuffle: func(n int, swap func(i, j int)) { swap(0, n-1) }},
			[]string{publish(0x3a, 3, "z"), publish(0x3a, 1, "x")},
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t, Options{Script: []Behaviour{{}, test.how}})
			subscribed(t, b)
			c := connect(t, b, false, false)
			c.want(welcomeBack, `62 "\x00\x02"`)
			c.want(test.want...)
			require.Equal(t, []Message{message(2, "y")}, b.Acked())
			require.Equal(t, 2, b.Waiting())
			require.Empty(t, b.Lost())
		})
	}
}

func TestSessions(t *testing.T) {
	t.Run("lost", func(t *testing.T) {
		b := start(t, Options{Script: []Behaviour{{}, {Session: Lost}}})
		subscribed(t, b)
		c := connect(t, b, false, false)
		c.want(welcomeNew)
		require.False(t, b.Subscribed("a/b"))
		b.Publish(message(1, "late"))
		c.silent()
		lost := b.Lost()
		require.Len(t, lost, 3)
		require.Equal(t, []Message{message(1, "x"), message(1, "z"), message(1, "late")}, []Message{lost[0].Message, lost[1].Message, lost[2].Message})
		require.Positive(t, lost[0].Held)
		require.Zero(t, lost[2].Held)
	})
	t.Run("half kept", func(t *testing.T) {
		b := start(t, Options{Script: []Behaviour{{}, {Session: HalfKept}}})
		subscribed(t, b)
		c := connect(t, b, false, false)
		c.want(welcomeBack, `62 "\x00\x02"`, publish(0x3a, 1, "x"), publish(0x3a, 3, "z"))
		b.Publish(message(1, "unwanted"))
		c.silent()
		c.subscribe()
		c.want(granted)
		b.Publish(message(1, "wanted"))
		c.want(publish(0x32, 4, "wanted"))
	})
	t.Run("clean", func(t *testing.T) {
		b := start(t, Options{})
		subscribed(t, b)
		c := connect(t, b, true, true)
		c.want(`20 "\x00\x00\x00"`)
	})
	t.Run("taken over", func(t *testing.T) {
		b := start(t, Options{})
		first := connect(t, b, false, false)
		first.want(welcomeNew)
		second := connect(t, b, false, false)
		second.want(welcomeBack)
		first.want("gone")
		made, welcomed := b.Connections()
		require.Equal(t, []int{2, 2}, []int{made, welcomed})
	})
}

func TestSubacks(t *testing.T) {
	resumed := func(t *testing.T, how Behaviour) (*Broker, *client) {
		b := start(t, Options{Script: []Behaviour{{}, how}})
		subscribed(t, b)
		c := connect(t, b, false, false)
		c.want(welcomeBack, `62 "\x00\x02"`)
		return b, c
	}
	x, z := publish(0x3a, 1, "x"), publish(0x3a, 3, "z")
	t.Run("early", func(t *testing.T) {
		_, c := resumed(t, Behaviour{Suback: SubackEarly})
		c.subscribe()
		c.want(granted, x, z)
	})
	t.Run("early without SUBSCRIBE", func(t *testing.T) {
		_, c := resumed(t, Behaviour{Suback: SubackEarly})
		c.want(x, z)
	})
	t.Run("late", func(t *testing.T) {
		_, c := resumed(t, Behaviour{Suback: SubackLate, SubackDelay: time.Millisecond})
		c.subscribe()
		c.want(x, z, granted)
	})
	t.Run("never", func(t *testing.T) {
		b, c := resumed(t, Behaviour{Suback: SubackNever})
		c.want(x, z)
		c.subscribe()
		c.silent()
		require.True(t, b.Subscribed("a/b"))
	})
	t.Run("refused", func(t *testing.T) {
		b := start(t, Options{Script: []Behaviour{{Suback: SubackRefused}}})
		c := connect(t, b, false, false)
		c.want(welcomeNew)
		c.subscribe()
		c.want(denied)
		require.False(t, b.Subscribed("a/b"))
	})
	t.Run("refused in part", func(t *testing.T) {
		b := start(t, Options{Script: []Behaviour{{Suback: SubackRefusedPart}}})
		c := connect(t, b, false, false)
		c.want(welcomeNew)
		c.write(encode(0x82, u16(9), text("a/#"), []byte{1}, text("b/#"), []byte{1}))
		c.want(`90 "\x00\t\x01\x80"`)
		require.True(t, b.Subscribed("a/b"))
		require.False(t, b.Subscribed("b/b"))
	})
	t.Run("after the first acknowledgement", func(t *testing.T) {
		_, c := resumed(t, Behaviour{Suback: SubackAfterAck})
		c.want(x, z)
		c.subscribe()
		c.silent()
		c.write(encode(0x40, u16(1)))
		c.want(granted)
	})
}

func TestRefusals(t *testing.T) {
	for name, test := range map[string]struct {
		refusal *Refusal
		want    []string
	}{
		"old":     {RefusedOld, []string{`20 "\x00\x01"`, "gone"}},
		"mixed":   {RefusedMixed, []string{`20 "\x00\x01\x00"`, "gone"}},
		"version": {RefusedVersion, []string{`20 "\x00\x84\x00"`, "gone"}},
		"hung up": {HungUp, []string{"gone"}},
		"garbled": {Garbled, []string{`20 "\x00"`, "gone"}},
		"foreign": {Foreign, []string{`d0 ""`, "gone"}},
		"silent":  {Silent, nil},
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t, Options{Only311: test.refusal})
			c := connect(t, b, true, false)
			c.want(test.want...)
			if test.want == nil {
				c.silent()
			}
			connect(t, b, false, false).want(welcomeNew)
			made, welcomed := b.Connections()
			require.Equal(t, []int{2, 1}, []int{made, welcomed})
			unanswered := 1
			if test.refusal.Answer != nil && test.refusal.Answer[0] == 0x20 && len(test.refusal.Answer) > 3 {
				unanswered = 0
			}
			require.Eventually(t, func() bool { return b.Unanswered() == unanswered }, patience, time.Millisecond)
		})
	}
}

func TestWindow(t *testing.T) {
	b := start(t, Options{Script: []Behaviour{{Window: 2}}})
	c := connect(t, b, false, false)
	c.want(welcomeNew)
	c.subscribe()
	c.want(granted)
	for i := range 4 {
		b.Publish(message(1, strconv.Itoa(i)))
	}
	c.want(publish(0x32, 1, "0"), publish(0x32, 2, "1"))
	c.silent()
	c.write(encode(0x40, u16(1)))
	c.want(publish(0x32, 3, "2"))
}

func TestTogether(t *testing.T) {
	b := start(t, Options{Script: []Behaviour{{}, {Together: true}}})
	subscribed(t, b)
	c := connect(t, b, false, false)
	c.want(welcomeBack)
	require.Equal(t, 4+10+10, c.r.Buffered(), "PUBREL and two PUBLISH came with it")
}

// A cut lets through what is before it and not one byte more.
func TestEnds(t *testing.T) {
	for _, end := range []End{Cut, Mute, Freeze} {
		// over reads what is left, to the end or until nothing comes.
		over := func(c *client) int {
			t.Helper()
			require.NoError(t, c.conn.SetReadDeadline(time.Now().Add(30*time.Millisecond)))
			rest, err := io.ReadAll(c.r)
			if end == Cut {
				require.NotErrorIs(t, err, os.ErrDeadlineExceeded)
			} else {
				require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			}
			return len(rest)
		}
		for _, n := range []int{-1, 1, 3, 4, 5, 8} {
			b := start(t, Options{Script: []Behaviour{{End: end, AfterSent: n}}})
			c := connect(t, b, false, false)
			if n > 4 {
				c.subscribe()
			}
			require.Equal(t, max(n, 0), over(c))
			b.Close()
		}
		for _, n := range []int{-1, 1, 15, 16, 17, 24} {
			b := start(t, Options{Script: []Behaviour{{End: end, AfterReceived: n}}})
			c := connect(t, b, false, false)
			if n > 16 { // CONNECT has 16 bytes
				c.want(welcomeNew)
				c.subscribe()
			}
			require.Zero(t, over(c))
			require.False(t, b.Subscribed("a/b"))
			b.Close()
		}
		b := start(t, Options{Script: []Behaviour{{End: end, After: time.Millisecond, Farewell: []byte{0xe0, 1, 0x8b}}}})
		c := connect(t, b, true, false)
		c.want(`20 "\x00\x00\x00"`, `e0 "\x8b"`)
		require.Zero(t, over(c))
		b.Close()
	}
}

func TestProblemsOfTheClient(t *testing.T) {
	for name, test := range map[string]struct {
		packet []byte
		want   string
	}{
		"the wrong order":   {encode(0x40, u16(3)), "connection 2: packet 4 answers the identifier 3, while 1 stands before it"},
		"unknown":           {encode(0x40, u16(7)), "connection 2: packet 4 answers the identifier 7"},
		"PUBCOMP too early": {encode(0x70, u16(1)), "connection 2: packet 7 answers the identifier 1 of QoS 1"},
		"a second CONNECT":  {encode(0x10, text("MQTT")), `connection 2: the packet 10`},
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t, Options{})
			subscribed(t, b)
			c := connect(t, b, false, false)
			c.write(test.packet)
			require.Eventually(t, func() bool { return len(b.Problems()) == 1 }, patience, time.Millisecond)
			require.Contains(t, b.Problems()[0], test.want)
		})
	}
}

func TestMatches(t *testing.T) {
	for _, test := range []struct {
		filter, topic string
		want          bool
	}{
		{"a/b", "a/b", true},
		{"a/b", "a", false},
		{"a", "a/b", false},
		{"a/#", "a", true},
		{"a/#", "a/b/c", true},
		{"+/b", "a/b", true},
		{"+", "a/b", false},
		{"#", "a/b", true},
		{"a/+", "a", false},
	} {
		require.Equal(t, test.want, matches(test.filter, test.topic), "%s %s", test.filter, test.topic)
	}
}
