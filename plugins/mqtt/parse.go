package mqtt

import (
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/url"
	"slices"
	"strings"
	"time"

	gonanoid "github.com/matoous/go-nanoid/v2"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/robustmq/robustmq-connect/plugins/internal/budget"
	"github.com/robustmq/robustmq-connect/plugins/internal/crash"
	"github.com/robustmq/robustmq-connect/plugins/internal/fields"
)

// config is the parsed configuration.
type config struct {
	guard *crash.Guard   // of the stream's panics, nil without
	share *budget.Member // of what all inputs may hold, nil without a bound

	urls           []*url.URL
	clientID       string
	stableID       bool // the next start uses the same client id
	connectTimeout time.Duration
	will           *will // nil without one
	user, password string
	keepAlive      uint16
	tls            *tls.Config
	dial           DialFunc

	topics            []subscription
	noLocal           bool
	retainAsPublished bool
	retainHandling    byte

	cleanSession   bool
	version        string
	sessionExpiry  uint32 // seconds, math.MaxUint32 for never
	receiveMaximum uint16
	topicAliases   uint16
	userProperties []userProperty

	maxBatchMessages int
	maxBatchBytes    int
	maxPendingBytes  int
	maxPayloadBytes  int // 0 for no limit
	oversized        string
	stallWarning     time.Duration
	replay           bool // the input retries a rejected message without the broker

	gate Gate
}

type will struct {
	topic, payload string
	qos            byte
	retained       bool
}

type subscription struct {
	filter string
	qos    byte
}

// schemes are the URL schemes that dial supports.
var schemes = []string{"tcp", "mqtt", "ssl", "tls", "mqtts", "mqtt+ssl", "tcps", "ws", "wss", "unix"}

// parser reads fields that need more than a simple lookup.
type parser struct{ *fields.Reader }

func parseConfig(conf *service.ParsedConfig, opts ...Option) (*config, error) {
	p := parser{fields.NewReader(conf)}
	c := &config{
		gate:           open{},
		dial:           dialer{}.dial,
		urls:           fields.Read(p.Reader, conf.FieldURLList, fieldURLs),
		connectTimeout: p.Duration(0, fields.AnyDuration, fieldConnectTimeout),
		user:           fields.Read(p.Reader, conf.FieldString, fieldUser),
		password:       fields.Read(p.Reader, conf.FieldString, fieldPassword),
		keepAlive:      uint16(p.Integer(0, math.MaxUint16, fieldKeepAlive)),

		noLocal:           fields.Read(p.Reader, conf.FieldBool, fieldNoLocal),
		retainAsPublished: fields.Read(p.Reader, conf.FieldBool, fieldRetainAsPublished),
		retainHandling:    byte(p.Integer(0, 2, fieldRetainHandling)),

		cleanSession:   fields.Read(p.Reader, conf.FieldBool, fieldCleanSession),
		version:        fields.Read(p.Reader, conf.FieldString, fieldProtocolVersion),
		receiveMaximum: uint16(p.Integer(1, math.MaxUint16, fieldReceiveMaximum)),
		topicAliases:   uint16(p.Integer(0, math.MaxUint16, fieldTopicAliases)),

		maxBatchMessages: p.Integer(1, math.MaxInt32, fieldMaxBatchMessages),
		maxBatchBytes:    p.Size(1, math.MaxInt32, fieldMaxBatchBytes),
		maxPendingBytes:  p.Size(1, math.MaxInt32, fieldMaxPendingBytes),
		maxPayloadBytes:  p.Size(0, math.MaxInt32, fieldMaxPayloadBytes),
		oversized:        fields.Read(p.Reader, conf.FieldString, fieldOversized),
		stallWarning:     p.Duration(0, fields.AnyDuration, fieldStallWarning),
		replay:           fields.Read(p.Reader, conf.FieldBool, service.AutoRetryNacksToggleFieldName),
	}
	if !slices.Contains([]string{versionAuto, version5, version311}, c.version) {
		p.Fail(fmt.Errorf("value %s is unknown; must be one of auto, 5, 3.1.1", c.version), fieldProtocolVersion)
	}
	if words := []string{oversizedHold, oversizedFail}; !slices.Contains(words, c.oversized) {
		p.Fail(fmt.Errorf("value %s is unknown; must be one of %s", c.oversized, strings.Join(words, ", ")), fieldOversized)
	}
	for _, u := range c.urls {
		if !slices.Contains(schemes, u.Scheme) {
			p.Fail(fmt.Errorf("%q: scheme %q is unknown; must be one of %s", u.Redacted(), u.Scheme, strings.Join(schemes, ", ")), fieldURLs)
		}
	}
	if p.Err() == nil && len(c.urls) == 0 {
		p.Fail(errors.New("is empty; give the MQTT broker as scheme://host:port, for example tcp://localhost:1883"), fieldURLs)
	}
	if c.connectTimeout == 0 {
		c.connectTimeout = 365 * 24 * time.Hour // 0 sets no limit in the stock input either
	}
	p.clientID(c)
	p.will(c)
	p.subscriptions(c)
	p.sessionExpiry(c)
	p.userProperties(c)
	tlsConf, enabled, err := conf.FieldTLSToggled(fieldTLS)
	p.Fail(err, fieldTLS)
	if c.tls = tlsConf; !enabled || tlsConf == nil {
		c.tls = &tls.Config{}
	}
	for _, option := range opts {
		option(c)
	}
	return c, p.Err()
}

