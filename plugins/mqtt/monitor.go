package mqtt

import (
	"fmt"
	"sync"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/robustmq/robustmq-connect/plugins/internal/beat"
	"github.com/robustmq/robustmq-connect/plugins/internal/crash"
)

// monitor watches the oldest message without an acknowledgement. It rests while there is
// none.
type monitor struct {
	guard    *crash.Guard
	after    time.Duration // 0 for no warning
	log      *service.Logger
	inFlight *service.MetricGauge
	oldest   *service.MetricGauge
	current  func() *session

	beats  *beat.Group
	member *beat.Member // nil before start
	warned bool         // of the current stall
	shown  bool         // the gauges are not zero

	mu       sync.Mutex
	rejected int    // times in a row
	last     string // the reason; an error would keep the whole batch in memory
}

func newMonitor(after time.Duration, mgr *service.Resources, current func() *session) *monitor {
	return &monitor{
		after: after, log: mgr.Logger(), current: current,
		inFlight: mgr.Metrics().NewGauge("mqtt_input_in_flight"),
		oldest:   mgr.Metrics().NewGauge("mqtt_input_oldest_unacked_seconds"),
		beats:    beat.Of(mgr),
	}
}

func (m *monitor) start() {
	every := time.Second
	if m.after > 0 {
		every = max(min(every, m.after/4), 10*time.Millisecond)
	}
	m.member = m.beats.Join(every, m.beat)
}

// stop may be called more than once, and without start.
func (m *monitor) stop() {
	if m.member != nil {
		m.member.Leave()
	}
}

// resume has the monitor look again, after a message has arrived or another connection
// is in use. Call it only after start.
func (m *monitor) resume() { m.member.Resume() }

// beat reports whether there is nothing to watch.
func (m *monitor) beat() (rest bool) {
	defer m.guard.Catch("the input mqtt, watching its messages")
	count, topic, age := m.oldestWaiting()
	if count > 0 || m.shown {
		m.inFlight.Set(int64(count))
		m.oldest.SetFloat64(age.Seconds())
		m.shown = count > 0
	}
	stalled := m.after > 0 && age > m.after
	if stalled && !m.warned {
		m.log.Warnf("A message of topic %q has waited for %s to be finished, and the acknowledgements of %d messages wait behind it: %s", topic, age.Round(time.Millisecond), count-1, m.cause())
	}
	m.warned = stalled
	return count == 0
}

func (m *monitor) oldestWaiting() (count int, topic string, age time.Duration) {
	s := m.current()
	if s == nil {
		return 0, "", 0
	}
	count, topic, received := s.inflight.oldest()
	if count == 0 {
		return 0, "", 0
	}
	return count, topic, time.Since(received)
}

// cause describes why a message is not finished, as far as known.
func (m *monitor) cause() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.last == "" {
		return "the pipeline has neither finished nor rejected it; see the log of the output; stall_warning sets when this is logged"
	}
	return fmt.Sprintf("the pipeline has rejected messages %d times in a row, the last time with: %s; correct that, or catch such messages with the processors and outputs of the pipeline", m.rejected, m.last)
}

func (m *monitor) countRejections(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err == nil {
		m.rejected, m.last = 0, ""
	} else {
		m.rejected, m.last = m.rejected+1, err.Error()
	}
}
