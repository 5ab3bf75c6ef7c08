package admin

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// watchEvery is how often files are looked at. What is read takes effect when they have
// not changed between two looks: a certificate and its key are two files, and neither
// is replaced at one moment unless it is renamed.
const watchEvery = 2 * time.Second

// watched is what files hold, and is read again when they change. Where the new files
// cannot be read, what was read before holds. They are looked at, and not waited for:
// a Secret of Kubernetes changes by a link two directories above.
type watched[T any] struct {
	what  string // for the log: it begins a sentence
	paths []string
	read  func() (T, error)
	log   *slog.Logger

	value atomic.Pointer[T]

	mu    sync.Mutex // of everything below, and one look at a time
	used  [sha256.Size]byte
	last  [sha256.Size]byte // at the last look
	fault error
}

// watch reads files for the first time.
func watch[T any](what string, paths []string, log *slog.Logger, read func() (T, error)) (*watched[T], error) {
	w := &watched[T]{what: what, paths: paths, read: read, log: log}
	w.used = w.fingerprint()
	w.last = w.used
	value, err := read()
	if err != nil {
		return nil, err
	}
	w.value.Store(&value)
	return w, nil
}

func (w *watched[T]) get() T { return *w.value.Load() }

// reloadIfChanged reads the files again if they have changed and are at rest.
func (w *watched[T]) reloadIfChanged() {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.fingerprint()
	rests := now == w.last
	w.last = now
	if rests && now != w.used {
		w.reloadLocked(now)
	}
}

// reload reads the files again now, if they can be read more than once.
func (w *watched[T]) reload() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, path := range w.paths {
		if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
			return
		}
	}
	w.last = w.fingerprint()
	w.reloadLocked(w.last)
}

func (w *watched[T]) reloadLocked(now [sha256.Size]byte) {
	w.used = now // what is broken is told once
	value, err := w.read()
	w.fault = err
	if err != nil {
		w.log.Error(w.what+" cannot be read again: what was read before holds until the files are correct", "error", err)
		return
	}
	w.value.Store(&value)
	w.log.Info(w.what + " was read again")
}

// warning tells in a sentence what an operator has to act on, "" when all is well.
func (w *watched[T]) warning() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fault == nil {
		return ""
	}
	return fmt.Sprintf("%s cannot be read again, and what was read before holds: %v.", w.what, w.fault)
}

// fingerprint differs where what is read may differ: a mode counts too. What is no file,
// as a pipe of the shell, can be read once, and is left alone.
func (w *watched[T]) fingerprint() (sum [sha256.Size]byte) {
	h := sha256.New()
	for _, path := range w.paths {
		fmt.Fprintf(h, "%q ", path)
		if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
			continue
		}
		file, err := os.Open(path)
		if err != nil {
			fmt.Fprintf(h, "%v\n", err)
			continue
		}
		if info, err := file.Stat(); err == nil {
			fmt.Fprintf(h, "%v ", info.Mode())
		}
		n, err := io.Copy(h, io.LimitReader(file, maxTokensFile+1))
		fmt.Fprintf(h, " %d %v\n", n, err)
		_ = file.Close() // read only: nothing can be lost
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// watcher is a watched of any type.
type watcher interface {
	reloadIfChanged()
	reload()
	warning() string
}

// watchers are those of the files that the server was given.
func (s *Server) watchers() (all []watcher) {
	if s.guard.tokens != nil {
		all = append(all, s.guard.tokens)
	}
	if s.certificate != nil {
		all = append(all, s.certificate)
	}
	return all
}

// Reload reads the files of tokens, the certificate and its key again. They are also
// read again by themselves, a few seconds after they have changed.
func (s *Server) Reload() {
	for _, w := range s.watchers() {
		w.reload()
	}
}

// watchFiles looks at the files until ctx ends. wait returns when it has stopped. A file
// on a server that does not answer may keep it: then wait returns all the same.
func (s *Server) watchFiles(ctx context.Context) (wait func()) {
	all := s.watchers()
	if len(all) == 0 {
		return func() {}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(watchEvery)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				for _, w := range all {
					w.reloadIfChanged()
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() {
		select {
		case <-done:
		case <-time.After(lastTime):
			s.log.Warn("A file of the admin API does not answer: the service ends without it")
		}
	}
}
