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

	"github.com/dustin/go-humanize"
	gonanoid "github.com/matoous/go-nanoid/v2"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/robustmq/robustmq-connect/plugins/internal/budget"
	"github.com/robustmq/robustmq-connect/plugins/internal/crash"
)

// config is the parsed configuration.
type config struct {
	guard *crash.Guard   // of the stream's panics, nil without
	share *budget.Member // of what all inputs may hold, nil without a bound

	urls           []*url.URL
	clientID       string
	stableID       bool // the same client id on the next start
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
	replay           bool // a rejected message is tried again without the broker

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

// schemes are the URL schemes that dial knows.
var schemes = []string{"tcp", "mqtt", "ssl", "tls", "mqtts", "mqtt+ssl", "tcps", "ws", "wss", "unix"}

// parser keeps the first error of many look-ups.
type parser struct {
	conf *service.ParsedConfig
	err  error
}

func read[T any](p *parser, get func(...string) (T, error), path ...string) T {
	v, err := get(path...)
	p.fail(err, path...)
	return v
}

func (p *parser) fail(err error, path ...string) {
	if err != nil && p.err == nil {
		p.err = fmt.Errorf("field %s: %w", strings.Join(path, "."), err)
	}
}

func (p *parser) integer(low, high int, path ...string) int {
	n := read(p, p.conf.FieldInt, path...)
	p.fail(inRange(n, low, high), path...)
	return n
}

func inRange(n, low, high int) error {
	if n < low || n > high {
		return fmt.Errorf("%d is out of range; it takes %d to %d", n, low, high)
	}
	return nil
}

func (p *parser) size(name string) int { return p.sizeFrom(1, name) }

// sizeOrNone is a size of which 0 means that there is no limit.
func (p *parser) sizeOrNone(name string) int { return p.sizeFrom(0, name) }

func (p *parser) sizeFrom(least uint64, name string) int {
	text := read(p, p.conf.FieldString, name)
	n, err := humanize.ParseBytes(text)
	if err != nil {
		err = fmt.Errorf("%q is not a size; write a number and a unit of B, kB, MB, GB, KiB, MiB or GiB, for example 1MiB", text)
	} else if n < least || n > math.MaxInt32 {
		err = fmt.Errorf("%q is out of range; it takes %d to %d bytes", text, least, math.MaxInt32)
	}
	p.fail(err, name)
	return int(n)
}

func (p *parser) duration(name string) time.Duration {
	text := read(p, p.conf.FieldString, name)
	d, err := time.ParseDuration(text)
	if err != nil {
		err = fmt.Errorf("%q is not a duration; write a number and a unit of ns, us, ms, s, m or h, for example 30s", text)
	} else if d < 0 {
		err = fmt.Errorf("%q is negative; it takes 0s and more, for example 30s", text)
	}
	p.fail(err, name)
	return d
}

func parseConfig(conf *service.ParsedConfig, opts ...Option) (*config, error) {
	p := &parser{conf: conf}
	c := &config{
		gate:           open{},
		dial:           dialer{}.dial,
		urls:           read(p, conf.FieldURLList, fieldURLs),
		connectTimeout: p.duration(fieldConnectTimeout),
		user:           read(p, conf.FieldString, fieldUser),
		password:       read(p, conf.FieldString, fieldPassword),
		keepAlive:      uint16(p.integer(0, math.MaxUint16, fieldKeepAlive)),

		noLocal:           read(p, conf.FieldBool, fieldNoLocal),
		retainAsPublished: read(p, conf.FieldBool, fieldRetainAsPublished),
		retainHandling:    byte(p.integer(0, 2, fieldRetainHandling)),

		cleanSession:   read(p, conf.FieldBool, fieldCleanSession),
		version:        read(p, conf.FieldString, fieldProtocolVersion),
		receiveMaximum: uint16(p.integer(1, math.MaxUint16, fieldReceiveMaximum)),
		topicAliases:   uint16(p.integer(0, math.MaxUint16, fieldTopicAliases)),

		maxBatchMessages: p.integer(1, math.MaxInt32, fieldMaxBatchMessages),
		maxBatchBytes:    p.size(fieldMaxBatchBytes),
		maxPendingBytes:  p.size(fieldMaxPendingBytes),
		maxPayloadBytes:  p.sizeOrNone(fieldMaxPayloadBytes),
		oversized:        read(p, conf.FieldString, fieldOversized),
		stallWarning:     p.duration(fieldStallWarning),
		replay:           read(p, conf.FieldBool, service.AutoRetryNacksToggleFieldName),
	}
	if !slices.Contains([]string{versionAuto, version5, version311}, c.version) {
		p.fail(fmt.Errorf("value %s is unknown; it takes auto, 5, 3.1.1", c.version), fieldProtocolVersion)
	}
	if words := []string{oversizedHold, oversizedFail}; !slices.Contains(words, c.oversized) {
		p.fail(fmt.Errorf("value %s is unknown; it takes %s", c.oversized, strings.Join(words, ", ")), fieldOversized)
	}
	for _, u := range c.urls {
		if !slices.Contains(schemes, u.Scheme) {
			p.fail(fmt.Errorf("%q: scheme %q is unknown; it takes %s", u.Redacted(), u.Scheme, strings.Join(schemes, ", ")), fieldURLs)
		}
	}
	if p.err == nil && len(c.urls) == 0 {
		p.fail(errors.New("is empty; give the MQTT broker as scheme://host:port, for example tcp://localhost:1883"), fieldURLs)
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
	p.fail(err, fieldTLS)
	if c.tls = tlsConf; !enabled || tlsConf == nil {
		c.tls = &tls.Config{}
	}
	for _, option := range opts {
		option(c)
	}
	return c, p.err
}

func (p *parser) clientID(c *config) {
	c.clientID = read(p, p.conf.FieldString, fieldClientID)
	c.stableID = c.clientID != ""
	if !p.conf.Contains(fieldClientIDSuffix) {
		return
	}
	switch suffix := read(p, p.conf.FieldString, fieldClientIDSuffix); suffix {
	case "nanoid":
		id, err := gonanoid.New()
		p.fail(err, fieldClientIDSuffix)
		c.clientID += id
		c.stableID = false
	case "":
	default:
		p.fail(fmt.Errorf("value %q is unknown; it takes nanoid", suffix), fieldClientIDSuffix)
	}
}

func (p *parser) will(c *config) {
	w := &will{
		qos:      byte(p.integer(0, 2, fieldWill, fieldWillQoS)),
		retained: read(p, p.conf.FieldBool, fieldWill, fieldWillRetained),
		topic:    read(p, p.conf.FieldString, fieldWill, fieldWillTopic),
		payload:  read(p, p.conf.FieldString, fieldWill, fieldWillPayload),
	}
	if !read(p, p.conf.FieldBool, fieldWill, fieldWillEnabled) {
		return
	}
	if w.topic == "" {
		p.fail(errors.New("is empty; give the topic of the last will, or set will.enabled: false"), fieldWill, fieldWillTopic)
	}
	c.will = w
}

func (p *parser) subscriptions(c *config) {
	topics := read(p, p.conf.FieldStringList, fieldTopics)
	qos := p.integer(0, 2, fieldQoS)
	single := read(p, p.conf.FieldIntMap, fieldTopicQoS)
	for filter, n := range single {
		if !slices.Contains(topics, filter) {
			p.fail(fmt.Errorf("%q is not one of %s", filter, fieldTopics), fieldTopicQoS)
		}
		if err := inRange(n, 0, 2); err != nil {
			p.fail(fmt.Errorf("%q: %w", filter, err), fieldTopicQoS)
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

func (p *parser) sessionExpiry(c *config) {
	if !c.cleanSession {
		c.sessionExpiry = math.MaxUint32
	}
	if !p.conf.Contains(fieldSessionExpiry) {
		return
	}
	text := read(p, p.conf.FieldString, fieldSessionExpiry)
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
	p.fail(err, fieldSessionExpiry)
	c.sessionExpiry = uint32(d / time.Second)
}

func (p *parser) userProperties(c *config) {
	properties := read(p, p.conf.FieldStringMap, fieldUserProperties)
	for _, key := range slices.Sorted(maps.Keys(properties)) {
		c.userProperties = append(c.userProperties, userProperty{key, properties[key]})
	}
}

// needsSession says whether a reconnect must find a session so as to lose nothing.
func (c *config) needsSession() bool {
	return slices.ContainsFunc(c.topics, func(s subscription) bool { return s.qos > 0 })
}
