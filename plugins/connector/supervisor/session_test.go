package supervisor

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"gopkg.in/yaml.v3"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/embedded"
)

// numbered returns distinguishable payloads.
func numbered(from, to int) []string {
	var all []string
	for i := from; i < to; i++ {
		all = append(all, strconv.Itoa(i))
	}
	return all
}

// arrived waits until a topic has each of the payloads, possibly more than once.
func (r *rig) arrived(topic string, payloads []string) {
	r.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(r.kafka.Addr()))
	require.NoError(r.t, err)
	defer client.Close()
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		ends, err := kadm.NewClient(client).ListEndOffsets(r.t.Context(), topic)
		require.NoError(r.t, err)
		total := int64(0)
		ends.Each(func(end kadm.ListedOffset) { total += max(0, end.Offset) })
		there := map[string]bool{}
		for _, record := range r.records(topic, int(total)) {
			var envelope struct{ Payload []byte }
			require.NoError(r.t, json.Unmarshal(record.Value, &envelope))
			there[string(envelope.Payload)] = true
		}
		missing := slices.DeleteFunc(slices.Clone(payloads), func(p string) bool { return there[p] })
		if len(missing) == 0 {
			return
		}
		require.Less(r.t, time.Since(began), patience, "%d missing, %d at the broker: %v\n%s", len(missing), r.broker.InFlight(), missing, r.logs)
	}
}

// sessionOn reports whether a broker has a session, and removes it if it was created by
// asking.
func (r *rig) sessionOn(broker *embedded.Broker, id string) bool {
	r.t.Helper()
	connect := func(clean bool) bool {
		c := paho.NewClient(paho.NewClientOptions().AddBroker(broker.URL()).SetClientID(id).SetCleanSession(clean).SetAutoAckDisabled(true))
		token := c.Connect()
		require.True(r.t, token.WaitTimeout(patience))
		require.NoError(r.t, token.Error())
		defer c.Disconnect(50)
		return token.(*paho.ConnectToken).SessionPresent()
	}
	kept := connect(false)
	if !kept {
		connect(true)
	}
	return kept
}

func (r *rig) update(c connector.Connector, how connector.UpdateOptions) []string {
	r.t.Helper()
	result, err := r.Update(r.t.Context(), c, how)
	require.NoError(r.t, err)
	return result.Notes
}

func urls(all ...string) string {
	text, _ := json.Marshal(all) // strings
	return fmt.Sprintf(`,"urls":%s`, text)
}

// The broker is the same in another spelling, or there is an additional one.
func TestAnUpdateOfTheURLsKeepsWaitingMessages(t *testing.T) {
	for name, change := range map[string]func(port string) []string{
		"one more":       func(port string) []string { return []string{"tcp://127.0.0.1:" + port, "tcp://127.0.0.1:1"} },
		"one before":     func(port string) []string { return []string{"tcp://127.0.0.1:1", "tcp://127.0.0.1:" + port} },
		"another scheme": func(port string) []string { return []string{"mqtt://127.0.0.1:" + port} },
		"localhost":      func(port string) []string { return []string{"tcp://localhost:" + port} },
		"IPv6":           func(port string) []string { return []string{"tcp://[::ffff:127.0.0.1]:" + port} },
		"in one item":    func(port string) []string { return []string{"tcp://127.0.0.1:1, mqtt://LOCALHOST:" + port} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			_, port, err := net.SplitHostPort(r.broker.Addr())
			require.NoError(t, err)
			r.create(r.conn("c", "in/#", "out", urls("tcp://127.0.0.1:"+port)))
			r.ready("c")
			require.NoError(t, r.Pause(t.Context(), "c"))
			payloads := numbered(0, 500)
			r.publish("in/a", payloads...)
			assert.Empty(t, r.update(r.conn("c", "in/#", "out", urls(change(port)...)), connector.UpdateOptions{}))
			require.NoError(t, r.Resume(t.Context(), "c"))
			r.ready("c")
			r.arrived("out", payloads)
		})
	}
}

