//go:build integration

package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
	"github.com/robustmq/robustmq-connect/tests/program"
)

// serving is a robustmq-connect that runs as a service.
type serving struct{ *program.Process }

// startService runs serve on a store until the test ends, or kill is called.
func startService(t *testing.T, store string, flags ...string) serving {
	t.Helper()
	address := program.FreeAddress(t)
	p := serving{program.Start(t, address, append([]string{
		"serve", "--store", store, "--mqtt-url", mqttURL, "--listen", address, "--drain-timeout", "5s",
	}, flags...)...)}
	require.Eventually(t, func() bool {
		code, _ := p.Ready()
		return code != 0
	}, time.Minute, 10*time.Millisecond, "the service does not answer: %s", p.Output())
	return p
}

// call asks the admin API. The error says that there was no answer.
func (p serving) call(method, path string, body any) (admin.Answer[json.RawMessage], error) {
	var answer admin.Answer[json.RawMessage]
	data, err := json.Marshal(body)
	if err != nil {
		return answer, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+p.HTTP+path, bytes.NewReader(data))
	if err != nil {
		return answer, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return answer, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer, err
	}
	return answer, json.Unmarshal(text, &answer)
}

func definition(name, filter, topic string) admin.Definition {
	return shared.definition(name, filter, topic)
}

func (s servers) definition(name, filter, topic string) admin.Definition {
	config, _ := json.Marshal(fmt.Sprintf(`{"bootstrap_servers":%q,"topic":%q,"key":"k"}`, s.kafka, topic)) // a string
	return admin.Definition{
		ConnectorName: name, ConnectorType: "kafka", Config: config, Tenant: "default", TopicName: filter,
		FailureStrategy: json.RawMessage(`{"strategy":"block"}`),
	}
}

// payloadOf is the MQTT payload in the envelope of a record.
func payloadOf(t *testing.T, record *kgo.Record) string {
	t.Helper()
	return string(strictEnvelope(t, record.Value).Payload)
}

// owner is a client that creates, updates and deletes one connector in turn, and
// knows which filters it may have: the confirmed one, and that of the call whose
// answer is outstanding. "" is no connector.
type owner struct {
	name      string
	confirmed string
	maybe     []string
}

func (o *owner) act(service serving, rng *rand.Rand) error {
	path, next := admin.PathCreate, fmt.Sprintf("%s/%d/#", o.name, rng.IntN(1000))
	var body any = definition(o.name, next, "service_kill_other")
	switch {
	case o.confirmed != "" && rng.IntN(2) == 0:
		path, next, body = admin.PathDelete, "", admin.Name{Tenant: "default", ConnectorName: o.name}
	case o.confirmed != "":
		path = admin.PathUpdate
	}
	o.maybe = []string{o.confirmed, next}
	answer, err := service.call("POST", path, body)
	if err != nil {
		return err // killed: it may have happened
	}
	if answer.Code != admin.CodeOK {
		return fmt.Errorf("%s %s: %s", path, o.name, *answer.Error)
	}
	o.confirmed, o.maybe = next, nil
	return nil
}

// The service is killed again and again while connectors are created, changed and
// deleted and messages pass. Each connector is as before or as after the call that
// was cut off, and no message is lost or out of order.
func TestServiceKilledAtAnyMomentLosesNothing(t *testing.T) {
	kills := times(10, 20)
	store := filepath.Join(t.TempDir(), "store")
	topic := fmt.Sprintf("service_kill_%d", time.Now().UnixNano())
	shared.createTopic(t, topic, 1)

	service := startService(t, store)
	answer, err := service.call("POST", admin.PathCreate, definition("traffic", "service/kill/#", topic))
	require.NoError(t, err)
	require.Equal(t, admin.CodeOK, answer.Code, "%v", answer.Error)
	require.Eventually(t, service.ConnectorsReady, time.Minute, 10*time.Millisecond)

	// Traffic goes on from here to the end, whatever happens to the service.
	publisher := mqttClient(t, mqttURL, "service-kill-publisher")
	var published atomic.Int64
	done := make(chan struct{})
	var traffic sync.WaitGroup
	traffic.Go(func() {
		beat := time.NewTicker(2 * time.Millisecond)
		defer beat.Stop()
		for n := int64(0); ; n++ {
			select {
			case <-done:
				return
			case <-beat.C:
			}
			token := publisher.Publish("service/kill/a", 1, false, strconv.FormatInt(n, 10))
			if !token.WaitTimeout(30*time.Second) || token.Error() != nil {
				t.Errorf("publishing %d: %v", n, token.Error())
				return
			}
			published.Store(n + 1)
		}
	})

	rng := rand.New(rand.NewPCG(1, 2))
	owners := make([]*owner, 8)
	for i := range owners {
		owners[i] = &owner{name: fmt.Sprint("service-kill-", i)}
	}
	calls := atomic.Int64{}
	for range kills {
		var acting sync.WaitGroup
		killed := make(chan struct{})
		for i, o := range owners {
			rng := rand.New(rand.NewPCG(rng.Uint64(), uint64(i)))
			acting.Go(func() {
				for {
					err := o.act(service, rng)
					calls.Add(1)
					if err == nil {
						continue
					}
					select {
					case <-killed:
					case <-time.After(10 * time.Second):
						t.Errorf("%s: %v", o.name, err)
					}
					return
				}
			})
		}
		// Anywhere within some hundred calls.
		atLeast := calls.Load() + int64(rng.IntN(150))
		require.Eventually(t, func() bool { return calls.Load() >= atLeast }, time.Minute, time.Millisecond)
		service.Kill()
		close(killed)
		acting.Wait()

		service = startService(t, store)
		rows := service.rows(t)
		found := filtersOf(rows)
		assert.Equal(t, "service/kill/#", found["traffic"])
		for _, o := range owners {
			if o.maybe == nil {
				o.maybe = []string{o.confirmed}
			}
			assert.Contains(t, o.maybe, found[o.name], o.name)
			o.confirmed, o.maybe = found[o.name], nil
		}
		for _, row := range rows {
			require.NotEqual(t, "Failed", row.State, row.Reason) // its file could not be read
		}
	}
	close(done)
	traffic.Wait()
	t.Logf("%d kills, %d calls, %d messages", kills, calls.Load(), published.Load())
	require.Positive(t, published.Load())

	client, err := kgo.NewClient(kgo.SeedBrokers(brokers), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	require.NoError(t, err)
	defer client.Close()
	// So many kills are taken for a fault of a connector: they start one group after the
	// other.
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	next, again := int64(0), 0
	for next < published.Load() {
		fetches := client.PollFetches(ctx)
		require.NoError(t, ctx.Err(), "message %d of %d is lost", next, published.Load())
		fetches.EachRecord(func(record *kgo.Record) {
			n, err := strconv.ParseInt(payloadOf(t, record), 10, 64)
			require.NoError(t, err)
			require.LessOrEqual(t, n, next, "message %d is lost or overtaken", next)
			if n == next {
				next++
			} else {
				again++ // redelivered after a kill
			}
		})
	}
	t.Logf("%d were delivered again", again)
	for _, o := range owners {
		if o.confirmed != "" {
			_, err := service.call("POST", admin.PathDelete, admin.Name{Tenant: "default", ConnectorName: o.name})
			require.NoError(t, err)
		}
	}
	_, err = service.call("POST", admin.PathDelete, admin.Name{Tenant: "default", ConnectorName: "traffic"})
	require.NoError(t, err)
	code, _ := service.Stop()
	assert.Zero(t, code)
}
