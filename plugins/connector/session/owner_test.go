package session

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/connector/store"
	"github.com/robustmq/robustmq-connect/plugins/embedded"
	"github.com/robustmq/robustmq-connect/plugins/mqtt"
	"github.com/robustmq/robustmq-connect/tests/logtext"
)

const patience = time.Minute

// rig is an owner with a store, and a broker.
type rig struct {
	*Owner
	t      *testing.T
	store  *store.Dir
	broker *embedded.Broker
	sides  map[string]Side // what a definition stands for, by the name of its connector
	logs   *logtext.Text
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, sides: map[string]Side{}, logs: &logtext.Text{}}
	var err error
	r.broker, err = embedded.StartBroker("127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(r.broker.Close)
	r.store, err = store.Open(t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { _ = r.store.Close() })
	r.restart()
	return r
}

// restart creates an owner from the current store.
func (r *rig) restart() {
	r.t.Helper()
	r.Owner = New(Options{
		Book: r.store, Dial: mqtt.Dial, Logger: slog.New(slog.NewTextHandler(r.logs, nil)),
		SideOf: func(c connector.Connector) (Side, error) {
			side, ok := r.sides[c.Name]
			if !ok {
				return Side{}, fmt.Errorf("there is no %q", c.Name)
			}
			return side, nil
		},
		ClientIDOf: func(name string) string { return "ours_" + name },
	})
	all, err := r.store.Load()
	require.NoError(r.t, err)
	r.Load(all)
}

func definitionOf(name string) store.Definition {
	return store.Definition{Connector: connector.Connector{Name: name, TopicID: "a", Config: []byte(`{"bootstrap_servers":"h:1","topic":"t"}`)}}
}

// join does what a stream does: it passes the gate, connects, and leaves the session
// behind. It reports whether the broker had the session.
func (r *rig) join(side Side, u *url.URL) (bool, error) {
	r.t.Helper()
	if err := r.Enter(r.t.Context(), u, side.ClientID, side.Clean); err != nil {
		return false, err
	}
	c, kept := r.connect(u.String(), side.ClientID, side.Clean)
	defer c.Disconnect(50)
	if err := r.Joined(u, side.ClientID, kept); err != nil {
		return kept, err
	}
	require.True(r.t, c.Subscribe(side.Filter, side.QoS, nil).WaitTimeout(patience))
	return kept, nil
}

func (r *rig) connect(server, id string, clean bool) (paho.Client, bool) {
	r.t.Helper()
	c := paho.NewClient(paho.NewClientOptions().AddBroker(server).SetClientID(id).SetCleanSession(clean).SetAutoReconnect(false).SetAutoAckDisabled(true))
	token := c.Connect()
	require.True(r.t, token.WaitTimeout(patience))
	require.NoError(r.t, token.Error())
	return c, token.(*paho.ConnectToken).SessionPresent()
}

// has reports whether a broker has a session, without changing it.
func (r *rig) has(id string) bool {
	r.t.Helper()
	c, kept := r.connect(r.broker.URL(), id, false)
	c.Disconnect(50)
	if !kept {
		c, _ = r.connect(r.broker.URL(), id, true)
		c.Disconnect(50)
	}
	return kept
}

// create creates a connector that has joined its session.
func (r *rig) create(name string, side Side) {
	r.t.Helper()
	r.sides[name] = side
	require.NoError(r.t, r.Hold(name, side))
	require.NoError(r.t, r.store.Put(definitionOf(name)))
	r.Settle(name, side)
	_, err := r.join(side, side.URLs[0])
	require.NoError(r.t, err)
}

func (r *rig) delete(name string) Remains {
	r.t.Helper()
	left, err := r.store.Release(definitionOf(name))
	require.NoError(r.t, err)
	r.Settle(name)
	remains, err := r.Clear(r.t.Context(), left)
	require.NoError(r.t, err)
	return remains
}

func (r *rig) contents() store.Contents {
	r.t.Helper()
	all, err := r.store.Load()
	require.NoError(r.t, err)
	return all
}

