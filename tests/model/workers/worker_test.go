package workers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
	"github.com/robustmq/robustmq-connect/plugins/connector/cluster"
	"github.com/robustmq/robustmq-connect/plugins/connector/store/kafkastore"
	"github.com/robustmq/robustmq-connect/plugins/connector/supervisor"
	"github.com/robustmq/robustmq-connect/tests/components"
)

const (
	kafkaAddress  = "kafka:9092"
	brokerAddress = "broker:1883"
	prefix        = "model"
	group         = prefix + "-workers"
	clientPrefix  = "robustmq_connect"
	token         = "0123456789abcdef0123456789abcdef"
	drainTimeout  = 5 * time.Second
	// restartAfter is when a worker that has ended with an error is started again.
	restartAfter = 5 * time.Second
)

// worker is a process of the service.
type worker struct {
	world  *world
	name   string
	listen string // host:port
	// What it dials to Kafka, the broker and other workers, and what its API accepts from
	// clients.
	kafka, broker, peers, front *gate

	cancel context.CancelFunc // SIGTERM
	ended  chan struct{}      // closed when the process has ended

	mu      sync.Mutex
	leaving bool             // it was told to end, or is killed
	service *cluster.Service // nil while it starts
	sup     *supervisor.Supervisor
}

// newWorker starts a worker. It runs until end or kill.
func (w *world) newWorker() *worker {
	w.mu.Lock()
	n := len(w.workers) + 1
	k := &worker{
		world: w, name: fmt.Sprintf("worker%d", n), listen: fmt.Sprintf("127.0.0.1:%d", 58080+n),
		kafka: newGate(), broker: newGate(), peers: newGate(), front: newGate(), ended: make(chan struct{}),
	}
	w.workers = append(w.workers, k)
	w.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	k.cancel = cancel
	go func() {
		defer close(k.ended)
		for ctx.Err() == nil {
			err := k.serve(ctx)
			k.set(nil, nil)
			if ctx.Err() == nil {
				w.log.Add("%s has ended: %v", k.name, err)
				select {
				case <-ctx.Done():
				case <-time.After(restartAfter):
				}
			}
		}
	}()
	return k
}

func (k *worker) gates() []*gate { return []*gate{k.kafka, k.broker, k.peers, k.front} }

// kill ends the process: nothing that it still does arrives anywhere.
func (k *worker) kill() {
	k.leave()
	for _, g := range k.gates() {
		g.closeForGood(away)
	}
	k.cancel()
}

// end is SIGTERM.
func (k *worker) end() {
	k.leave()
	k.cancel()
}

func (k *worker) leave() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.leaving = true
}

// lives reports whether the worker was not told to end.
func (k *worker) lives() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return !k.leaving
}

func (k *worker) set(service *cluster.Service, sup *supervisor.Supervisor) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.service, k.sup = service, sup
}

// parts are nil while the worker starts.
func (k *worker) parts() (*cluster.Service, *supervisor.Supervisor) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.service, k.sup
}

func (k *worker) dialKafka(ctx context.Context, _, to string) (net.Conn, error) {
	return k.world.net.dial(ctx, k.name, k.kafka, to)
}

// dial is for connectors, which dial both Kafka and the broker.
func (k *worker) dial(ctx context.Context, network, to string) (net.Conn, error) {
	if to == kafkaAddress {
		return k.dialKafka(ctx, network, to)
	}
	return k.world.net.dial(ctx, k.name, k.broker, to)
}

func (k *worker) dialPeer(ctx context.Context, _, to string) (net.Conn, error) {
	return k.world.net.dial(ctx, k.name, k.peers, to)
}

// serve does what the command serve does with --advertise, in that order.
func (k *worker) serve(ctx context.Context) error {
	log := k.world.log.Logger(slog.LevelInfo).With("worker", k.name)
	where, err := kafkastore.ParseAddress(kafkastore.Scheme + kafkaAddress + "/" + prefix)
	if err != nil {
		return err
	}
	dial := kgo.Dialer(k.dialKafka)
	service, err := cluster.NewService(cluster.Options{
		Client: []kgo.Opt{kgo.SeedBrokers(kafkaAddress), dial}, Group: group, Topic: where.Assignment(),
		Advertise: "http://" + k.listen, DrainTimeout: drainTimeout, Logger: log,
	}, token, &http.Transport{DialContext: k.dialPeer, IdleConnTimeout: 90 * time.Second})
	if err != nil {
		return err
	}
	kept, err := kafkastore.Open(ctx, kafkastore.Options{Address: where, Client: []kgo.Opt{dial}, Logger: log})
	if err != nil {
		return err
	}
	defer func() { _ = kept.Close() }() // the process ends with it
	env, err := components.Environment()
	if err != nil {
		return err
	}
	urls, err := json.Marshal([]string{"tcp://" + brokerAddress})
	if err != nil {
		return err
	}
	sup, err := supervisor.New(supervisor.Options{
		Environment: env, Store: service.Store(kept), Share: service, DrainTimeout: drainTimeout, Logger: log,
		ClientIDPrefix: clientPrefix, MQTT: connector.Settings{{Name: "urls", Value: urls}}, Dial: k.dial,
	})
	if err != nil {
		return err
	}
	api, err := admin.New(sup, admin.Options{Listen: k.listen, Workers: service, Logger: log, LongTimeout: 3*drainTimeout + 30*time.Second})
	if err != nil {
		return errors.Join(err, sup.Close())
	}
	if err := sup.Start(); err != nil {
		return errors.Join(err, sup.Close())
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	served := make(chan error, 1)
	go func() {
		defer cancel()
		served <- k.serveAPI(ctx, api.Handler())
	}()
	k.set(service, sup)
	joined := service.Join(ctx, sup)
	if joined != nil {
		cancel()
	}
	<-ctx.Done()
	// A worker drains as a member of the group, so that nobody takes over before.
	return errors.Join(joined, sup.Close(), service.Leave(), <-served)
}

func (k *worker) serveAPI(ctx context.Context, handler http.Handler) error {
	listener := k.world.net.listen(k.listen, func(client *gate) *gate {
		if client == k.world.always {
			return k.front
		}
		return k.peers
	})
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	<-ctx.Done()
	graceful, cancel := context.WithTimeout(context.Background(), drainTimeout+time.Second)
	defer cancel()
	err := server.Shutdown(graceful)
	if errors.Is(err, context.DeadlineExceeded) {
		err = server.Close()
	}
	if served := <-ended; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}
