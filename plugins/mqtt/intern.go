package mqtt

import (
	"bytes"
	"fmt"
	"time"
	"unicode/utf8"
)

// topic is a topic name and the same text as an interface value, so that passing it to
// a message allocates nothing.
type topic struct {
	name  string
	boxed any
}

const (
	maxInterned      = 32 << 10
	maxInternedBytes = 4 << 20
	maxAliasBytes    = 16 << 20
	smallestArena    = 2 << 10
	largestArena     = 64 << 10
	ownAllocSize     = 4 << 10
)

// topics keeps one copy of each topic name of a connection, within two limits, and the
// topic aliases. The broker may rely on the aliases, so exceeding their limit ends the
// connection.
type topics struct {
	names      map[string]*topic
	bytes      int // of the names
	aliases    map[uint16]*topic
	aliasBytes int // of the names of aliases, each alias counted separately
	maxAlias   uint16
}

func newTopics(maxAlias uint16) *topics {
	return &topics{names: make(map[string]*topic), aliases: make(map[uint16]*topic), maxAlias: maxAlias}
}

// intern returns the topic with that name. It checks the name the first time.
func (t *topics) intern(name []byte) (*topic, error) {
	if known, ok := t.names[string(name)]; ok {
		return known, nil
	}
	if err := checkTopicName(name); err != nil {
		return nil, err
	}
	if len(t.names) >= maxInterned || t.bytes+len(name) > maxInternedBytes {
		clear(t.names)
		t.bytes = 0
	}
	text := string(name)
	n := &topic{name: text, boxed: text}
	t.names[text] = n
	t.bytes += len(text)
	return n, nil
}

// checkTopicName applies MQTT 5.0, sections 1.5.4 and 3.3.2.1.
func checkTopicName(name []byte) error {
	switch {
	case !utf8.Valid(name):
		return malformed(fmt.Sprintf("the topic %s is not UTF-8", quoted(name)))
	case bytes.IndexByte(name, 0) >= 0:
		return malformed(fmt.Sprintf("the topic %s has the character U+0000", quoted(name)))
	case bytes.ContainsAny(name, "+#"):
		return &packetError{reasonTopicInvalid, fmt.Sprintf("a PUBLISH to the topic %s, which has a wildcard", quoted(name))}
	}
	return nil
}

// quoted returns the text with unprintable bytes escaped, and shortened if it is long.
func quoted(text []byte) string {
	const most = 200
	if len(text) <= most {
		return fmt.Sprintf("%+q", text)
	}
	return fmt.Sprintf("%+q… (%d bytes)", text[:most], len(text))
}

// topicOf returns the topic of a PUBLISH. It sets or looks up the alias.
func (t *topics) topicOf(p *rawPublish) (*topic, error) {
	if p.alias > t.maxAlias {
		return nil, &packetError{reasonAliasInvalid, fmt.Sprintf("a PUBLISH with the topic alias %d where the maximum is %d", p.alias, t.maxAlias)}
	}
	if len(p.topic) == 0 {
		if known, ok := t.aliases[p.alias]; ok {
			return known, nil
		}
		return nil, &packetError{reasonProtocol, fmt.Sprintf("a PUBLISH with the topic alias %d, which has no topic", p.alias)}
	}
	n, err := t.intern(p.topic)
	if err != nil {
		return nil, err
	}
	if p.alias > 0 {
		return n, t.setAlias(p.alias, n)
	}
	return n, nil
}

func (t *topics) setAlias(alias uint16, n *topic) error {
	if before := t.aliases[alias]; before != nil {
		t.aliasBytes -= len(before.name)
	}
	t.aliases[alias] = n
	if t.aliasBytes += len(n.name); t.aliasBytes > maxAliasBytes {
		return &packetError{reasonQuota, fmt.Sprintf("topic aliases for more than %d bytes of topic names: lower %s", maxAliasBytes, fieldTopicAliases)}
	}
	return nil
}

// arena copies payloads. Small ones share an allocation, which is freed when the last
// of them is.
type arena struct {
	free  []byte
	size  int       // of the last allocation
	since time.Time // when it was made
}

// copy returns a copy of b, which has arrived now. An allocation is larger than the one
// before if that has lasted less than a second, and smaller otherwise.
func (a *arena) copy(b []byte, now time.Time) []byte {
	if len(b) > ownAllocSize {
		return append([]byte(nil), b...)
	}
	if a.free == nil || len(b) > len(a.free) {
		if now.Sub(a.since) < time.Second {
			a.size *= 2
		} else {
			a.size /= 2
		}
		a.size, a.since = max(min(a.size, largestArena), smallestArena), now
		a.free = make([]byte, max(a.size, len(b)))
	}
	c := a.free[:len(b):len(b)]
	copy(c, b)
	a.free = a.free[len(b):]
	return c
}