func (p parser) clientID(c *config) {
	c.clientID = fields.Read(p.Reader, p.Conf.FieldString, fieldClientID)
	c.stableID = c.clientID != ""
	if !p.Conf.Contains(fieldClientIDSuffix) {
		return
	}
	switch suffix := fields.Read(p.Reader, p.Conf.FieldString, fieldClientIDSuffix); suffix {
	case "nanoid":
		id, err := gonanoid.New()
		p.Fail(err, fieldClientIDSuffix)
		c.clientID += id
		c.stableID = false
	case "":
	default:
		p.Fail(fmt.Errorf("value %q is unknown; must be one of nanoid", suffix), fieldClientIDSuffix)
	}
}

func (p parser) will(c *config) {
	w := &will{
		qos:      byte(p.Integer(0, 2, fieldWill, fieldWillQoS)),
		retained: fields.Read(p.Reader, p.Conf.FieldBool, fieldWill, fieldWillRetained),
		topic:    fields.Read(p.Reader, p.Conf.FieldString, fieldWill, fieldWillTopic),
		payload:  fields.Read(p.Reader, p.Conf.FieldString, fieldWill, fieldWillPayload),
	}
	if !fields.Read(p.Reader, p.Conf.FieldBool, fieldWill, fieldWillEnabled) {
		return
	}
	if w.topic == "" {
		p.Fail(errors.New("is empty; give the topic of the last will, or set will.enabled: false"), fieldWill, fieldWillTopic)
	}
	c.will = w
}

func (p parser) subscriptions(c *config) {
	topics := fields.Read(p.Reader, p.Conf.FieldStringList, fieldTopics)
	qos := p.Integer(0, 2, fieldQoS)
	single := fields.Read(p.Reader, p.Conf.FieldIntMap, fieldTopicQoS)
	for filter, n := range single {
		if !slices.Contains(topics, filter) {
			p.Fail(fmt.Errorf("%q is not one of %s", filter, fieldTopics), fieldTopicQoS)
		}
		if err := fields.InRange(n, 0, 2); err != nil {
			p.Fail(fmt.Errorf("%q: %w", filter, err), fieldTopicQoS)
		}
	}
	for _, filter := range topics {
		s := subscription{filter: filter, qos: byte(qos)}
		if n, ok := single[filter]; ok {
			s.qos = byte(n)
		}
		if slices.ContainsFunc(c.topics, func(o subscription) bool { return o.filter == filter }) {
			continue
		}
		c.topics = append(c.topics, s)
	}
}

func (p parser) sessionExpiry(c *config) {
	if !c.cleanSession {
		c.sessionExpiry = math.MaxUint32
	}
	if !p.Conf.Contains(fieldSessionExpiry) {
		return
	}
	text := fields.Read(p.Reader, p.Conf.FieldString, fieldSessionExpiry)
	if text == expiryNever {
		c.sessionExpiry = math.MaxUint32
		return
	}
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		err = fmt.Errorf("%q is not a duration; write a number and a unit of s, m or h, for example 24h, or never", text)
	case d < 0 || d%time.Second != 0 || d/time.Second >= math.MaxUint32:
		err = fmt.Errorf("%q is not a number of whole seconds below 2^32-1", text)
	}
	p.Fail(err, fieldSessionExpiry)
	c.sessionExpiry = uint32(d / time.Second)
}

func (p parser) userProperties(c *config) {
	properties := fields.Read(p.Reader, p.Conf.FieldStringMap, fieldUserProperties)
	for _, key := range slices.Sorted(maps.Keys(properties)) {
		c.userProperties = append(c.userProperties, userProperty{key, properties[key]})
	}
}

// needsSession reports whether a reconnect must find its session so that no message is
// lost.
func (c *config) needsSession() bool {
	return slices.ContainsFunc(c.topics, func(s subscription) bool { return s.qos > 0 })
}
