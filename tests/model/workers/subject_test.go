package workers

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

// state is what a name can be: the zero value is no connector.
type state struct {
	exists                           bool
	filter, config, labels, strategy string
	paused                           bool
	members                          int
}

func (s state) String() string {
	if !s.exists {
		return "nothing"
	}
	return fmt.Sprintf("%s %s %s %s paused %t, %d members", s.filter, s.config, s.labels, s.strategy, s.paused, s.members)
}

// subject is a name of a connector, with what it may be.
type subject struct {
	name  string
	topic string // of the messages that are published for it
	most  int    // members that it has at most

	mu       sync.Mutex
	busy     bool // an operation is under way
	may      map[state]bool
	joined   bool      // its session is there, so that every message must arrive
	deleting bool      // it may be gone
	changed  time.Time // the end of the last operation
	made     time.Time // the beginning of the last creation
	down     time.Time // since when it has no connection, zero if it has one
	messages []*message
}

// message is one that was published.
type message struct {
	number   int
	optional bool // it may be lost: its connector was deleted
}

func newSubject(n, most int) *subject {
	name := fmt.Sprintf("c%d", n)
	return &subject{name: name, topic: name + "/x", most: most, may: map[state]bool{{}: true}}
}

// clientID is that of a member, from 0.
func (s *subject) clientID(member int) string {
	id := connector.ClientID(clientPrefix, connector.DefaultTenant, s.name)
	if member > 0 {
		id += fmt.Sprintf("_member_%d", member)
	}
	return id
}

// clientIDs are those of all members that it may have.
func (s *subject) clientIDs() (all []string) {
	for member := range s.most {
		all = append(all, s.clientID(member))
	}
	return all
}

// possible returns what the name may be.
func (s *subject) possible() []state {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.may))
}

// certain returns what the name is, if that is known.
func (s *subject) certain() (state, bool) {
	all := s.possible()
	if len(all) != 1 {
		return state{}, false
	}
	return all[0], true
}

// definition returns the body that creates a connector, or changes it.
func (s *subject) definition(n int, filter string) (body map[string]any, is state) {
	members := 1 + n/50%s.most
	config := fmt.Sprintf(`{"bootstrap_servers":%q,"topic":%q,"linger_ms":%d,"parallelism":%d}`, kafkaAddress, records, n%50, members)
	labels := map[string]string{"n": strconv.Itoa(n)}
	strategy := map[string]any{"strategy": "block"}
	body = map[string]any{
		"connector_name": s.name, "connector_type": "kafka", "tenant": "default", "topic_name": s.name + filter,
		"config": config, "failure_strategy": strategy, "labels": labels,
	}
	return body, state{exists: true, filter: s.name + filter, config: config, labels: fmt.Sprint(labels), strategy: "block", members: members}
}

// shown is what a worker knows about the name.
func (s *subject) shown(k *worker) (state, error) {
	_, sup := k.parts()
	if sup == nil {
		return state{}, errors.New("it has ended")
	}
	status, _, err := sup.Detail(s.name)
	if errors.Is(err, connector.ErrNotFound) {
		return state{}, nil
	}
	if err != nil {
		return state{}, err
	}
	var config bytes.Buffer
	if err := json.Compact(&config, status.Config); err != nil {
		return state{}, err
	}
	is := state{exists: true, filter: status.TopicID, config: config.String(), labels: fmt.Sprint(status.Labels), paused: status.State == connector.Paused, members: max(1, status.Parallelism)}
	if status.FailureStrategy != nil {
		is.strategy = status.FailureStrategy.Strategy
	}
	return is, nil
}

// outcome is what the answer to an operation says.
type outcome int

const (
	done outcome = iota
	refused
	unknown
)

func (o outcome) String() string { return [...]string{"done", "refused", "unknown"}[o] }

// apply takes in an answer. after returns what a state becomes, ok if that is possible.
func (s *subject) apply(o outcome, after func(state) (is state, ok bool)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := map[state]bool{}
	for was := range s.may {
		if is, ok := after(was); ok {
			next[is] = true
		}
	}
	switch {
	case o == done && len(next) == 0:
		return fmt.Errorf("%s: an operation was answered as done, and cannot have been: it was %v", s.name, s.describeLocked())
	case o == done:
		s.may = next
	case o == unknown:
		maps.Copy(s.may, next)
	}
	return nil
}

func (s *subject) describeLocked() string {
	var all []string
	for one := range s.may {
		all = append(all, one.String())
	}
	slices.Sort(all)
	return strings.Join(all, " or ")
}

func (s *subject) describe() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.describeLocked()
}
