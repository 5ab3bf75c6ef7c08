package supervisor

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/internal/crash"
	"github.com/robustmq/robustmq-connect/plugins/kafka"
)

// fragile is an input and an output that panic at configured methods.
type fragile struct {
	at       string
	guard    *crash.Guard
	armed    *atomic.Bool
	answered *atomic.Int32 // acknowledged or rejected
}

func (f *fragile) panics(at string) {
	if f.armed.Load() && f.at == at {
		panic("at " + at + " with hush-hush")
	}
}

func (f *fragile) Connect(context.Context) error {
	f.panics("connect")
	return nil
}

func (f *fragile) ReadBatch(ctx context.Context) (service.MessageBatch, service.AckFunc, error) {
	f.panics("read")
	select {
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	case <-time.After(time.Millisecond):
	}
	if f.armed.Load() && f.at == "goroutine" {
		done := make(chan struct{})
		go func() {
			defer close(done)
			defer f.guard.Catch("a goroutine")
			f.panics("goroutine")
		}()
		<-done
	}
	batch := service.MessageBatch{service.NewMessage([]byte("x"))}
	batch[0].MetaSetMut("mqtt_topic", "in/a")
	return batch, func(context.Context, error) error {
		f.panics("answer")
		if f.guard.Err() != nil {
			f.answered.Add(1)
		}
		return nil
	}, nil
}

func (f *fragile) WriteBatch(context.Context, service.MessageBatch) error {
	f.panics("write")
	return nil
}

func (f *fragile) Close(context.Context) error {
	f.panics("close")
	return nil
}

func TestAPanicEndsOneConnector(t *testing.T) {
	for _, at := range []string{"connect", "read", "goroutine", "answer", "write"} {
		t.Run(at, func(t *testing.T) {
			var armed atomic.Bool
			var answered atomic.Int32
			// One connector has this field, the other another.
			broken := func(conf *service.ParsedConfig, field, value string, mgr *service.Resources) *fragile {
				f := &fragile{at: at, guard: crash.Of(mgr), armed: &armed, answered: &answered}
				if is, err := conf.FieldString(field); err != nil || is != value {
					f.at = ""
				}
				return f
			}
			r := newRig(t)
			r.useInput(func(conf *service.ParsedConfig, mgr *service.Resources) service.BatchInput {
				f := broken(conf, "client_id", "fragile", mgr)
				return crash.Input(f, f.guard, "the input")
			})
			require.NoError(t, r.env.RegisterBatchOutput("kafka_franz", kafka.Spec(),
				func(conf *service.ParsedConfig, mgr *service.Resources) (service.BatchOutput, service.BatchPolicy, int, error) {
					f := broken(conf, "topic", "fragile", mgr)
					return crash.Output(f, f.guard, "the output"), service.BatchPolicy{}, 1, nil
				}))
			armed.Store(true)
			r.create(r.conn("healthy", "in/#", "out", ""))
			r.create(r.conn("broken", "in/#", "fragile", `,"client_id":"fragile","username":"u","password":"hush-hush"`))
			r.until("broken", func(s connector.Status) bool { return s.State == connector.Failed })
			status, figures, err := r.Detail("broken")
			require.NoError(t, err)
			assert.Regexp(t, `^failed since 2.*: a panic in (the input|the output|a goroutine): at `+at+` with \*\*\*; the log has its stack; resume or update starts it again$`, status.Reason)
			assert.Contains(t, figures.LastError, "at "+at)
			assert.Empty(t, status.Waits)
			require.ErrorContains(t, r.ConnectorsReady(), `"broken": failed since`)
			assert.Contains(t, r.scrape(), `mqtt_connector_up{connector_name="broken",connector_type="kafka",tenant="default"} 0`)
			assert.Contains(t, r.logs.String(), "panic_test.go", "the stack")
			assert.NotContains(t, r.logs.String(), "hush-hush")
			r.ready("healthy")
			assert.Zero(t, answered.Load(), "nothing is acknowledged or rejected after a panic")

			// It stays failed until somebody acts.
			require.NoError(t, r.Pause(t.Context(), "broken"))
			r.until("broken", func(s connector.Status) bool { return s.State == connector.Paused && s.Reason == "" })
			require.NoError(t, r.Resume(t.Context(), "broken"))
			r.until("broken", func(s connector.Status) bool { return s.State == connector.Failed })
			armed.Store(false)
			require.NoError(t, r.Resume(t.Context(), "broken"))
			r.ready("broken")
			r.ready("healthy")
			assert.Empty(t, r.Warnings())
			assert.Equal(t, 2, strings.Count(r.logs.String(), "A panic ends the connector, and no other"))
		})
	}
}

func TestAPanicOfTheServicesOwnIsLogged(t *testing.T) {
	r := newRig(t)
	r.create(r.conn("c", "in/#", "out", ""))
	r.protect(r.find("c"), func() { panic("of the service") })
	assert.Contains(t, r.logs.String(), "a panic in the service's own code: of the service")
	assert.Contains(t, r.logs.String(), "panic_test.go")
}

func TestAPanicOfAWatcherIsLogged(t *testing.T) {
	r := newRig(t)
	r.background(func() { panic("of a watcher") })
	require.Eventually(t, func() bool {
		return strings.Contains(r.logs.String(), "a panic in the service's own code: of a watcher") && strings.Contains(r.logs.String(), "panic_test.go")
	}, patience, time.Millisecond)
	r.create(r.conn("c", "in/#", "out", ""))
	r.ready("c")
}
