package workers_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
	"github.com/robustmq/robustmq-connect/plugins/connector/cluster"
	"github.com/robustmq/robustmq-connect/plugins/embedded"
	"github.com/robustmq/robustmq-connect/tests/logtext"
	"github.com/robustmq/robustmq-connect/tests/program"
)

func TestMain(m *testing.M) { os.Exit(program.Main(m)) }

// processes are workers that can be killed.
type processes struct {
	*rig
	takeovers *takeovers
	token     string        // the file
	hold      chan struct{} // while it is open, Kafka answers no records
	holds     atomic.Bool
	all       []*process
}

// process is one of them. Of a worker, it has what its API tells.
type process struct {
	*worker
	*program.Process
}

// takeovers counts how often a client took the place of one that was still connected.
type takeovers struct {
	mqtt.HookBase

	mu     sync.Mutex
	live   map[string]*mqtt.Client
	counts map[string]int
}

func (*takeovers) ID() string { return "takeovers" }

func (*takeovers) Provides(what byte) bool {
	return bytes.IndexByte([]byte{mqtt.OnSessionEstablish, mqtt.OnSessionEstablished}, what) >= 0
}

// OnSessionEstablish is called before the broker ends the connection before.
func (c *takeovers) OnSessionEstablish(cl *mqtt.Client, _ packets.Packet) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if before := c.live[cl.ID]; before != nil && !before.Closed() {
		c.counts[cl.ID]++
	}
}

func (c *takeovers) OnSessionEstablished(cl *mqtt.Client, _ packets.Packet) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.live[cl.ID] = cl
}

func (c *takeovers) all() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.counts
}

func startProcesses(t *testing.T, n int) *processes {
	t.Helper()
	kafka, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.AllowAutoTopicCreation(), kfake.DefaultNumPartitions(3))
	require.NoError(t, err)
	t.Cleanup(kafka.Close)
	p := &processes{takeovers: &takeovers{live: map[string]*mqtt.Client{}, counts: map[string]int{}}, token: filepath.Join(t.TempDir(), "token")}
	p.rig = &rig{t: t, kafka: brokers{kafka}}
	p.broker, err = embedded.StartBroker("127.0.0.1:0", p.takeovers)
	require.NoError(t, err)
	t.Cleanup(p.broker.Close)
	kafka.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		kafka.KeepControl()
		if req.(*kmsg.ProduceRequest).TransactionID == nil && p.holds.Load() { // else it is the store's
			kafka.SleepControl(func() { <-p.hold })
		}
		return nil, nil, false
	})
	require.NoError(t, os.WriteFile(p.token, []byte(token), 0o600))
	for range n {
		p.start()
	}
	return p
}

func (p *processes) start() {
	address := program.FreeAddress(p.t)
	w := &worker{rig: p.rig, url: "http://" + address, logs: &logtext.Text{}}
	one := &process{w, program.StartCommand(p.t, address, exec.Command(program.Path(p.t),
		"serve", "--store", "kafka://"+p.kafka.Addr()+"/test", "--mqtt-url", p.broker.URL(), "--listen", address,
		"--drain-timeout", "60s", "--advertise", w.url, "--cluster-token-file", p.token,
	))}
	require.Eventually(p.t, func() bool {
		code, _ := one.Ready()
		return code != 0
	}, patience, 20*time.Millisecond)
	p.all = append(p.all, one)
}

// runs is what a worker tells the others about the connector, of which it runs some members.
func (p *process) runs(name string) (one connector.Sample) {
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, p.url+cluster.PathPrefix+"samples?connector_name="+name, nil)
	require.NoError(p.t, err)
	req.Header.Set(cluster.TokenHeader, token)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(p.t, err)
	defer resp.Body.Close()
	var some []connector.Sample
	require.NoError(p.t, json.NewDecoder(resp.Body).Decode(&some))
	if len(some) > 0 {
		one = some[0]
	}
	return one
}

// settled waits until each member runs once, every worker runs one, and all of them tell the
// same about the connector, which has nothing in flight.
func (p *processes) settled(name string, members int) {
	p.t.Helper()
	last := ""
	require.Eventually(p.t, func() bool {
		last = p.unsettled(name, members)
		return last == ""
	}, patience, 100*time.Millisecond, "%s", described(func() string { return last }))
}

func (p *processes) unsettled(name string, members int) string {
	var ran []int
	sent := int64(0)
	for _, one := range p.all {
		mine := one.runs(name)
		if len(mine.Members) == 0 {
			return one.url + " runs no member"
		}
		for _, m := range mine.Members {
			ran = append(ran, m.Member)
		}
		sent += mine.Sent
	}
	slices.Sort(ran)
	for i := range members {
		if len(ran) != members || ran[i] != i {
			return fmt.Sprintf("these members run: %v", ran)
		}
	}
	for _, one := range p.all {
		d := one.detail(name)
		rows := one.rows()
		switch {
		case d.State != "Running" || d.InFlight != 0 || d.SendSuccessTotal != sent:
			return fmt.Sprintf("%s: %d sent in all: %+v", one.url, sent, d)
		case len(rows) != 1 || rows[0].State != "Running":
			return fmt.Sprintf("%s: %+v", one.url, rows)
		case len(one.workers()) != len(p.all):
			return fmt.Sprintf("%s knows %d workers", one.url, len(one.workers()))
		case !one.ConnectorsReady():
			return one.url + ": /ready/connectors is not"
		}
	}
	if n := p.broker.Connected(); n != int64(members)+1 {
		return fmt.Sprintf("%d clients are connected", n)
	}
	return ""
}

