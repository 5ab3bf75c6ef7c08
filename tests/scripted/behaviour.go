// Package scripted is an MQTT broker for tests that misbehaves on demand. It keeps the
// session of one client in memory, speaks MQTT 3.1.1 and 5, and handles each connection
// according to its script: it reproduces faults of real brokers and networks at a point
// that the test chooses.
//
// It runs on any listener: on loopback TCP, and in a bubble of testing/synctest on one
// made of net.Pipe.
package scripted

import "time"

// Behaviour is how one connection is handled. The zero value is a correct broker.
type Behaviour struct {
	// Refusal, if set, answers CONNECT. Nothing else happens then.
	Refusal *Refusal
	// Session is what the broker has kept of the previous session.
	Session Session
	// Suback says when and how SUBSCRIBE is answered.
	Suback Suback
	// SubackDelay is for SubackLate.
	SubackDelay time.Duration
	// Window is how many messages may be in flight, 0 for 65535. A smaller Receive
	// Maximum of the client takes precedence.
	Window int
	// Together sends the messages of a kept session in one segment with CONNACK.
	Together bool
	// BytewiseUpTo is how many bytes at the start of the connection are written one at
	// a time.
	BytewiseUpTo int

	// FreshIdentifiers gives redelivered messages other identifiers.
	FreshIdentifiers bool
	// Dup is the DUP flag of a sent message.
	Dup Dup
	// Shuffle, if set, reorders redelivered messages, as rand.Shuffle does.
	Shuffle func(n int, swap func(i, j int))

	// End is how the connection ends when one of the three limits is reached.
	End End
	// AfterSent is how many bytes are sent, 0 for no limit and -1 for none.
	AfterSent int
	// AfterReceived is how many bytes are received, 0 for no limit and -1 for none.
	// Later bytes are never read.
	AfterReceived int
	// After is how long the connection may last, 0 for no limit.
	After time.Duration
	// Farewell is written before the connection ends because of After.
	Farewell []byte
}

// Refusal is a negative answer to CONNECT.
type Refusal struct {
	// Answer is written unchanged.
	Answer []byte
	// Hold keeps the connection open, so that without an Answer the broker is silent.
	// Otherwise the connection is closed.
	Hold bool
}

// The ways in which real brokers refuse a CONNECT, and two temporary reasons.
var (
	// RefusedOld refuses the version with MQTT 3.1.1's code: aedes, NATS.
	RefusedOld = &Refusal{Answer: []byte{0x20, 2, 0, 1}}
	// RefusedMixed does so in the format of MQTT 5: Moquette.
	RefusedMixed = &Refusal{Answer: []byte{0x20, 3, 0, 1, 0}}
	// RefusedVersion is how MQTT 5 itself refuses the version.
	RefusedVersion = &Refusal{Answer: []byte{0x20, 3, 0, 0x84, 0}}
	// HungUp closes the connection without an answer: RabbitMQ.
	HungUp = &Refusal{}
	// Silent does not answer: amqtt.
	Silent = &Refusal{Hold: true}
	// Unavailable5 and Unavailable3 mean that the server is not ready.
	Unavailable5 = &Refusal{Answer: []byte{0x20, 3, 0, 0x88, 0}}
	// Unavailable3 is the same in MQTT 3.1.1.
	Unavailable3 = &Refusal{Answer: []byte{0x20, 2, 0, 3}}
	// Garbled answers with a CONNACK that is too short.
	Garbled = &Refusal{Answer: []byte{0x20, 1, 0}}
	// Foreign answers with a packet that is not a CONNACK.
	Foreign = &Refusal{Answer: []byte{0xd0, 0}}
)

// Session says what a broker has kept.
type Session int

const (
	// Kept is a kept session, as the standard requires.
	Kept Session = iota
	// Lost is a broker that restarted without persistence: the subscriptions and the
	// messages are lost, and CONNACK says so.
	Lost
	// HalfKept is a session without its subscriptions, which CONNACK reports as
	// present. It still has its messages.
	HalfKept
)

// Suback is an answer to SUBSCRIBE.
type Suback int

const (
	// SubackPrompt is sent as soon as SUBSCRIBE is read. The messages of a kept session
	// are sent before it.
	SubackPrompt Suback = iota
	// SubackEarly is sent before all messages: those of a kept session wait for it, at
	// most a tenth of a second.
	SubackEarly
	// SubackLate is sent after SubackDelay. Messages flow in the meantime.
	SubackLate
	// SubackNever is never sent. Messages flow nevertheless.
	SubackNever
	// SubackRefused refuses every filter. Nothing is subscribed.
	SubackRefused
	// SubackRefusedPart refuses every filter but the first.
	SubackRefusedPart
	// SubackAfterAck is sent after the first acknowledgement of a message, if a message
	// is in flight: rumqttd.
	SubackAfterAck
)

// Dup is the DUP flag of messages.
type Dup int

const (
	// DupRight is set when the message was sent before.
	DupRight Dup = iota
	// DupNever is never set: Artemis, rumqttd, aedes.
	DupNever
	// DupAlways is set on the first delivery too.
	DupAlways
)

// End is how a connection ends.
type End int

const (
	// Cut closes the connection.
	Cut End = iota
	// Mute keeps it open, reads, and sends nothing.
	Mute
	// Freeze keeps it open and does not even read.
	Freeze
)
