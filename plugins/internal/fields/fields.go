// Package fields reads the fields of a component's configuration. It refuses values out
// of range with the same message as lint.
package fields

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/redpanda-data/benthos/v4/public/service"
)

// Reader reads fields and keeps the first error.
type Reader struct {
	Conf *service.ParsedConfig
	err  error
}

// NewReader returns a reader of conf.
func NewReader(conf *service.ParsedConfig) *Reader { return &Reader{Conf: conf} }

// Err returns the first error, or nil.
func (r *Reader) Err() error { return r.err }

// Read reads a field with a method of the configuration. After an error the result may
// be the zero value.
func Read[T any](r *Reader, get func(...string) (T, error), path ...string) T {
	v, err := get(path...)
	r.Fail(err, path...)
	return v
}

// Fail keeps err with the path of the field, unless err is nil or there was an error
// before.
func (r *Reader) Fail(err error, path ...string) {
	if err != nil && r.err == nil {
		r.err = fmt.Errorf("field %s: %w", strings.Join(path, "."), err)
	}
}

// Optional reads a text, "" if the field is not set and has no default.
func (r *Reader) Optional(name string) string {
	if !r.Conf.Contains(name) {
		return ""
	}
	return Read(r, r.Conf.FieldString, name)
}

// Integer reads a number from low to high.
func (r *Reader) Integer(low, high int, path ...string) int {
	n := Read(r, r.Conf.FieldInt, path...)
	r.Fail(InRange(n, low, high), path...)
	return n
}

// InRange returns an error unless n is from low to high.
func InRange(n, low, high int) error {
	if n < low || n > high {
		return fmt.Errorf("%d is out of range; must be %d to %d", n, low, high)
	}
	return nil
}

// Word reads one of these words, or "" if the field is not set and has no default.
func (r *Reader) Word(words []string, name string) string {
	text := r.Optional(name)
	if text != "" && !slices.Contains(words, text) {
		r.Fail(fmt.Errorf("value %q is unknown; must be one of %s", text, strings.Join(words, ", ")), name)
	}
	return text
}

// Size reads a number of bytes from low to high, for example 1MiB.
func (r *Reader) Size(low, high uint64, name string) int {
	text := Read(r, r.Conf.FieldString, name)
	n, err := humanize.ParseBytes(text)
	switch {
	case err != nil:
		err = fmt.Errorf("%q is not a size; write a number and a unit of B, kB, MB, GB, KiB, MiB or GiB, for example 1MiB", text)
	case n < low || n > high:
		err = fmt.Errorf("%q is out of range; must be %d to %d bytes", text, low, high)
	}
	r.Fail(err, name)
	return int(n)
}

// AnyDuration is the longest duration, for fields without an upper limit.
const AnyDuration = time.Duration(math.MaxInt64)

// Duration reads a duration from low to high, for example 30s.
func (r *Reader) Duration(low, high time.Duration, name string) time.Duration {
	text := Read(r, r.Conf.FieldString, name)
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		err = fmt.Errorf("%q is not a duration; write a number and a unit of ns, us, ms, s, m or h, for example 30s", text)
	case d < low && low == 0 && high == AnyDuration:
		err = fmt.Errorf("%q is negative; must be 0s or more, for example 30s", text)
	case d < low || d > high:
		err = fmt.Errorf("%q is out of range; must be %s to %s", text, low, high)
	}
	r.Fail(err, name)
	return d
}
