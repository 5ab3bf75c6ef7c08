// Package cluster shares connectors among workers. The workers are a consumer group on
// an assignment topic that holds no data. Each connector belongs to one partition of
// that topic, and the worker that owns the partition runs the connector. Kafka's group
// coordinator decides which worker owns what, so there is no coordinator of our own.
//
// These rules keep two workers from running one connector:
//
//   - A partition that the group takes from a worker is drained first. The worker stays
//     a member meanwhile, and the partition gets its next owner after that.
//   - A worker that the coordinator no longer knows stops its connectors. Another worker
//     may run them already.
//   - A worker that cannot reach the coordinator keeps the connections that it has, since
//     the broker disconnects it when another worker takes over the session. It makes no
//     new connection until the coordinator confirms that it is a member: see Confirm.
package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// WriterPartition is the partition whose owner writes the store.
const WriterPartition = 0

const (
	heartbeatEvery = time.Second
	// leaveTimeout is how long Leave waits for the coordinator.
	leaveTimeout = 5 * time.Second
)

// Options of a member.
type Options struct {
	// Client are the seed brokers, the login and TLS of the Kafka cluster.
	Client []kgo.Opt
	// Group is the consumer group, and Topic the assignment topic, which must exist with
	// Partitions partitions.
	Group, Topic string
	// Advertise is the URL of this worker's API, as the other workers reach it. The other
	// workers read it from the group.
	Advertise string
	// SessionTimeout is how long the coordinator waits for a heartbeat before it gives the
	// partitions of a worker to others. Default: 10 s.
	SessionTimeout time.Duration
	// DrainTimeout is the longest time that Released takes. Default: 20 s.
	DrainTimeout time.Duration
	Logger       *slog.Logger

	// Taken is called with the partitions that this worker owns from now on, also with
	// those that it has kept while the coordinator was away. It must return soon.
	Taken func(partitions []int32)
	// Released is called with partitions that go to other workers. It stops what runs in
	// them and returns when that has ended.
	Released func(partitions []int32)
	// Lost is called with partitions that other workers may own already. It stops what
	// runs in them and must not wait for that.
	Lost func(partitions []int32)
}

// Member is this worker in the group. Any goroutine may call its methods.
type Member struct {
	opts   Options
	log    *slog.Logger
	client *kgo.Client
	admin  *kadm.Client

	heartbeats heartbeats
	directory  directory

	mu    sync.Mutex
	share share
}

// Join makes this process a member of the group. The error means that the assignment
// topic cannot be used. Partitions arrive later, by Options.Taken.
func Join(ctx context.Context, opts Options) (*Member, error) {
	if err := checkURL(opts.Advertise); err != nil {
		return nil, err
	}
	opts.SessionTimeout = cmp.Or(opts.SessionTimeout, 10*time.Second)
	opts.DrainTimeout = cmp.Or(opts.DrainTimeout, 20*time.Second)
	m := &Member{opts: opts, log: opts.Logger, share: newShare()}
	if m.log == nil {
		m.log = slog.New(slog.DiscardHandler)
	}
	if err := checkTopic(ctx, opts); err != nil {
		return nil, fmt.Errorf("joining the workers of %q: %w", opts.Group, err)
	}
	ready := make(chan struct{}) // callbacks may come before this function returns
	client, err := kgo.NewClient(append(append([]kgo.Opt{}, opts.Client...),
		kgo.ClientID(opts.Advertise),
		kgo.ConsumerGroup(opts.Group), kgo.ConsumeTopics(opts.Topic),
		kgo.Balancers(m.balancer()),
		kgo.HeartbeatInterval(min(heartbeatEvery, opts.SessionTimeout/3)), kgo.SessionTimeout(opts.SessionTimeout),
		// A worker that drains must not be evicted by the rebalance that it delays.
		kgo.RebalanceTimeout(opts.DrainTimeout+30*time.Second),
		kgo.DisableAutoCommit(),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, all map[string][]int32) { <-ready; m.assigned(all[opts.Topic]) }),
		kgo.OnPartitionsRevoked(func(_ context.Context, _ *kgo.Client, all map[string][]int32) { <-ready; m.revoked(all[opts.Topic]) }),
		kgo.OnPartitionsLost(func(context.Context, *kgo.Client, map[string][]int32) { <-ready; m.unconfirmed() }),
		kgo.WithHooks(manageErrors(func(err error) { <-ready; m.ended(err) })),
	)...)
	if err != nil {
		return nil, fmt.Errorf("joining the workers of %q: %w", opts.Group, err)
	}
	m.client, m.admin = client, kadm.NewClient(client)
	m.heartbeats = heartbeats{ask: m.askCoordinator}
	m.directory = directory{describe: m.describe}
	client.PauseFetchTopics(opts.Topic) // it holds no data
	close(ready)
	return m, nil
}

// checkURL reports whether other workers can use an advertised URL.
func checkURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil ||
		(u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("advertise: %q is not the URL of an API: give e.g. http://worker1.example.com:58080", text)
	}
	return nil
}

// checkTopic looks at the assignment topic before the group learns of this worker.
func checkTopic(ctx context.Context, opts Options) error {
	client, err := kgo.NewClient(append(append([]kgo.Opt{}, opts.Client...), kgo.ClientID(opts.Advertise))...)
	if err != nil {
		return err
	}
	defer client.Close()
	all, err := kadm.NewClient(client).ListTopics(ctx, opts.Topic)
	if err == nil {
		err = all[opts.Topic].Err
	}
	if err != nil {
		return fmt.Errorf("reading topic %q: %w", opts.Topic, opts.explain(err))
	}
	if n := len(all[opts.Topic].Partitions); n != Partitions {
		return fmt.Errorf("topic %q has %d partitions and must have %d, because the partition of a connector never changes: delete the topic, and this program makes it again", opts.Topic, n, Partitions)
	}
	return nil
}

// explain names the right that is missing, if the error is that one is.
func (o Options) explain(err error) error {
	switch {
	case errors.Is(err, kerr.GroupAuthorizationFailed):
		return fmt.Errorf("%w: give the user READ on the group %q", err, o.Group)
	case errors.Is(err, kerr.TopicAuthorizationFailed):
		return fmt.Errorf("%w: give the user READ on the topic %q", err, o.Topic)
	}
	return err
}

// Leave gives up all partitions. What runs in them must be drained before, while this
// worker is still a member: its heartbeats end here. It may be called twice.
func (m *Member) Leave() error {
	ctx, cancel := context.WithTimeout(context.Background(), leaveTimeout)
	defer cancel()
	err := m.client.LeaveGroupContext(ctx)
	m.client.CloseAllowingRebalance()
	if err != nil && !errors.Is(err, kgo.ErrClientClosed) {
		return fmt.Errorf("leaving the workers of %q: other workers take over after %s: %w", m.opts.Group, m.opts.SessionTimeout, err)
	}
	return nil
}

// manageErrors is called when the membership has ended with an error, after
// OnPartitionsLost.
type manageErrors func(error)

func (f manageErrors) OnGroupManageError(err error) { f(err) }
