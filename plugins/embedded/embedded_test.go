package embedded_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/robustmq/robustmq-connect/plugins/embedded"
)

const loopback = "127.0.0.1:0"

func startBroker(t *testing.T) *embedded.Broker {
	t.Helper()
	b, err := embedded.StartBroker(loopback)
	require.NoError(t, err)
	t.Cleanup(b.Close)
	return b
}

func startKafka(t *testing.T, topics ...string) *embedded.Kafka {
	t.Helper()
	k, err := embedded.StartKafka(loopback, topics...)
	require.NoError(t, err)
	t.Cleanup(k.Close)
	return k
}

func connect(t *testing.T, b *embedded.Broker, id string) paho.Client {
	t.Helper()
	c := paho.NewClient(paho.NewClientOptions().AddBroker(b.URL()).SetClientID(id).SetAutoReconnect(false))
	tok := c.Connect()
	require.True(t, tok.WaitTimeout(time.Minute))
	require.NoError(t, tok.Error())
	t.Cleanup(func() { c.Disconnect(100) })
	return c
}

func TestBrokerDeliversInOrderAndCounts(t *testing.T) {
	const n = 500
	b := startBroker(t)
	require.Equal(t, "tcp://"+b.Addr(), b.URL())

	got := make(chan string, n)
	sub := connect(t, b, "sub")
	subscribed := make(chan error, 1)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	go func() { subscribed <- b.WaitSubscribed(ctx, "a/+") }()
	tok := sub.Subscribe("a/+", 1, func(_ paho.Client, m paho.Message) { got <- string(m.Payload()) })
	require.True(t, tok.WaitTimeout(time.Minute))
	require.NoError(t, tok.Error())
	require.NoError(t, <-subscribed)

	pub := connect(t, b, "pub")
	for i := range n {
		tok := pub.Publish("a/b", 1, false, strconv.Itoa(i))
		require.True(t, tok.WaitTimeout(time.Minute))
		require.NoError(t, tok.Error())
	}
	for i := range n {
		select {
		case m := <-got:
			require.Equal(t, strconv.Itoa(i), m)
		case <-time.After(5 * time.Second):
			t.Fatalf("message %d did not arrive", i)
		}
	}
	assert.EqualValues(t, n, b.Received())
	// A message counts as sent after it was written; the subscriber may receive it
	// before that.
	assert.Eventually(t, func() bool { return b.Sent() == n }, time.Minute, time.Millisecond)
	assert.Zero(t, b.Dropped())
}

func TestBrokerRemovesAnEndedSubscription(t *testing.T) {
	b := startBroker(t)
	c := connect(t, b, "sub")
	require.True(t, c.Subscribe("a/#", 1, nil).WaitTimeout(time.Minute))
	require.NoError(t, b.WaitSubscribed(t.Context(), "a/#"))

	require.True(t, c.Unsubscribe("a/#").WaitTimeout(time.Minute))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	err := b.WaitSubscribed(ctx, "a/#")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	assert.ErrorContains(t, err, `subscription to "a/#"`)
}

// join connects the client "one", and tells whether the broker had its session. got, if there
// is one, is called with each message.
func join(t *testing.T, b *embedded.Broker, clean bool, got func(payload string)) (c paho.Client, present bool) {
	t.Helper()
	c = paho.NewClient(paho.NewClientOptions().AddBroker(b.URL()).SetClientID("one").SetCleanSession(clean).SetAutoReconnect(false).
		SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) {
			if got != nil {
				got(string(m.Payload()))
			}
		}))
	token := c.Connect().(*paho.ConnectToken)
	require.True(t, token.WaitTimeout(time.Minute))
	require.NoError(t, token.Error())
	t.Cleanup(func() { c.Disconnect(0) })
	return c, token.SessionPresent()
}

// slowly delays the first end of a session, and its first move to another connection.
type slowly struct {
	mqtt.HookBase
	ended, moved atomic.Bool
}

func (*slowly) ID() string { return "slowly" }

func (*slowly) Provides(b byte) bool { return b == mqtt.OnUnsubscribed || b == mqtt.OnQosDropped }

