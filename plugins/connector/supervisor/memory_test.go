package supervisor

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/connector/store"
)

func TestServiceIsStartingUntilEachConnectorHasItsStream(t *testing.T) {
	s := &Supervisor{entries: map[string]*entry{}}
	var started []*run
	for _, name := range []string{"a", "b", "paused", "failed"} {
		e := &entry{definition: store.Definition{Connector: connector.Connector{Name: name}}}
		e.hide.Store(hiding())
		s.entries[name] = e
		if name == "paused" {
			continue
		}
		e.run = &run{supervisor: s, entry: e, waits: map[connector.Need]connector.Wait{}}
		e.run.wait(connector.NeedStart, errors.New("it is being started"))
		if name == "failed" {
			e.failed = &failure{}
			continue
		}
		started = append(started, e.run)
	}
	for _, r := range started {
		require.True(t, s.isStarting())
		r.set(nil)
		r.wait(connector.NeedKafka, errors.New("its Kafka is away"))
	}
	require.False(t, s.isStarting())
}
