package demo

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// watcher consumes the demo's Kafka topic and passes the records to the tally.
type watcher struct {
	first chan *kgo.Record // the first demoRecords records

	client   *kgo.Client
	consumed atomic.Int64
	cancel   context.CancelFunc
	done     chan struct{}
}

func startWatcher(addr string, tally *demoTally) (*watcher, error) {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(addr),
		kgo.ClientID("robustmq-demo-watcher"),
		kgo.ConsumeTopics(demoTopic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
	)
	if err != nil {
		return nil, fmt.Errorf("consuming topic %q from %s: %w", demoTopic, addr, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	w := &watcher{
		first:  make(chan *kgo.Record, demoRecords),
		client: client, cancel: cancel, done: make(chan struct{}),
	}
	go func() {
		defer close(w.done)
		w.consume(ctx, tally)
	}()
	return w, nil
}

func (w *watcher) consume(ctx context.Context, tally *demoTally) {
	for ctx.Err() == nil {
		// The client retries by itself; what it never gets appears as missing.
		fetches := w.client.PollFetches(ctx)
		now := time.Now()
		fetches.EachRecord(func(r *kgo.Record) {
			if w.consumed.Load() < demoRecords {
				w.first <- r
			}
			tally.arrived(r.Value, now)
			w.consumed.Add(1)
		})
	}
}

// finish consumes the rest of the topic, for up to two seconds, and stops. It is called
// when nothing is produced any more.
func (w *watcher) finish() {
	defer w.stop()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	ends, err := kadm.NewClient(w.client).ListEndOffsets(ctx, demoTopic)
	if err != nil {
		return
	}
	var produced int64
	ends.Each(func(o kadm.ListedOffset) { produced += o.Offset })
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for w.consumed.Load() < produced {
		select {
		case <-poll.C:
		case <-ctx.Done():
			return
		}
	}
}

// stop may be called more than once.
func (w *watcher) stop() {
	w.cancel()
	<-w.done
	w.client.Close()
}
