package kafka

import "time"

// pace decides how soon Connect retries and how often it returns the reason. Only
// Connect uses it, and the engine does not call Connect concurrently.
type pace struct {
	shortest, longest time.Duration // between tries
	refused           time.Duration // between tries with credentials that were refused

	wait    time.Duration
	reasons *repeats // those that were returned since the last success
}

func newPace() pace {
	return pace{shortest: 250 * time.Millisecond, longest: 5 * time.Second, refused: 30 * time.Second, reasons: newRepeats()}
}

func (p *pace) reset() {
	p.wait = 0
	p.reasons.forget()
}

// wasReported reports whether this reason was returned already.
func (p *pace) wasReported(err error) bool { return p.reasons.knows(err.Error()) }

// next returns how long to wait after err, and whether to return err first, which makes
// the engine log it.
func (p *pace) next(err error, now time.Time) (wait time.Duration, tell bool) {
	known := p.wasReported(err)
	tell, _ = p.reasons.mustLog(err.Error(), now)
	if tell && !known {
		p.wait = p.shortest
	} else {
		p.wait = min(2*p.wait, p.longest)
	}
	if isAuthentication(err) {
		p.wait = max(p.wait, p.refused)
	}
	return p.wait, tell
}
