package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/robustmq/robustmq-connect/plugins/internal/crash"
	"github.com/robustmq/robustmq-connect/plugins/internal/neterror"
)

// RegisterGroupLag adds an input kafka_ordered to the environment that reads nothing. made
// gets what tells the lag of its group.
func RegisterGroupLag(env *service.Environment, made func(*GroupLag), opts ...Option) error {
	return env.RegisterBatchInput("kafka_ordered", InputSpec(),
		func(conf *service.ParsedConfig, _ *service.Resources) (service.BatchInput, error) {
			c, err := parseInput(conf, opts...)
			if err != nil {
				return nil, err
			}
			made(&GroupLag{c, lagTime})
			return unread{}, nil
		})
}

// unread is an input that nothing is read from.
type unread struct{}

func (unread) Connect(context.Context) error { return service.ErrNotConnected }

func (unread) ReadBatch(context.Context) (service.MessageBatch, service.AckFunc, error) {
	return nil, nil, service.ErrNotConnected
}
func (unread) Close(context.Context) error { return nil }
func (unread) ConnectionTest(context.Context) service.ConnectionTestResults {
	return service.ConnectionTestSucceeded().AsList()
}

// GroupLag tells what waits in Kafka for the group of an input that does not run. It does
// not join the group.
type GroupLag struct {
	conf   *inputConfig
	within time.Duration // tests are more patient than lagTime
}

// PartitionLag is how many records a partition has from the offset on at which the group
// would read now.
type PartitionLag struct {
	Topic     string
	Partition int32
	Records   int64
}

// lagTime is how long Kafka may take to answer all that is asked, and lagRetries how long
// a request is tried again: a partition without a leader must not cost the others theirs.
const (
	lagTime    = 6 * time.Second
	lagRetries = 2 * time.Second
)

// Read asks Kafka over a connection of its own, and returns what waits by topic and
// partition within lagTime. The error says what is not known and what to correct; the lag
// of other partitions may be beside it.
func (g *GroupLag) Read(ctx context.Context) (all []PartitionLag, err error) {
	guard := crash.New(func(*crash.Error) {}) // the error is returned
	defer guard.Catch("reading the lag", func(panicked error) { all, err = nil, panicked })
	conf := g.conf.clientConfig
	conf.guard = guard
	ctx, cancel := context.WithTimeout(ctx, g.within)
	defer cancel()
	l, err := newLink(&conf, kgo.RetryTimeout(lagRetries), kgo.BrokerMaxReadBytes(largestAnswer), kgo.FetchMaxBytes(largestAnswer))
	if err != nil {
		return nil, err
	}
	// Where Kafka refuses the login, each further request would be another try.
	if err := l.ping(ctx, min(g.within*2/3, conf.requestOverhead)); err != nil {
		l.close()
		return nil, conf.unreachable(err)
	}
	answered := make(chan struct{})
	l.goBackground("reading the lag", func() {
		defer close(answered)
		all, err = g.read(ctx, l.client)
	})
	select {
	case <-answered:
	case <-ctx.Done(): // a request may outlive the context, but not the client
	}
	l.close()
	switch {
	case guard.Err() != nil:
		return nil, guard.Err()
	case err != nil && ctx.Err() != nil:
		return nil, g.fault(fmt.Errorf("no answer within %s", g.within))
	}
	return all, err
}

func (g *GroupLag) fault(err error) error {
	return fmt.Errorf("reading the lag of the group %q: %w%s", g.conf.group, neterror.WithoutLocalPort(err), g.conf.readAdvice(err))
}

func (g *GroupLag) read(ctx context.Context, client *kgo.Client) (all []PartitionLag, err error) {
	admin := kadm.NewClient(client)
	topics, err := g.topics(ctx, client)
	if err != nil || len(topics) == 0 {
		return nil, err
	}
	committed, err := admin.FetchOffsets(ctx, g.conf.group)
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) { // which has committed nothing yet
		return nil, g.fault(err)
	}
	// Partitions whose leader is away have an error in these, or are missing.
	starts, startErr := admin.ListStartOffsets(ctx, topics...)
	ends, endErr := admin.ListEndOffsets(ctx, topics...)
	fault := cmp.Or(startErr, endErr)
	ends.Each(func(end kadm.ListedOffset) {
		start, found := starts.Lookup(end.Topic, end.Partition)
		commit, has := committed.Lookup(end.Topic, end.Partition)
		switch err := cmp.Or(end.Err, start.Err, commit.Err); {
		case err != nil:
			fault = cmp.Or(fault, topicError(end.Topic, err))
		case found:
			from := commit.At
			if !has || from < start.Offset || from > end.Offset {
				from = g.conf.startIn(start.Offset, end.Offset)
			}
			all = append(all, PartitionLag{end.Topic, end.Partition, end.Offset - from})
		}
	})
	slices.SortFunc(all, func(a, b PartitionLag) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	if fault != nil {
		return all, g.fault(fault)
	}
	return all, nil
}

// startIn is where the group starts in a partition for which it has no offset that Kafka
// still has.
func (c *inputConfig) startIn(first, end int64) int64 {
	if c.latest {
		return end
	}
	return first
}

// topics returns those that the input reads, as the client finds them.
func (g *GroupLag) topics(ctx context.Context, client *kgo.Client) ([]string, error) {
	if len(g.conf.patterns) == 0 {
		return g.conf.topics, g.conf.checkTopics(ctx, client)
	}
	details, err := kadm.NewClient(client).ListTopics(ctx)
	if err != nil {
		return nil, g.conf.unreachable(err)
	}
	included, excluded := compiled(g.conf.patterns), compiled(g.conf.excluded)
	return slices.DeleteFunc(details.Names(), func(topic string) bool {
		matches := func(p *regexp.Regexp) bool { return p.MatchString(topic) }
		return !slices.ContainsFunc(included, matches) || slices.ContainsFunc(excluded, matches)
	}), nil
}

// compiled are patterns that were checked.
func compiled(patterns []string) (all []*regexp.Regexp) {
	for _, p := range patterns {
		all = append(all, regexp.MustCompile(p))
	}
	return all
}
