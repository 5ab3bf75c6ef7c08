package kafka

import (
	"errors"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/plain"

	"github.com/redpanda-data/benthos/v4/public/service"
)

func TestBlockContinuesWhenTheLimitIsRaised(t *testing.T) {
	for name, faults := range map[string][]kfake.Fault{
		"limit known":   nil,
		"limit unknown": {{Keys: []kmsg.Key{kmsg.DescribeConfigs}, Err: kerr.TopicAuthorizationFailed, Count: -1}},
	} {
		for _, bad := range []int{0, 1, 123, 299} {
			t.Run(name, func(t *testing.T) {
				c := cluster(t, 1)
				setLimit(t, c, "t", "1000")
				handles := c.Fault(faults...)
				o := started(t, c.ListenAddrs(), block("compression: none")...)
				batch := messages(0, 300)
				large := strings.Repeat("x", 3000)
				batch[bad] = service.NewMessage([]byte(large))
				require.ErrorIs(t, o.WriteBatch(t.Context(), batch), service.ErrNotConnected)
				text := reason(t, o)
				require.Contains(t, text, `topic "t", partition 0: MESSAGE_TOO_LARGE`)
				require.Contains(t, text, "raise max.message.bytes of the topic")
				if faults == nil {
					require.Contains(t, text, "which is 1000")
				}
				require.Equal(t, numbers(0, bad), values(t, c, "t"), "nothing behind the record is written")
				handles.Remove()
				setLimit(t, c, "t", "100000")
				rewrite(t, o, batch)
				want := numbers(0, 300)
				want[bad] = large
				require.Equal(t, want, values(t, c, "t"))
				require.NoError(t, o.WriteBatch(t.Context(), messages(300, 10)))
				require.Len(t, values(t, c, "t"), 310)
			})
		}
	}
}

func TestBlockContinuesWhenTheTopicIsCreated(t *testing.T) {
	c := cluster(t, 1)
	o := started(t, c.ListenAddrs(), block("topic: later", "allow_auto_topic_creation: false")...)
	batch := messages(0, 100)
	require.ErrorIs(t, o.WriteBatch(t.Context(), batch), service.ErrNotConnected)
	text := reason(t, o)
	require.Contains(t, text, `topic "later": UNKNOWN_TOPIC_OR_PARTITION`)
	require.Contains(t, text, "create the topic, or set allow_auto_topic_creation")
	createTopic(t, c, "later")
	rewrite(t, o, batch)
	require.Equal(t, numbers(0, 100), values(t, c, "later"))
}

func TestBlockContinuesAfterTopicAndClusterErrors(t *testing.T) {
	for _, test := range []struct {
		err  *kerr.Error
		key  kmsg.Key
		want string
	}{
		{kerr.TopicAuthorizationFailed, kmsg.Produce, "give the user WRITE and DESCRIBE on the topic"},
		{kerr.ClusterAuthorizationFailed, kmsg.InitProducerID, "set idempotent_write to false"},
		{kerr.InvalidRecord, kmsg.Produce, "INVALID_RECORD"},
		{kerr.PolicyViolation, kmsg.Produce, "POLICY_VIOLATION"},
	} {
		t.Run(test.err.Message, func(t *testing.T) {
			c := cluster(t, 3)
			o := started(t, c.ListenAddrs(), block("key: ${! content() }")...)
			handle := c.Fault(kfake.Fault{Keys: []kmsg.Key{test.key}, Err: test.err, Count: -1, TopLevel: test.key == kmsg.InitProducerID})
			batch := messages(0, 100)
			require.ErrorIs(t, o.WriteBatch(t.Context(), batch), service.ErrNotConnected)
			text := reason(t, o)
			require.Contains(t, text, test.err.Message)
			require.Contains(t, text, test.want)
			handle.Remove()
			rewrite(t, o, batch)
			total := 0
			for _, records := range consumed(t, c, "t") {
				last := ""
				for _, r := range records {
					require.Less(t, last, string(r.Value), "in order")
					last = string(r.Value)
					total++
				}
			}
			require.Equal(t, 100, total)
		})
	}
}

// Kafka refuses records because of too few replicas, which the client retries without
// limit. The output reports that nothing is acknowledged, and continues when the
// replicas are back.
func TestBlockSilenceIsReported(t *testing.T) {
	c := cluster(t, 1)
	o := started(t, c.ListenAddrs(), block()...)
	o.silence = 100 * time.Millisecond
	setConfig(t, c, "t", "min.insync.replicas", "2")
	handle := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotEnoughReplicas, Count: -1})
	batch := messages(0, 100)
	require.ErrorIs(t, o.WriteBatch(t.Context(), batch), service.ErrNotConnected)
	require.Contains(t, reason(t, o), `writing to topic "t": Kafka answers, but acknowledges no record: topic "t", partition 0 has 1 of the 2 replicas in sync`)
	handle.Remove()
	rewrite(t, o, batch)
	require.Equal(t, numbers(0, 100), values(t, c, "t"))
}

