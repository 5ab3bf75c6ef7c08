package supervisor

import (
	"time"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

// Samples are all connectors by name, for an overview.
func (s *Supervisor) Samples() []connector.Sample { return s.samplesOf(s.list()) }

// MySamples are those of the connectors of which this worker runs a member, with what it
// runs.
func (s *Supervisor) MySamples() []connector.Sample { return s.samplesOf(s.ownEntries()) }

// Mine is MySamples without figures and with the configs.
func (s *Supervisor) Mine() []connector.Status {
	entries := s.ownEntries()
	all := make([]connector.Status, len(entries))
	for i, e := range entries {
		all[i] = s.status(e)
	}
	return all
}

// MySample is what Detail returns of one of these connectors. ok is false for others.
func (s *Supervisor) MySample(name string) (one connector.Sample, ok bool) {
	e := s.find(name)
	if e == nil || len(s.membersHere(e)) == 0 {
		return one, false
	}
	var err error
	one.Status, one.Figures, err = s.Detail(name)
	return one, err == nil
}

func (s *Supervisor) samplesOf(entries []*entry) []connector.Sample {
	all := make([]connector.Sample, 0, len(entries))
	for _, e := range entries {
		s.protect(e, func() {
			one := e.figures.sample()
			one.Status = s.standing(e)
			one.LastError, one.LastErrorSince = e.lastError.get()
			one.Acknowledged, one.Latency, _ = e.figures.latency.Snapshot()
			all = append(all, one)
		})
	}
	return all
}

// measured is what the metrics of the streams tell.
type measured struct {
	connector.Sample
	brokerFailures int64 // connections to the MQTT broker that failed or were lost
	blocked        bool  // the output holds messages
}

func (f *figures) sample() connector.Sample { return f.measure().Sample }

// measure adds up what the metrics of the streams tell, in one pass.
func (f *figures) measure() measured {
	var one measured
	f.mu.Lock()
	for _, s := range f.series {
		n := s.count.Load()
		switch s.name {
		case metricReceived:
			one.Received += n
		case metricSent, metricDelivered:
			one.Sent += n
		case metricFailed, metricPublishFailed:
			one.Failed += n
		case metricRetried, metricPublishRetried:
			one.Retried += n
		case metricDiscarded, metricPublishDiscarded:
			one.Discarded += n
		case metricDeadLettered, metricPublishDead:
			one.DeadLettered += n
		case metricReadFailed, metricReadLost:
			if !f.source {
				one.brokerFailures += n
			}
		case metricWriteFailed, metricWriteLost:
			if f.source {
				one.brokerFailures += n
			}
		case metricInFlight, metricKafkaInFlight:
			one.InFlight += int64(s.float())
		case metricOldestUnacked, metricKafkaOldest:
			one.OldestUnacked = max(one.OldestUnacked, time.Duration(s.float()*float64(time.Second)))
		case metricBlocked, metricPublishBlocked:
			one.blocked = one.blocked || s.float() > 0
		}
	}
	f.mu.Unlock()
	if at := f.lastSend.Load(); at > 0 {
		one.LastSend = time.Unix(0, at)
	}
	return one
}

// inFlight counts the messages that a member has received and not acknowledged.
func (f *figures) inFlight(member int) (n int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.series {
		if s.member == member && (s.name == metricInFlight || s.name == metricKafkaInFlight) {
			n += int64(s.float())
		}
	}
	return n
}
