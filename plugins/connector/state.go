package connector

import "time"

// State is the state of a connector.
type State string

// The states of a connector.
const (
	Running State = "Running" // both ends are connected, and messages get through
	Waiting State = "Waiting" // it continues by itself once what it waits for is there
	Failed  State = "Failed"  // it does not continue until somebody acts
	Paused  State = "Paused"
	Unknown State = "Unknown" // the worker that runs it does not answer
)

// Need is what a connector waits for.
type Need string

// The needs of a connector.
const (
	NeedStart    Need = "start"    // its stream is not started yet
	NeedUpdate   Need = "update"   // messages in sessions that an update gave up
	NeedStore    Need = "store"    // the disk of the store
	NeedBroker   Need = "mqtt"     // the MQTT broker
	NeedKafka    Need = "kafka"    // Kafka
	NeedBuffer   Need = "buffer"   // room in its disk buffer, or the disk
	NeedProgress Need = "progress" // both ends are connected, but no message gets through
)

// Wait is one thing that a connector waits for.
type Wait struct {
	For   Need
	Since time.Time
	Why   string
}

// RobustMQ's words for the status of a connector. robust-ctl prints them, and a stored
// definition has Stop if the connector is paused.
const (
	WordIdle    = "Idle"    // no stream was started
	WordRunning = "Running" // also while it waits for Kafka or for the MQTT broker
	WordStop    = "Stop"    // paused
)

// Word returns the status in RobustMQ's words.
func (s Status) Word() string {
	switch {
	case s.State == Paused:
		return WordStop
	case s.State == Failed, s.State == Unknown, s.State == Waiting && (len(s.Waits) == 0 || s.Waits[0].For == NeedStart):
		return WordIdle
	}
	return WordRunning
}
