package mqtt

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	packets5 "github.com/eclipse/paho.golang/packets"
	packets3 "github.com/eclipse/paho.mqtt.golang/packets"
)

// refusedError is a subscription that the broker refused.
type refusedError struct {
	filter string
	why    error
}

func (e *refusedError) Error() string { return fmt.Sprintf("subscribing to %q: %v", e.filter, e.why) }
func (e *refusedError) Unwrap() error { return e.why }

// subscribe sends the subscriptions in as few packets as the broker allows. granted
// handles the answers; subscribed is closed after the last.
func (s *session) subscribe() error {
	if err := s.available(); err != nil {
		return err
	}
	for rest := s.conf.topics; len(rest) > 0; {
		n, packet := s.largestSubscribe(rest)
		if n == 0 {
			return &refusedError{rest[0].filter, fmt.Errorf("the broker allows packets of %d bytes at most", s.connack.maxPacket)}
		}
		s.asking = append(s.asking, rest[:n])
		rest = rest[n:]
		s.subscribes = append(s.subscribes, packet...)
	}
	if len(s.asking) == 0 {
		s.allGranted()
	}
	return nil
}

func (s *session) allGranted() {
	s.broker.subscribed.Store(true)
	close(s.subscribed)
}

// available checks the filters against the capabilities that the broker announced.
func (s *session) available() error {
	for _, t := range s.conf.topics {
		shared := strings.HasPrefix(t.filter, "$share/")
		if shared && s.connack.noShared {
			return &refusedError{t.filter, &reasonError{code: 0x9e}}
		}
		if s.connack.noWildcards && strings.ContainsAny(t.filter, "+#") {
			return &refusedError{t.filter, &reasonError{code: 0xa2}}
		}
	}
	return nil
}

// lastIdentifier is the packet identifier of the first SUBSCRIBE; later ones count down
// from it. Some brokers (mochi) confuse our identifiers with their own, and refuse a
// SUBSCRIBE with the identifier of a message that waits for delivery. Those brokers
// count up.
const lastIdentifier uint16 = 65535

func (s *session) largestSubscribe(filters []subscription) (int, []byte) {
	for n := len(filters); n > 0; n /= 2 {
		packet := s.encodeSubscribe(lastIdentifier-uint16(len(s.asking)), filters[:n])
		if uint64(len(packet)) <= uint64(s.connack.maxPacket) {
			return n, packet
		}
	}
	return 0, nil
}

func (s *session) encodeSubscribe(id uint16, filters []subscription) []byte {
	var buf bytes.Buffer
	if !s.v5 {
		p := packets3.NewControlPacket(packets3.Subscribe).(*packets3.SubscribePacket)
		p.MessageID = id
		for _, f := range filters {
			p.Topics, p.Qoss = append(p.Topics, f.filter), append(p.Qoss, f.qos)
		}
		_ = p.Write(&buf) // writing to a buffer does not fail
		return buf.Bytes()
	}
	p := &packets5.Subscribe{PacketID: id, Properties: &packets5.Properties{}}
	handling := s.conf.retainHandling
	if s.connack.sessionPresent && handling == 0 {
		handling = 1
	}
	for _, f := range filters {
		p.Subscriptions = append(p.Subscriptions, packets5.SubOptions{
			Topic: f.filter, QoS: f.qos, RetainHandling: handling,
			// A shared subscription with this option is a protocol error.
			NoLocal:           s.conf.noLocal && !strings.HasPrefix(f.filter, "$share/"),
			RetainAsPublished: s.conf.retainAsPublished,
		})
	}
	_, _ = p.WriteTo(&buf) // writing to a buffer does not fail
	return buf.Bytes()
}

// granted handles a SUBACK.
func (s *session) granted(body []byte) error {
	codes, id, text, err := parseSuback(body, s.v5)
	if err != nil {
		return fmt.Errorf("malformed SUBACK: %w", err)
	}
	index := int(lastIdentifier - id)
	if index < 0 || index >= len(s.asking) || s.asking[index] == nil {
		return fmt.Errorf("a SUBACK for the packet identifier %d, which no SUBSCRIBE has", id)
	}
	filters := s.asking[index]
	s.asking[index] = nil
	if len(codes) != len(filters) {
		return fmt.Errorf("a SUBACK with %d answers for %d filters", len(codes), len(filters))
	}
	for i, code := range codes {
		if code >= 0x80 {
			why := ReasonError(code, text)
			if code == 0x80 { // MQTT 3.1.1 has no other code
				why = fmt.Errorf("%w: check the filter, and what the broker permits this user", why)
			}
			return &refusedError{filters[i].filter, why}
		}
		if code < filters[i].qos {
			s.log.Warnf("The broker grants QoS %d for %q and not %d: messages arrive with that QoS at most", code, filters[i].filter, filters[i].qos)
		}
	}
	if !slices.ContainsFunc(s.asking, func(f []subscription) bool { return f != nil }) {
		s.allGranted()
	}
	return nil
}

func parseSuback(body []byte, v5 bool) (codes []byte, id uint16, text string, err error) {
	if !v5 {
		d := decoder{rest: body}
		id = d.uint16("packet identifier")
		return d.rest, id, "", d.err
	}
	p := packets5.Suback{Properties: &packets5.Properties{}}
	if err := p.Unpack(bytes.NewBuffer(body)); err != nil {
		return nil, 0, "", err
	}
	return p.Reasons, p.PacketID, p.Properties.ReasonString, nil
}
