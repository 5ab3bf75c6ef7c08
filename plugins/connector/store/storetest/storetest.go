// Package storetest has the test that every store of connectors passes.
package storetest

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/connector/store"
)

// Rig is one place that holds a store, empty at first.
type Rig interface {
	// Open opens the store, as a new process does. The one that was open is closed.
	Open(t *testing.T) store.Store
	// Corrupt makes the entry of a connector unreadable, while the store is closed.
	Corrupt(t *testing.T, name string)
	// Fill makes the place refuse changes until it is called again with false.
	Fill(t *testing.T, full bool)
}

// Run runs the test with a new place for each part of it.
func Run(t *testing.T, fresh func(t *testing.T) Rig) {
	for name, part := range map[string]func(*testing.T, Rig){
		"definitions outlive the store":                   definitionsOutliveTheStore,
		"names do not collide":                            namesDoNotCollide,
		"a put keeps the revision":                        aPutKeepsTheRevision,
		"the last revisions are kept without secrets":     theLastRevisionsAreKept,
		"a revision is never used twice":                  aRevisionIsNeverUsedTwice,
		"what a delete releases is kept":                  whatADeleteReleasesIsKept,
		"a name can be used while its past is kept":       aNameCanBeUsedWhileItsPastIsKept,
		"a mark is kept":                                  aMarkIsKept,
		"sessions outlive the store":                      sessionsOutliveTheStore,
		"what cannot be read is kept, retried, set aside": whatCannotBeRead,
		"an unreadable definition is replaced":            anUnreadableDefinitionIsReplaced,
		"a refused change leaves the store as it was":     aRefusedChange,
		"a store moves as a whole":                        aStoreMovesAsAWhole,
		"contents have a time":                            contentsHaveATime,
	} {
		t.Run(name, func(t *testing.T) { part(t, fresh(t)) })
	}
}

// Conn returns a connector that writes to a Kafka topic, with a password.
func Conn(t *testing.T, name, topic string) connector.Connector {
	t.Helper()
	quoted, err := json.Marshal(name)
	require.NoError(t, err)
	c, err := connector.Parse(fmt.Appendf(nil,
		`{"connector_name":%s,"connector_type":"kafka","tenant":"default","topic_name":"a/+","config":{"bootstrap_servers":"h:1","topic":%q,"username":"u","password":"secret"},"failure_strategy":{"strategy":"discard"},"create_time":"2026-11-23T01:02:03.000000004Z","update_time":"2026-11-23T01:02:03.000000004Z"}`, quoted, topic))
	require.NoError(t, err)
	return c
}

func load(t *testing.T, s store.Store) store.Contents {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	require.NoError(t, s.Sync(ctx))
	all, err := s.Load()
	require.NoError(t, err)
	return all
}

func create(t *testing.T, s store.Store, name string) store.Definition {
	t.Helper()
	d, err := s.Create(store.Definition{Connector: Conn(t, name, "t1"), Actor: "actor of t1"})
	require.NoError(t, err)
	return d
}

func revise(t *testing.T, s store.Store, before store.Definition) store.Definition {
	t.Helper()
	topic := fmt.Sprintf("t%d", before.Revision+1)
	d, aside, err := s.Revise(&before, store.Definition{Connector: Conn(t, before.Connector.Name, topic), Actor: "actor of " + topic})
	require.NoError(t, err)
	require.Empty(t, aside)
	require.Equal(t, before.Revision+1, d.Revision)
	return d
}

func history(t *testing.T, s store.Store, d store.Definition) []connector.Revision {
	t.Helper()
	all, err := s.History(d)
	require.NoError(t, err)
	return all
}

