// Package workers runs several workers of one service with random changes of connectors
// and random faults, and compares the result with the promises: in
// resources/docs/cluster.md, and those of the pipeline.
//
// A seed runs in a bubble of testing/synctest, on an in-memory network, with a Kafka and
// an MQTT broker in this process. What a plan does is the same for each run of a seed;
// in which order goroutines run is not.
package workers

import (
	"os"
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/tests/components"
	"github.com/robustmq/robustmq-connect/tests/seeds"
)

func TestMain(m *testing.M) {
	debug.SetGCPercent(400)   // seeds leave little behind
	debug.SetTraceback("all") // of a seed that does not end
	os.Exit(m.Run())
}

// failedOnce are seeds that failed, with their cause. They always run. A change to
// newPlan or to the steps turns them into other scenarios.
var failedOnce = []uint64{
	13812753854229790902, // a connector that was created while the coordinator was away never started
	11950424107346930870, // a writer that was frozen had the store again, and counted it as lost
	2130475849574831278,  // a session that could not be recorded stayed on the broker for good
	2618950134697055568,  // two workers began to write, and neither wrote: the owner of the partition had lost the store
	449212161179822341,   // a change that was done was answered as refused, because the next writer had the store
	368636004939042656,   // the session of a member that an update removed stayed, because another update ended with it
}

func TestWorkers(t *testing.T) {
	_, err := components.Environment() // made once, outside of all bubbles
	require.NoError(t, err)
	seeds.Model{Package: "tests/model/workers", FailedOnce: failedOnce, Default: 20, Simulate: simulate}.Test(t)
}
