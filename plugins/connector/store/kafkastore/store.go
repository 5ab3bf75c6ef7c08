// Package kafkastore keeps the definitions of connectors in a topic of Kafka, a record
// per connector. The topic is compacted, so that the last record of each stays.
//
// Everybody reads: a view of the topic is kept up to date (reader.go, view.go). One
// process writes, the one that the record /writer names. It writes by transactions with
// one transactional id, so that Kafka refuses what an earlier writer sends (writer.go):
//
//   - Whoever wants the store initialises the transactional id. Kafka refuses all earlier
//     producers with that id from then on.
//   - Then it reads to the end of the topic. If /writer names another process than
//     expected, it gives up. Otherwise it writes itself there, or is there already.
//   - A writer whose transaction is refused does the same again. It goes on if /writer
//     still names it, and else the store is lost for it.
//
// So each transaction is committed by a process that was the last to initialise the id,
// and that has seen its own name in /writer after that. A writer that was stopped and
// woken up has not.
//
// Claim is polite (claim.go): it asks the process in /writer by a record, and gives up if
// that answers.
package kafkastore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/robustmq/robustmq-connect/plugins/connector/store"
	"github.com/robustmq/robustmq-connect/plugins/internal/pace"
)

// Options of a store.
type Options struct {
	Address Address
	// Client are the options of how to connect: login and TLS. The brokers are those of
	// the address.
	Client []kgo.Opt
	Keys   Keys
	Logger *slog.Logger
	// MustExist makes Open fail where the topic of definitions does not exist.
	MustExist bool

	timing timing // tests are less patient
}

// timing says how long things take.
type timing struct {
	change   time.Duration // the longest time of a change
	refused  time.Duration // how long a change is retried that Kafka refuses
	claim    time.Duration // how long a process may take to answer another one
	probe    time.Duration // how long a successful write says that the store takes more
	followup time.Duration // how long the result of a change is looked for
}

var usualTiming = timing{change: 10 * time.Second, refused: 7 * time.Second, claim: 10 * time.Second, probe: 30 * time.Second, followup: 10 * time.Second}

// Store is a store in Kafka. Open returns one that only reads; Claim makes this process
// its writer.
type Store struct {
	address Address
	keys    Keys
	opts    []kgo.Opt // of each client
	log     *slog.Logger
	timing  timing
	process string // a random name of this process
	host    string

	client  *kgo.Client // reads, and writes what needs no transaction
	view    *view
	life    context.Context //nolint:containedctx // it is the life of the goroutines, which Close ends
	end     context.CancelFunc
	running sync.WaitGroup

	turn chan struct{} // has one value while nobody writes
	// Guarded by the turn.
	producer *kgo.Client // nil until it is initialised, and after a failure
	wrote    time.Time   // when the last write succeeded; zero after a failure

	mu       sync.Mutex
	writing  bool   // Claim has succeeded
	answered string // the process that was answered last
	lost     chan struct{}
	lostWhy  error
	closed   bool
	unread   error // why Kafka gave no records when it was asked last, nil if it gave some
}

var _ store.Store = (*Store)(nil)

