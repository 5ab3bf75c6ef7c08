package workers_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
	"github.com/robustmq/robustmq-connect/tests/logtext"
	"github.com/robustmq/robustmq-connect/tests/program"
)

// tailed is what a client got of a tail.
type tailed struct {
	mu       sync.Mutex
	payloads map[string]int
	members  []admin.TailMembers
}

func (s *tailed) got(event, data string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch event {
	case admin.EventMessage:
		var m admin.TailMessage
		if err := json.Unmarshal([]byte(data), &m); err != nil {
			return err
		}
		s.payloads[*m.Payload.Text]++
	case admin.EventMembers:
		var m admin.TailMembers
		if err := json.Unmarshal([]byte(data), &m); err != nil {
			return err
		}
		s.members = append(s.members, m)
	case admin.EventEnd:
		return fmt.Errorf("it has ended: %s", data)
	}
	return nil
}

// until waits until a payload was shown.
func (s *tailed) until(t *testing.T, payload string) {
	t.Helper()
	require.Eventually(t, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.payloads[payload] > 0
	}, patience, 20*time.Millisecond, "%s of %v", payload, s)
}

// whole waits until the last event about members says that all are shown, or are not.
func (s *tailed) whole(t *testing.T, is bool) {
	t.Helper()
	require.Eventually(t, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.members) == 0 {
			return is
		}
		last := s.members[len(s.members)-1]
		return (last.Shown == last.All) == is
	}, patience, 20*time.Millisecond)
}

// tail follows a connector through a worker until the test ends.
func (w *worker) tail(name string) *tailed {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.url+admin.PathTail+"?tenant=default&connector_name="+name, nil)
	require.NoError(w.t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(w.t, err)
	require.Equal(w.t, "text/event-stream", resp.Header.Get("Content-Type"))
	s := &tailed{payloads: map[string]int{}}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		lines := bufio.NewScanner(resp.Body)
		event := ""
		for lines.Scan() {
			if one, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
				event = one
			} else if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				if err := s.got(event, data); err != nil {
					w.t.Error(err)
					return
				}
			}
		}
	}()
	w.t.Cleanup(func() {
		cancel()
		<-ended
		_ = resp.Body.Close()
	})
	return s
}

// A tail showed what the owner of the connector runs.
func TestATailThroughAnyWorkerShowsTheMessagesOfAllMembers(t *testing.T) {
	r := newRig(t)
	const members = 6
	all, name := spreadOut(t, r, members)
	var tails []*tailed
	for _, w := range all {
		tails = append(tails, w.tail(name))
	}
	for _, s := range tails {
		s.whole(t, true)
	}
	c := r.client("publisher")
	sent := 0
	send := func() {
		t.Helper()
		for range 30 {
			publish(t, c, name+"/x", strconv.Itoa(sent))
			for _, s := range tails {
				s.until(t, strconv.Itoa(sent))
			}
			sent++
			time.Sleep(time.Second / 10) // fewer than a tail shows
		}
	}
	hasSentNone := func(w *worker) bool {
		mine, ok := w.sup.MySample(name)
		require.True(t, ok)
		return mine.Sent == 0
	}
	send()
	for tries := 1; slices.ContainsFunc(all, hasSentNone); tries++ { // the broker chooses members by chance
		require.Less(t, tries, 20, "each worker shows some")
		send()
	}

	// Its members move to the others, and are followed.
	last, rest := all[2], all[:2]
	for i, w := range all {
		if !w.service.Runs(name, 0) {
			last, rest, tails = w, []*worker{all[(i+1)%3], all[(i+2)%3]}, []*tailed{tails[(i+1)%3], tails[(i+2)%3]}
			break
		}
	}
	last.end() // its API: the tails say so
	require.NoError(t, <-last.served)
	last.served <- nil // for stop
	for _, s := range tails {
		s.whole(t, false)
	}
	last.stop()
	agree(t, "Running", []string{name}, rest...)
	for _, s := range tails {
		s.whole(t, true)
	}
	send()
}

// The command gave up when the worker that runs the connector was gone for a moment.
func TestTheTailCommandGoesOnWhenAWorkerEnds(t *testing.T) {
	p := startProcesses(t, 3)
	const name = "followed"
	c := p.client("publisher")
	p.all[0].done(admin.PathCreate, p.all[0].sharedDefinition(name, 3, "out"))
	// owner is the worker that answers calls about the connector, once all members run.
	owner := func(asked *process) (found *process) {
		t.Helper()
		require.Eventually(t, func() bool {
			d := asked.detail(name)
			i := slices.IndexFunc(p.all, func(one *process) bool { return one.url == d.Worker })
			if i < 0 || d.State != "Running" {
				return false
			}
			found = p.all[i]
			return true
		}, patience, 100*time.Millisecond)
		return found
	}
	asked := p.all[0]
	if owner(asked) == asked {
		asked = p.all[1]
	}
	var shown, told logtext.Text
	tail := exec.CommandContext(t.Context(), program.Path(t), "mqtt", "--server", asked.url, "connector", "tail", "-c", name)
	tail.Stdout, tail.Stderr = &shown, &told
	require.NoError(t, tail.Start())
	t.Cleanup(func() { _ = tail.Process.Kill(); _ = tail.Wait() })
	sent := 0
	shows := func() {
		t.Helper()
		first := sent
		require.Eventually(t, func() bool {
			publish(t, c, name+"/x", fmt.Sprintf("message %d.", sent))
			sent++
			for i := first; i < sent; i++ {
				if strings.Contains(shown.String(), fmt.Sprintf("message %d.", i)) {
					return true
				}
			}
			return false
		}, patience, 200*time.Millisecond, "%s", &told)
	}
	shows()
	for _, end := range []func(*process){
		func(one *process) { one.Signal(syscall.SIGTERM); one.Wait() },
		func(one *process) { one.Kill() },
	} {
		gone := owner(asked)
		if gone == asked {
			break // it runs the members alone then
		}
		p.ends(gone)
		end(gone)
		owner(asked)
		shows()
	}
	for line := range strings.Lines(shown.String()) {
		require.Equal(t, 1, strings.Count(shown.String(), line[strings.Index(line, "message"):]), "it is shown once")
	}
}