func definitionsOutliveTheStore(t *testing.T, rig Rig) {
	s := rig.Open(t)
	assert.Empty(t, load(t, s).Definitions)
	require.NoError(t, s.Upgrade())
	d := store.Definition{
		Connector: Conn(t, "c", "t"), Actor: "me",
		HandOver: []store.HandOver{{From: Conn(t, "c", "old"), Endpoints: []string{"localhost:1883", "other:1"}}},
	}
	d.Connector.Labels = map[string]string{"team": "a"}
	d.Connector.Status = connector.WordStop
	d, err := s.Create(d)
	require.NoError(t, err)
	assert.Equal(t, 1, d.Revision)
	create(t, s, "b")

	all := load(t, rig.Open(t))
	require.Len(t, all.Definitions, 2)
	assert.Equal(t, store.Version, all.Version)
	assert.Equal(t, "b", all.Definitions[0].Connector.Name, "they are sorted by name")
	is := all.Definitions[1]
	assert.JSONEq(t, string(d.Connector.JSON()), string(is.Connector.JSON()))
	assert.Equal(t, d.Connector.Labels, is.Connector.Labels)
	assert.Equal(t, "secret", is.Connector.MQTT.Text("password"))
	assert.Equal(t, 1, is.Revision)
	assert.Equal(t, "me", is.Actor)
	require.Len(t, is.HandOver, 1)
	assert.Equal(t, "old", is.HandOver[0].From.Kafka.Topic)
	assert.Equal(t, "secret", is.HandOver[0].From.MQTT.Text("password"))
	assert.Equal(t, []string{"localhost:1883", "other:1"}, is.HandOver[0].Endpoints)
}

