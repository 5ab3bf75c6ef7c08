package mqtt

import "fmt"

// terms are what a broker grants on one connection.
type terms struct {
	v5        bool
	window    int // messages of QoS 1 and 2 in flight
	maxPacket uint32
	maxQoS    byte
	noRetain  bool
	aliases   int // the number of topic aliases to use
}

// check returns an error if the broker would not take the message.
func (t *terms) check(m *outgoing, l *layout) error {
	size := l.size()
	switch {
	case l.remaining > maxRemaining:
		return fmt.Errorf("the message is too large: its packet of %d bytes exceeds the 256 MiB that MQTT allows", size)
	case uint64(size) > uint64(t.maxPacket):
		return fmt.Errorf("the message is too large: its packet of %d bytes exceeds the broker's Maximum Packet Size, %d", size, t.maxPacket)
	case m.qos > t.maxQoS:
		return fmt.Errorf("QoS %d exceeds the broker's Maximum QoS, %d; set qos: %d", m.qos, t.maxQoS, t.maxQoS)
	case m.retain && t.noRetain:
		return fmt.Errorf("the broker retains no messages; set %s: false", fieldRetained)
	}
	return nil
}

// termsOf returns what the broker has granted in its CONNACK.
func (j *joiner) termsOf(l *line) terms {
	t := terms{
		v5:        l.v5,
		window:    int(l.connack.receiveMaximum),
		maxPacket: l.connack.maxPacket,
		maxQoS:    l.connack.maxQoS,
		noRetain:  l.connack.noRetain,
		aliases:   min(j.conf.aliases, int(l.connack.topicAliases)),
	}
	if !l.v5 {
		t.window = j.conf.window
	}
	return t
}
