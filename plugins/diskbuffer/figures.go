package diskbuffer

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/robustmq/robustmq-connect/plugins/internal/backlog"
	"github.com/robustmq/robustmq-connect/plugins/internal/disklog"
)

// figures are the metrics of a buffer.
type figures struct {
	bytes, messages, oldest, full, failing *service.MetricGauge
	dropped, corrupt                       *service.MetricCounter

	skipped atomic.Uint64 // records that were whole and could not be decoded
	counted struct{ dropped, corrupt uint64 }
}

func newFigures(mgr *service.Resources) *figures {
	m := mgr.Metrics()
	return &figures{
		bytes:    m.NewGauge("disk_buffer_bytes"),
		messages: m.NewGauge("disk_buffer_messages"),
		oldest:   m.NewGauge("disk_buffer_oldest_seconds"),
		full:     m.NewGauge("disk_buffer_full"),
		failing:  m.NewGauge("disk_buffer_failing"),
		dropped:  m.NewCounter("disk_buffer_dropped"),
		corrupt:  m.NewCounter("disk_buffer_corrupt"),
	}
}

func (f *figures) set(stats disklog.Stats, age time.Duration, failing bool) {
	f.bytes.Set(stats.Bytes)
	f.messages.Set(int64(stats.Messages))
	f.oldest.SetFloat64(age.Seconds())
	f.full.Set(number(!stats.Full.IsZero()))
	f.failing.Set(number(failing))
	corrupt := stats.Corrupt + f.skipped.Load()
	f.dropped.Incr(int64(stats.Dropped - f.counted.dropped))
	f.corrupt.Incr(int64(corrupt - f.counted.corrupt))
	f.counted.dropped, f.counted.corrupt = stats.Dropped, corrupt
}

func number(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// dropWarning is the time between two warnings of dropped messages.
const dropWarning = time.Minute

// watch updates the metrics, and warns of a buffer that stays full.
func (i *input) watch(ctx context.Context) {
	beat := time.NewTicker(time.Second)
	defer beat.Stop()
	warned, dropped, told := false, uint64(0), time.Time{}
	for ended := false; ; {
		stats := i.buffer.Stats()
		age := i.age(stats)
		i.shown.age.Store(int64(age))
		i.figures.set(stats, age, stats.Failure != nil || i.shown.failure.Load() != nil)
		full := !stats.Full.IsZero() && time.Since(stats.Full) > backlog.FullAfter
		if full && !warned {
			i.log.Warnf("The disk buffer in %s is full with %d messages, so the input is not read until the output takes them; raise max_bytes, or see why the output is slow", i.conf.path, stats.Messages)
		}
		if stats.Dropped > dropped && (ended || time.Since(told) > dropWarning) {
			i.log.Warnf("The disk buffer in %s has dropped %d messages, %d since it was opened", i.conf.path, stats.Dropped-dropped, stats.Dropped)
			dropped, told = stats.Dropped, time.Now()
		}
		warned = full
		if ended {
			return
		}
		select {
		case <-beat.C:
		case <-ctx.Done():
			ended = true
		}
	}
}

// age returns for how long the oldest message waits.
func (i *input) age(stats disklog.Stats) time.Duration {
	if stats.Messages == 0 {
		return 0
	}
	if first, ok := i.pendings.oldest(); ok {
		return max(0, time.Since(first))
	}
	if ms, ok := i.buffer.Oldest(); ok {
		return max(0, time.Since(time.UnixMilli(ms)))
	}
	return 0
}