func namesDoNotCollide(t *testing.T, rig Rig) {
	s := rig.Open(t)
	names := []string{
		"plain-1_x", "Plain-1_x", "with space", "../../etc/passwd", "a/b", "/", ".", "..", "ü", "日本語", "a.json", "CON",
		strings.Repeat("x", 128), strings.Repeat("é", 128), strings.Repeat("é", 127) + "e", "~", "/session/x", "\x00\n\u2028", `"\`,
	}
	for i, name := range names {
		_, err := s.Create(store.Definition{Connector: Conn(t, name, fmt.Sprintf("t%d", i))})
		require.NoError(t, err, "%q", name)
	}
	all := load(t, rig.Open(t))
	assert.Empty(t, all.Unreadable)
	require.Len(t, all.Definitions, len(names))
	topics := map[string]string{}
	for _, d := range all.Definitions {
		topics[d.Connector.Name] = d.Connector.Kafka.Topic
	}
	for i, name := range names {
		assert.Equal(t, fmt.Sprintf("t%d", i), topics[name], "%q", name)
	}
}

func aPutKeepsTheRevision(t *testing.T, rig Rig) {
	s := rig.Open(t)
	d := revise(t, s, create(t, s, "c"))
	d.Connector.Status = connector.WordStop
	require.NoError(t, s.Put(d))
	is := load(t, rig.Open(t)).Definitions[0]
	assert.Equal(t, 2, is.Revision)
	assert.Equal(t, connector.WordStop, is.Connector.Status)
}

func theLastRevisionsAreKept(t *testing.T, rig Rig) {
	s := rig.Open(t)
	d := create(t, s, "c")
	assert.Empty(t, history(t, s, d), "that of today is not among them")
	for range 29 {
		d = revise(t, s, d)
	}
	s = rig.Open(t)
	past := history(t, s, load(t, s).Definitions[0])
	require.Len(t, past, store.MaxRevisions-1)
	for i, r := range past {
		assert.Equal(t, 29-i, r.Number)
		require.NoError(t, r.Unreadable)
		assert.Equal(t, fmt.Sprintf("t%d", r.Number), r.Connector.Kafka.Topic)
		assert.Equal(t, fmt.Sprintf("actor of t%d", r.Number), r.Actor)
		assert.Equal(t, "***", r.Connector.MQTT.Text("password"))
		assert.False(t, r.Time.IsZero())
	}
}

func aRevisionIsNeverUsedTwice(t *testing.T, rig Rig) {
	s := rig.Open(t)
	_, err := s.Release(revise(t, s, revise(t, s, create(t, s, "c"))))
	require.NoError(t, err)
	s = rig.Open(t)
	again := create(t, s, "c")
	assert.Equal(t, 4, again.Revision)
	assert.Empty(t, history(t, s, again), "it inherits nothing")
	for _, r := range load(t, s).Released {
		require.NoError(t, s.Forget(r))
	}
	left, err := s.Release(again)
	require.NoError(t, err)
	require.NoError(t, s.Forget(left))
	s = rig.Open(t)
	assert.Empty(t, load(t, s).Released)
	assert.Equal(t, 5, create(t, s, "c").Revision, "also when nothing of the first is left")
}

func whatADeleteReleasesIsKept(t *testing.T, rig Rig) {
	s := rig.Open(t)
	d := create(t, s, "c")
	d.HandOver = []store.HandOver{{From: Conn(t, "c", "old"), Endpoints: []string{"a:1"}}}
	require.NoError(t, s.Put(d))
	left, err := s.Release(d)
	require.NoError(t, err)

	s = rig.Open(t)
	all := load(t, s)
	assert.Empty(t, all.Definitions)
	require.Len(t, all.Released, 1)
	is := all.Released[0]
	assert.True(t, is.Is(left))
	assert.False(t, is.Old)
	assert.Equal(t, "secret", is.Connector.MQTT.Text("password"), "the login is needed to remove the session")
	assert.Len(t, is.HandOver, 1)
	require.NoError(t, s.Forget(is))
	require.NoError(t, s.Forget(is), "it may be gone")
	assert.Empty(t, load(t, rig.Open(t)).Released)
}

func aNameCanBeUsedWhileItsPastIsKept(t *testing.T, rig Rig) {
	s := rig.Open(t)
	for range 3 {
		_, err := s.Release(create(t, s, "c"))
		require.NoError(t, err)
	}
	now := revise(t, s, create(t, s, "c"))

	s = rig.Open(t)
	all := load(t, s)
	require.Len(t, all.Definitions, 1)
	require.Len(t, all.Released, 3)
	assert.False(t, all.Released[0].Is(all.Released[1]))
	require.NoError(t, s.Forget(all.Released[0]))
	require.NoError(t, s.Forget(all.Released[2]))

	all = load(t, rig.Open(t))
	require.Len(t, all.Released, 1)
	require.Len(t, all.Definitions, 1, "the connector of today stays")
	assert.Equal(t, now.Revision, all.Definitions[0].Revision)
}

func aMarkIsKept(t *testing.T, rig Rig) {
	s := rig.Open(t)
	d := create(t, s, "c")
	left, err := s.Mark(d)
	require.NoError(t, err)
	// Without revision, as that of a session that was handed over.
	_, err = s.Mark(store.Definition{Connector: Conn(t, "c", "t0")})
	require.NoError(t, err)
	revise(t, s, d)

	s = rig.Open(t)
	all := load(t, s)
	require.Len(t, all.Released, 2)
	require.Len(t, all.Definitions, 1)
	assert.Equal(t, "t2", all.Definitions[0].Connector.Kafka.Topic)
	require.NoError(t, s.Forget(left))
	all = load(t, rig.Open(t))
	require.Len(t, all.Released, 1)
	assert.Equal(t, "t0", all.Released[0].Connector.Kafka.Topic)
}

func sessionsOutliveTheStore(t *testing.T, rig Rig) {
	s := rig.Open(t)
	one := store.Session{Endpoint: "localhost:1883", ClientID: "../x\x00", Connector: "c", Made: true, Stale: true, Filters: []string{"a/#", "b"}}
	two := store.Session{Endpoint: "localhost:1884", ClientID: one.ClientID, Connector: "d"}
	require.NoError(t, s.PutSession(store.Session{Endpoint: one.Endpoint, ClientID: one.ClientID}))
	require.NoError(t, s.PutSession(one))
	require.NoError(t, s.PutSession(two))

	s = rig.Open(t)
	assert.ElementsMatch(t, []store.Session{one, two}, load(t, s).Sessions)
	require.NoError(t, s.DropSession(one.Endpoint, one.ClientID))
	require.NoError(t, s.DropSession(one.Endpoint, one.ClientID), "it may be gone")
	assert.Equal(t, []store.Session{two}, load(t, rig.Open(t)).Sessions)
}

func whatCannotBeRead(t *testing.T, rig Rig) {
	s := rig.Open(t)
	create(t, s, "good")
	create(t, s, "bad")
	require.NoError(t, s.Close())
	rig.Corrupt(t, "bad")

	for range 2 {
		s = rig.Open(t)
		all := load(t, s)
		require.Len(t, all.Definitions, 1)
		require.Len(t, all.Unreadable, 1)
		u := all.Unreadable[0]
		assert.Equal(t, "bad", u.Name)
		require.Error(t, u.Why)
		assert.NotEmpty(t, u.File)
		_, err := s.Retry(u)
		require.Error(t, err)
	}
	aside, err := s.Discard(load(t, s).Unreadable[0])
	require.NoError(t, err)
	assert.NotEmpty(t, aside)
	s = rig.Open(t)
	all := load(t, s)
	assert.Empty(t, all.Unreadable)
	assert.Len(t, all.Definitions, 1)
	assert.Greater(t, create(t, s, "bad").Revision, 1, "that of the one before is unknown, and lower")
}

func anUnreadableDefinitionIsReplaced(t *testing.T, rig Rig) {
	s := rig.Open(t)
	create(t, s, "bad")
	require.NoError(t, s.Close())
	rig.Corrupt(t, "bad")
	s = rig.Open(t)
	aside, err := s.SetAside(load(t, s).Unreadable[0])
	require.NoError(t, err)
	assert.NotEmpty(t, aside)
	_, aside, err = s.Revise(nil, store.Definition{Connector: Conn(t, "bad", "t")})
	require.NoError(t, err)
	assert.Empty(t, aside)
	all := load(t, rig.Open(t))
	assert.Empty(t, all.Unreadable)
	require.Len(t, all.Definitions, 1)
	assert.Greater(t, all.Definitions[0].Revision, 1)
}

func aRefusedChange(t *testing.T, rig Rig) {
	s := rig.Open(t)
	d := create(t, s, "c")
	session := store.Session{Endpoint: "h:1", ClientID: "x"}
	require.NoError(t, s.PutSession(session))
	require.NoError(t, s.Probe())
	before := load(t, s)

	rig.Fill(t, true)
	for what, change := range map[string]func() error{
		"create": func() error { _, err := s.Create(store.Definition{Connector: Conn(t, "new", "t")}); return err },
		"revise": func() error {
			_, _, err := s.Revise(&d, store.Definition{Connector: Conn(t, "c", "t2")})
			return err
		},
		"put":     func() error { return s.Put(d) },
		"mark":    func() error { _, err := s.Mark(d); return err },
		"session": func() error { return s.PutSession(store.Session{Endpoint: "h:2", ClientID: "y"}) },
		"probe":   s.Probe,
	} {
		err := change()
		require.Error(t, err, what)
		assert.False(t, store.Unknown(err), "%s: %v", what, err)
	}
	rig.Fill(t, false)

	after := load(t, s)
	assert.Equal(t, before.Definitions, after.Definitions)
	assert.Equal(t, before.Sessions, after.Sessions)
	assert.Empty(t, after.Released)
	d = revise(t, s, d)
	assert.Len(t, history(t, s, d), 1, "the refused one is not among them")
	require.NoError(t, s.Probe())
	all := load(t, rig.Open(t))
	require.Len(t, all.Definitions, 1)
	assert.Equal(t, d.Revision, all.Definitions[0].Revision)
}

func contentsHaveATime(t *testing.T, rig Rig) {
	s := rig.Open(t)
	before := time.Now()
	create(t, s, "c")
	all := load(t, s)
	require.NoError(t, all.Stale)
	assert.False(t, all.At.Before(before), "Sync made it include what was stored before")
	select {
	case <-s.Lost():
		t.Fatal("nobody else has the store")
	default:
	}
}
