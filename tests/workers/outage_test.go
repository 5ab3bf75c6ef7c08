package workers_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
	"github.com/robustmq/robustmq-connect/plugins/connector/cluster"
)

// outage is how long a part of Kafka is away at least.
func outage() time.Duration {
	if os.Getenv("SOAK") == "1" {
		return time.Minute
	}
	return 2 * time.Second
}

// brokers are three, each of which leads and coordinates a part.
type brokers struct{ *kfake.Cluster }

func (b brokers) Addr() string { return b.ListenAddrs()[0] }

// topics are those that get messages, one for each of the first connectors.
const topics = 8

// part is two workers whose connectors get messages while a part of Kafka is away.
type part struct {
	*rig
	brokers brokers
	workers []*worker
	names   []string
	c       paho.Client
	sent    int
	owners  map[string]string
	logged  map[string]int // lines about moves before the outage, by worker and text
}

func newPart(t *testing.T) *part {
	t.Helper()
	kafka, err := kfake.NewCluster(kfake.NumBrokers(3), kfake.AllowAutoTopicCreation(), kfake.DefaultNumPartitions(3))
	require.NoError(t, err)
	t.Cleanup(kafka.Close)
	p := &part{rig: newRigWith(t, brokers{kafka}), brokers: brokers{kafka}}
	// A coordinator that is away forgets nobody, which this Kafka does by its own clock. The
	// client asks again for as long as a session lasts, unless it is told otherwise.
	p.session, p.group = 5*time.Minute, []kgo.Opt{kgo.RetryTimeout(2 * time.Second)}
	p.workers = []*worker{p.worker(), p.worker()}
	require.Eventually(t, func() bool {
		return p.workers[0].service.Membership().Partitions == cluster.Partitions/2 && p.workers[1].service.Membership().Partitions == cluster.Partitions/2
	}, patience, 50*time.Millisecond)
	for i := range topics {
		p.names = append(p.names, fmt.Sprintf("c%d", i))
		p.workers[0].done(admin.PathCreate, p.workers[0].definition(p.names[i], fmt.Sprintf("t%d/#", i), "out"))
	}
	agree(t, "Running", p.names, p.workers...)
	p.owners = p.running()
	p.logged = map[string]int{}
	for _, w := range p.workers {
		p.logged[w.url+"are drained"] = len(w.logs.Lines("are drained"))
	}
	p.c = p.client("publisher")
	p.publish()
	return p
}

// publish sends a message to each connector, and waits until Kafka has it.
func (p *part) publish() {
	p.t.Helper()
	p.sent++
	for i := range topics {
		publish(p.t, p.c, fmt.Sprintf("t%d/x", i), strconv.Itoa(p.sent))
	}
	for topic, all := range p.payloads("out", p.sent*topics) {
		for i, payload := range all {
			require.Equal(p.t, strconv.Itoa(i+1), payload, "%s: %v", topic, all)
		}
	}
}

// running says on which worker each connector runs.
func (p *part) running() map[string]string {
	all := map[string]string{}
	for _, w := range p.workers {
		for _, one := range w.sup.Mine() {
			all[one.Name] += w.url
		}
	}
	return all
}

// goesOn lets messages flow for the time of the outage. Each worker goes on with the
// connectors that it has, lists them all, and refuses a change with a reason.
func (p *part) goesOn(refused string, change func(w *worker) error) {
	t := p.t
	t.Helper()
	for began := time.Now(); ; time.Sleep(200 * time.Millisecond) {
		p.publish()
		for _, w := range p.workers {
			require.ErrorContains(t, change(w), refused)
			for _, name := range p.names {
				require.Equal(t, "Running", w.states()[name], name)
			}
		}
		require.Equal(t, p.owners, p.running())
		if time.Since(began) > outage() {
			return
		}
	}
}

// over checks that nothing has moved, and that changes are possible again.
func (p *part) over() {
	t := p.t
	t.Helper()
	for i, w := range p.workers {
		var last [1]error
		require.Eventually(t, func() bool {
			last[0] = w.create(fmt.Sprintf("after%d", i))
			return last[0] == nil
		}, patience, 100*time.Millisecond, "%v", &last)
		w.done(admin.PathDelete, named(fmt.Sprintf("after%d", i)))
	}
	p.publish()
	agree(t, "Running", p.names, p.workers...)
	for name, url := range p.owners {
		assert.Equal(t, url, p.running()[name], name)
	}
	for _, w := range p.workers {
		for _, moved := range []string{"connectors stop", "are drained"} {
			assert.Len(t, w.logs.Lines(moved), p.logged[w.url+moved], "%s", w.logs)
		}
	}
}

func (w *worker) create(name string) error {
	_, err := w.call(http.MethodPost, admin.PathCreate, w.definition(name, name+"/#", "others"))
	return err
}

// notes are what a list says of itself.
func (w *worker) notes() string {
	resp, err := http.Get(w.url + admin.PathList)
	require.NoError(w.t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(w.t, err)
	var answer admin.Answer[admin.List]
	require.NoError(w.t, json.Unmarshal(text, &answer), "%s", text)
	return strings.Join(answer.Notes, "; ")
}

func TestConnectorsGoOnWhileTheCoordinatorAloneIsAway(t *testing.T) {
	p := newPart(t)
	away := p.brokers.Fault(kfake.Fault{Group: "test", Err: kerr.CoordinatorNotAvailable, Count: -1})
	for _, w := range p.workers {
		require.Eventually(t, func() bool { return !w.service.Membership().Confirmed }, patience, 50*time.Millisecond)
	}
	p.goesOn("nothing was changed: the coordinator of the workers does not answer", func(w *worker) error {
		_, err := w.call(http.MethodPost, admin.PathPause, named("c0"))
		return err
	})
	// What is stored meanwhile runs afterwards.
	for i, w := range p.workers {
		name := fmt.Sprintf("meanwhile%d", i)
		require.NoError(t, w.create(name))
		p.names = append(p.names, name)
	}
	away.Remove()
	for _, w := range p.workers {
		require.Eventually(t, func() bool { return w.service.Membership().Confirmed }, patience, 50*time.Millisecond)
	}
	p.over()
}

func TestConnectorsGoOnWhileTheLeaderOfTheStoreIsAway(t *testing.T) {
	p := newPart(t)
	away := p.brokers.Fault(kfake.Fault{
		Keys:  []kmsg.Key{kmsg.Produce, kmsg.Fetch, kmsg.ListOffsets, kmsg.AddPartitionsToTxn, kmsg.Metadata},
		Topic: "test-definitions", Err: kerr.LeaderNotAvailable, Count: -1,
	})
	p.goesOn("nothing was changed: reading the definitions: Kafka at", func(w *worker) error { return w.create("extra") })
	for _, w := range p.workers {
		require.Eventually(t, func() bool {
			return strings.Contains(w.notes(), "this may be old: what is known of the store is of 20")
		}, patience, 50*time.Millisecond, "%s", described(w.notes))
	}
	away.Remove()
	p.over()
}