// The session is read with the connector's current settings: its login, and the
// handling of a message over the size limit.
func TestAHandOverReadsWithTheSettingsOfTheConnector(t *testing.T) {
	r := newRig(t, func(o *Options) {
		o.MQTT = append(o.MQTT, setting("max_payload_bytes", "1KiB"), setting("username", "u"), setting("password", "hush-hush"))
	})
	config := func(more string) string {
		return fmt.Sprintf(`{"bootstrap_servers":%q,"topic":"out"%s}`, r.kafka.Addr(), more)
	}
	r.create(r.parse("c", "in/#", config(""), `{"strategy":"discard"}`))
	r.ready("c")
	require.NoError(t, r.Pause(t.Context(), "c"))
	r.publish("in/a", "before", strings.Repeat("x", 2000), "after")
	r.update(r.parse("c", "in/#", config(`,"client_id":"mine"`), `{"strategy":"discard"}`), connector.UpdateOptions{})
	require.NoError(t, r.Resume(t.Context(), "c"))
	r.ready("c")
	r.arrived("out", []string{"before", "after"})

	c := r.effective(r.parse("c", "in/#", config(""), `{"strategy":"discard"}`))
	side, err := r.sideOf(c)
	require.NoError(t, err)
	document, err := readingDocument(c, c, side, []string{})
	require.NoError(t, err)
	var pipeline struct {
		Input struct {
			Label string
			MQTT  map[string]any
		}
	}
	require.NoError(t, yaml.Unmarshal(document, &pipeline))
	assert.Equal(t, map[string]any{
		"urls": []any{r.broker.URL()}, "topics": []any{}, "client_id": "robustmq_connect_default_c", "user": "u", "password": "hush-hush",
		"clean_session": false, "max_payload_bytes": "1KiB", "oversized_payload": "fail",
	}, pipeline.Input.MQTT)
	assert.Equal(t, "c", pipeline.Input.Label)
}

// Messages that were delivered are not delivered again after a restart, and the others
// still are.
func TestAHandOverContinuesAfterARestart(t *testing.T) {
	r := newRig(t)
	r.create(r.conn("c", "in/#", "out", ""))
	r.ready("c")
	require.NoError(t, r.Pause(t.Context(), "c"))
	r.publish("in/a", numbered(0, 100)...)
	r.update(r.conn("c", "in/#", "out", `,"client_id":"mine"`), connector.UpdateOptions{})
	r.stopService()
	r.start()
	r.redelivery = 100 * time.Millisecond
	require.NoError(t, r.Resume(t.Context(), "c"))
	r.ready("c")
	r.arrived("out", numbered(0, 100))
	assert.False(t, r.sessionOn(r.broker, "robustmq_connect_default_c"))
}

// The connector moves to another broker under the same client id.
func TestAMoveToAnotherBrokerDeliversTheMessagesAtTheOldOne(t *testing.T) {
	r := newRig(t)
	other, err := embedded.StartBroker("127.0.0.1:0")
	require.NoError(t, err)
	defer other.Close()
	r.create(r.conn("c", "in/#", "out", ""))
	r.ready("c")
	require.NoError(t, r.Pause(t.Context(), "c"))
	r.publish("in/a", numbered(0, 500)...)
	require.NoError(t, r.Resume(t.Context(), "c"))
	notes := r.update(r.conn("c", "in/#", "out", urls(other.URL())), connector.UpdateOptions{})
	require.Len(t, notes, 1)
	assert.Contains(t, notes[0], "is given up: the messages that wait in it are delivered before the update takes effect; update with discard_waiting to discard them; "+
		"the session stays there and keeps messages that arrive until the connector is deleted, because the connector continues under its client id")
	r.ready("c")
	r.arrived("out", numbered(0, 500))
	require.NoError(t, other.WaitSubscribed(t.Context(), "in/#"))
	assert.True(t, r.sessionOn(r.broker, "robustmq_connect_default_c"), "under a client id that is used nothing is removed")

	note, err := r.Delete(t.Context(), "c")
	require.NoError(t, err)
	assert.Empty(t, note)
	assert.False(t, r.sessionOn(other, "robustmq_connect_default_c"))
	assert.Eventually(t, func() bool {
		marks, err := os.ReadDir(filepath.Join(r.dir, "released"))
		return err == nil && len(marks) == 0
	}, patience, 10*time.Millisecond)
	assert.False(t, r.sessionOn(r.broker, "robustmq_connect_default_c"))
}