func TestTwoConnectorsCannotHaveOneSession(t *testing.T) {
	r := newRig(t)
	require.NoError(t, r.Hold("a", side("x", "f", "tcp://127.0.0.1:1883", "tcp://b:1883")))
	for _, urls := range []string{"tcp://localhost:1883", "mqtt://127.0.0.1:1883", "tcp://[::1]:1883", "tcp://other:1,mqtt://B:1883"} {
		var taken *TakenError
		require.ErrorAs(t, r.Hold("b", side("x", "f", urls)), &taken, urls)
		assert.Equal(t, TakenError{ClientID: "x", Other: "a"}, *taken)
	}
	require.NoError(t, r.Hold("b", side("x", "f", "tcp://localhost:1884")), "another broker")
	require.NoError(t, r.Hold("c", side("y", "f", "tcp://localhost:1883")), "another client id")
	r.Settle("a")
	require.NoError(t, r.Hold("d", side("x", "f", "tcp://localhost:1883")), "it is free")
}

// A stream is stopped between its CONNECT and the answer: the session that it created
// counts as ours.
func TestASessionIsRecordedBeforeItIsJoined(t *testing.T) {
	r := newRig(t)
	s := side("x", "f", r.broker.URL())
	r.sides["a"] = s
	require.NoError(t, r.Hold("a", s))
	require.NoError(t, r.store.Put(definitionOf("a")))
	r.Settle("a", s)
	require.NoError(t, r.Enter(t.Context(), s.URLs[0], "x", false))
	require.True(t, r.has("x"))
	r.restart()
	require.NoError(t, r.Joined(s.URLs[0], "x", true))
	assert.Equal(t, Remains{}, r.delete("a"))
	assert.False(t, r.has("x"))
}

// A broker that does not speak MQTT 3.1.1 cannot be visited, but the stream can still
// connect.
func TestABrokerThatCannotBeVisitedIsStillJoined(t *testing.T) {
	r := newRig(t)
	s := side("x", "f", r.broker.URL())
	require.NoError(t, r.Hold("a", s))
	r.dial = func(context.Context, *url.URL, *tls.Config) (net.Conn, error) { return nil, errors.New("away") }
	require.NoError(t, r.Enter(t.Context(), s.URLs[0], "x", false))
	require.NoError(t, r.Joined(s.URLs[0], "x", false))
	assert.True(t, r.Records()[0].Made)
}

// Connecting clean removes the existing session.
func TestACleanSessionDoesNotReplaceAForeignSession(t *testing.T) {
	r := newRig(t)
	theirs, _ := r.connect(r.broker.URL(), "theirs", false)
	theirs.Disconnect(50)

	s := side("theirs", "f", r.broker.URL())
	s.Clean = true
	require.NoError(t, r.Hold("a", s))
	_, err := r.join(s, s.URLs[0])
	require.ErrorContains(t, err, `the broker has a session "theirs" that this service did not make, and clean_session: true would remove it: give another client_id, or remove that session first`)
	assert.True(t, r.has("theirs"))

	s.ClientID = "ours"
	r.create("b", s)
	_, err = r.join(s, s.URLs[0])
	require.NoError(t, err, "it may replace its own session")
	assert.Equal(t, Remains{}, r.delete("b"))
}

func TestAnUnreadableConnectorKeepsItsClientIDs(t *testing.T) {
	r := newRig(t)
	r.create("a", side("ours_c", "f", r.broker.URL()))
	left, err := r.store.Release(definitionOf("a"))
	require.NoError(t, err)
	r.Owner = New(Options{Book: r.store, Dial: mqtt.Dial, Logger: slog.New(slog.DiscardHandler), SideOf: r.sideOf, ClientIDOf: r.clientIDOf})
	all := r.contents()
	all.Released = nil
	all.Sessions = append(all.Sessions, store.Session{Endpoint: "z:1", ClientID: "known", Connector: "c"})
	all.Unreadable = []store.Unreadable{{Name: "c", ClientID: "given", Why: errors.New("cut")}}
	r.Load(all)

	for _, id := range []string{"ours_c", "given", "known"} {
		var taken *TakenError
		require.ErrorAs(t, r.Hold("b", side(id, "f", "tcp://anywhere:1")), &taken)
		assert.Equal(t, TakenError{ClientID: id, Other: "c", Unread: true}, *taken)
	}
	remains, err := r.Clear(t.Context(), left)
	require.NoError(t, err)
	require.Len(t, remains.Later, 1)
	assert.True(t, r.has("ours_c"))
	r.Settle("c")
	require.NoError(t, r.Hold("b", side("given", "f", "tcp://anywhere:1")))
}

