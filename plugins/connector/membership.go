package connector

import "time"

// Membership is what a worker knows about itself among the workers that share the
// connectors of a service.
type Membership struct {
	Workers    int  // that were in the group when it was described last; 0 before
	Partitions int  // that this worker owns
	Writer     bool // it writes the store
	Confirmed  bool // the coordinator of the group answers
	Rebalances int  // that changed what this worker owns, since its start
	// LastRebalance is the end of the last of them, zero before the first, and Took how long
	// it took, draining included.
	LastRebalance time.Time
	Took          time.Duration
}
