package kafkastore

import (
	"context"
	"encoding/base64"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"github.com/robustmq/robustmq-connect/plugins/connector/store"
	"github.com/robustmq/robustmq-connect/plugins/connector/store/storetest"
	"github.com/robustmq/robustmq-connect/tests/logtext"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// franz-go leaves it behind when a consumer is closed just as a fetch arrives.
		goleak.IgnoreTopFunction("github.com/twmb/franz-go/pkg/kgo.(*fetchManager).manageFetchConcurrency"))
}

func TestATopicIsAStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) storetest.Rig {
		t.Parallel()
		return newRig(t)
	})
}

// rig is a Kafka with a store.
type rig struct {
	cluster *kfake.Cluster
	opts    Options
	logs    *logtext.Text
	now     *Store
	full    *kfake.FaultHandle
}

func newRig(t *testing.T, opts ...kfake.Opt) *rig {
	t.Helper()
	cluster, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1)}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	r := &rig{cluster: cluster, logs: &logtext.Text{}}
	address, err := ParseAddress(Scheme + strings.Join(cluster.ListenAddrs(), ",") + "/a")
	require.NoError(t, err)
	r.opts = Options{
		Address: address, Keys: testKeys(t, "k1"), Logger: slog.New(slog.NewTextHandler(r.logs, nil)),
		timing: timing{change: 20 * time.Second, refused: 400 * time.Millisecond, claim: 100 * time.Millisecond, followup: 2 * time.Second},
	}
	return r
}

// testKeys returns keys that are the same for the same ids.
func testKeys(t *testing.T, ids ...string) Keys {
	t.Helper()
	var text strings.Builder
	for _, id := range ids {
		text.WriteString(id + " " + base64.StdEncoding.EncodeToString([]byte((id + strings.Repeat("x", 32))[:32])) + "\n")
	}
	k, err := ParseKeys(text.String())
	require.NoError(t, err)
	return k
}

// another opens the store in another process, so to speak.
func (r *rig) another(t *testing.T) *Store {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s, err := Open(ctx, r.opts)
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func claim(t *testing.T, s *Store) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	require.NoError(t, s.Claim(ctx))
}

func (r *rig) Open(t *testing.T) store.Store {
	t.Helper()
	return r.open(t)
}

func (r *rig) open(t *testing.T) *Store {
	t.Helper()
	if r.now != nil {
		require.NoError(t, r.now.Close())
	}
	r.now = r.another(t)
	claim(t, r.now)
	return r.now
}

// write writes a record past the store.
func (r *rig) write(t *testing.T, key, value string) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(r.cluster.ListenAddrs()...), kgo.ProducerBatchMaxBytes(2<<20))
	require.NoError(t, err)
	defer client.Close()
	require.NoError(t, client.ProduceSync(t.Context(), &kgo.Record{Topic: "a-definitions", Key: []byte(key), Value: []byte(value)}).FirstErr())
}

func (r *rig) Corrupt(t *testing.T, name string) {
	t.Helper()
	r.write(t, keyOf(name), `{"format":1,"revision":1,"connector":{`)
}

func (r *rig) Fill(t *testing.T, full bool) {
	t.Helper()
	if full {
		r.full = r.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "a-definitions", Err: kerr.NotEnoughReplicas, Count: -1})
		return
	}
	r.full.Remove()
}

// opened returns a store of a new Kafka, which this process writes.
func opened(t *testing.T) (*rig, *Store) {
	t.Helper()
	r := newRig(t)
	return r, r.open(t)
}

// created stores a connector.
func created(t *testing.T, s *Store, name string) store.Definition {
	t.Helper()
	d, err := s.Create(definition(t, name, "t"))
	require.NoError(t, err)
	return d
}
