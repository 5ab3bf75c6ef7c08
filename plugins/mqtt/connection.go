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

	"github.com/robustmq/robustmq-connect/plugins/internal/crash"
	"github.com/robustmq/robustmq-connect/plugins/internal/fields"
	"github.com/robustmq/robustmq-connect/plugins/kafka"
)

// connection is the part of the configuration that the input and the output share: how
// to reach a broker, and what to tell it.
type connection struct {
	guard *crash.Guard // of the stream's panics, nil without

	urls           []*url.URL
	clientID       string
	stableID       bool // the next start uses the same client id
	connectTimeout time.Duration
	will           *will // nil without one
	user, password string
	keepAlive      uint16
	tls            *tls.Config
	dial           DialFunc
	gate           Gate
	letters        []kafka.Option // of dead letters to Kafka

	cleanSession   bool
	version        string
	sessionExpiry  uint32 // seconds, math.MaxUint32 for never
	receiveMaximum uint16
	topicAliases   uint16 // that the broker may use
	userProperties []userProperty
}

type will struct {
	topic, payload string
	qos            byte
	retained       bool
}

// schemes are the URL schemes that dial supports.
var schemes = []string{"tcp", "mqtt", "ssl", "tls", "mqtts", "mqtt+ssl", "tcps", "ws", "wss", "unix"}

// parser reads fields that need more than a simple lookup.
type parser struct{ *fields.Reader }

// connection reads the fields of a connection. The receive maximum and the topic aliases
// are those of a client that receives nothing.
func (p parser) connection() connection {
	c := connection{
		gate:           open{},
		dial:           dialer{}.dial,
		urls:           fields.Read(p.Reader, p.Conf.FieldURLList, fieldURLs),
		connectTimeout: p.Duration(0, fields.AnyDuration, fieldConnectTimeout),
		user:           fields.Read(p.Reader, p.Conf.FieldString, fieldUser),
		password:       fields.Read(p.Reader, p.Conf.FieldString, fieldPassword),
		keepAlive:      uint16(p.Integer(0, math.MaxUint16, fieldKeepAlive)),

		cleanSession:   fields.Read(p.Reader, p.Conf.FieldBool, fieldCleanSession),
		version:        fields.Read(p.Reader, p.Conf.FieldString, fieldProtocolVersion),
		receiveMaximum: math.MaxUint16,
	}
	if !slices.Contains([]string{versionAuto, version5, version311}, c.version) {
		p.Fail(fmt.Errorf("value %s is unknown; must be one of auto, 5, 3.1.1", c.version), fieldProtocolVersion)
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
		c.connectTimeout = 365 * 24 * time.Hour // 0 sets no limit in the stock components either
	}
	p.clientID(&c)
	p.will(&c)
	p.sessionExpiry(&c)
	p.userProperties(&c)
	tlsConf, enabled, err := p.Conf.FieldTLSToggled(fieldTLS)
	p.Fail(err, fieldTLS)
	if c.tls = tlsConf; !enabled || tlsConf == nil {
		c.tls = &tls.Config{}
	}
	return c
}

func (p parser) clientID(c *connection) {
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

func (p parser) will(c *connection) {
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

func (p parser) sessionExpiry(c *connection) {
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

func (p parser) userProperties(c *connection) {
	properties := fields.Read(p.Reader, p.Conf.FieldStringMap, fieldUserProperties)
	for _, key := range slices.Sorted(maps.Keys(properties)) {
		c.userProperties = append(c.userProperties, userProperty{key, properties[key]})
	}
}
