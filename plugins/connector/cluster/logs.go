package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

const maxLogQuery = 4 << 10

// logQuery asks another worker for the log of a connector, as JSON.
type logQuery struct {
	Name  string             `json:"name"`
	Which connector.LogQuery `json:"which"`
}

// Logs adds to the log of a connector what the other workers have logged about the members
// that they run. The lines are in the order of their times, by the clocks of their workers.
// silent are the URLs of workers that did not answer in time. What is known is returned
// also with an error.
func (s *Service) Logs(ctx context.Context, name string, which connector.LogQuery, mine connector.Logs) (all connector.Logs, silent []string, err error) {
	body, err := json.Marshal(logQuery{name, which})
	if err != nil {
		return mine, nil, err
	}
	ask := url.Values{"about": {string(body)}}.Encode()
	told, silent, err := gather(ctx, s, pathLogs+"?"+ask, []connector.Logs{mine}, func(*connector.Logs) string { return name }, func(*connector.Logs, string) {})
	return mergeLogs(told[name], which.Limit), silent, err
}

// mergeLogs returns several logs as one with the newest lines, limit at most.
func mergeLogs(logs []connector.Logs, limit int) connector.Logs {
	all := logs[0]
	for _, one := range logs[1:] {
		all.Lines = append(slices.Clone(all.Lines), one.Lines...)
		all.Omitted += one.Omitted
		all.Dropped += one.Dropped
	}
	slices.SortStableFunc(all.Lines, func(a, b connector.LogLine) int { return a.Time.Compare(b.Time) })
	if over := len(all.Lines) - limit; over > 0 {
		all.Lines, all.Omitted = all.Lines[over:], all.Omitted+over
	}
	return all
}

// leveling sets the log level of a connector at another worker, as JSON.
type leveling struct {
	Name  string `json:"name"`
	Level string `json:"level"`
}

// SetLogLevel sets the log level of a connector on the other workers that run members of
// it. The error says which worker has not set it.
func (s *Service) SetLogLevel(ctx context.Context, name string, members int, level string) error {
	body, err := json.Marshal(leveling{name, level})
	if err != nil {
		return err
	}
	places, err := s.placesOf(ctx, name, members)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, gatherTimeout)
	defer cancel()
	return eachPlace(places, func(url string, its []int) error {
		var answer changed
		err := s.call(ctx, http.MethodPost, url+pathLogLevel, body, maxHolding, &answer)
		if err == nil && answer.Error != "" {
			err = errors.New(answer.Error)
		}
		if err != nil {
			return fmt.Errorf("the worker %s, which runs %s, has not set the level: %w", url, numbered(its, members), soon(err))
		}
		return nil
	})
}

func (s *Service) serveLogLevel(w http.ResponseWriter, r *http.Request) {
	var one leveling
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxHolding)).Decode(&one); err != nil {
		http.Error(w, "reading the level: "+err.Error(), http.StatusBadRequest)
		return
	}
	err := errNotJoined
	if runner := s.running(); runner != nil {
		err = runner.SetLogLevel(one.Name, one.Level)
	}
	if err != nil {
		answer(w, changed{Error: err.Error()})
		return
	}
	answer(w, changed{})
}

func (s *Service) serveLogs(w http.ResponseWriter, r *http.Request) {
	var ask logQuery
	text := r.URL.Query().Get("about")
	if len(text) > maxLogQuery || json.Unmarshal([]byte(text), &ask) != nil {
		http.Error(w, "about: it is not what a worker asks", http.StatusBadRequest)
		return
	}
	logs := []connector.Logs{}
	if runner := s.running(); runner != nil {
		if one, err := runner.Logs(ask.Name, ask.Which); err == nil { // else it is not known here
			logs = append(logs, one)
		}
	}
	answer(w, logs)
}
