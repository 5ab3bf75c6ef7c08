package mqtt

import "fmt"

// topic is a topic name, with the same text as an interface value, so that
// giving it to a message allocates nothing.
type topic struct {
	name  string
	boxed any
}

const (
	maxInterned  = 32 << 10
	arenaSize    = 64 << 10
	ownAllocSize = 4 << 10
)

// topics keeps one copy of each topic name of a connection, and the topic
// aliases.
type topics struct {
	names    map[string]*topic
	aliases  map[uint16]*topic
	maxAlias uint16
}

func newTopics(maxAlias uint16) *topics {
	return &topics{names: make(map[string]*topic), aliases: make(map[uint16]*topic), maxAlias: maxAlias}
}

func (t *topics) intern(name []byte) *topic {
	if known, ok := t.names[string(name)]; ok {
		return known
	}
	if len(t.names) >= maxInterned {
		clear(t.names)
	}
	text := string(name)
	n := &topic{name: text, boxed: text}
	t.names[text] = n
	return n
}

// of is the topic of a PUBLISH. It sets or looks up the alias.
func (t *topics) of(p *rawPublish) (*topic, error) {
	if p.alias > t.maxAlias {
		return nil, malformedError(fmt.Sprintf("topic alias %d where the maximum is %d", p.alias, t.maxAlias))
	}
	if len(p.topic) == 0 {
		if known, ok := t.aliases[p.alias]; ok {
			return known, nil
		}
		return nil, malformedError(fmt.Sprintf("topic alias %d stands for nothing", p.alias))
	}
	n := t.intern(p.topic)
	if p.alias > 0 {
		t.aliases[p.alias] = n
	}
	return n, nil
}

// arena copies payloads. Small ones share an allocation with their neighbours,
// with which they also leave memory.
type arena struct{ free []byte }

func (a *arena) copy(b []byte) []byte {
	if len(b) > ownAllocSize {
		return append([]byte(nil), b...)
	}
	if a.free == nil || len(b) > len(a.free) {
		a.free = make([]byte, arenaSize)
	}
	c := a.free[:len(b):len(b)]
	copy(c, b)
	a.free = a.free[len(b):]
	return c
}
