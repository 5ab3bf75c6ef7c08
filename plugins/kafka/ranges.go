package kafka

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
)

// The readers of this file refuse what the client would refuse later on, in the
// words of lint (templates/rules_kafka.go).

var (
	acksWords        = []string{"all", "leader", "none"}
	compressionWords = []string{"lz4", "snappy", "gzip", "none", "zstd"}
	partitionerWords = []string{"murmur2_hash", "round_robin", "least_backup", "manual"}
)

func (p *parser) fail(name, format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf("field "+name+": "+format, args...)
	}
}

func (p *parser) integer(name string, low int) int {
	n := read(p, p.conf.FieldInt, name)
	if n < low || n > math.MaxInt32 {
		p.fail(name, "%d is out of range; it takes %d to %d", n, low, math.MaxInt32)
	}
	return n
}

func (p *parser) word(name string, words []string) string {
	text := p.optional(name)
	if text != "" && !slices.Contains(words, text) {
		p.fail(name, "value %q is unknown; it takes %s", text, strings.Join(words, ", "))
	}
	return text
}

func (p *parser) bytes(name string, least, most uint64) uint64 {
	text := read(p, p.conf.FieldString, name)
	n, err := humanize.ParseBytes(text)
	switch {
	case err != nil:
		p.fail(name, "%q is not a size; write a number and a unit of B, kB, MB, GB, KiB, MiB or GiB, for example 1MiB", text)
	case n < least || n > most:
		p.fail(name, "%q is out of range; it takes %d to %d bytes", text, least, most)
	}
	return n
}

func (p *parser) duration(name string, low, high time.Duration) time.Duration {
	text := read(p, p.conf.FieldString, name)
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		p.fail(name, "%q is not a duration; write a number and a unit of ns, us, ms, s, m or h, for example 30s", text)
	case d < low || d > high:
		p.fail(name, "%q is out of range; it takes %s to %s", text, low, high)
	}
	return d
}
