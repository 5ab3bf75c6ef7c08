package mqtt

import "fmt"

// exceeds reports whether a payload is larger than max_payload_bytes.
func (c *config) exceeds(size int) bool {
	return c.maxPayloadBytes > 0 && size > c.maxPayloadBytes
}

// tooLarge reports whether the next packet is a PUBLISH with a payload over the limit,
// which must not be read into memory. It looks only at packets longer than the read
// buffer: shorter ones are in memory already.
func (s *session) tooLarge(first byte, length int) (bool, error) {
	if first>>4 != typePublish || length <= largestReadBuffer || !s.conf.exceeds(length) {
		return false, nil
	}
	start, err := s.in.start()
	if err != nil {
		return false, connectionError("reading", err)
	}
	raw, err := decodePublish(first&0xf, start, s.v5)
	if err != nil {
		return false, &packetError{reasonQuota, fmt.Sprintf("a PUBLISH of %d bytes whose payload does not begin within the first %d, as it must where %s is set: %s",
			length, len(start), fieldMaxPayloadBytes, err)}
	}
	return s.conf.exceeds(length - len(start) + len(raw.payload)), nil
}

// oversized decides what happens to a message whose payload exceeds the limit. If the
// message is kept, it goes on without its payload and with an error.
func (s *session) oversized(m *message, size int) (kept bool, err error) {
	m.payload = nil
	large := &oversizedError{topic: m.topic.name, size: size, limit: s.conf.maxPayloadBytes}
	switch {
	case s.conf.oversized == oversizedFail:
		m.notKept = large
		return true, nil
	case m.qos == 0: // brokers do not redeliver it
		s.log.Warnf("Dropped a message of QoS 0: %s", large.Error())
		return false, nil
	default:
		return false, large
	}
}

// oversizedError says that a payload exceeds max_payload_bytes.
type oversizedError struct {
	topic       string
	size, limit int
}

func (e *oversizedError) Error() string {
	return fmt.Sprintf("a message of topic %s has a payload of %d bytes, which was not kept: raise %s, which is %d",
		quoted([]byte(e.topic)), e.size, fieldMaxPayloadBytes, e.limit)
}
