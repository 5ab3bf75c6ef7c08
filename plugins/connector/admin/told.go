package admin

import (
	"context"
	"net/http"

	"github.com/robustmq/robustmq-connect/plugins/connector/cluster"
)

// Worker is one of the workers that share the connectors of a store.
type Worker struct {
	URL        string `json:"url"`         // of its API, as the other workers reach it
	ThisWorker bool   `json:"this_worker"` // it has answered this request
	Answers    bool   `json:"answers"`     // false: what follows is not known
	// Confirmed: the coordinator of the workers answers it.
	Confirmed   bool `json:"confirmed"`
	WritesStore bool `json:"writes_store"`
	Connectors  int  `json:"connectors"` // that it runs
	Partitions  int  `json:"partitions"` // of the assignment topic that it owns
	// Rebalances changed what it owns, since its start. The last of them ended at a time
	// in Unix seconds, 0 before the first, and took so many milliseconds.
	Rebalances        int   `json:"rebalances"`
	LastRebalanceTime int64 `json:"last_rebalance_time"`
	LastRebalanceMS   int64 `json:"last_rebalance_ms"`
}

// HasWorkers tells whether several workers share the connectors.
func (s *Server) HasWorkers() bool { return s.options.Workers != nil }

// workers answers the workers by URL, none where there is one service alone.
func (s *Server) workers(ctx context.Context, _ *http.Request, _ []byte) (reply, error) {
	all := []Worker{}
	if !s.HasWorkers() {
		return reply{data: all, notes: []string{"this service shares its connectors with no other one: see --advertise"}}, nil
	}
	told, err := s.options.Workers.Told(ctx)
	for _, one := range told {
		all = append(all, workerOf(one))
	}
	if err != nil {
		return reply{data: all, notes: []string{"the other workers are not known: " + err.Error()}}, nil
	}
	return reply{data: all}, nil
}

func workerOf(w cluster.Told) Worker {
	return Worker{
		URL: w.URL, ThisWorker: w.Self, Answers: !w.Silent, Confirmed: w.Confirmed, WritesStore: w.Writer,
		Connectors: w.Connectors, Partitions: w.Partitions,
		Rebalances: w.Rebalances, LastRebalanceTime: unix(w.LastRebalance), LastRebalanceMS: w.Took.Milliseconds(),
	}
}
