package console

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
	"github.com/robustmq/robustmq-connect/plugins/connector/audit"
)

const (
	idleTime    = 30 * time.Minute
	longestTime = 12 * time.Hour
	maxSessions = 1000
	cookieName  = "robustmq_connect_console"
)

// session is one browser that has logged in. The browser holds a random text and never
// the token.
type session struct {
	pass      admin.Pass
	formToken string // proves that a form is from a page of this session
	began     time.Time

	ended context.Context //nolint:containedctx // it is the life of the session: what is open in it ends with it
	end   context.CancelFunc

	// Under the mutex of sessions.
	used  time.Time
	flash []message
}

// message is told once, on the next page.
type message struct {
	Bad  bool
	Text string
}

// owns tells whether a form is from a page of this session.
func (s *session) owns(token string) bool {
	return subtle.ConstantTimeCompare([]byte(token), []byte(s.formToken)) == 1
}

// context is a request's, and ends with the session too.
func (s *session) context(of context.Context) context.Context {
	ctx, cancel := context.WithCancel(of)
	stop := context.AfterFunc(s.ended, cancel)
	context.AfterFunc(of, func() { stop() })
	return ctx
}

// sessions are those that have not ended, by the hash of the text in the cookie.
type sessions struct {
	mu  sync.Mutex
	all map[[sha256.Size]byte]*session
}

func newSessions() *sessions { return &sessions{all: make(map[[sha256.Size]byte]*session)} }

// begin makes a session and gives the text of its cookie. The one that was used the
// longest ago makes room for it.
func (s *sessions) begin(pass admin.Pass) (id string, begun *session) {
	id, now := rand.Text()+rand.Text(), time.Now()
	begun = &session{pass: pass, formToken: rand.Text(), began: now, used: now}
	begun.ended, begun.end = context.WithCancel(context.Background())
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweepLocked(now)
	if len(s.all) >= maxSessions {
		var oldest [sha256.Size]byte
		for key, one := range s.all {
			if s.all[oldest] == nil || one.used.Before(s.all[oldest].used) {
				oldest = key
			}
		}
		s.removeLocked(oldest)
	}
	s.all[sha256.Sum256([]byte(id))] = begun
	return id, begun
}

// find gives the session of a cookie. What a page asks for by itself does not keep it
// alive.
func (s *sessions) find(id string, byItself bool) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.sweepLocked(now)
	found := s.all[sha256.Sum256([]byte(id))]
	if found != nil && !byItself {
		found.used = now
	}
	return found
}

func (s *sessions) sweepLocked(now time.Time) {
	for key, one := range s.all {
		if now.Sub(one.used) >= idleTime || now.Sub(one.began) >= longestTime {
			s.removeLocked(key)
		}
	}
}

// sweep ends what is open in sessions that have ended, also when nobody asks.
func (s *sessions) sweep() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweepLocked(time.Now())
}

func (s *sessions) remove(one *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, other := range s.all {
		if other == one {
			s.removeLocked(key)
		}
	}
}

func (s *sessions) removeLocked(key [sha256.Size]byte) {
	s.all[key].end()
	delete(s.all, key)
}

// addFlash keeps a message for the next page of a session.
func (s *sessions) addFlash(one *session, messages ...message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one.flash = append(one.flash, messages...)
}

// takeFlash returns the kept messages of a session, once.
func (s *sessions) takeFlash(one *session) []message {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := one.flash
	one.flash = nil
	return all
}

// cookieOf is the name of the cookie: browsers do not tell ports apart, and another
// service of this machine may have a console too.
func cookieOf(r *http.Request) string {
	if _, port, err := net.SplitHostPort(r.Host); err == nil {
		return cookieName + "_" + port
	}
	return cookieName
}

func setCookie(w http.ResponseWriter, r *http.Request, id string) {
	cookie := &http.Cookie{
		Name: cookieOf(r), Value: id, Path: root, HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: r.TLS != nil,
	}
	if id == "" {
		cookie.MaxAge = -1
	}
	http.SetCookie(w, cookie)
}

// A wrong token costs an attempt. Each address has a few, which come back with time.
const (
	maxAttempts  = 5
	attemptTime  = 15 * time.Second // until one comes back
	maxAddresses = 10000
)

type attempts struct {
	mu   sync.Mutex
	used map[string][]time.Time // of each address, when its attempts come back
}

func newAttempts() *attempts { return &attempts{used: make(map[string][]time.Time)} }

// wait tells how long an address has to wait before it may try again.
func (a *attempts) wait(remote string) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	back := a.currentLocked(audit.Network(remote), now)
	if len(back) < maxAttempts {
		return 0
	}
	return back[0].Sub(now)
}

func (a *attempts) failed(remote string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now, from := time.Now(), audit.Network(remote)
	back := a.currentLocked(from, now)
	last := now
	if len(back) > 0 {
		last = back[len(back)-1]
	}
	if len(a.used) >= maxAddresses {
		for other := range a.used {
			a.currentLocked(other, now)
		}
	}
	if _, known := a.used[from]; !known && len(a.used) >= maxAddresses {
		from = "" // all others share one
	}
	a.used[from] = append(back, last.Add(attemptTime))
}

// currentLocked are the attempts that have not come back.
func (a *attempts) currentLocked(from string, now time.Time) []time.Time {
	if _, known := a.used[from]; !known && len(a.used) >= maxAddresses {
		from = ""
	}
	back := slices.DeleteFunc(a.used[from], func(t time.Time) bool { return !t.After(now) })
	if len(back) == 0 {
		delete(a.used, from)
		return nil
	}
	a.used[from] = back
	return back
}
