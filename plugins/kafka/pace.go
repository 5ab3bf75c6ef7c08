package kafka

import (
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// pace decides how soon Connect tries again and how often it tells why. It is
// used by Connect only, which the engine does not call twice at a time.
type pace struct {
	shortest, longest time.Duration // between tries
	refused           time.Duration // between tries with credentials that were refused
	remind            time.Duration // between two tellings of one reason

	wait   time.Duration
	reason string
	since  time.Time // when the reason was told
}

var defaultPace = pace{shortest: 250 * time.Millisecond, longest: 5 * time.Second, refused: 30 * time.Second, remind: time.Minute}

func (p *pace) reset() { p.wait, p.reason = 0, "" }

// told says whether this was the last reason that was told.
func (p *pace) told(err error) bool { return err.Error() == p.reason }

// next is how long to wait after err, and whether to tell it first.
func (p *pace) next(err error, now time.Time) (wait time.Duration, tell bool) {
	if reason := err.Error(); reason != p.reason {
		p.reason, p.wait, tell = reason, p.shortest, true
	} else {
		p.wait = min(2*p.wait, p.longest)
		tell = now.Sub(p.since) >= p.remind
	}
	if tell {
		p.since = now
	}
	if isAuthentication(err) {
		p.wait = max(p.wait, p.refused)
	}
	return p.wait, tell
}

// kgoLogger passes the client's warnings on for those who look for them: what
// matters comes back as an error.
type kgoLogger struct{ logger *service.Logger }

// Level implements kgo.Logger.
func (kgoLogger) Level() kgo.LogLevel { return kgo.LogLevelWarn }

// Log implements kgo.Logger.
func (l kgoLogger) Log(_ kgo.LogLevel, msg string, keyvals ...any) {
	l.logger.With(keyvals...).Debug(msg)
}
