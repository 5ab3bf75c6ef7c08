package kafkastore

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
)

// Scheme begins the address of a store in Kafka.
const Scheme = "kafka://"

// Address says where a store is.
type Address struct {
	Brokers []string // host:port
	// Prefix begins the names of topics and the transactional id.
	Prefix string
}

const (
	maxPrefix   = 200 // a topic name has 249 characters at most
	defaultPort = "9092"
)

// Is reports whether a text is meant as the address of a store in Kafka. One with a
// mistyped scheme is, so that ParseAddress refuses it: it would be a directory otherwise.
func Is(text string) bool { return strings.HasPrefix(strings.ToLower(text), "kafka:") }

// ParseAddress reads kafka://HOST:PORT,HOST:PORT/PREFIX.
func ParseAddress(text string) (Address, error) {
	fail := func(format string, args ...any) (Address, error) {
		return Address{}, fmt.Errorf("store: %q: %s: write for example kafka://kafka1:9092,kafka2:9092/robustmq_connect", text, fmt.Sprintf(format, args...))
	}
	hosts, prefix, found := strings.Cut(strings.TrimPrefix(text, Scheme), "/")
	switch {
	case !strings.HasPrefix(text, Scheme):
		return fail("it does not begin with %s", Scheme)
	case strings.Contains(hosts, "@"):
		return Address{}, errors.New("store: the address must not have a login: write it into the file of --store-config")
	case !found || prefix == "":
		return fail("the prefix of the topics is missing")
	case len(prefix) > maxPrefix:
		return fail("the prefix is longer than %d characters", maxPrefix)
	case strings.ContainsFunc(prefix, func(r rune) bool { return !topicRune(r) }) || strings.Trim(prefix, ".") == "":
		return fail("the prefix %q is not a topic name, which has letters, digits, '.', '_' and '-'", prefix)
	}
	a := Address{Prefix: prefix}
	for host := range strings.SplitSeq(hosts, ",") {
		if host = strings.TrimSpace(host); host == "" {
			return fail("the address of a broker is empty")
		}
		_, port, err := net.SplitHostPort(host)
		if err != nil {
			host, port = net.JoinHostPort(strings.Trim(host, "[]"), defaultPort), defaultPort
		}
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return fail("the port of %q is not a number from 1 to 65535", host)
		}
		a.Brokers = append(a.Brokers, host)
	}
	return a, nil
}

func topicRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '_' || r == '-'
}

// String returns the address as ParseAddress reads it.
func (a Address) String() string { return Scheme + strings.Join(a.Brokers, ",") + "/" + a.Prefix }

// Definitions is the topic that has a record per connector.
func (a Address) Definitions() string { return a.Prefix + "-definitions" }

// Assignment is the topic whose partitions are dealt out to workers. It has no records.
func (a Address) Assignment() string { return a.Prefix + "-assignment" }

// TransactionalID is that of the one writer of the store.
func (a Address) TransactionalID() string { return a.Prefix + "-writer" }
