package workers

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
)

const (
	// patience is how long a client waits for an answer.
	patience = time.Minute
	// settled is how long a change may still take effect whose result is unknown. It is
	// longer than every fault that holds requests back.
	settled = 2 * time.Minute
)

// operation is one call about a connector.
type operation struct {
	what string
	path string
	body any
	// after returns what a state becomes, ok if the operation is possible there.
	after func(state) (is state, ok bool)
}

func named(name string) map[string]any {
	return map[string]any{"tenant": "default", "connector_name": name}
}

func create(s *subject, n int, filter string, paused bool) operation {
	body, is := s.definition(n, filter)
	is.paused = paused
	body["paused"] = paused
	return operation{"create", admin.PathCreate, body, func(was state) (state, bool) { return is, !was.exists }}
}

func update(s *subject, n int, filter string) operation {
	body, is := s.definition(n, filter)
	return operation{"update", admin.PathUpdate, body, func(was state) (state, bool) {
		now := is
		now.paused = was.paused
		return now, was.exists
	}}
}

func remove(s *subject) operation {
	return operation{"delete", admin.PathDelete, named(s.name), func(was state) (state, bool) { return state{}, was.exists }}
}

func pause(s *subject) operation {
	return operation{"pause", admin.PathPause, named(s.name), func(was state) (state, bool) {
		was.paused = true
		return was, was.exists
	}}
}

func resume(s *subject) operation {
	return operation{"resume", admin.PathResume, named(s.name), func(was state) (state, bool) {
		was.paused = false
		return was, was.exists
	}}
}

func restart(s *subject) operation {
	return operation{"restart", admin.PathRestart, named(s.name), func(was state) (state, bool) { return was, was.exists && !was.paused }}
}

// ask sends a request to a worker.
func (w *world) ask(k *worker, method, path string, body any) (text json.RawMessage, o outcome, why string) {
	data, err := json.Marshal(body)
	if err != nil {
		return nil, refused, err.Error()
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+k.listen+path, bytes.NewReader(data))
	if err != nil {
		return nil, refused, err.Error()
	}
	resp, err := w.client.Do(req)
	if err != nil {
		return nil, unknown, err.Error()
	}
	defer resp.Body.Close()
	data, err = io.ReadAll(resp.Body)
	if err != nil {
		return nil, unknown, err.Error()
	}
	var answer admin.Answer[json.RawMessage]
	if err := json.Unmarshal(data, &answer); err != nil {
		return nil, unknown, fmt.Sprintf("%s: %.200s", err, data)
	}
	if answer.Error == nil {
		return answer.Data, done, strings.Join(answer.Notes, "; ")
	}
	why = *answer.Error
	if strings.Contains(why, "the result is unknown") {
		return nil, unknown, why
	}
	return nil, refused, why
}

// operate makes one call about a name, which nobody else changes meanwhile, and looks
// whether all workers see the result.
func (w *world) operate(k *worker, s *subject, op operation) outcome {
	began := time.Now()
	s.mu.Lock()
	if op.what == "create" {
		s.made, s.joined = began, false
	}
	s.deleting = op.what == "delete"
	s.mu.Unlock()
	_, o, why := w.ask(k, http.MethodPost, op.path, op.body)
	w.log.Add("%s %s by %s is %s after %s: %s", op.what, s.name, k.name, o, time.Since(began), why)
	if err := s.apply(o, op.after); err != nil {
		w.fail(err)
	}
	s.mu.Lock()
	if s.deleting && o != refused {
		s.joined = false
		for _, m := range s.messages {
			m.optional = true
		}
	}
	s.deleting = false
	s.mu.Unlock()
	w.compare(s, o.String()+" "+op.what)
	if o == unknown {
		w.settle(s)
	}
	s.mu.Lock()
	s.changed = time.Now()
	s.mu.Unlock()
	return o
}

// settle waits until an unknown result is known.
func (w *world) settle(s *subject) {
	time.Sleep(settled)
	for _, k := range w.living() {
		if is, ok := w.seen(k, s); ok {
			s.mu.Lock()
			if s.may[is] {
				s.may = map[state]bool{is: true}
			}
			s.mu.Unlock()
			return
		}
	}
}

// seen is what a worker shows after a refresh. ok is false where it cannot know.
func (w *world) seen(k *worker, s *subject) (is state, ok bool) {
	service, _ := k.parts()
	if service == nil {
		return state{}, false
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := service.Refresh(ctx); err != nil {
		return state{}, false
	}
	is, err := s.shown(k)
	return is, err == nil
}

// compare requires all workers that have read the store to show what a name may be.
func (w *world) compare(s *subject, after string) {
	for _, k := range w.living() {
		is, ok := w.seen(k, s)
		if !ok {
			continue
		}
		s.mu.Lock()
		right := s.may[is]
		s.mu.Unlock()
		if !right {
			w.fail(fmt.Errorf("%s shows %s after %s as %s, and it is %s", k.name, s.name, after, is, s.describe()))
		}
	}
}
