package supervisor

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/kafka"
)

// A source that runs reads the lag of its group itself. While it is paused, Kafka is asked
// when somebody wants to know: a detail waits for the answer, the metrics show the last one.
const (
	// lagWait is how long a detail waits.
	lagWait = 2 * time.Second
	// lagFresh is how long it takes the last answer instead of asking again, and lagScraped
	// how long the metrics do.
	lagFresh   = 5 * time.Second
	lagScraped = time.Minute
	// lagShown is how old the answer may be that the metrics show.
	lagShown = 10 * time.Minute
	// lagFailed is how long Kafka is not asked again after an error: a login that it refuses
	// may lock the account.
	lagFailed = 30 * time.Second

	// maxLagReadings is how many connectors are read at a time.
	maxLagReadings = 16
	// maxLags is how many partitions of a connector are listed.
	maxLags = 10000
)

// lagReader reads the lag of a paused source, once at a time, and keeps the last answer.
type lagReader struct {
	of json.RawMessage // the config that it reads by

	mu      sync.Mutex
	reading chan struct{} // closed when the reading ends that is under way; nil without one
	lag     []connector.Lag
	err     error     // why it is not known, or not all of it
	at      time.Time // of the last answer, zero before the first
}

// last returns the last answer and its age.
func (l *lagReader) last() (lag []connector.Lag, age time.Duration, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lag, time.Since(l.at), l.err
}

// refresh returns nil if the last answer is young enough, and otherwise what is closed when
// there is another one. start runs a function in the background, unless the service ends,
// and ask asks Kafka.
func (l *lagReader) refresh(fresh time.Duration, start func(func()) bool, ask func() ([]connector.Lag, error)) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		fresh = lagFailed
	}
	if l.reading != nil || time.Since(l.at) < fresh {
		return l.reading
	}
	ended := make(chan struct{})
	if start(func() { l.read(ended, ask) }) {
		l.reading = ended
	}
	return l.reading
}

func (l *lagReader) read(ended chan struct{}, ask func() ([]connector.Lag, error)) {
	var lag []connector.Lag
	err := errors.New("asking Kafka ended with a panic: see the log")
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.lag, l.err, l.at, l.reading = lag, err, time.Now(), nil
		close(ended)
	}()
	lag, err = ask()
}

// lagReaderOf returns that of a paused source, nil of other connectors.
func (s *Supervisor) lagReaderOf(e *entry) *lagReader {
	s.mu.Lock()
	c, paused, unread := e.definition.Connector, paused(e.definition), e.unread != nil
	s.mu.Unlock()
	if !c.IsSource() || !paused || unread {
		return nil
	}
	for {
		l := e.lag.Load()
		if l != nil && samePlace(l.of, c.Config) {
			return l
		}
		if another := (&lagReader{of: c.Config}); e.lag.CompareAndSwap(l, another) {
			return another
		}
	}
}

// refreshLag is lagReader.refresh of a connector.
func (s *Supervisor) refreshLag(e *entry, l *lagReader, fresh time.Duration) <-chan struct{} {
	return l.refresh(fresh, s.backgroundIfOpen, func() ([]connector.Lag, error) {
		select {
		case s.lagReadings <- struct{}{}:
			defer func() { <-s.lagReadings }()
			return s.askForLag(s.halted, e)
		case <-s.halted.Done():
			return nil, errClosed
		}
	})
}

// PausedLag implements connector.Manager.
func (s *Supervisor) PausedLag(ctx context.Context, name string) (lag []connector.Lag, unknown string) {
	e := s.find(name)
	if e == nil {
		return nil, ""
	}
	l := s.lagReaderOf(e)
	if l == nil {
		return nil, ""
	}
	if reading := s.refreshLag(e, l, lagFresh); reading != nil {
		timer := time.NewTimer(lagWait)
		defer timer.Stop()
		select {
		case <-reading:
		case <-ctx.Done():
			return nil, ctx.Err().Error()
		case <-timer.C:
			return nil, fmt.Sprintf("Kafka has not answered within %s: ask again", lagWait)
		}
	}
	lag, _, err := l.last()
	if err != nil {
		unknown = e.hide.Load().Replace(err.Error())
	}
	return lag, unknown
}

// shownLag returns the lag for the metrics. It waits for nothing.
func (s *Supervisor) shownLag(e *entry) []connector.Lag {
	l := s.lagReaderOf(e)
	if l == nil {
		return e.figures.lag()
	}
	s.refreshLag(e, l, lagScraped)
	if lag, age, _ := l.last(); age < lagShown {
		return lag
	}
	return nil
}

// askForLag asks Kafka by the settings of a definition: its servers, its login, its limits.
func (s *Supervisor) askForLag(ctx context.Context, e *entry) ([]connector.Lag, error) {
	c := e.stored(s).Connector
	document, _ := connector.Pipeline(s.effective(c))
	var pipeline struct{ Input map[string]any }
	if err := yaml.Unmarshal(document, &pipeline); err != nil {
		return nil, fmt.Errorf("reading the pipeline: %w", err)
	}
	text, err := yaml.Marshal(pipeline.Input)
	if err != nil {
		return nil, fmt.Errorf("writing the input of the pipeline: %w", err)
	}
	var group *kafka.GroupLag
	env := s.env.Clone()
	if err := kafka.RegisterGroupLag(env, func(made *kafka.GroupLag) { group = made }, s.kafkaOptions...); err != nil {
		return nil, err
	}
	if err := testConnections(ctx, env, func(b *service.ResourceBuilder) error { return b.AddInputYAML(string(text)) }); err != nil {
		return nil, err
	}
	if group == nil {
		return nil, errors.New("the pipeline has no input from Kafka")
	}
	partitions, err := group.Read(ctx)
	lag := lagsOf(partitions)
	if len(lag) > maxLags {
		return nil, fmt.Errorf("the group reads %d partitions, and no more than %d are listed", len(lag), maxLags)
	}
	return lag, err
}

// lagsOf bounds the number of topics, as figures do.
func lagsOf(partitions []kafka.PartitionLag) (all []connector.Lag) {
	topics, at := map[string]bool{}, map[connector.Lag]int{}
	for _, p := range partitions {
		name := connector.Lag{Topic: p.Topic, Partition: int(p.Partition)}
		if !topics[p.Topic] && len(topics) == maxTopics {
			name.Topic = otherTopic
		} else {
			topics[p.Topic] = true
		}
		i, found := at[name]
		if !found {
			i, at[name] = len(all), len(all)
			all = append(all, name)
		}
		all[i].Records += p.Records
	}
	slices.SortFunc(all, compareLags)
	return all
}

func compareLags(a, b connector.Lag) int {
	return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
}