// inFlight publishes so many messages, from a number on, that Kafka does not acknowledge
// before the function that it returns is called.
func (p *processes) inFlight(c paho.Client, name string, first, n int) (acknowledge func()) {
	p.t.Helper()
	p.hold = make(chan struct{})
	p.holds.Store(true)
	for i := range n {
		publish(p.t, c, name+"/x", strconv.Itoa(first+i))
	}
	require.Eventually(p.t, func() bool {
		all := int64(0)
		for _, one := range p.all {
			all += one.runs(name).InFlight
		}
		return all == int64(n)
	}, patience, 20*time.Millisecond)
	return func() {
		p.holds.Store(false)
		close(p.hold)
	}
}

// counts says how often each payload stands in a topic.
func (p *processes) counts(topic string) map[string]int {
	p.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(p.kafka.Addr()), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	require.NoError(p.t, err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	ends, err := kadm.NewClient(client).ListEndOffsets(ctx, topic)
	require.NoError(p.t, err)
	left, all := int64(0), map[string]int{}
	ends.Each(func(o kadm.ListedOffset) { left += o.Offset })
	for left > 0 {
		fetches := client.PollFetches(ctx)
		require.NoError(p.t, ctx.Err())
		fetches.EachRecord(func(rec *kgo.Record) {
			var one struct {
				Payload []byte `json:"payload"`
			}
			require.NoError(p.t, json.Unmarshal(rec.Value, &one))
			all[string(one.Payload)]++
			left--
		})
	}
	return all
}

// arrived requires that the messages up to a number stand in the topic, and returns how
// many stand there twice.
func (p *processes) arrived(topic string, n int) (repeated int64) {
	p.t.Helper()
	counts := p.counts(topic)
	assert.Len(p.t, counts, n)
	for payload, times := range counts {
		assert.LessOrEqual(p.t, times, 2, payload)
		repeated += int64(times - 1)
	}
	return repeated
}

// ends takes a worker from the others.
func (p *processes) ends(one *process) {
	p.all = slices.DeleteFunc(slices.Clone(p.all), func(other *process) bool { return other == one })
}

// The worker that is killed runs the first member, whose worker answers calls about the
// connector, and the one that is asked to end is its next owner.
func TestMembersOfAProcessThatEndsRunElsewhere(t *testing.T) {
	p := startProcesses(t, 3)
	require.Eventually(t, func() bool {
		for _, one := range p.all {
			for _, told := range one.workers() {
				if told.Partitions < cluster.Partitions/3 || len(one.workers()) != 3 {
					return false
				}
			}
		}
		return true
	}, patience, 100*time.Millisecond)
	const name, members, n = "shared", 12, 240
	c := p.client("publisher")
	p.all[1].done(admin.PathCreate, p.all[1].sharedDefinition(name, members, "out"))
	p.settled(name, members)
	owner := func() *process {
		for _, one := range p.all {
			if slices.ContainsFunc(one.runs(name).Members, func(m connector.MemberStatus) bool { return m.Member == 0 }) {
				return one
			}
		}
		require.Fail(t, "nobody runs the first member")
		return nil
	}

	acknowledge := p.inFlight(c, name, 0, n)
	killed := owner()
	lost := killed.runs(name)
	require.NotZero(t, lost.InFlight)
	killed.Kill()
	p.ends(killed)
	began := time.Now()
	acknowledge()
	p.settled(name, members)
	t.Logf("%d members run elsewhere after %s", len(lost.Members), time.Since(began).Round(100*time.Millisecond))
	repeated := p.arrived("out", n)
	t.Logf("%d of %d messages in flight stand in Kafka twice", repeated, lost.InFlight)
	assert.LessOrEqual(t, repeated, lost.InFlight)
	assert.Empty(t, p.takeovers.all())

	acknowledge = p.inFlight(c, name, n, n)
	stopped := owner()
	p.ends(stopped)
	require.NotZero(t, stopped.runs(name).InFlight)
	stopped.Signal(syscall.SIGTERM)
	acknowledge()
	assert.Zero(t, stopped.Wait(), "%s", stopped.Output()) // a second signal would end it at once
	p.settled(name, members)
	assert.Equal(t, repeated, p.arrived("out", 2*n), "nothing is repeated")
	assert.Empty(t, p.takeovers.all())

	p.all[0].done(admin.PathDelete, named(name))
	require.Eventually(t, func() bool { return len(p.all[0].rows()) == 0 && p.broker.Connected() == 1 }, patience, 50*time.Millisecond)
}