// Two URLs reach one broker, which nobody can detect: nothing is lost.
func TestAMoveToAnotherNameOfTheBrokerLosesNothing(t *testing.T) {
	r := newRig(t)
	alias := newGate(t, r.broker.Addr())
	r.create(r.conn("c", "in/#", "out", ""))
	r.ready("c")
	require.NoError(t, r.Pause(t.Context(), "c"))
	r.publish("in/a", numbered(0, 500)...)
	assert.Len(t, r.update(r.conn("c", "in/#", "out", urls("tcp://"+alias.addr)), connector.UpdateOptions{}), 1)
	require.NoError(t, r.Resume(t.Context(), "c"))
	r.ready("c")
	r.publish("in/a", numbered(500, 600)...)
	r.arrived("out", numbered(0, 600))
	require.NoError(t, r.Pause(t.Context(), "c"))
	r.publish("in/a", numbered(600, 700)...)
	require.NoError(t, r.Resume(t.Context(), "c"))
	r.arrived("out", numbered(0, 700))
}

// The former broker is unavailable: the new one keeps the messages that arrive, and a
// user who does not want to wait can discard the old ones.
func TestAnUpdateWaitsForAnUnavailableBrokerOrDiscardsItsMessages(t *testing.T) {
	r := newRig(t)
	other, err := embedded.StartBroker("127.0.0.1:0")
	require.NoError(t, err)
	defer other.Close()
	away := newGate(t, r.broker.Addr())
	r.create(r.conn("c", "in/#", "out", urls("tcp://"+away.addr)))
	r.ready("c")
	require.NoError(t, r.Pause(t.Context(), "c"))
	r.publish("in/a", "waits")
	away.close()
	next := r.conn("c", "in/#", "out", urls(other.URL())+`,"client_id":"mine"`)
	r.update(next, connector.UpdateOptions{})
	require.NoError(t, r.Resume(t.Context(), "c"))
	require.Eventually(t, func() bool { return other.Subscribed("in/#") }, patience, 10*time.Millisecond, "%s", r.logs)
	r.until("c", func(s connector.Status) bool {
		return s.State == connector.Waiting && len(s.Waits) == 2 && s.Waits[0].For == connector.NeedUpdate && s.Waits[1].For == connector.NeedBroker
	})
	publisher := paho.NewClient(paho.NewClientOptions().AddBroker(other.URL()).SetClientID("p"))
	require.True(t, publisher.Connect().WaitTimeout(patience))
	defer publisher.Disconnect(50)
	require.True(t, publisher.Publish("in/a", 1, false, "meanwhile").WaitTimeout(patience))

	notes := r.update(next, connector.UpdateOptions{DiscardWaiting: true})
	assert.Equal(t, []string{"sessions that earlier updates gave up are not delivered: the messages that wait in it are discarded, because of discard_waiting"}, notes)
	r.ready("c")
	r.arrived("out", []string{"meanwhile"})
	away.open()
	r.sessions.Wake()
	assert.Eventually(t, func() bool {
		marks, err := os.ReadDir(filepath.Join(r.dir, "released"))
		return err == nil && len(marks) == 0
	}, patience, 10*time.Millisecond)
	assert.False(t, r.sessionOn(r.broker, "robustmq_connect_default_c"))
}

// clean_session: true removes waiting messages with the first connection.
func TestAnUpdateToACleanSessionDeliversWaitingMessagesFirst(t *testing.T) {
	r := newRig(t)
	r.create(r.conn("c", "in/#", "out", ""))
	r.ready("c")
	require.NoError(t, r.Pause(t.Context(), "c"))
	r.publish("in/a", numbered(0, 100)...)
	notes := r.update(r.conn("c", "in/#", "out", `,"clean_session":true`), connector.UpdateOptions{})
	require.Len(t, notes, 2)
	assert.Contains(t, notes[0], "is given up")
	require.NoError(t, r.Resume(t.Context(), "c"))
	r.ready("c")
	r.arrived("out", numbered(0, 100))
}

