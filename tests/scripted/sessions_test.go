package scripted

import (
	"strconv"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/stretchr/testify/require"
)

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
