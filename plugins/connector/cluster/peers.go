package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/robustmq/robustmq-connect/plugins/connector/store"
)

// The paths and the header of calls between workers. They carry the token of the
// workers, and are not part of the API.
const (
	PathPrefix   = "/internal/workers/"
	pathChange   = PathPrefix + "change"
	pathStatuses = PathPrefix + "statuses"
	pathSamples  = PathPrefix + "samples"
	pathTold     = PathPrefix + "told"
	pathLogs     = PathPrefix + "logs"
	pathLogLevel = PathPrefix + "log-level"
	pathHold     = PathPrefix + "hold"
	pathLetGo    = PathPrefix + "let-go"
	// TokenHeader carries the token.
	TokenHeader = "X-Robustmq-Connect-Worker"
	// generationHeader carries the number of the last rebalance that the sender knows.
	generationHeader = "X-Robustmq-Connect-Generation"
)

const (
	// changeTimeout is how long the writer may take for a change.
	changeTimeout = 15 * time.Second
	maxChange     = 2 << 20
)

// changed is the answer to a change.
type changed struct {
	Text    string `json:"text,omitempty"`
	Error   string `json:"error,omitempty"`
	Unknown bool   `json:"unknown,omitempty"`
}

// Place is where something is done.
type Place struct {
	URL  string
	Here bool
}

// Writer returns the worker that writes the store. The error is ErrNoWriter, or says why
// it is not known.
func (s *Service) Writer(ctx context.Context) (Place, error) {
	if s.writes() {
		return Place{Here: true}, nil
	}
	place, err := s.placeOf(ctx, WriterPartition)
	if err == nil && place.Here { // not yet, or not any more
		err = ErrNoWriter
	}
	return place, err
}

// OwnerOf returns the worker that runs the first member of a connector. The error is ErrNoOwner, or says why
// it is not known.
func (s *Service) OwnerOf(ctx context.Context, name string) (Place, error) {
	place, err := s.placeOf(ctx, partitionOf(name, 0))
	if errors.Is(err, ErrNoWriter) {
		err = ErrNoOwner
	}
	return place, err
}

// ErrNoOwner means that no worker runs a connector at the moment.
var ErrNoOwner = errors.New("no worker runs the connector at the moment, because connectors move between workers: try again soon")

var errAway = errors.New("the coordinator of the workers does not answer, so that it is not known who runs what: try again soon")

func (s *Service) placeOf(ctx context.Context, partition int32) (Place, error) {
	m := s.joined()
	if m == nil {
		return Place{}, errNotJoined
	}
	ctx, cancel := context.WithTimeout(ctx, describeTimeout)
	defer cancel()
	w, ok, err := m.OwnerOf(ctx, partition)
	switch {
	case err != nil:
		return Place{}, err
	case !ok && m.Standing().Unconfirmed:
		return Place{}, errAway
	case !ok:
		return Place{}, ErrNoWriter
	}
	return Place{URL: w.URL, Here: w.Self}, nil
}

// sendChange asks the writer for a change.
func (s *Service) sendChange(ctx context.Context, c change) (string, error) {
	to, err := s.Writer(ctx)
	if err != nil {
		return "", err
	}
	body, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	var answer changed
	if err := s.call(ctx, http.MethodPost, to.URL+pathChange, body, maxChange, &answer); err != nil {
		err = fmt.Errorf("asking the worker %s, which writes the store: %w", to.URL, err)
		if NotSent(err) {
			return "", err
		}
		return "", &store.UnknownError{Why: err}
	}
	switch {
	case answer.Unknown:
		return "", &store.UnknownError{Why: errors.New(answer.Error)}
	case answer.Error != "":
		return "", errors.New(answer.Error)
	}
	return answer.Text, nil
}

func (s *Service) call(ctx context.Context, method, url string, body []byte, limit int64, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	s.Sign(req.Header)
	req.Header.Set("Content-Type", "application/json")
	resp, err := s.client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // read only
	data, err := io.ReadAll(io.LimitReader(resp.Body, limit))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("it answers %s: %.200s", resp.Status, data)
	}
	return json.Unmarshal(data, into)
}

// ServeHTTP answers other workers. It is for paths that begin with PathPrefix.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.Knows(r.Header.Get(TokenHeader)) {
		http.Error(w, "this is for workers, which show the token of --cluster-token-file", http.StatusUnauthorized)
		return
	}
	switch r.Method + " " + r.URL.Path {
	case http.MethodGet + " " + pathStatuses:
		answer(w, s.mine())
	case http.MethodGet + " " + pathSamples:
		answer(w, s.mySamples(r.URL.Query().Get(nameParameter)))
	case http.MethodGet + " " + pathLogs:
		s.serveLogs(w, r)
	case http.MethodPost + " " + pathLogLevel:
		s.serveLogLevel(w, r)
	case http.MethodGet + " " + pathTold:
		answer(w, []Told{s.tell()})
	case http.MethodPost + " " + pathChange:
		s.serveChange(w, r)
	case http.MethodPost + " " + pathHold:
		s.serveHold(w, r)
	case http.MethodPost + " " + pathLetGo:
		s.serveLetGo(w, r)
	default:
		http.Error(w, "there is no "+r.Method+" "+r.URL.Path, http.StatusNotFound)
	}
}

func (s *Service) serveChange(w http.ResponseWriter, r *http.Request) {
	var c change
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxChange)).Decode(&c); err != nil {
		http.Error(w, "reading the change: "+err.Error(), http.StatusBadRequest)
		return
	}
	if !s.writes() || s.Behind(r.Header) {
		answer(w, changed{Error: ErrNoWriter.Error()})
		return
	}
	text, err := c.make(s.local)
	if err != nil {
		answer(w, changed{Error: err.Error(), Unknown: store.Unknown(err)})
		return
	}
	answer(w, changed{Text: text})
}

func answer(w http.ResponseWriter, data any) {
	text, err := json.Marshal(data)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(text) // the other worker is gone: nobody is left to tell
}
