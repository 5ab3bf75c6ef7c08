package admin

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

const (
	// ownHeader asks another worker for a tail of the members that it runs, which does not
	// ask further workers. Only a worker may send it.
	ownHeader = "X-Robustmq-Connect-Own-Members"
	// eventBegun ends what the worker has kept, in such a tail alone.
	eventBegun = "begun"

	// beginTimeout is how long another worker may take to begin a tail.
	beginTimeout = 2 * time.Second
	// silentAfter is how long it may send nothing then.
	silentAfter = 3 * heartbeat
	// lookAgain is how often a tail looks which workers run the members.
	lookAgain = 5 * time.Second

	queuedOfOthers = 64      // messages that wait for the client
	maxTailEvent   = 1 << 20 // of two excerpts of 4 KiB, all of it escaped
)

// asksForOwn reports whether another worker asks for a tail of the members that run here.
func (s *Server) asksForOwn(r *http.Request) bool {
	return r.URL.Path == PathTail && r.Header.Get(ownHeader) != "" && s.isForwarded(r)
}

// otherTails are the tails of the other workers that run members of a connector, for one
// client. A nil one has none.
type otherTails struct {
	s    *Server
	name string
	who  caller

	// messages are those that come. Nobody waits for the client: what does not fit is
	// counted as dropped.
	messages chan TailMessage
	begun    chan struct{} // closed when each worker has begun, or does not in time
	end      context.CancelFunc
	ended    chan struct{}

	mu               sync.Mutex
	at               map[string]*otherTail // by URL
	here             int                   // members that run here
	all              int                   // members, below 2 where there are no others to ask
	unknown          *TailMissing          // members that are not known to run anywhere
	kept             []TailMessage         // by other workers, before they began; the newest
	taken            bool                  // kept was taken
	leftOut, dropped int64                 // not told yet
}

// otherTail is the tail of one other worker.
type otherTail struct {
	members []int // that run there
	cancel  context.CancelFunc
	begun   chan struct{} // closed when shown or ended is true
	shown   bool          // it sends its messages
	ended   bool
	why     string // why it is not shown; also while it is tried again
}

// openOthers opens the tails of other workers, until close. They begin with the last
// messages. It is nil where there are no others.
func (s *Server) openOthers(r *http.Request, name string, last int) *otherTails {
	if s.options.Workers == nil || s.asksForOwn(r) {
		return nil
	}
	ctx, cancel := context.WithCancel(r.Context())
	o := &otherTails{
		s: s, name: name, who: callerOf(r.Context()), at: map[string]*otherTail{}, messages: make(chan TailMessage, queuedOfOthers),
		begun: make(chan struct{}), end: cancel, ended: make(chan struct{}),
	}
	go o.run(ctx, last)
	return o
}

// close ends them, and returns when they have ended.
func (o *otherTails) close() {
	if o != nil {
		o.end()
		<-o.ended
	}
}

// run follows the members from worker to worker.
func (o *otherTails) run(ctx context.Context, last int) {
	defer close(o.ended)
	var reading sync.WaitGroup
	defer reading.Wait()
	for _, one := range o.look(ctx, &reading, last) {
		<-one.begun // it is bounded
	}
	close(o.begun)
	again := time.NewTicker(lookAgain)
	defer again.Stop()
	for {
		select {
		case <-again.C:
			o.look(ctx, &reading, 0) // what was kept may have been shown
		case <-ctx.Done():
			return
		}
	}
}

// look finds out which workers run the members, and opens and closes tails. It returns
// those that it has opened.
func (o *otherTails) look(ctx context.Context, reading *sync.WaitGroup, last int) (opened []*otherTail) {
	status, _, err := o.s.manager.Detail(o.name)
	if err != nil {
		return nil // it was deleted, and the client is told so
	}
	var others map[string][]int
	var here []int
	if status.Parallelism > 1 {
		asking, cancel := context.WithTimeout(ctx, beginTimeout)
		others, here, err = o.s.options.Workers.MembersAt(asking, o.name, status.Parallelism)
		cancel()
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.all, o.here, o.unknown = status.Parallelism, len(here), nil
	if err != nil {
		o.unknown = &TailMissing{Members: numbersFrom1(notIn(status.Parallelism, here, others)), Reason: err.Error()}
	}
	for at, one := range o.at {
		if others[at] == nil {
			one.cancel()
			delete(o.at, at)
		}
	}
	for at, members := range others {
		one := &otherTail{members: members, begun: make(chan struct{})}
		if before := o.at[at]; before != nil {
			if before.members = members; !before.ended {
				continue
			}
			one.why = before.why
		}
		var its context.Context
		its, one.cancel = context.WithCancel(ctx)
		o.at[at] = one
		opened = append(opened, one)
		reading.Go(func() { o.read(its, at, one, last) })
	}
	return opened
}

// notIn returns the members that run at none of these places.
func notIn(all int, here []int, others map[string][]int) (rest []int) {
	known := slices.Concat(append(slices.Collect(maps.Values(others)), here)...)
	for member := range all {
		if !slices.Contains(known, member) {
			rest = append(rest, member)
		}
	}
	return rest
}

func numbersFrom1(members []int) []int {
	numbers := make([]int, len(members))
	for i, member := range members {
		numbers[i] = member + 1
	}
	return numbers
}

// read takes what another worker sends, until that ends.
func (o *otherTails) read(ctx context.Context, at string, one *otherTail, last int) {
	defer one.cancel()
	err := o.events(ctx, at, one, last)
	o.mu.Lock()
	defer o.mu.Unlock()
	if !one.shown {
		close(one.begun)
	}
	one.shown, one.ended, one.why = false, true, err.Error()
}

func (o *otherTails) events(ctx context.Context, at string, one *otherTail, last int) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silent := time.AfterFunc(beginTimeout, func() { cancel(errSilent) })
	defer silent.Stop()
	query := url.Values{"tenant": {connector.DefaultTenant}, "connector_name": {o.name}, "last": {strconv.Itoa(last)}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at+PathTail+"?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	o.s.sign(req, o.who)
	req.Header.Set(ownHeader, "1")
	// A redirection would tell others the token of the workers.
	client := http.Client{Transport: o.s.options.Workers.Transport(), CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		return because(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }() // read only
	if !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		return refusalOf(resp)
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, maxTailEvent)
	event := ""
	for lines.Scan() {
		if name, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
			event = name
		} else if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			if err := o.got(one, event, []byte(data)); err != nil {
				return err
			}
		}
		if o.isShown(one) {
			silent.Reset(silentAfter)
		}
	}
	if err := lines.Err(); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return because(ctx, err)
	}
	return errors.New("it has ended its answer")
}

