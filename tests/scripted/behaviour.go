// Package scripted is an MQTT broker for tests, which misbehaves on demand. It
// keeps the session of one client in memory, speaks MQTT 3.1.1 and 5, and treats
// each connection as its script says: what real brokers do wrong, and what a
// network does to them, at a place of the test's choice.
//
// It runs on any listener: on loopback TCP, and in a bubble of testing/synctest
// on one that is made of net.Pipe.
package scripted

import "time"

// Behaviour is how one connection is treated. The zero value is a broker that
// does everything right.
type Behaviour struct {
	// Refusal answers CONNECT, where it is set. Nothing else happens then.
	Refusal *Refusal
	// Session is what the broker has kept of the session before.
	Session Session
	// Suback is when SUBSCRIBE is answered, and how.
	Suback Suback
	// SubackDelay is for SubackLate.
	SubackDelay time.Duration
	// Window is how many messages may be in flight, 0 for 65535. A smaller
	// Receive Maximum of the client holds.
	Window int
	// Together puts the messages of a kept session into one segment with CONNACK.
	Together bool
	// BytewiseUpTo is how many bytes at the beginning of the connection are
	// written one at a time.
	BytewiseUpTo int

	// FreshIdentifiers gives messages that are sent again other identifiers.
	FreshIdentifiers bool
	// Dup is the flag of a message that is sent.
	Dup Dup
	// Shuffle, where it is set, reorders what is sent again, as rand.Shuffle does.
	Shuffle func(n int, swap func(i, j int))

	// End is how the connection ends when one of the three is reached.
	End End
	// AfterSent is how many bytes are sent, 0 for any number and -1 for none.
	AfterSent int
	// AfterReceived is how many bytes are received, 0 for any number and -1 for
	// none. What came behind them is never seen.
	AfterReceived int
	// After is how long the connection may last, 0 for as long as it likes.
	After time.Duration
	// Farewell is written before the connection ends because of After.
	Farewell []byte
}

// Refusal is an answer to CONNECT that is no welcome.
type Refusal struct {
	// Answer is written as it is.
	Answer []byte
	// Hold leaves the connection open, so that without an Answer the broker is
	// silent. Otherwise the connection is closed.
	Hold bool
}

// The ways in which brokers were seen to refuse a CONNECT, and two of the reasons
// that pass.
var (
	// RefusedOld refuses the version in the words of MQTT 3.1.1: aedes, NATS.
	RefusedOld = &Refusal{Answer: []byte{0x20, 2, 0, 1}}
	// RefusedMixed does so in the shape of MQTT 5: Moquette.
	RefusedMixed = &Refusal{Answer: []byte{0x20, 3, 0, 1, 0}}
	// RefusedVersion is how MQTT 5 itself refuses the version.
	RefusedVersion = &Refusal{Answer: []byte{0x20, 3, 0, 0x84, 0}}
	// HungUp closes the connection without a word: RabbitMQ.
	HungUp = &Refusal{}
	// Silent says nothing: amqtt.
	Silent = &Refusal{Hold: true}
	// Unavailable5 and Unavailable3 mean that the server is not ready.
	Unavailable5 = &Refusal{Answer: []byte{0x20, 3, 0, 0x88, 0}}
	// Unavailable3 is the same in MQTT 3.1.1.
	Unavailable3 = &Refusal{Answer: []byte{0x20, 2, 0, 3}}
	// Garbled answers with a CONNACK that is too short.
	Garbled = &Refusal{Answer: []byte{0x20, 1, 0}}
	// Foreign answers with a packet that is no CONNACK.
	Foreign = &Refusal{Answer: []byte{0xd0, 0}}
)

// Session says what a broker has kept.
type Session int

const (
	// Kept is what the client and the standard want.
	Kept Session = iota
	// Lost is a broker that restarted without persistence: the subscriptions
	// and the messages are gone, and CONNACK says so.
	Lost
	// HalfKept is a session without its subscriptions, which CONNACK tells to be
	// present. The messages that it had are there.
	HalfKept
)

// Suback is an answer to SUBSCRIBE.
type Suback int

const (
	// SubackPrompt comes as soon as SUBSCRIBE is read. The messages of a kept
	// session come before it.
	SubackPrompt Suback = iota
	// SubackEarly comes before all messages: those of a kept session wait for it,
	// a tenth of a second at most.
	SubackEarly
	// SubackLate comes SubackDelay later. Messages flow meanwhile.
	SubackLate
	// SubackNever does not come. Messages flow all the same.
	SubackNever
	// SubackRefused refuses every filter. Nothing is subscribed.
	SubackRefused
	// SubackRefusedPart refuses every filter but the first.
	SubackRefusedPart
	// SubackAfterAck comes after the first acknowledgement of a message, if there
	// is a message in flight: rumqttd.
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
	// Mute leaves it open, takes what comes, and says nothing.
	Mute
	// Freeze leaves it open and does not even read.
	Freeze
)