// After any sequence of errors, block has written each message once and in order.
func TestBlockWritesOnceInOrderUnderRandomErrors(t *testing.T) {
	for name, lines := range map[string][]string{
		"keys":        {`key: ${! content().string().slice(5) }`},
		"no keys":     {"compression: none"},
		"round robin": {"partitioner: round_robin"},
		"small parts": {"max_buffered_records: 20", "compression: none"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := cluster(t, 3)
			o := started(t, c.ListenAddrs(), block(lines...)...)
			random := rand.New(rand.NewPCG(1, 2))
			faults := []*kerr.Error{
				kerr.NotLeaderForPartition, kerr.RequestTimedOut, kerr.NotEnoughReplicasAfterAppend, kerr.MessageTooLarge,
				kerr.InvalidRecord, kerr.TopicAuthorizationFailed, kerr.UnknownTopicOrPartition, kerr.CorruptMessage,
			}
			n, met := 0, 0
			for range 30 {
				batch := messages(n, 1+random.IntN(100))
				for _, msg := range batch {
					payload, _ := msg.AsBytes()
					msg.SetBytes(append(payload, make([]byte, random.IntN(200))...))
				}
				n += len(batch)
				if random.IntN(3) == 0 {
					setLimit(t, c, "t", []string{"500", "1000", "100000"}[random.IntN(3)])
				}
				if random.IntN(2) == 0 {
					c.Fault(kfake.Fault{
						Keys: []kmsg.Key{kmsg.Produce}, Err: faults[random.IntN(len(faults))],
						Partitions: []int32{random.Int32N(3)}, Count: 1 + random.IntN(2),
					})
				}
				if err := o.WriteBatch(t.Context(), batch); err != nil {
					require.ErrorIs(t, err, service.ErrNotConnected)
					met++
					rewrite(t, o, batch)
				}
			}
			require.Positive(t, met, "some batches were held")
			requireOnceInOrder(t, c, n)
		})
	}
}

// Without a strategy a record may be refused, and its input repeats it behind others. A
// broker that does not let the client in has refused no record.
func TestBrokerThatEndsNewConnectionsHoldsTheBatchWithoutAStrategy(t *testing.T) {
	refusedLogin := func(req kmsg.Request) (kmsg.Response, error, bool) {
		resp := req.ResponseKind().(*kmsg.SASLAuthenticateResponse)
		resp.ErrorCode = kerr.SaslAuthenticationFailed.Code
		return resp, nil, true
	}
	closed := func(kmsg.Request) (kmsg.Response, error, bool) {
		return nil, errors.New("closed"), true
	}
	for _, test := range []struct {
		name   string
		key    kmsg.Key
		answer func(kmsg.Request) (kmsg.Response, error, bool)
		reason string
	}{
		{"closed before the first answer", kmsg.ApiVersions, closed, "the broker closed the connection: check whether it knows this user"},
		{"login refused", kmsg.SASLAuthenticate, refusedLogin, "SASL_AUTHENTICATION_FAILED: SASL Authentication failed.: correct sasl"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, g := gated(t, kfake.EnableSASL(), kfake.Superuser("PLAIN", "u", "p"))
			o := started(t, c.ListenAddrs(), "sasl: [ { mechanism: PLAIN, username: u, password: p } ]",
				"idempotent_write: false") // or the client gives up only what it is sure not to have sent
			require.NoError(t, o.WriteBatch(t.Context(), messages(0, 10)))
			var welcome atomic.Bool
			c.ControlKey(int16(test.key), func(req kmsg.Request) (kmsg.Response, error, bool) {
				c.KeepControl()
				if welcome.Load() {
					return nil, nil, false
				}
				return test.answer(req)
			})
			g.Cut()
			g.Restore()
			batch := messages(10, 10)
			require.ErrorIs(t, o.WriteBatch(t.Context(), batch), service.ErrNotConnected)
			_, held, _ := o.state()
			require.Eventually(t, held.ended, patience, time.Millisecond, "the client gives the records up")
			require.Contains(t, reason(t, o), test.reason)
			welcome.Store(true)
			require.Eventually(t, func() bool { return o.Connect(t.Context()) == nil }, patience, time.Millisecond)
			require.NoError(t, o.WriteBatch(t.Context(), rewrapped(batch)))
			login := kgo.SASL(plain.Auth{User: "u", Pass: "p"}.AsMechanism())
			require.Equal(t, numbers(0, 20), values(t, c, "t", login))
		})
	}
}
