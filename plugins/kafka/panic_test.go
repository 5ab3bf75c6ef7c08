package kafka

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redpanda-data/benthos/v4/public/bloblang"
	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/robustmq/robustmq-connect/plugins/internal/crash"
)

// asking is an input that hands over one message and counts the answers.
type asking struct{ answers atomic.Int32 }

func (*asking) Connect(context.Context) error { return nil }
func (*asking) Close(context.Context) error   { return nil }

func (a *asking) ReadBatch(ctx context.Context) (service.MessageBatch, service.AckFunc, error) {
	select {
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	case <-time.After(time.Millisecond):
	}
	return service.MessageBatch{service.NewMessage([]byte("x"))}, func(context.Context, error) error {
		a.answers.Add(1)
		return nil
	}, nil
}

// A panic in an expression, or in a callback of the client, ends the stream, and the
// message is neither acknowledged nor rejected.
func TestAPanicIsCaughtAndTheMessageIsNotAnswered(t *testing.T) {
	for name, test := range map[string]struct {
		key  string
		dial DialFunc
		want string
	}{
		"an expression": {key: "${! test_panic() }", want: "a panic in the output kafka_franz: boom"},
		"a callback": {
			dial: func(context.Context, string, string) (net.Conn, error) { panic("boom") },
			want: "a panic in the output kafka_franz, dialing: boom",
		},
	} {
		t.Run(name, func(t *testing.T) {
			functions := bloblang.NewEnvironment()
			require.NoError(t, functions.RegisterFunctionV2("test_panic", bloblang.NewPluginSpec(),
				func(*bloblang.ParsedParams) (bloblang.Function, error) {
					return func() (any, error) { panic("boom") }, nil
				}))
			env := service.NewEnvironment()
			env.UseBloblangEnvironment(functions)
			in := new(asking)
			require.NoError(t, env.RegisterBatchInput("asking", service.NewConfigSpec(),
				func(*service.ParsedConfig, *service.Resources) (service.BatchInput, error) { return in, nil }))
			require.NoError(t, Register(env, DialBy(test.dial)))
			b := env.NewStreamBuilder()
			require.NoError(t, b.SetLoggerYAML("level: none"))
			require.NoError(t, b.AddInputYAML("asking: {}"))
			address := "127.0.0.1:1"
			if test.dial == nil {
				address = cluster(t, 1).ListenAddrs()[0]
			}
			require.NoError(t, b.AddOutputYAML(`kafka_franz: { seed_brokers: [ "`+address+`" ], topic: t, key: '`+test.key+`', failure_strategy: block }`))
			b.SetHTTPMux(http.NewServeMux())
			stream, err := b.Build()
			require.NoError(t, err)
			guard := crash.New(func(*crash.Error) {})
			crash.Watch(stream.Resources(), guard)
			ended := make(chan error, 1)
			go func() { ended <- stream.Run(context.Background()) }()
			select {
			case <-guard.Tripped():
			case <-time.After(patience):
				require.Fail(t, "it did not panic")
			}
			require.EqualError(t, guard.Err(), test.want)
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			_ = stream.Stop(ctx) // at once
			require.NoError(t, <-ended)
			assert.Zero(t, in.answers.Load())
		})
	}
}

// The client calls back in its own goroutines: the batch must still end.
func TestAPanicInAPromiseEndsTheBatch(t *testing.T) {
	guard := crash.New(func(*crash.Error) {})
	w := &writing{guard: guard, done: make(chan struct{})}
	w.left.Store(2)
	w.promise(&kgo.Record{}, nil) // progress is nil
	require.ErrorContains(t, guard.Err(), "when Kafka has answered for a record")
	w.promise(&kgo.Record{}, nil)
	<-w.done
}

type panickyPartitioner struct{}

func (panickyPartitioner) RequiresConsistency(*kgo.Record) bool { return false }
func (panickyPartitioner) Partition(*kgo.Record, int) int       { panic("boom") }

func TestAPanicInThePartitionerFailsTheRecord(t *testing.T) {
	guard := crash.New(func(*crash.Error) {})
	p := &pinnedTopic{TopicPartitioner: panickyPartitioner{}, topics: new(topics), guard: guard}
	assert.Equal(t, -1, p.Partition(&kgo.Record{Partition: -1}, 3))
	require.ErrorContains(t, guard.Err(), "choosing a partition: boom")
	assert.Equal(t, 2, p.Partition(&kgo.Record{Partition: 2}, 3))
}
