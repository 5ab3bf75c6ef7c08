package kafka

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/robustmq/robustmq-connect/plugins/internal/neterror"
)

const (
	maxReasons = 64 // that are remembered
	// crowded is how often an unknown reason is logged when there are more.
	crowded = 5 * time.Second
)

// repeats decides which of many equal texts are logged: the first, and reminders at
// growing intervals.
type repeats struct {
	first, last time.Duration // until the first reminder, and between the last ones

	mu      sync.Mutex
	reasons map[string]*repeat
	latest  time.Time // when an unknown reason was logged
}

func newRepeats() *repeats { return &repeats{first: time.Minute, last: time.Hour} }

type repeat struct {
	seen time.Time // the last time
	told time.Time // the last time
	gap  time.Duration
	many int // not logged since
}

// mustLog reports whether to log the reason now, and how often it was not logged since the
// last time.
func (r *repeats) mustLog(reason string, now time.Time) (tell bool, untold int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	known, ok := r.reasons[reason]
	if !ok {
		return r.newLocked(reason, now), 0
	}
	if now.Sub(known.seen) >= r.last {
		*known = repeat{seen: now, told: now, gap: r.first}
		return true, 0
	}
	known.seen = now
	if now.Sub(known.told) < known.gap {
		known.many++
		return false, 0
	}
	untold = known.many
	*known = repeat{seen: now, told: now, gap: min(2*known.gap, r.last)}
	return true, untold
}

// newLocked remembers a reason. If there are too many, it replaces the one that was not
// seen for the longest time.
func (r *repeats) newLocked(reason string, now time.Time) (tell bool) {
	if len(r.reasons) >= maxReasons {
		if now.Sub(r.latest) < crowded {
			return false
		}
		oldest := ""
		for name, other := range r.reasons {
			if oldest == "" || other.seen.Before(r.reasons[oldest].seen) {
				oldest = name
			}
		}
		delete(r.reasons, oldest)
	}
	if r.reasons == nil {
		r.reasons = map[string]*repeat{}
	}
	r.reasons[reason] = &repeat{seen: now, told: now, gap: r.first}
	r.latest = now
	return true
}

func (r *repeats) knows(reason string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, known := r.reasons[reason]
	return known
}

func (r *repeats) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.reasons)
}

// warnings logs transient errors, those of the client and those of the output. It does
// not log the same error again and again.
type warnings struct {
	logger  *service.Logger
	repeats *repeats
}

func newWarnings(logger *service.Logger) *warnings {
	return &warnings{logger: logger, repeats: newRepeats()}
}

// warn logs the text, unless the reason was logged recently. It reports whether it did.
func (w *warnings) warn(reason, text string) bool {
	tell, untold := w.repeats.mustLog(reason, time.Now())
	if tell {
		w.logger.Warn(text + others(untold))
	}
	return tell
}

func others(untold int) string {
	if untold == 0 {
		return ""
	}
	return fmt.Sprintf(" (%d more since this was last written)", untold)
}

// Level implements kgo.Logger.
func (*warnings) Level() kgo.LogLevel { return kgo.LogLevelWarn }

// Log implements kgo.Logger. Two lines have the same reason if their text and error are
// equal: their brokers, partitions and counts vary.
func (w *warnings) Log(level kgo.LogLevel, text string, keyvals ...any) {
	reason := strings.Builder{}
	reason.WriteString(text)
	fields := make([]any, len(keyvals))
	for i, value := range keyvals {
		fields[i] = value
		if err, ok := value.(error); ok {
			fields[i] = neterror.WithoutLocalPort(err)
			fmt.Fprintf(&reason, "\x00%s", fields[i])
		}
	}
	tell, untold := w.repeats.mustLog(reason.String(), time.Now())
	if !tell {
		return
	}
	logger := w.logger.With(fields...)
	if level == kgo.LogLevelError {
		logger.Error(text + others(untold))
	} else {
		logger.Warn(text + others(untold))
	}
}
