package mqtt

import "fmt"

// Reason codes that this client sends or checks, MQTT 5.0 section 2.4.
const (
	reasonMalformed          = 0x81
	reasonProtocol           = 0x82
	reasonUnsupportedVersion = 0x84
	reasonTopicInvalid       = 0x90
	reasonAliasInvalid       = 0x94
	reasonTooLarge           = 0x95
	reasonQuota              = 0x97
)

// reasonNames are the names of MQTT 5.0 section 2.4.
var reasonNames = map[byte]string{
	0x00: "normal disconnection",
	0x80: "unspecified error",
	0x81: "malformed packet",
	0x82: "protocol error",
	0x83: "implementation specific error",
	0x84: "unsupported protocol version",
	0x85: "client identifier not valid",
	0x86: "bad user name or password",
	0x87: "not authorized",
	0x88: "server unavailable",
	0x89: "server busy",
	0x8a: "banned",
	0x8b: "server shutting down",
	0x8c: "bad authentication method",
	0x8d: "keep alive timeout",
	0x8e: "session taken over",
	0x8f: "topic filter invalid",
	0x90: "topic name invalid",
	0x91: "packet identifier in use",
	0x93: "receive maximum exceeded",
	0x94: "topic alias invalid",
	0x95: "packet too large",
	0x96: "message rate too high",
	0x97: "quota exceeded",
	0x98: "administrative action",
	0x99: "payload format invalid",
	0x9a: "retain not supported",
	0x9b: "QoS not supported",
	0x9c: "use another server",
	0x9d: "server moved",
	0x9e: "shared subscriptions not supported",
	0x9f: "connection rate exceeded",
	0xa0: "maximum connect time",
	0xa1: "subscription identifiers not supported",
	0xa2: "wildcard subscriptions not supported",
}

// reasonHints say what to do about a reason, where that is known.
var reasonHints = map[byte]string{
	0x85: "the broker does not accept this client_id",
	0x86: "check user and password",
	0x87: "check what the broker permits this user",
	0x8a: "the broker's administrator has banned this client",
	0x8d: "the broker received nothing from this client for too long; set a lower keepalive if a proxy delays traffic",
	0x8e: "another client connected with the same client_id; give each its own, and see that this pipeline runs once",
	0x93: "set a lower receive_maximum",
	0x9e: "remove $share/group/ from the filter, or use a broker that shares subscriptions",
}

// connectHints replace reasonHints for a refused CONNECT. RobustMQ, among others,
// answers a wrong password with 0x87.
var connectHints = map[byte]string{
	0x87: "check user and password, and what the broker permits this user",
}

// reasonError is a reason code with which the broker refused something.
type reasonError struct {
	code    byte
	text    string // the broker's own text, or ""
	connect bool   // it refused a CONNECT
}

func (e *reasonError) Error() string {
	name := reasonNames[e.code]
	if name == "" {
		name = "unknown reason"
	}
	s := fmt.Sprintf("%s (0x%02X)", name, e.code)
	if e.text != "" {
		s += fmt.Sprintf(", %q", e.text)
	}
	hint := reasonHints[e.code]
	if other := connectHints[e.code]; e.connect && other != "" {
		hint = other
	}
	if hint != "" {
		s += ": " + hint
	}
	return s
}

// oldReasons maps the return codes of a CONNACK of MQTT 3.1.1, section 3.2.2.3, to
// those of MQTT 5.
var oldReasons = map[byte]byte{1: 0x84, 2: 0x85, 3: 0x88, 4: 0x86, 5: 0x87}
