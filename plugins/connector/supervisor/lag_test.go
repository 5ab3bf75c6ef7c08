package supervisor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/kafka"
)

// untilLag waits until Kafka has told this lag of the partition 0 of a topic.
func (r *rig) untilLag(name, topic string, records int64) {
	r.t.Helper()
	var lag []connector.Lag
	var unknown string
	require.Eventually(r.t, func() bool {
		lag, unknown = r.PausedLag(r.t.Context(), name)
		return unknown == "" && len(lag) == 1 && lag[0] == connector.Lag{Topic: topic, Records: records}
	}, 3*patience, 100*time.Millisecond, "%v %v", &lag, &unknown)
}

func TestAPausedSourceShowsWhatWaitsInKafka(t *testing.T) {
	r := newRig(t)
	r.createTopic("in")
	r.produce("in", "1", "2")
	metric := `connector_kafka_lag_records{connector="back",partition="0",topic="in"}`
	_, err := r.Create(t.Context(), r.source("back", "", `,"topic":"in"`, `{"strategy":"block"}`), connector.CreateOptions{Paused: true})
	require.NoError(t, err)
	// The first scrape asks Kafka. If that fails on a loaded machine, a later one does.
	require.Eventually(t, func() bool { return r.metric("%s", metric) == 2 }, 2*lagScraped, 100*time.Millisecond)
	_, err = r.Create(t.Context(), r.source("new", "", `,"topic":"in","start_offset":"latest"`, `{"strategy":"block"}`), connector.CreateOptions{Paused: true})
	require.NoError(t, err)
	r.untilLag("back", "in", 2)
	r.untilLag("new", "in", 0)

	got := r.subscribe("a/#")
	require.NoError(t, r.Resume(t.Context(), "back"))
	r.arrive(got, "1", "2")
	lag, unknown := r.PausedLag(t.Context(), "back")
	assert.Empty(t, lag, "the consumer reads it")
	assert.Empty(t, unknown)
	require.NoError(t, r.Pause(t.Context(), "back"))
	r.produce("in", "3", "4", "5")
	r.untilLag("back", "in", 3)
	r.untilMetric(3, "%s", metric)
}

// A firewall drops what goes to that Kafka.
func TestAScrapeDoesNotWaitForTheKafkaOfAPausedSource(t *testing.T) {
	var dials atomic.Int32
	released := make(chan struct{})
	r := newRig(t, func(o *Options) {
		o.Dial = func(context.Context, string, string) (net.Conn, error) {
			dials.Add(1)
			<-released // though the context ends
			return nil, errors.New("it was released")
		}
	})
	t.Cleanup(func() { close(released) })
	_, err := r.Create(t.Context(), r.source("back", "", `,"topic":"in"`, `{"strategy":"block"}`), connector.CreateOptions{Paused: true})
	require.NoError(t, err)
	series := `connector_kafka_lag_records{connector="back",partition="0",topic="in"}`
	require.InDelta(t, -1, r.metric("%s", series), 0)
	require.Eventually(t, func() bool { return dials.Load() == 1 }, patience, time.Millisecond)
	require.InDelta(t, -1, r.metric("%s", series), 0)
	lag, unknown := r.PausedLag(t.Context(), "back")
	assert.Empty(t, lag)
	assert.NotEmpty(t, unknown)
	require.InDelta(t, 1, r.metric(`connector_state{connector="back",state="Paused"}`), 0)
	assert.Equal(t, int32(1), dials.Load(), "one reading is under way at a time")
}

func TestALagThatIsNotKnownIsNotShownAsNone(t *testing.T) {
	r := newRig(t)
	r.createTopic("in")
	_, err := r.Create(t.Context(), r.source("back", "", `,"topic":"in"`, `{"strategy":"block"}`), connector.CreateOptions{Paused: true})
	require.NoError(t, err)
	r.untilLag("back", "in", 0)
	r.kafka.Close()
	_, err = r.Update(t.Context(), r.source("back", "", `,"topic":"other"`, `{"strategy":"block"}`), connector.UpdateOptions{})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		lag, unknown := r.PausedLag(t.Context(), "back")
		return lag == nil && strings.Contains(unknown, "reaching Kafka at "+r.kafka.Addr())
	}, 3*patience, 100*time.Millisecond)
	assert.NotContains(t, r.scrape(), "connector_kafka_lag_records{")
	lag, unknown := r.PausedLag(t.Context(), "nosuch")
	assert.Empty(t, lag)
	assert.Empty(t, unknown)
}