// Open connects to Kafka, makes the topics if they do not exist (unless they must), and
// returns when all definitions are read. It retries until the context ends while Kafka cannot be
// reached, and logs why. What a person has to correct is returned at once.
func Open(ctx context.Context, opts Options) (*Store, error) {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.timing == (timing{}) {
		opts.timing = usualTiming
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	s := &Store{
		address: opts.Address, keys: opts.Keys, log: opts.Logger, timing: opts.timing, process: rand.Text(),
		host: fmt.Sprintf("%s, process %d", host, os.Getpid()),
		view: newView(opts.Address.Definitions(), opts.Keys), turn: make(chan struct{}, 1), lost: make(chan struct{}),
	}
	s.turn <- struct{}{}
	s.opts = append([]kgo.Opt{
		kgo.SeedBrokers(opts.Address.Brokers...), kgo.ClientID("robustmq-connect-store"),
		kgo.RetryTimeout(s.timing.change), kgo.MetadataMinAge(250 * time.Millisecond),
	}, opts.Client...)
	s.client, err = kgo.NewClient(append(s.opts[:len(s.opts):len(s.opts)],
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{opts.Address.Definitions(): {0: kgo.NewOffset().AtStart()}}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(), kgo.FetchMaxWait(time.Second),
		kgo.RequiredAcks(kgo.AllISRAcks()), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchMaxBytes(batchBytes),
	)...)
	if err != nil {
		return nil, fmt.Errorf("opening the store %s: %w", s.address, err)
	}
	s.life, s.end = context.WithCancel(context.Background())
	prepare := s.ensureTopics
	if opts.MustExist {
		prepare = s.findTopic
	}
	if err := s.untilReached(ctx, prepare); err != nil {
		return nil, errors.Join(fmt.Errorf("opening the store %s: %w", s.address, err), s.Close())
	}
	s.running.Go(s.read)
	if err := s.untilReached(ctx, s.Sync); err != nil {
		return nil, errors.Join(fmt.Errorf("opening the store %s: %w", s.address, err), s.Close())
	}
	s.running.Go(s.ask)
	return s, nil
}

// untilReached retries while Kafka cannot be reached.
func (s *Store) untilReached(ctx context.Context, try func(context.Context) error) error {
	for {
		bounded, cancel := context.WithTimeout(ctx, s.timing.change)
		err := try(bounded)
		cancel()
		var ke *kerr.Error
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return err
		case errors.As(err, new(*raceError)):
		case errors.As(err, &ke) && !ke.Retriable, errors.As(err, new(*settingError)), errors.As(err, new(*InUseError)):
			return err
		}
		s.log.Error("Cannot open the store in Kafka: it is retried", "store", s.address.String(), "error", err)
		if pace.Sleep(ctx, 2*time.Second) != nil {
			return err
		}
	}
}

// settingError is an error of the settings of the client or of a topic.
type settingError struct{ error }

// Close implements store.Store. The writer says that it is gone, so that the next one
// need not wait.
func (s *Store) Close() error {
	s.mu.Lock()
	closed := s.closed
	s.closed = true
	s.mu.Unlock()
	if closed {
		return nil
	}
	s.resign()
	s.end()
	s.running.Wait()
	s.client.Close()
	return nil
}

// Load implements store.Store.
func (s *Store) Load() (store.Contents, error) { return s.view.contents(), nil }

// Changed implements store.Store.
func (s *Store) Changed() <-chan struct{} { return s.view.changes() }

// Lost implements store.Store.
func (s *Store) Lost() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lost
}

// Upgrade implements store.Store. Each value has its own format.
func (s *Store) Upgrade() error { return nil }

func (s *Store) brokers() string { return strings.Join(s.address.Brokers, ", ") }

// findTopic returns an error if the topic of definitions does not exist.
func (s *Store) findTopic(ctx context.Context) error {
	topics, err := kadm.NewClient(s.client).ListTopics(ctx, s.address.Definitions())
	if err != nil {
		return s.explain("reading the topics", err)
	}
	if !topics.Has(s.address.Definitions()) {
		return &settingError{fmt.Errorf("topic %q does not exist: check the address of the store", s.address.Definitions())}
	}
	return nil
}

// ensureTopics makes the topics that do not exist, and refuses a topic of definitions
// that would lose them.
func (s *Store) ensureTopics(ctx context.Context) error {
	admin := kadm.NewClient(s.client)
	definitions, assignment := s.address.Definitions(), s.address.Assignment()
	for _, topic := range []struct {
		name       string
		partitions int32
		configs    map[string]*string
	}{
		{definitions, 1, map[string]*string{"cleanup.policy": kadm.StringPtr("compact")}},
		{assignment, AssignmentPartitions, map[string]*string{}},
	} {
		topics, err := admin.ListTopics(ctx, topic.name)
		switch {
		case topic.name == assignment && errors.Is(err, kerr.TopicAuthorizationFailed):
			return fmt.Errorf("reading the topics: %w: give the user DESCRIBE on topic %q", err, assignment)
		case err != nil:
			return s.explain("reading the topics", err)
		case topics.Has(topic.name):
			continue
		}
		if err := s.makeTopic(ctx, admin, topic.name, topic.partitions, topic.configs); err != nil {
			return err
		}
	}
	return s.judgeTopic(ctx, admin)
}

