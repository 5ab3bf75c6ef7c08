package admin

import (
	"time"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

// detail answers one connector with its figures. RobustMQ has no figures of a connector
// that was never started, and answers so in its own words; we do the same if there are
// none.
func detail(name string, s connector.Status, f connector.Figures) (Detail, []string, error) {
	if s.State == connector.Waiting && s.Reason == "" {
		return Detail{}, nil, applied("Connector thread " + name + " does not exist.")
	}
	d := Detail{
		LastMsg: f.LastMessage, LastSendTime: unix(f.LastSend), SendSuccessTotal: f.Sent, SendFailTotal: f.Failed,
		RetryTotal: f.Retried, DiscardedTotal: f.Discarded, DeadLetteredTotal: f.DeadLettered,
		Lag: lagOf(f.Lag), LagUnknown: withoutUserInfo(f.LagUnknown), Buffer: bufferOf(s.Buffer), InFlight: f.InFlight, OldestUnackedMS: f.OldestUnacked.Milliseconds(),
		LastError: withoutUserInfo(f.LastError), LastErrorTime: unix(f.LastErrorSince),
		Tenant: s.Tenant, ConnectorName: s.Name, ConnectorType: s.Type,
		Config: withoutUserInfo(givenConfig(s.Config)), TopicName: s.TopicID, FailureStrategy: strategyOf(s.FailureStrategy), Labels: s.Labels,
		State: string(s.State), WaitsFor: waitsOf(s.Waits), Reason: withoutUserInfo(s.Reason),
		CreateTime: localTime(s.CreateTime), UpdateTime: localTime(s.UpdateTime),
		placement: placementOf(s),
	}
	return d, strategyNotes(s.FailureStrategy), nil
}

func lagOf(all []connector.Lag) (lags []Lag) {
	for _, l := range all {
		lags = append(lags, Lag(l))
	}
	return lags
}

// strategyNotes tells users what their strategy drops, in case they do not know:
// RobustMQ's robust-ctl always sends discard.
func strategyNotes(f *connector.FailureStrategy) []string {
	if f == nil {
		return nil
	}
	switch f.Strategy {
	case "discard":
		return []string{"failure strategy discard: a record that Kafka refuses is dropped; block keeps it and stops the connector there"}
	case "discard_after_retry":
		return []string{"failure strategy discard_after_retry: a record that Kafka still refuses after its retries is dropped; " +
			"block keeps it and stops the connector there"}
	}
	return nil
}

func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}
