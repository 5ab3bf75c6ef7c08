package admin

import "github.com/robustmq/robustmq-connect/plugins/connector"

// placement says where a connector runs, if several workers share the connectors. It is
// empty where they do not, and where the connector is Paused.
type placement struct {
	// Worker is the URL of the worker that runs the first member, or "unknown".
	Worker  string   `json:"worker,omitempty"`
	Members []Member `json:"members,omitempty"` // of a connector that has several
}

// Member is one member of a connector.
type Member struct {
	Member int    `json:"member"` // from 1
	State  string `json:"state"`
	Worker string `json:"worker"` // as that of the connector
}

func placementOf(s connector.Status) placement {
	p := placement{Worker: s.Worker}
	if p.Worker == "" {
		return p
	}
	for _, m := range s.Members {
		p.Members = append(p.Members, Member{Member: m.Member + 1, State: string(m.State), Worker: m.Worker})
	}
	return p
}
