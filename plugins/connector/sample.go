package connector

import "time"

// Sample is how a connector stands and what it has done since the service started. It
// is made often, of all connectors at once: its Config is nil.
type Sample struct {
	Status
	Figures
	Received int64 // messages that the input has read from the MQTT broker
	// Acknowledged are the messages that Latency is the sum of: from receipt to the
	// acknowledgement to the broker.
	Acknowledged uint64
	Latency      time.Duration
}
