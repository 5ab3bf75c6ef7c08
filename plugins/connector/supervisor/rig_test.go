package supervisor

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/connector/store"
	"github.com/robustmq/robustmq-connect/plugins/embedded"
	"github.com/robustmq/robustmq-connect/tests/components"
	"github.com/robustmq/robustmq-connect/tests/logtext"
)

const patience = time.Minute

// rig is a service without its API, between servers in this process.
type rig struct {
	*Supervisor
	t      testing.TB
	dir    string
	broker *embedded.Broker
	kafka  *embedded.Kafka
	logs   *logtext.Text
	opts   Options
	wrap   func(store.Store) store.Store // nil for the store as it is
}

func newRig(t testing.TB, change ...func(*Options)) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir(), logs: &logtext.Text{}}
	var err error
	r.broker, err = embedded.StartBroker("127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { r.broker.Close() })
	r.kafka, err = embedded.StartKafka("127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { r.kafka.Close() })
	env, err := components.Environment()
	require.NoError(t, err)
	r.opts = Options{
		Environment: env, DrainTimeout: 2 * time.Second,
		MQTT:   connector.Settings{setting("urls", []string{r.broker.URL()})},
		Logger: slog.New(slog.NewTextHandler(r.logs, nil)),
	}
	for _, c := range change {
		c(&r.opts)
	}
	r.start()
	return r
}

func setting(name string, v any) connector.Setting {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return connector.Setting{Name: name, Value: raw}
}

// start starts a service on the current directory.
func (r *rig) start() {
	r.t.Helper()
	opened, err := store.Open(r.dir)
	require.NoError(r.t, err)
	r.opts.Store, r.opts.Notes = opened, opened.Notes()
	if r.wrap != nil {
		r.opts.Store = r.wrap(opened)
	}
	r.Supervisor, err = New(r.opts)
	require.NoError(r.t, err)
	s := r.Supervisor
	r.t.Cleanup(func() {
		_ = s.Close() // again, perhaps
		_ = opened.Close()
	})
	require.NoError(r.t, s.Start())
}

func (r *rig) stopService() {
	r.t.Helper()
	require.NoError(r.t, r.Close())
	require.NoError(r.t, r.opts.Store.Close())
}

// conn returns a connector; more are further settings, starting with a comma.
func (r *rig) conn(name, filter, topic, more string) connector.Connector {
	r.t.Helper()
	return r.parse(name, filter, fmt.Sprintf(`{"bootstrap_servers":%q,"topic":%q%s}`, r.kafka.Addr(), topic, more), `{"strategy":"block"}`)
}

func (r *rig) parse(name, filter, config, strategy string) connector.Connector {
	r.t.Helper()
	quoted, err := json.Marshal(name)
	require.NoError(r.t, err)
	c, err := connector.Parse(fmt.Appendf(nil,
		`{"connector_name":%s,"connector_type":"kafka","tenant":"default","topic_name":%q,"config":%s,"failure_strategy":%s}`, quoted, filter, config, strategy))
	require.NoError(r.t, err)
	return c
}

func (r *rig) create(c connector.Connector) {
	r.t.Helper()
	_, err := r.Create(r.t.Context(), c, connector.CreateOptions{})
	require.NoError(r.t, err)
}

// ready waits until both ends of the connector are connected.
func (r *rig) ready(name string) {
	r.t.Helper()
	r.until(name, func(s connector.Status) bool { return s.State == connector.Running && s.Reason == "" })
}

func (r *rig) until(name string, is func(connector.Status) bool) {
	r.t.Helper()
	var last connector.Status
	require.Eventually(r.t, func() bool {
		var err error
		last, _, err = r.Detail(name)
		return err == nil && is(last)
	}, patience, 10*time.Millisecond, "%+v\n%s", &last, r.logs)
}

// publish sends payloads at QoS 1 and returns when the broker has them.
func (r *rig) publish(topic string, payloads ...string) {
	r.t.Helper()
	c := r.client("publisher-"+topic, true, nil)
	defer c.Disconnect(50)
	for _, p := range payloads {
		token := c.Publish(topic, 1, false, p)
		require.True(r.t, token.WaitTimeout(patience))
		require.NoError(r.t, token.Error())
	}
}

func (r *rig) client(id string, clean bool, got func(string)) paho.Client {
	r.t.Helper()
	opts := paho.NewClientOptions().AddBroker(r.broker.URL()).SetClientID(id).SetCleanSession(clean).SetAutoReconnect(false).
		SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) {
			if got != nil {
				got(string(m.Payload()))
			}
		})
	c := paho.NewClient(opts)
	token := c.Connect()
	require.True(r.t, token.WaitTimeout(patience))
	require.NoError(r.t, token.Error())
	return c
}

// records reads n records of a topic, from its start.
func (r *rig) records(topic string, n int) []*kgo.Record {
	r.t.Helper()
	// At an offset that need not be listed: franz-go has a data race there.
	client, err := kgo.NewClient(kgo.SeedBrokers(r.kafka.Addr()), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().At(0)))
	require.NoError(r.t, err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	var all []*kgo.Record
	for len(all) < n {
		fetches := client.PollFetches(ctx)
		require.NoError(r.t, ctx.Err(), "%d of %d records\n%s", len(all), n, r.logs)
		fetches.EachRecord(func(rec *kgo.Record) { all = append(all, rec) })
	}
	return all
}

// Delete is that of the service whatever the connector's revision is.
func (r *rig) Delete(ctx context.Context, name string) (string, error) {
	return r.Supervisor.Delete(ctx, name, connector.DeleteOptions{})
}

// Pause and Resume are those of the service where a test does not look at the note.
func (r *rig) Pause(ctx context.Context, name string) error {
	_, err := r.Supervisor.Pause(ctx, name)
	return err
}

func (r *rig) Resume(ctx context.Context, name string) error {
	_, err := r.Supervisor.Resume(ctx, name)
	return err
}