// Nothing is listed of a group with more partitions than an answer may have.
func TestTheLagOfTooManyPartitionsIsNotListed(t *testing.T) {
	r := newRig(t)
	r.createPartitions("wide", maxLags+1)
	_, err := r.Create(t.Context(), r.source("back", "", `,"topic":"wide"`, `{"strategy":"block"}`), connector.CreateOptions{Paused: true})
	require.NoError(t, err)
	var lag []connector.Lag
	var unknown string
	require.Eventually(t, func() bool {
		lag, unknown = r.PausedLag(t.Context(), "back")
		return unknown == "the group reads 10001 partitions, and no more than 10000 are listed"
	}, 3*patience, 100*time.Millisecond, "%v", &unknown)
	assert.Empty(t, lag)
}

// inBackground runs functions as the supervisor does, which catches panics.
func inBackground(running *sync.WaitGroup) (start func(func()) bool) {
	return func(f func()) bool {
		running.Go(func() {
			defer func() { _ = recover() }()
			f()
		})
		return true
	}
}

func TestKafkaIsAskedForALagOnceAtATimeAndNotForEachCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var running sync.WaitGroup
		var l lagReader
		asked := 0
		var answer error
		start := inBackground(&running)
		ask := func() ([]connector.Lag, error) {
			asked++
			time.Sleep(time.Second)
			if asked == 3 {
				panic("a fault")
			}
			return []connector.Lag{{Topic: "t", Records: int64(asked)}}, answer
		}
		first := l.refresh(lagFresh, start, ask)
		require.NotNil(t, first)
		require.Equal(t, first, l.refresh(lagFresh, start, ask), "both wait for one answer")
		<-first
		require.Nil(t, l.refresh(lagFresh, start, ask))
		lag, _, err := l.last()
		require.NoError(t, err)
		require.Equal(t, int64(1), lag[0].Records)

		time.Sleep(lagFresh)
		require.Nil(t, l.refresh(lagScraped, start, ask))
		answer = errors.New("refused")
		<-l.refresh(lagFresh, start, ask)
		time.Sleep(lagFresh)
		require.Nil(t, l.refresh(lagFresh, start, ask), "Kafka has refused it a moment ago")
		time.Sleep(lagFailed)
		<-l.refresh(lagFresh, start, ask)
		lag, _, err = l.last()
		require.ErrorContains(t, err, "ended with a panic")
		require.Empty(t, lag)
		require.Equal(t, 3, asked)
		running.Wait()
		require.Nil(t, l.refresh(0, func(func()) bool { return false }, ask), "the service ends")
	})
}

func TestTheLagOfManyTopicsIsThatOfOthers(t *testing.T) {
	var all []kafka.PartitionLag
	for i := range maxTopics + 50 {
		all = append(all, kafka.PartitionLag{Topic: fmt.Sprintf("t%03d", i), Records: 1}, kafka.PartitionLag{Topic: fmt.Sprintf("t%03d", i), Partition: 1, Records: 2})
	}
	lag := lagsOf(append([]kafka.PartitionLag{{Topic: otherTopic, Records: 7}}, all...))
	require.Len(t, lag, 2*maxTopics)
	assert.Equal(t, connector.Lag{Topic: otherTopic, Records: 7 + 51}, lag[0])
	assert.Equal(t, connector.Lag{Topic: otherTopic, Partition: 1, Records: 2 * 51}, lag[1])
	assert.Equal(t, connector.Lag{Topic: "t000", Records: 1}, lag[2])
	assert.Nil(t, lagsOf(nil))
}