func (s *slowly) OnUnsubscribed(*mqtt.Client, packets.Packet) {
	if !s.ended.Swap(true) {
		time.Sleep(100 * time.Millisecond)
	}
}

func (s *slowly) OnQosDropped(*mqtt.Client, packets.Packet) {
	if !s.moved.Swap(true) {
		time.Sleep(100 * time.Millisecond)
	}
}

// Regression: the server removed the session of the new connection with that of the former.
func TestTheEndOfAConnectionLeavesTheNextSessionAlone(t *testing.T) {
	for name, leave := range map[string]func(paho.Client){
		"it has ended":     func(c paho.Client) { c.Disconnect(0) },
		"it is taken over": func(paho.Client) {},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := embedded.StartBroker(loopback, new(slowly))
			require.NoError(t, err)
			t.Cleanup(b.Close)
			c, _ := join(t, b, true, nil)
			require.True(t, c.Subscribe("a", 1, nil).WaitTimeout(time.Minute))
			leave(c)
			time.Sleep(20 * time.Millisecond) // its session is being removed
			c, present := join(t, b, false, nil)
			assert.False(t, present)
			require.True(t, c.Subscribe("a", 1, nil).WaitTimeout(time.Minute))
			time.Sleep(300 * time.Millisecond) // the former one has ended by now
			c.Disconnect(0)
			_, present = join(t, b, false, nil)
			assert.True(t, present)
		})
	}
}

// Regression: the server forgot what was published while a session moved to a new connection.
func TestNothingIsLostWhileAClientConnectsAgain(t *testing.T) {
	b := startBroker(t)
	var mu sync.Mutex
	got := map[string]bool{}
	add := func(payload string) {
		mu.Lock()
		defer mu.Unlock()
		got[payload] = true
	}
	c, _ := join(t, b, false, add)
	require.True(t, c.Subscribe("a", 1, nil).WaitTimeout(time.Minute))

	var sent atomic.Int64
	stop, stopped := make(chan struct{}), make(chan struct{})
	pub := connect(t, b, "pub")
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
			}
			if token := pub.Publish("a", 1, false, strconv.FormatInt(sent.Load(), 10)); !token.WaitTimeout(time.Minute) || token.Error() != nil {
				return
			}
			sent.Add(1)
		}
	}()
	for range 200 {
		c.Disconnect(0)
		c, _ = join(t, b, false, add)
	}
	close(stop)
	<-stopped
	require.Greater(t, sent.Load(), int64(200))
	assert.Eventually(t, func() bool {
		mu.Lock()
		defer mu.Unlock()
		return int64(len(got)) == sent.Load()
	}, time.Minute, 10*time.Millisecond)
	assert.Zero(t, b.Dropped())
}

// Regression: the second of two connections of a client got a part of what waited in its
// session, and the first one, which had ended, the rest.
func TestNothingIsLostWhereAClientConnectsTwiceAtOnce(t *testing.T) {
	b, err := embedded.StartBroker(loopback, new(slowly))
	require.NoError(t, err)
	t.Cleanup(b.Close)
	var got atomic.Int64
	count := func(string) { got.Add(1) }
	c, _ := join(t, b, false, count)
	require.True(t, c.Subscribe("a", 1, nil).WaitTimeout(time.Minute))
	c.Disconnect(0)
	pub := connect(t, b, "pub")
	const n = 100
	for i := range n {
		require.True(t, pub.Publish("a", 1, false, strconv.Itoa(i)).WaitTimeout(time.Minute))
	}

	first, err := net.Dial("tcp", b.Addr())
	require.NoError(t, err)
	_, err = first.Write([]byte("\x10\x0f\x00\x04MQTT\x04\x00\x00\x1e\x00\x03one"))
	require.NoError(t, err)
	time.Sleep(20 * time.Millisecond) // it is getting the session
	require.NoError(t, first.Close())
	_, present := join(t, b, false, count)
	assert.True(t, present)
	assert.Eventually(t, func() bool { return got.Load() == n }, time.Minute, 10*time.Millisecond, "%d", &got)
}

