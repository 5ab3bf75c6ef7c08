package mqtt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/url"
	"os"
	"time"

	packets5 "github.com/eclipse/paho.golang/packets"
	packets3 "github.com/eclipse/paho.mqtt.golang/packets"
)

// connack is the broker's answer to a CONNECT that it accepted.
type connack struct {
	sessionPresent bool
	assignedID     string
	keepAlive      *uint16 // nil if ours is used
	expiry         *uint32 // nil if ours is used
	maxPacket      uint32
	receiveMaximum uint16 // how many messages of QoS 1 and 2 the broker takes at once
	maxQoS         byte
	noRetain       bool
	topicAliases   uint16 // that the broker takes
	noShared       bool
	noWildcards    bool
	robustMQ       bool // the broker is most probably a RobustMQ
}

// otherVersionError means that the broker does not, or does not seem to, speak MQTT 5.
type otherVersionError struct {
	how      string
	explicit bool // the broker said so
}

func (e *otherVersionError) Error() string { return "the broker " + e.how + " on MQTT 5" }

// silence is how long a broker may leave a CONNECT of MQTT 5 unanswered before MQTT
// 3.1.1 is tried.
const silence = 5 * time.Second

// greet sends a CONNECT and waits for the answer until the context ends or patience has
// passed.
func greet(ctx context.Context, conn net.Conn, in *frames, hello []byte, v5 bool, patience time.Duration) (*connack, error) {
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	ack, err := exchange(conn, in, hello, v5)
	if !stop() {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, err
	}
	return ack, conn.SetDeadline(time.Time{})
}

func exchange(conn net.Conn, in *frames, hello []byte, v5 bool) (*connack, error) {
	if _, err := conn.Write(hello); err != nil {
		return nil, noAnswer(err, v5)
	}
	first, body, shared, err := in.next()
	if err != nil {
		return nil, noAnswer(err, v5)
	}
	if first>>4 != typeConnack {
		return nil, fmt.Errorf("the broker answered CONNECT with a packet of type %d; is there an MQTT broker at this address?", first>>4)
	}
	ack, err := parseConnack(body, v5)
	if shared {
		in.done(body)
	}
	return ack, err
}

// noAnswer explains why no CONNACK arrived.
func noAnswer(err error, v5 bool) error {
	if errors.As(err, new(*packetError)) { // it is no answer of any MQTT
		return err
	}
	how := "closed the connection"
	if errors.Is(err, os.ErrDeadlineExceeded) {
		how = "stayed silent"
	}
	if v5 {
		return &otherVersionError{how: how}
	}
	return fmt.Errorf("the broker %s instead of answering CONNECT", how)
}

// parseConnack reads a CONNACK. A broker that does not speak MQTT 5 answers in the
// two-byte format of MQTT 3.1.1, or puts its return code, 1 to 5, into the format of
// MQTT 5. Some brokers omit the properties of MQTT 5.
func parseConnack(body []byte, v5 bool) (*connack, error) {
	if len(body) < 2 {
		return nil, fmt.Errorf("malformed CONNACK of %d bytes", len(body))
	}
	code := body[1]
	_, old := oldReasons[code]
	if !v5 || old || len(body) == 2 && code < 0x80 {
		return parseOldConnack(body[0], code, v5)
	}
	if len(body) == 2 {
		body = append(body[:2:2], 0)
	}
	raw := packets5.Connack{Properties: &packets5.Properties{}}
	err := raw.Unpack(bytes.NewBuffer(body))
	props := raw.Properties
	switch {
	case code == reasonUnsupportedVersion:
		return nil, &otherVersionError{how: "refused", explicit: true}
	case code >= 0x80: // regardless of what follows
		refused := ConnectError(code, props.ReasonString)
		if props.ServerReference != "" {
			return nil, fmt.Errorf("%w: the broker names %s", refused, props.ServerReference)
		}
		return nil, refused
	case code != 0:
		return nil, &unknownCodeError{code}
	case err != nil:
		return nil, fmt.Errorf("malformed CONNACK: %w", err)
	}
	ack := &connack{
		sessionPresent: raw.SessionPresent,
		assignedID:     props.AssignedClientID,
		keepAlive:      props.ServerKeepAlive,
		expiry:         props.SessionExpiryInterval,
		maxPacket:      math.MaxUint32,
		receiveMaximum: math.MaxUint16,
		maxQoS:         2,
		noRetain:       props.RetainAvailable != nil && *props.RetainAvailable == 0,
		noShared:       props.SharedSubAvailable != nil && *props.SharedSubAvailable == 0,
		noWildcards:    props.WildcardSubAvailable != nil && *props.WildcardSubAvailable == 0,
		// MQTT 5.0 section 3.2.2.3.4 forbids the value 2, which RobustMQ sends.
		robustMQ: props.MaximumQOS != nil && *props.MaximumQOS == 2,
	}
	if props.MaximumPacketSize != nil && *props.MaximumPacketSize > 0 {
		ack.maxPacket = *props.MaximumPacketSize
	}
	if props.ReceiveMaximum != nil && *props.ReceiveMaximum > 0 {
		ack.receiveMaximum = *props.ReceiveMaximum
	}
	if props.MaximumQOS != nil {
		ack.maxQoS = min(*props.MaximumQOS, 2)
	}
	if props.TopicAliasMaximum != nil {
		ack.topicAliases = *props.TopicAliasMaximum
	}
	return ack, nil
}