func TestTwoConnectorsCannotShareASessionByAnySpelling(t *testing.T) {
	r := newRig(t)
	_, port, err := net.SplitHostPort(r.broker.Addr())
	require.NoError(t, err)
	r.create(r.conn("a", "in/#", "out", `,"client_id":"mine"`+urls("tcp://127.0.0.1:"+port)))
	for _, other := range []string{"tcp://localhost:", "mqtt://127.0.0.1:", "tcp://[::1]:", "tcp://127.0.0.1:1,mqtt://localhost:"} {
		_, err := r.Create(t.Context(), r.conn("b", "in/#", "out", `,"client_id":"mine"`+urls(other+port)), connector.CreateOptions{})
		var invalid *connector.InvalidError
		require.ErrorAs(t, err, &invalid, other)
		assert.Equal(t, "config.client_id", invalid.Field)
		assert.Equal(t, `"mine" is that of connector "a" at the same broker, and they would disconnect each other: give another one`, invalid.Why)
	}
	assert.Len(t, r.List(), 1)
	r.ready("a")
	assert.NotContains(t, r.logs.String(), "Lost the connection")
}

// A user of the API cannot have somebody else's session removed.
func TestASessionOfSomebodyElseOutlivesAConnectorOfItsClientID(t *testing.T) {
	r := newRig(t)
	theirs := r.client("theirs", false, nil)
	require.True(t, theirs.Subscribe("theirs/#", 1, nil).WaitTimeout(patience))
	theirs.Disconnect(50)

	_, err := r.Check(t.Context(), r.conn("x", "in/#", "out", `,"client_id":"theirs"`))
	require.NoError(t, err)
	r.create(r.conn("clean", "in/#", "out", `,"client_id":"theirs","clean_session":true`))
	r.until("clean", func(s connector.Status) bool {
		return s.State == connector.Waiting && strings.Contains(s.Reason, `the broker has a session "theirs" that this service did not make`)
	})
	_, err = r.Delete(t.Context(), "clean")
	require.NoError(t, err)

	r.create(r.conn("c", "in/#", "out", `,"client_id":"theirs"`))
	r.ready("c")
	r.update(r.conn("c", "in/#", "out", `,"client_id":"ours"`), connector.UpdateOptions{DiscardWaiting: true})
	r.ready("c")
	note, err := r.Delete(t.Context(), "c")
	require.NoError(t, err)
	assert.Empty(t, note)

	r.create(r.conn("d", "in/#", "out", `,"client_id":"theirs"`))
	r.ready("d")
	note, err = r.Delete(t.Context(), "d")
	require.NoError(t, err)
	assert.Regexp(t, `^the session "theirs" at \S+ stays: it existed before the connector, or the store does not say who created it; remove it on the broker if nobody uses it$`, note)
	assert.True(t, r.sessionOn(r.broker, "theirs"))
}

// A check of client_id x must not remove a session x_check.
func TestACheckConnectsWithItsOwnClientID(t *testing.T) {
	r := newRig(t)
	theirs := r.client("x_check", false, nil)
	theirs.Disconnect(50)
	probes, err := r.Check(t.Context(), r.conn("x", "in/#", "out", `,"client_id":"x"`))
	require.NoError(t, err)
	assert.Equal(t, []connector.Probe{{End: "mqtt"}, {End: "kafka"}}, probes)
	assert.True(t, r.sessionOn(r.broker, "x_check"))
}

func TestAConnectorIsCreatedPaused(t *testing.T) {
	r := newRig(t)
	_, err := r.Create(t.Context(), r.conn("c", "in/#", "out", ""), connector.CreateOptions{Paused: true})
	require.NoError(t, err)
	assert.Equal(t, connector.Paused, r.List()[0].State)
	assert.Empty(t, r.sessions.Records(), "it has not connected")
	require.NoError(t, r.Resume(t.Context(), "c"))
	r.ready("c")
}