// Regression: a client that connected and sent nothing prevented the server from
// closing.
func TestCloseDoesNotWaitForSilentConnections(t *testing.T) {
	b, err := embedded.StartBroker(loopback)
	require.NoError(t, err)
	k, err := embedded.StartKafka(loopback)
	require.NoError(t, err)

	for addr, closeServer := range map[string]func(){b.Addr(): b.Close, k.Addr(): k.Close} {
		c, err := net.Dial("tcp", addr)
		require.NoError(t, err)
		defer c.Close()

		done := make(chan struct{})
		go func() { closeServer(); close(done) }()
		select {
		case <-done:
		case <-time.After(5 * time.Second):
			t.Fatalf("closing the server on %s hangs", addr)
		}
		closeServer() // closing again is allowed

		require.NoError(t, c.SetReadDeadline(time.Now().Add(5*time.Second)))
		_, err = c.Read(make([]byte, 1))
		require.Error(t, err)
		assert.NotErrorIs(t, err, os.ErrDeadlineExceeded, "the connection is still open")
	}
}

func TestStartErrorNamesTheAddressInUse(t *testing.T) {
	b := startBroker(t)
	_, err := embedded.StartBroker(b.Addr())
	require.ErrorContains(t, err, "starting the embedded MQTT broker on "+b.Addr())
	require.ErrorContains(t, err, "address already in use")

	_, err = embedded.StartKafka(b.Addr())
	require.ErrorContains(t, err, "starting the embedded Kafka on "+b.Addr())
	require.ErrorContains(t, err, "address already in use")

	for _, addr := range []string{"", "1883", ":1883", "127.0.0.1"} {
		_, err = embedded.StartBroker(addr)
		assert.ErrorContains(t, err, "want ", addr)
	}
}

func TestKafkaKeepsRecordsInOrderAndCreatesTopics(t *testing.T) {
	const n = 500
	k := startKafka(t, "seeded")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()

	for _, topic := range []string{"seeded", "made-on-first-use"} {
		cl, err := kgo.NewClient(
			kgo.SeedBrokers(k.Addr()),
			kgo.AllowAutoTopicCreation(),
			kgo.ConsumeTopics(topic),
			kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		)
		require.NoError(t, err)
		defer cl.Close()
		for i := range n {
			cl.Produce(ctx, &kgo.Record{Topic: topic, Key: []byte("k"), Value: fmt.Append(nil, i)}, nil)
		}
		require.NoError(t, cl.Flush(ctx))

		var got []string
		for len(got) < n {
			fs := cl.PollFetches(ctx)
			require.NoError(t, fs.Err())
			fs.EachRecord(func(r *kgo.Record) { got = append(got, string(r.Value)) })
		}
		for i, v := range got {
			require.Equal(t, strconv.Itoa(i), v)
		}
	}
}

// Other programs bootstrap from the address and then connect to the addresses in the
// metadata.
func TestKafkaAdvertisesTheAddressItListensOn(t *testing.T) {
	k := startKafka(t, "seeded")
	cl, err := kgo.NewClient(kgo.SeedBrokers(k.Addr()))
	require.NoError(t, err)
	defer cl.Close()
	meta, err := kadm.NewClient(cl).BrokerMetadata(t.Context())
	require.NoError(t, err)
	require.Len(t, meta.Brokers, 1)
	assert.Equal(t, k.Addr(), net.JoinHostPort(meta.Brokers[0].Host, strconv.Itoa(int(meta.Brokers[0].Port))))
}

func TestKafkaTrimKeepsTheNewestRecords(t *testing.T) {
	const n, size = 120, 900 << 10
	k := startKafka(t, "big")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cl, err := kgo.NewClient(kgo.SeedBrokers(k.Addr()), kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(t, err)
	defer cl.Close()
	value := make([]byte, size)
	for range n {
		require.NoError(t, cl.ProduceSync(ctx, &kgo.Record{Topic: "big", Value: value}).FirstErr())
	}

	adm := kadm.NewClient(cl)
	start := func() int64 {
		offsets, err := adm.ListStartOffsets(ctx, "big")
		require.NoError(t, err)
		o, ok := offsets.Lookup("big", 0)
		require.True(t, ok)
		return o.Offset
	}
	require.Zero(t, start(), "nothing is dropped before Trim")
	k.Trim()
	assert.Positive(t, start())
	assert.Less(t, start(), int64(n-60), "64 MiB stay")
}