var errSilent = errors.New("it does not answer")

// because is the reason why a call was ended here, or its error without the address.
func because(ctx context.Context, err error) error {
	if errors.Is(context.Cause(ctx), errSilent) {
		return errSilent
	}
	var of *url.Error
	if errors.As(err, &of) {
		return of.Err
	}
	return err
}

// refusalOf is why another worker does not open a tail.
func refusalOf(resp *http.Response) error {
	var answer Answer[json.RawMessage]
	text, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err == nil && json.Unmarshal(text, &answer) == nil && answer.Error != nil {
		return errors.New(*answer.Error)
	}
	return fmt.Errorf("it answers %s", resp.Status)
}

// got takes an event of another worker. The error ends its tail.
func (o *otherTails) got(one *otherTail, event string, data []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch event {
	case eventBegun:
		if !one.shown {
			one.shown, one.why = true, ""
			close(one.begun)
		}
	case EventMessage:
		var m TailMessage
		if err := json.Unmarshal(data, &m); err != nil {
			return fmt.Errorf("reading a message: %w", err)
		}
		if !one.shown && !o.taken {
			o.kept = newest(append(o.kept, m), MaxLast)
			return nil
		}
		select {
		case o.messages <- m:
		default:
			o.dropped++
		}
	case EventLeftOut, EventDropped:
		var n TailCount
		if err := json.Unmarshal(data, &n); err != nil {
			return fmt.Errorf("reading a count: %w", err)
		}
		if event == EventLeftOut {
			o.leftOut += n.Count
		} else {
			o.dropped += n.Count
		}
	case EventEnd:
		var end TailEnd
		if err := json.Unmarshal(data, &end); err != nil {
			return fmt.Errorf("reading the end: %w", err)
		}
		return errors.New(cmp.Or(end.Reason, "it has ended"))
	}
	return nil // of a later version
}

func (o *otherTails) isShown(one *otherTail) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return one.shown
}

// newest returns the last n messages, by the time of their receipt.
func newest(all []TailMessage, n int) []TailMessage {
	slices.SortStableFunc(all, func(a, b TailMessage) int { return strings.Compare(a.Time, b.Time) })
	return all[max(0, len(all)-n):]
}

// queue has the messages of other workers.
func (o *otherTails) queue() <-chan TailMessage {
	if o == nil {
		return nil
	}
	return o.messages
}

// takeKept adds to what this worker has kept what the others have, and returns the newest of
// it. It is called once.
func (o *otherTails) takeKept(mine []TailMessage, last int) []TailMessage {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := newest(append(mine, o.kept...), last)
	o.kept, o.taken = nil, true
	return all
}

// any reports whether there are other workers to show messages of.
func (o *otherTails) any() bool {
	if o == nil {
		return false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.at) > 0
}

// missed returns what was left out or dropped of their messages since the last call.
func (o *otherTails) missed() (leftOut, dropped int64) {
	if o == nil {
		return 0, 0
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	leftOut, dropped = o.leftOut, o.dropped
	o.leftOut, o.dropped = 0, 0
	return leftOut, dropped
}

// members says of how many members the messages are. known is false while a worker is asked
// for the first time.
func (o *otherTails) members() (told TailMembers, known bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	told = TailMembers{Shown: o.here, All: max(o.all, 1), Missing: []TailMissing{}}
	if o.all < 2 {
		told.Shown = told.All
		return told, true
	}
	for _, at := range slices.Sorted(maps.Keys(o.at)) {
		one := o.at[at]
		switch {
		case one.shown:
			told.Shown += len(one.members)
		case one.why == "":
			return told, false
		default:
			told.Missing = append(told.Missing, TailMissing{Worker: at, Members: numbersFrom1(one.members), Reason: withoutUserInfo(one.why)})
		}
	}
	if o.unknown != nil {
		told.Missing = append(told.Missing, *o.unknown)
	}
	return told, true
}