// A connector moves to another broker and back: the messages that wait at the first
// broker are its own.
func TestAConnectorThatReturnsToABrokerKeepsItsSession(t *testing.T) {
	r := newRig(t)
	here, there := side("x", "f", r.broker.URL()), side("x", "f", "tcp://there:1")
	r.create("a", here)
	require.NoError(t, r.Hold("a", there))
	mark, err := r.store.Mark(definitionOf("a"))
	require.NoError(t, err)
	r.Settle("a", there)
	require.NoError(t, r.GiveUp(mark))
	require.Len(t, r.contents().Released, 1)

	require.NoError(t, r.Hold("a", here))
	r.Settle("a", here)
	assert.Empty(t, r.contents().Released)
	kept, err := r.join(here, here.URLs[0])
	require.NoError(t, err)
	assert.True(t, kept)
}

func TestTheOldFilterIsUnsubscribedBeforeTheSessionIsJoined(t *testing.T) {
	r := newRig(t)
	r.create("a", side("x", "old", r.broker.URL()))
	next := side("x", "new", r.broker.URL())
	require.NoError(t, r.Hold("a", next))
	r.sides["a"] = next
	r.restart() // killed before it was settled
	_, err := r.join(next, next.URLs[0])
	require.NoError(t, err)
	assert.Equal(t, []string{"new"}, r.contents().Sessions[0].Filters)

	got := make(chan string, 2)
	c := paho.NewClient(paho.NewClientOptions().AddBroker(r.broker.URL()).SetClientID("x").SetCleanSession(false).
		SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) { got <- m.Topic() }))
	require.True(t, c.Connect().WaitTimeout(patience))
	defer c.Disconnect(50)
	publish(t, r, "old", "1")
	publish(t, r, "new", "2")
	assert.Equal(t, "new", <-got)
}

func TestGivenUpReturnsJoinedSessionsThatASideNoLongerHas(t *testing.T) {
	r := newRig(t)
	r.Load(store.Contents{Version: store.Version, Sessions: []store.Session{
		{Endpoint: "a:1", ClientID: "x"}, {Endpoint: "b:1", ClientID: "x"},
	}})
	was := side("x", "f", "tcp://a:1", "tcp://b:1", "tcp://never-joined:1")
	clean := was
	clean.Clean = true
	assert.Empty(t, r.GivenUp(was, side("x", "g", "mqtt://B:1,tcp://c:1,tcp://a:1")))
	assert.Equal(t, []string{"b:1"}, r.GivenUp(was, side("x", "f", "tcp://a:1")))
	assert.Equal(t, []string{"a:1", "b:1"}, r.GivenUp(was, side("y", "f", "tcp://a:1")))
	assert.Equal(t, []string{"a:1", "b:1"}, r.GivenUp(was, clean), "connecting clean would remove them")
	assert.Empty(t, r.GivenUp(clean, was))
}

// A session that cannot be recorded is not joined: nobody would know who created it.
func TestAStoreThatCannotBeWrittenIsReported(t *testing.T) {
	r := newRig(t)
	s := side("x", "f", r.broker.URL())
	require.NoError(t, r.Hold("a", s))
	r.book = brokenBook{r.store}
	_, err := r.join(s, s.URLs[0])
	require.ErrorIs(t, err, errDisk)
	require.ErrorIs(t, r.Trouble("x"), errDisk)
	r.book = r.store
	_, err = r.join(s, s.URLs[0])
	require.NoError(t, err)
	require.NoError(t, r.Trouble("x"))
}

var errDisk = errors.New("no space left on device")

type brokenBook struct{ *store.Dir }

func (brokenBook) PutSession(store.Session) error { return errDisk }

func publish(t *testing.T, r *rig, topic, payload string) {
	t.Helper()
	c, _ := r.connect(r.broker.URL(), "publisher", true)
	defer c.Disconnect(50)
	token := c.Publish(topic, 1, false, payload)
	require.True(t, token.WaitTimeout(patience))
	require.NoError(t, token.Error())
}
