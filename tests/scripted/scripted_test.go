package scripted

import (
	"io"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

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

// A cut passes what is before it and not one byte more.
func TestConnectionsEndAtTheirLimit(t *testing.T) {
	for _, end := range []End{Cut, Mute, Freeze} {
		// over reads the rest, until the end or until nothing arrives.
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
		b := start(t, Options{Script: []Behaviour{{End: end, After: 50 * time.Millisecond, Farewell: []byte{0xe0, 1, 0x8b}}}})
		c := connect(t, b, true, false)
		last := c.read()
		if last == `20 "\x00\x00\x00"` { // on a loaded machine the time is over before
			last = c.read()
		}
		require.Equal(t, `e0 "\x8b"`, last)
		require.Zero(t, over(c))
		b.Close()
	}
}

func TestProblemsOfTheClient(t *testing.T) {
	for name, test := range map[string]struct {
		packet []byte
		want   string
	}{
		"the wrong order":   {encode(0x40, u16(3)), "connection 2: packet 4 answers the identifier 3, but must answer 1 first"},
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
