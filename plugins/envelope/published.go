package envelope

import "github.com/redpanda-data/benthos/v4/public/service"

// Published are the MQTT 5 properties that a message is published with.
type Published struct{ of properties }

// PublishedWith reads the properties of a message from the metadata that the input mqtt
// and the decoder of envelopes set. An error names the metadata that has a wrong value.
func PublishedWith(msg *service.Message) (Published, error) {
	p, err := propertiesOf(msg, nil)
	return Published{p}, err
}

// ContentType returns the Content Type, and whether there is one.
func (p *Published) ContentType() (string, bool) {
	return p.of.contentType, p.of.has&hasContentType != 0
}

// ResponseTopic returns the Response Topic, and whether there is one.
func (p *Published) ResponseTopic() (string, bool) {
	return p.of.responseTopic, p.of.has&hasResponseTopic != 0
}

// CorrelationData returns the raw Correlation Data, and whether there are any.
func (p *Published) CorrelationData() (string, bool) {
	return p.of.correlationData, p.of.has&hasCorrelationData != 0
}

// FormatIndicator returns the Payload Format Indicator, 0 or 1, and whether there is one.
func (p *Published) FormatIndicator() (byte, bool) {
	return byte(p.of.formatIndicator), p.of.has&hasFormatIndicator != 0
}

// Expiry returns the Message Expiry Interval in seconds, and whether there is one.
func (p *Published) Expiry() (uint32, bool) { return uint32(p.of.expiry), p.of.has&hasExpiry != 0 }

// User returns the user properties in order.
func (p *Published) User() []Header { return p.of.user }
