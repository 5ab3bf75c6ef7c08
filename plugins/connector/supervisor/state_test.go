package supervisor

import (
	"context"
	"errors"
	"net/http/httptest"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/mqtt"
)

func (r *rig) scrape() string {
	answer := httptest.NewRecorder()
	r.Metrics().ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
	return answer.Body.String()
}

// Regression: a connector without its connections was Running.
func TestAConnectorWithoutItsEndsIsWaiting(t *testing.T) {
	r := newRig(t)
	r.create(r.parse("c", "in/#", `{"bootstrap_servers":"127.0.0.1:1","topic":"t","urls":["tcp://127.0.0.1:1"]}`, `{"strategy":"block"}`))
	var status connector.Status
	r.until("c", func(s connector.Status) bool {
		status = s
		return len(s.Waits) == 2 && s.Waits[0].Why != "connecting" && s.Waits[1].Why != "connecting"
	})
	assert.Equal(t, connector.Waiting, status.State)
	assert.Equal(t, connector.WordRunning, status.Word(), "robust-ctl prints RobustMQ's word")
	for i, need := range []connector.Need{connector.NeedBroker, connector.NeedKafka} {
		assert.Equal(t, need, status.Waits[i].For)
		assert.WithinDuration(t, time.Now(), status.Waits[i].Since, patience)
		assert.Contains(t, status.Waits[i].Why, "127.0.0.1:1")
	}
	assert.Regexp(t, `^waiting for the MQTT broker since 2\S+ \S+: .*; waiting for Kafka since .*; it continues by itself once that is corrected$`, status.Reason)
	text := r.scrape()
	assert.Contains(t, text, `mqtt_connector_up{connector_name="c",connector_type="kafka",tenant="default"} 0`)
	for state, is := range map[connector.State]string{
		connector.Running: "0", connector.Waiting: "1", connector.Failed: "0", connector.Paused: "0",
	} {
		assert.Contains(t, text, `mqtt_connector_state{connector_name="c",connector_type="kafka",state="`+string(state)+`",tenant="default"} `+is)
	}

	require.NoError(t, r.Pause(t.Context(), "c"))
	status, _, err := r.Detail("c")
	require.NoError(t, err)
	assert.Equal(t, connector.Paused, status.State)
	assert.Empty(t, status.Waits)
	assert.Empty(t, status.Reason)
	assert.Contains(t, r.scrape(), `mqtt_connector_state{connector_name="c",connector_type="kafka",state="Paused",tenant="default"} 1`)
}

// Both ends are connected, but no message makes progress, for example because of an
// expression that does not end.
func TestAConnectorWithoutProgressIsNotReady(t *testing.T) {
	r := newRig(t)
	r.create(r.conn("c", "in/#", "out", ""))
	r.ready("c")
	e := r.find("c")
	oldest := e.figures.get(metricOldestUnacked, 0, gaugeKind, []string{"of"}, []string{"the test"})
	oldest.SetFloat64(stalledAfter.Seconds() - 1)
	r.ready("c")
	oldest.SetFloat64(stalledAfter.Seconds() + 60)
	status, _, err := r.Detail("c")
	require.NoError(t, err)
	assert.Equal(t, connector.Waiting, status.State)
	require.Len(t, status.Waits, 1)
	assert.Equal(t, connector.NeedProgress, status.Waits[0].For)
	assert.WithinDuration(t, time.Now().Add(-2*time.Minute), status.Waits[0].Since, patience)
	assert.Contains(t, status.Reason, "none gets through")
	require.ErrorContains(t, r.ConnectorsReady(), "none gets through")

	// The oldest message is old, but others make progress: that is a backlog.
	exporter{e.figures, 0}.NewCounterCtor(metricDiscarded)().Incr(1)
	r.ready("c")
	require.NoError(t, r.ConnectorsReady())
}

func TestTheStoreIsReadyWhileItTakesChanges(t *testing.T) {
	r := newRig(t)
	require.NoError(t, r.StoreReady())
	left, err := os.ReadDir(r.dir)
	require.NoError(t, err)
	for _, entry := range left {
		assert.NotContains(t, entry.Name(), "probe")
	}
	require.NoError(t, os.RemoveAll(r.dir))
	require.NoError(t, r.StoreReady(), "the disk is not asked again and again")
	r.health.at = time.Time{}
	require.ErrorContains(t, r.StoreReady(), "writing to the store: open ")
}

func TestADiskThatHangsIsNotReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer := make(chan error)
		var asked atomic.Int64
		h := storeHealth{probe: func() error { asked.Add(1); return <-answer }}
		began := time.Now()
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() { assert.ErrorContains(t, h.check(), "no answer since") })
		}
		both.Wait()
		assert.Equal(t, probeTimeout, time.Since(began))
		assert.EqualValues(t, 1, asked.Load(), "one goroutine hangs, however many ask")
		answer <- errors.New("no space left on device")
		synctest.Wait()
		require.EqualError(t, h.check(), "no space left on device")
		assert.EqualValues(t, 1, asked.Load())
		time.Sleep(probeEvery)
		go func() { answer <- nil }()
		require.NoError(t, h.check())
		assert.EqualValues(t, 2, asked.Load())
	})
}