func parseOldConnack(flags, code byte, v5 bool) (*connack, error) {
	switch {
	case code == 0 && !v5:
		return &connack{sessionPresent: flags&1 != 0, maxPacket: math.MaxUint32, receiveMaximum: math.MaxUint16, maxQoS: 2}, nil
	case code <= 1 && v5:
		return nil, &otherVersionError{how: "answered in MQTT 3.1.1", explicit: true}
	}
	if reason, ok := oldReasons[code]; ok {
		return nil, ConnectError(reason, "")
	}
	if code >= 0x80 { // an MQTT 5 broker that uses its own codes
		return nil, ConnectError(code, "")
	}
	return nil, &unknownCodeError{code}
}

// unknownCodeError is a refusal with a return code that neither version defines.
type unknownCodeError struct{ code byte }

func (e *unknownCodeError) Error() string {
	return fmt.Sprintf("the broker refused the connection with the unknown return code %d", e.code)
}

// credentials returns those of the URL, or else those of the configuration.
func (c *connection) credentials(u *url.URL) (user, password string) {
	user, password = c.user, c.password
	if u.User != nil {
		user = u.User.Username()
		if p, ok := u.User.Password(); ok {
			password = p
		}
	}
	return user, password
}

// hello builds the CONNECT packet.
func (c *connection) hello(u *url.URL, clientID string, v5, clean bool) []byte {
	user, password := c.credentials(u)
	var buf bytes.Buffer
	if v5 {
		_, _ = c.hello5(clientID, user, password, clean).WriteTo(&buf) // writing to a buffer does not fail
	} else {
		_ = c.hello3(clientID, user, password, clean).Write(&buf) // writing to a buffer does not fail
	}
	return buf.Bytes()
}

func (c *connection) hello5(clientID, user, password string, clean bool) io.WriterTo {
	p := &packets5.Connect{
		ProtocolName: "MQTT", ProtocolVersion: 5,
		ClientID: clientID, KeepAlive: c.keepAlive, CleanStart: clean,
		UsernameFlag: user != "", Username: user,
		PasswordFlag: user != "" && password != "", Password: []byte(password),
		Properties: &packets5.Properties{},
	}
	if c.sessionExpiry > 0 {
		p.Properties.SessionExpiryInterval = &c.sessionExpiry
	}
	if c.receiveMaximum < math.MaxUint16 {
		p.Properties.ReceiveMaximum = &c.receiveMaximum
	}
	if c.topicAliases > 0 {
		p.Properties.TopicAliasMaximum = &c.topicAliases
	}
	for _, u := range c.userProperties {
		p.Properties.User = append(p.Properties.User, packets5.User{Key: u.key, Value: u.value})
	}
	if c.will != nil {
		p.WillFlag, p.WillTopic, p.WillMessage = true, c.will.topic, []byte(c.will.payload)
		p.WillQOS, p.WillRetain = c.will.qos, c.will.retained
		p.WillProperties = &packets5.Properties{}
	}
	return p
}

func (c *connection) hello3(clientID, user, password string, clean bool) *packets3.ConnectPacket {
	p := packets3.NewControlPacket(packets3.Connect).(*packets3.ConnectPacket)
	p.ProtocolName, p.ProtocolVersion = "MQTT", 4
	p.ClientIdentifier, p.Keepalive, p.CleanSession = clientID, c.keepAlive, clean
	p.UsernameFlag, p.Username = user != "", user
	p.PasswordFlag, p.Password = user != "" && password != "", []byte(password)
	if c.will != nil {
		p.WillFlag, p.WillTopic, p.WillMessage = true, c.will.topic, []byte(c.will.payload)
		p.WillQos, p.WillRetain = c.will.qos, c.will.retained
	}
	return p
}
