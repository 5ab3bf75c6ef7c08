package console

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
)

// workersBody is the page of the workers that share the connectors.
type workersBody struct {
	Rows  []worker
	Notes []string
}

type worker struct {
	admin.Worker
	State, Class string
	Last         time.Time // rebalance, zero before the first
	LastTook     time.Duration
}

func (c *Console) workers(v *visit) {
	a, err := v.call(c, http.MethodGet, admin.PathWorkers, nil, nil, "")
	if err != nil {
		v.oops(c, err)
		return
	}
	var all []admin.Worker
	if err := json.Unmarshal(a.data, &all); err != nil {
		v.oops(c, fmt.Errorf("reading the answer of %s: %w", admin.PathWorkers, err))
		return
	}
	body := workersBody{Notes: a.notes}
	for _, one := range all {
		body.Rows = append(body.Rows, workerRow(one))
	}
	v.showPage(c, http.StatusOK, "workers", "Workers", body)
}

// workersOf are the URLs of the workers that run a connector, that of its first member first.
// There are none where no others share the connectors, and where it is paused.
func workersOf(s connector.Status) (all []string) {
	if s.Worker == "" {
		return nil
	}
	all = []string{s.Worker}
	for _, m := range s.Members {
		if !slices.Contains(all, m.Worker) {
			all = append(all, m.Worker)
		}
	}
	return all
}

func workerRow(w admin.Worker) worker {
	row := worker{Worker: w, State: "Member", Class: well.String(), LastTook: time.Duration(w.LastRebalanceMS) * time.Millisecond}
	if w.LastRebalanceTime > 0 {
		row.Last = time.Unix(w.LastRebalanceTime, 0)
	}
	switch {
	case !w.Answers:
		row.State, row.Class = "Does not answer", urgent.String()
	case !w.Confirmed:
		row.State, row.Class = "The coordinator does not answer it", urgent.String()
	}
	return row
}
