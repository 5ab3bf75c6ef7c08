package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// letGoTimeout is how long another worker may take to let members go on. It may be
	// draining them.
	letGoTimeout = 10 * time.Second
	maxHolding   = 1 << 20
)

// holding is a call about members of a connector, as JSON.
type holding struct {
	Name      string `json:"name"`
	Operation string `json:"operation"`
	Members   []int  `json:"members"` // that the sender believes to run there
	Revision  int    `json:"revision,omitempty"`
	Afresh    bool   `json:"afresh,omitempty"`
}

// Hold implements the supervisor's Share.
func (s *Service) Hold(ctx context.Context, name string, revision, members int, operation string) (still func() error, err error) {
	generation, _ := s.generation()
	still = func() error {
		if now, ok := s.generation(); !ok || now != generation {
			return errors.New("connectors move between workers at the moment: try again soon")
		}
		return nil
	}
	places, err := s.placesOf(ctx, name, members)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.holdTimeout())
	defer cancel()
	err = eachPlace(places, func(url string, its []int) error {
		err := s.callHolding(ctx, url+pathHold, holding{Name: name, Operation: operation, Members: its, Revision: revision})
		if err != nil {
			return fmt.Errorf("the worker %s, which runs %s, does not drain it: %w", url, numbered(its, members), soon(err))
		}
		return nil
	})
	if err != nil {
		_ = s.letGo(places, name, operation, members, false) // who does not answer holds for a minute
		return nil, err
	}
	return still, nil
}

// LetGo implements the supervisor's Share.
func (s *Service) LetGo(name string, members int, operation string, afresh bool) error {
	places, err := s.placesOf(context.Background(), name, members)
	return errors.Join(err, s.letGo(places, name, operation, members, afresh))
}

func (s *Service) letGo(places map[string][]int, name, operation string, members int, afresh bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), letGoTimeout)
	defer cancel()
	return eachPlace(places, func(url string, its []int) error {
		err := s.callHolding(ctx, url+pathLetGo, holding{Name: name, Operation: operation, Members: its, Afresh: afresh})
		if err != nil {
			return fmt.Errorf("the worker %s, which runs %s, does not start it again: %w", url, numbered(its, members), err)
		}
		return nil
	})
}

// holdTimeout is how long another worker may take to drain.
func (s *Service) holdTimeout() time.Duration { return s.opts.DrainTimeout + 10*time.Second }

// soon says in an error that the call may be repeated.
func soon(err error) error {
	if strings.Contains(err.Error(), "try again") {
		return err
	}
	return fmt.Errorf("%w: try again soon", err)
}

// placesOf returns the other workers that run members of a connector, with these. The error
// says which member nobody is known to run.
func (s *Service) placesOf(ctx context.Context, name string, members int) (map[string][]int, error) {
	all := map[string][]int{}
	for member := range members {
		place, err := s.placeOf(ctx, partitionOf(name, member))
		if errors.Is(err, ErrNoWriter) {
			err = fmt.Errorf("no worker runs %s at the moment, because connectors move between workers: try again soon", numbered([]int{member}, members))
		}
		if err != nil {
			return all, err
		}
		if !place.Here {
			all[place.URL] = append(all[place.URL], member)
		}
	}
	return all, nil
}

// MembersAt returns which members of a connector other workers run, by URL, and which this
// one does. Where some run is not known because of the error; they are in neither.
func (s *Service) MembersAt(ctx context.Context, name string, members int) (others map[string][]int, here []int, err error) {
	others = map[string][]int{}
	for member := range members {
		place, why := s.placeOf(ctx, partitionOf(name, member))
		switch {
		case errors.Is(why, ErrNoWriter):
			err = ErrNoOwner
		case why != nil:
			err = why
		case place.Here:
			here = append(here, member)
		default:
			others[place.URL] = append(others[place.URL], member)
		}
	}
	return others, here, err
}

// numbered names members for people, who count from 1.
func numbered(some []int, of int) string {
	texts := make([]string, len(some))
	for i, member := range some {
		texts[i] = strconv.Itoa(member + 1)
	}
	if len(texts) == 1 {
		return fmt.Sprintf("member %s of %d", texts[0], of)
	}
	return fmt.Sprintf("members %s of %d", strings.Join(texts, ", "), of)
}

// eachPlace does something at all places at once, and returns the error of the first one
// by URL.
func eachPlace(places map[string][]int, do func(url string, its []int) error) error {
	var mu sync.Mutex
	var failed []string
	errs := map[string]error{}
	var asking sync.WaitGroup
	for url, its := range places {
		asking.Go(func() {
			if err := do(url, its); err != nil {
				mu.Lock()
				defer mu.Unlock()
				failed, errs[url] = append(failed, url), err
			}
		})
	}
	asking.Wait()
	if len(failed) == 0 {
		return nil
	}
	return errs[slices.Min(failed)]
}

func (s *Service) callHolding(ctx context.Context, url string, one holding) error {
	body, err := json.Marshal(one)
	if err != nil {
		return err
	}
	var answer changed
	if err := s.call(ctx, http.MethodPost, url, body, maxHolding, &answer); err != nil {
		return err
	}
	if answer.Error != "" {
		return errors.New(answer.Error)
	}
	return nil
}

// serveHolding answers a call of another worker. One that believes to run what others have
// does not hold it: it asks the coordinator before.
func (s *Service) serveHolding(w http.ResponseWriter, r *http.Request, do func(runner Runner, one holding) error) {
	var one holding
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxHolding)).Decode(&one); err != nil {
		http.Error(w, "reading the call: "+err.Error(), http.StatusBadRequest)
		return
	}
	runner := s.running()
	err := errNotJoined
	if runner != nil {
		err = do(runner, one)
	}
	if err != nil {
		answer(w, changed{Error: err.Error()})
		return
	}
	answer(w, changed{})
}

func (s *Service) serveHold(w http.ResponseWriter, r *http.Request) {
	s.serveHolding(w, r, func(runner Runner, one holding) error {
		if s.Behind(r.Header) {
			return errors.New("it has missed a rebalance")
		}
		for _, member := range one.Members {
			if err := s.Confirm(r.Context(), one.Name, member); err != nil {
				return err
			}
		}
		return runner.Hold(r.Context(), one.Name, one.Revision, one.Operation)
	})
}

func (s *Service) serveLetGo(w http.ResponseWriter, r *http.Request) {
	s.serveHolding(w, r, func(runner Runner, one holding) error {
		return runner.LetGo(r.Context(), one.Name, one.Operation, one.Afresh)
	})
}
