// Package model runs the pipeline from MQTT to Kafka with random faults of both ends,
// and compares the result with the promises.
//
// A seed runs in a bubble of testing/synctest, on an in-memory network: minutes of
// outages take milliseconds, and time limits hold on a busy machine.
package model

import (
	"testing"

	"github.com/robustmq/robustmq-connect/tests/seeds"
)

// failedOnce are seeds that failed, with their cause. They always run. A change to
// newPlan or to the steps turns them into other scenarios: then search for new ones on
// the commit before the fix that is named.
var failedOnce = []uint64{
	7, 16, 20, 51, 55, // the session rewrite: deaf after a subscription that failed, or half a session
	44, 93, 222, // the same: no time of receipt for what came with CONNACK
	36, 6831, 9743, // a CONNACK that told of a new session did not arrive: deaf, or copies dropped
	301754775401562129,          // QoS 2 that was rejected at another broker than its own was waited for
	480, 2746, 3383, 3726, 5725, // QoS 2 that came again was acknowledged on the connection before
	16866394019507860187, // without a strategy, a record was refused for a Kafka that ended its new connection
}

func TestModel(t *testing.T) {
	seeds.Model{Package: "tests/model", FailedOnce: failedOnce, Default: 400, Simulate: simulate}.Test(t)
}