// AssignmentPartitions is the number of partitions of the assignment topic, for life.
const AssignmentPartitions = 64

// What a new topic should have.
const (
	wantedReplicas = 3
	wantedInSync   = 2
)

func (s *Store) makeTopic(ctx context.Context, admin *kadm.Client, name string, partitions int32, configs map[string]*string) error {
	brokers, err := admin.ListBrokers(ctx)
	if err != nil {
		return s.explain("counting the brokers", err)
	}
	replicas := int16(min(wantedReplicas, max(1, len(brokers))))
	if replicas == wantedReplicas {
		configs["min.insync.replicas"] = kadm.StringPtr(strconv.Itoa(wantedInSync))
	}
	_, err = admin.CreateTopic(ctx, partitions, replicas, configs, name)
	if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
		if errors.Is(err, kerr.TopicAuthorizationFailed) || errors.Is(err, kerr.ClusterAuthorizationFailed) {
			return &settingError{fmt.Errorf("making topic %q: %w: give the user CREATE on it, or make it with %d partitions and these settings: %s", name, err, partitions, settings(configs))}
		}
		return s.explain(fmt.Sprintf("making topic %q", name), err)
	}
	s.log.Info("Made a topic of the store", "topic", name, "partitions", partitions, "replicas", replicas)
	return nil
}

func settings(configs map[string]*string) string {
	all := []string{"none"}
	for name, value := range configs {
		if all[0] == "none" {
			all = nil
		}
		all = append(all, name+"="+*value)
	}
	return strings.Join(all, ", ")
}

// judgeTopic looks at the topic of definitions.
func (s *Store) judgeTopic(ctx context.Context, admin *kadm.Client) error {
	name := s.address.Definitions()
	topics, err := admin.ListTopics(ctx, name)
	for err == nil {
		// A new topic is not known to all brokers at once.
		if err = topics.Error(); !errors.Is(err, kerr.UnknownTopicOrPartition) || pace.Sleep(ctx, 300*time.Millisecond) != nil {
			break
		}
		topics, err = admin.ListTopics(ctx, name)
	}
	if err != nil {
		return s.explain("reading the topics", err)
	}
	partitions := topics[name].Partitions
	if len(partitions) != 1 {
		return &settingError{fmt.Errorf("topic %q has %d partitions, and must have 1: name another prefix, or make it anew", name, len(partitions))}
	}
	replicas := len(partitions[0].Replicas)
	described, err := admin.DescribeTopicConfigs(ctx, name)
	if err == nil && len(described) == 1 {
		err = described[0].Err
	}
	if err != nil || len(described) != 1 {
		s.log.Warn("Cannot read the settings of the topic of definitions: check that its cleanup.policy is compact", "topic", name, "error", err)
		return nil
	}
	has := map[string]string{}
	for _, c := range described[0].Configs {
		has[c.Key] = c.MaybeValue()
	}
	if policy := has["cleanup.policy"]; policy != "compact" {
		return &settingError{fmt.Errorf("topic %q has cleanup.policy=%s, with which Kafka deletes definitions: set it to compact", name, policy)}
	}
	if inSync := has["min.insync.replicas"]; replicas < wantedReplicas || inSync == "1" {
		s.log.Warn("The store can lose confirmed changes when a broker is lost: give the topic 3 replicas and min.insync.replicas=2", "topic", name, "replicas", replicas, "min_insync_replicas", inSync)
	}
	if has["unclean.leader.election.enable"] == "true" {
		s.log.Warn("The store can lose confirmed changes: set unclean.leader.election.enable=false", "topic", name)
	}
	return nil
}
