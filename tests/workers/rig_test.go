// Package workers_test runs several workers of one service in this process: on one
// store in Kafka, at one MQTT broker, each with its API.
package workers_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
	"github.com/robustmq/robustmq-connect/plugins/connector/cluster"
	"github.com/robustmq/robustmq-connect/plugins/connector/store/kafkastore"
	"github.com/robustmq/robustmq-connect/plugins/connector/supervisor"
	"github.com/robustmq/robustmq-connect/plugins/embedded"
	"github.com/robustmq/robustmq-connect/tests/components"
	"github.com/robustmq/robustmq-connect/tests/link"
	"github.com/robustmq/robustmq-connect/tests/logtext"
)

const patience = 90 * time.Second

type rig struct {
	t      *testing.T
	broker *embedded.Broker
	kafka  interface{ Addr() string }

	session time.Duration // time-out of a worker
	group   []kgo.Opt     // more of what a worker connects to the group with
}

func newRig(t *testing.T) *rig {
	t.Helper()
	kafka, err := embedded.StartKafka("127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(kafka.Close)
	return newRigWith(t, kafka)
}

func newRigWith(t *testing.T, kafka interface{ Addr() string }) *rig {
	t.Helper()
	r := &rig{t: t, kafka: kafka, session: 6 * time.Second}
	var err error
	r.broker, err = embedded.StartBroker("127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { r.broker.Close() })
	return r
}

// worker is one of them.
type worker struct {
	*rig
	url     string
	logs    *logtext.Text
	link    *link.Link
	store   *kafkastore.Store
	service *cluster.Service
	sup     *supervisor.Supervisor
	end     context.CancelFunc // of its API
	served  chan error
	once    sync.Once
}

const token = "0123456789abcdef0123456789abcdef"

func (r *rig) worker() *worker {
	t := r.t
	t.Helper()
	w := &worker{rig: r, logs: &logtext.Text{}, link: link.New(), served: make(chan error, 1)}
	log := slog.New(slog.NewTextHandler(w.logs, nil))
	address, err := kafkastore.ParseAddress(kafkastore.Scheme + r.kafka.Addr() + "/test")
	require.NoError(t, err)
	w.store, err = kafkastore.Open(t.Context(), kafkastore.Options{Address: address, Client: []kgo.Opt{kgo.Dialer(w.link.Dial)}, Logger: log})
	require.NoError(t, err)
	// The port must be known before the worker advertises it.
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	listen := ln.Addr().String()
	require.NoError(t, ln.Close())
	w.url = "http://" + listen
	w.service, err = cluster.NewService(cluster.Options{
		Client: append([]kgo.Opt{kgo.SeedBrokers(r.kafka.Addr()), kgo.Dialer(w.link.Dial)}, r.group...),
		Group:  "test", Topic: address.Assignment(), Advertise: w.url, SessionTimeout: r.session, DrainTimeout: 5 * time.Second, Logger: log,
	}, token, &http.Transport{})
	require.NoError(t, err)
	env, err := components.Environment()
	require.NoError(t, err)
	urls, err := json.Marshal([]string{r.broker.URL()})
	require.NoError(t, err)
	w.sup, err = supervisor.New(supervisor.Options{
		Environment: env, Store: w.service.Store(w.store), Share: w.service, DrainTimeout: 5 * time.Second, Logger: log,
		MQTT: connector.Settings{{Name: "urls", Value: urls}},
	})
	require.NoError(t, err)
	api, err := admin.New(w.sup, admin.Options{Listen: listen, Workers: w.service, Logger: log, ShutdownTimeout: time.Second})
	require.NoError(t, err)
	require.NoError(t, api.Listen())
	require.NoError(t, w.sup.Start())
	ctx, cancel := context.WithCancel(context.Background())
	w.end = cancel
	go func() { w.served <- api.Serve(ctx) }()
	require.NoError(t, w.service.Join(t.Context(), w.sup))
	t.Cleanup(w.stop)
	return w
}

// stop ends a worker as SIGTERM does.
func (w *worker) stop() {
	w.once.Do(func() {
		w.link.Restore()
		_ = w.sup.Close()
		_ = w.service.Leave()
		w.end()
		<-w.served
		_ = w.store.Close()
	})
}

// call sends a request, and returns the data of an answer without an error.
func (w *worker) call(method, path string, body any) (json.RawMessage, error) {
	text, err := json.Marshal(body)
	require.NoError(w.t, err)
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.url+path, bytes.NewReader(text))
	require.NoError(w.t, err)
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	require.NoError(w.t, err)
	var answer admin.Answer[json.RawMessage]
	require.NoError(w.t, json.Unmarshal(data, &answer), "%s", data)
	if answer.Error != nil {
		return nil, errors.New(*answer.Error)
	}
	return answer.Data, nil
}

// done repeats a call while connectors move between workers.
func (w *worker) done(path string, body any) {
	w.t.Helper()
	var last error
	require.Eventually(w.t, func() bool {
		_, last = w.call(http.MethodPost, path, body)
		return last == nil || !strings.Contains(last.Error(), "try again")
	}, patience, 100*time.Millisecond)
	require.NoError(w.t, last, "%s\n%s", path, w.logs)
}

func (w *worker) definition(name, filter, topic string) map[string]any {
	return map[string]any{
		"connector_name": name, "connector_type": "kafka", "tenant": "default", "topic_name": filter,
		"config":           fmt.Sprintf(`{"bootstrap_servers":%q,"topic":%q}`, w.kafka.Addr(), topic),
		"failure_strategy": map[string]any{"strategy": "block"},
	}
}

func named(name string) map[string]any {
	return map[string]any{"tenant": "default", "connector_name": name}
}

func (w *worker) rows() []admin.Row {
	data, err := w.call(http.MethodGet, admin.PathList+"?limit=1000", nil)
	require.NoError(w.t, err)
	var list admin.List
	require.NoError(w.t, json.Unmarshal(data, &list))
	return list.Data
}

// workers are all of them, as this one tells.
func (w *worker) workers() (all []admin.Worker) {
	data, err := w.call(http.MethodGet, admin.PathWorkers, nil)
	require.NoError(w.t, err)
	require.NoError(w.t, json.Unmarshal(data, &all))
	return all
}

// agree waits until every worker lists the connectors with their states, and no two
// workers run one.
func agree(t *testing.T, state string, names []string, all ...*worker) {
	t.Helper()
	slices.Sort(names)
	var last string
	require.Eventually(t, func() bool {
		for _, w := range all {
			var seen []string
			for _, row := range w.rows() {
				if row.State != state {
					last = fmt.Sprintf("%s: %s is %s: %v", w.url, row.ConnectorName, row.State, row.Reason)
					return false
				}
				seen = append(seen, row.ConnectorName)
			}
			slices.Sort(seen)
			if last = fmt.Sprintf("%s: %v", w.url, seen); !slices.Equal(names, seen) {
				return false
			}
		}
		for _, name := range names {
			n := 0
			for _, w := range all {
				if w.service.Runs(name, 0) {
					n++
				}
			}
			if n != 1 {
				last = fmt.Sprintf("%d workers run %s", n, name)
				return false
			}
		}
		return true
	}, patience, 200*time.Millisecond, "%s", described(func() string {
		text := []string{last}
		for _, w := range all {
			text = append(text, fmt.Sprintf("%s: %+v\n%s", w.url, w.service.Membership(), w.logs))
		}
		return strings.Join(text, "\n")
	}))
}

// described is said when a condition was never met, as it is then.
type described func() string

func (d described) String() string { return d() }

func (r *rig) client(id string) paho.Client {
	r.t.Helper()
	c := paho.NewClient(paho.NewClientOptions().AddBroker(r.broker.URL()).SetClientID(id).SetCleanSession(true))
	token := c.Connect()
	require.True(r.t, token.WaitTimeout(patience))
	require.NoError(r.t, token.Error())
	r.t.Cleanup(func() { c.Disconnect(50) })
	return c
}

func publish(t *testing.T, c paho.Client, topic, payload string) {
	t.Helper()
	token := c.Publish(topic, 1, false, payload)
	require.True(t, token.WaitTimeout(patience))
	require.NoError(t, token.Error())
}

// payloads reads a topic until it has n different payloads, and returns them in the order
// of their first record, by MQTT topic.
func (r *rig) payloads(topic string, n int) map[string][]string {
	r.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(r.kafka.Addr()), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	require.NoError(r.t, err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	all, seen := map[string][]string{}, map[string]bool{}
	for len(seen) < n {
		fetches := client.PollFetches(ctx)
		require.NoError(r.t, ctx.Err(), "%d of %d payloads", len(seen), n)
		fetches.EachRecord(func(rec *kgo.Record) {
			var one struct {
				Topic   string `json:"topic"`
				Payload []byte `json:"payload"`
			}
			require.NoError(r.t, json.Unmarshal(rec.Value, &one))
			key := one.Topic + " " + string(one.Payload)
			if !seen[key] {
				seen[key] = true
				all[one.Topic] = append(all[one.Topic], string(one.Payload))
			}
		})
	}
	return all
}

func detailPath(name string) string {
	return admin.PathDetail + "?tenant=default&connector_name=" + url.QueryEscape(name)
}