// stuckInput is an input that does not close.
type stuckInput struct{ leave chan struct{} }

func (stuckInput) Connect(context.Context) error { return nil }

func (stuckInput) ReadBatch(ctx context.Context) (service.MessageBatch, service.AckFunc, error) {
	<-ctx.Done()
	return nil, nil, ctx.Err()
}

func (i stuckInput) Close(context.Context) error {
	<-i.leave
	return nil
}

// useInput replaces the mqtt input of the running service.
func (r *rig) useInput(input func(*service.ParsedConfig, *service.Resources) service.BatchInput) {
	r.t.Helper()
	require.NoError(r.t, r.env.RegisterBatchInput("mqtt", mqtt.Spec(),
		func(conf *service.ParsedConfig, mgr *service.Resources) (service.BatchInput, error) {
			return input(conf, mgr), nil
		}))
}

func TestAStreamThatDoesNotEndIsReported(t *testing.T) {
	leave := make(chan struct{})
	r := newRig(t, func(o *Options) { o.DrainTimeout = time.Millisecond })
	r.useInput(func(*service.ParsedConfig, *service.Resources) service.BatchInput { return stuckInput{leave} })
	r.create(r.conn("c", "in/#", "out", ""))
	r.ready("c")
	began := time.Now()
	note, err := r.Delete(t.Context(), "c")
	require.NoError(t, err)
	assert.Contains(t, note, "the connector is deleted, but its stream has not ended")
	assert.Less(t, time.Since(began), endTimeout+5*time.Second)
	assert.Empty(t, r.List())
	told := `a stream of connector "c" was stopped and has not ended: restart the service to end it`
	assert.Equal(t, []string{told}, r.Warnings())
	require.ErrorContains(t, r.ConnectorsReady(), told)
	require.NoError(t, r.StoreReady(), "the service works")

	// A new stream of the same name would be disconnected by the old one.
	r.create(r.conn("c", "in/#", "out", ""))
	r.until("c", func(s connector.Status) bool {
		return s.State == connector.Waiting && s.Waits[0].For == connector.NeedStart && s.Waits[0].Why == "its stream from before was stopped and has not ended: restart the service if it does not"
	})
	close(leave)
	r.ready("c")
	assert.Empty(t, r.Warnings())
}

// A pause that did not stop the stream must not answer as if it had.
func TestAPauseOfAStreamThatDoesNotEndIsReported(t *testing.T) {
	leave := make(chan struct{})
	r := newRig(t, func(o *Options) { o.DrainTimeout = time.Millisecond })
	r.useInput(func(*service.ParsedConfig, *service.Resources) service.BatchInput { return stuckInput{leave} })
	r.create(r.conn("c", "in/#", "out", ""))
	r.ready("c")
	note, err := r.Supervisor.Pause(t.Context(), "c")
	require.NoError(t, err)
	const why = "its stream has not ended 3.5s after it was stopped"
	assert.Equal(t, "the connector is paused, but "+why+": it may use memory and processor time until the service is restarted", note)
	status := r.List()[0]
	assert.Equal(t, connector.Paused, status.State)
	assert.Regexp(t, `^paused, but not ended since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d: `+why+`; restart the service to end it$`, status.Reason)
	again, err := r.Supervisor.Pause(t.Context(), "c")
	require.NoError(t, err)
	assert.Equal(t, note, again)
	require.ErrorContains(t, r.ConnectorsReady(), `a stream of connector "c" was stopped and has not ended`)

	note, err = r.Supervisor.Resume(t.Context(), "c")
	require.NoError(t, err)
	assert.Equal(t, "the connector is resumed, but "+why+": it may use memory and processor time until the service is restarted", note)
	close(leave)
	r.ready("c")
	note, err = r.Supervisor.Pause(t.Context(), "c")
	require.NoError(t, err)
	assert.Empty(t, note)
	assert.Empty(t, r.List()[0].Reason)
	require.NoError(t, r.ConnectorsReady())
}

// A service that cannot stop everything still ends.
func TestCloseIsBounded(t *testing.T) {
	leave := make(chan struct{})
	r := newRig(t, func(o *Options) { o.DrainTimeout = time.Millisecond })
	r.useInput(func(*service.ParsedConfig, *service.Resources) service.BatchInput { return stuckInput{leave} })
	for _, name := range []string{"a", "b", "c"} {
		r.create(r.conn(name, "in/#", "out", ""))
		r.ready(name)
	}
	// The same with an operation that does not end.
	unlock, err := r.operations.lock(t.Context(), "a")
	require.NoError(t, err)
	began := time.Now()
	err = r.Close()
	require.ErrorContains(t, err, `stopping the connectors: a stream of connector "`)
	assert.Less(t, time.Since(began), leastDrain+endTimeout+4*time.Second)
	close(leave)
	unlock()
	require.Eventually(t, func() bool { return len(r.Warnings()) == 0 }, patience, time.Millisecond)
}
