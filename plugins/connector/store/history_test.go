package store

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

// revise stores the next definition of c, which writes to a topic.
func revise(t *testing.T, s *Dir, before Definition, topic string) Definition {
	t.Helper()
	next := Definition{Connector: conn(t, before.Connector.Name, topic), Actor: "actor of " + topic}
	next.Connector.UpdateTime = time.Date(2026, 11, 25, 0, 0, before.Revision+1, 0, time.UTC).Format(time.RFC3339Nano)
	next, aside, err := s.Revise(&before, next)
	require.NoError(t, err)
	require.Empty(t, aside)
	return next
}

func create(t *testing.T, s *Dir, name string) Definition {
	t.Helper()
	d := Definition{Connector: conn(t, name, "t1"), Actor: "actor of t1"}
	d.Connector.UpdateTime = time.Date(2026, 11, 25, 0, 0, 1, 0, time.UTC).Format(time.RFC3339Nano)
	d, err := s.Create(d)
	require.NoError(t, err)
	return d
}

func history(t *testing.T, s *Dir, d Definition) []connector.Revision {
	t.Helper()
	all, err := s.History(d)
	require.NoError(t, err)
	return all
}

func TestTheLastTwentyRevisionsAreKeptWithoutSecrets(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	d := create(t, s, "c")
	assert.Equal(t, 1, d.Revision)
	assert.Empty(t, history(t, s, d), "that of today is in its own file")
	for i := 2; i <= 30; i++ {
		d = revise(t, s, d, fmt.Sprintf("t%d", i))
		assert.Equal(t, i, d.Revision)
	}
	require.NoError(t, s.Close())

	s = open(t, dir)
	all := load(t, s)
	require.Len(t, all.Definitions, 1)
	d = all.Definitions[0]
	assert.Equal(t, 30, d.Revision)
	assert.Equal(t, "actor of t30", d.Actor)
	past := history(t, s, d)
	require.Len(t, past, MaxRevisions-1)
	for i, r := range past {
		n := 29 - i
		assert.Equal(t, n, r.Number)
		require.NoError(t, r.Unreadable)
		assert.Equal(t, time.Date(2026, 11, 25, 0, 0, n, 0, time.UTC), r.Time.UTC())
		assert.Equal(t, fmt.Sprintf("actor of t%d", n), r.Actor)
		assert.Equal(t, fmt.Sprintf("t%d", n), r.Connector.Kafka.Topic)
		assert.Equal(t, "c", r.Connector.Name)
		assert.Equal(t, "a/+", r.Connector.TopicID)
		assert.Equal(t, "u", r.Connector.MQTT.Text("username"))
		assert.Equal(t, "***", r.Connector.MQTT.Text("password"))
		assert.Equal(t, &connector.FailureStrategy{Strategy: "discard"}, r.Connector.FailureStrategy)
	}
	text, err := os.ReadFile(filepath.Join(dir, "history", "c.json"))
	require.NoError(t, err)
	assert.NotContains(t, string(text), "secret")
	assert.True(t, json.Valid(text))
	info, err := os.Stat(filepath.Join(dir, "history", "c.json"))
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
}

func TestAHistoryIsBounded(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	d := create(t, s, "c")
	for range MaxRevisions + 5 {
		// A definition of the maximum length, with characters of six bytes.
		next := Definition{Connector: conn(t, "c", "t")}
		var err error
		next.Connector.Config = json.RawMessage(`{"bootstrap_servers":"h:1","topic":"t","key":"` + strings.Repeat("<", 4000) + `"}`)
		d, _, err = s.Revise(&d, next)
		require.NoError(t, err)
		info, err := os.Stat(filepath.Join(dir, "history", "c.json"))
		require.NoError(t, err)
		assert.LessOrEqual(t, info.Size(), int64(maxHistory))
	}
	past, err := s.past("c", anyRevision)
	require.NoError(t, err)
	assert.Greater(t, len(past.Revisions()), 8)
	assert.Equal(t, d.Revision-1, past.Last(), "the oldest are dropped")
}

// A crash between the writes of the two files leaves a history with a change that was
// never confirmed.
func TestAHistoryEntryThatIsAheadOfTheDefinitionIsIgnored(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	first := create(t, s, "c")
	second := revise(t, s, first, "t2")
	definition, err := os.ReadFile(filepath.Join(dir, "connectors", "c.json"))
	require.NoError(t, err)
	revise(t, s, second, "lost")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "connectors", "c.json"), definition, 0o600))

	d := load(t, s).Definitions[0]
	assert.Equal(t, 2, d.Revision)
	require.Len(t, history(t, s, d), 1)
	assert.Equal(t, 1, history(t, s, d)[0].Number)
	d = revise(t, s, d, "t3")
	past := history(t, s, d)
	require.Len(t, past, 2)
	assert.Equal(t, []int{2, 1}, []int{past[0].Number, past[1].Number})
	assert.Equal(t, "t2", past[0].Connector.Kafka.Topic)
}

// A user who has read a connector must not change another one of the same name.
func TestARevisionIsNeverReused(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	d := revise(t, s, revise(t, s, create(t, s, "c"), "t2"), "t3")
	_, err := s.Release(d)
	require.NoError(t, err)
	assert.NoFileExists(t, filepath.Join(dir, "history", "c.json"))
	require.NoError(t, s.Close())
	s = open(t, dir)
	// A crash may have left it.
	require.NoError(t, os.WriteFile(filepath.Join(dir, "history", "c.json"), []byte(`{"revisions":[{"revision":1,"definition":{}}]}`), 0o600))
	d = create(t, s, "c")
	assert.Equal(t, 4, d.Revision)
	assert.Empty(t, history(t, s, d), "it inherits nothing")
	_, err = s.Release(create(t, s, "other"))
	require.NoError(t, err)
	assert.Equal(t, 5, create(t, s, "third").Revision)

	// Without the file, deleted connectors' revisions are unknown.
	require.NoError(t, s.Close())
	require.NoError(t, os.WriteFile(filepath.Join(dir, "revision"), []byte("7"), 0o600))
	s = open(t, dir)
	all := load(t, s)
	require.Len(t, all.Ignored, 1)
	assert.Equal(t, filepath.Join(dir, "revision"), all.Ignored[0].File)
	require.EqualError(t, all.Ignored[0].Why, `"7" is not a revision, such as {"revision": 7}`)
	assert.Equal(t, 1, create(t, s, "fourth").Revision)
}

func TestADefinitionOfAnEarlierProgramGetsARevision(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	require.NoError(t, s.Put(Definition{Connector: conn(t, "old", "t")}))
	d := revise(t, s, create(t, s, "c"), "t2")
	d.Revision, d.Actor = 0, ""
	require.NoError(t, s.Put(d), "as a program that knows no revisions")
	all := load(t, s).Definitions
	require.Len(t, all, 2)
	assert.Equal(t, "c", all[0].Connector.Name)
	assert.Equal(t, 3, all[0].Revision, "2 is what it had before that program changed it, or not")
	assert.Len(t, history(t, s, all[0]), 1)
	assert.Equal(t, "old", all[1].Connector.Name)
	assert.Equal(t, 1, all[1].Revision)
}

func TestReplacingAnUnreadableDefinitionCreatesARevision(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	revise(t, s, create(t, s, "c"), "t2") // 2
	create(t, s, "d")                     // 1
	for _, name := range []string{"c", "d"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "connectors", name+".json"), []byte("{"), 0o600))
	}
	d, aside, err := s.Revise(nil, Definition{Connector: conn(t, "c", "t")})
	require.NoError(t, err)
	assert.Empty(t, aside)
	assert.Greater(t, d.Revision, 2)
	assert.Len(t, history(t, s, d), 1)

	unreadable := load(t, s).Unreadable
	require.Len(t, unreadable, 1)
	_, err = s.Discard(unreadable[0])
	require.NoError(t, err)
	assert.Greater(t, create(t, s, "d").Revision, 1)
}

func TestAHistoryThatCannotBeReadIsSetAside(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	d := revise(t, s, create(t, s, "c"), "t2")
	file := filepath.Join(dir, "history", "c.json")
	require.NoError(t, os.WriteFile(file, []byte("{"), 0o600))
	_, err := s.History(d)
	require.ErrorContains(t, err, `reading the history of connector "c": unexpected end of JSON input`)
	d, aside, err := s.Revise(&d, Definition{Connector: conn(t, "c", "t3")})
	require.NoError(t, err)
	kept, err := os.ReadFile(aside)
	require.NoError(t, err)
	assert.Equal(t, "{", string(kept))
	require.Len(t, history(t, s, d), 1)
	assert.Equal(t, 2, history(t, s, d)[0].Number)

	// One revision of a later program does not make the others unreadable.
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, []byte(strings.Replace(string(text), `"revisions": [`, `"revisions": [{"revision":1,"definition":{"later":1}},`, 1)), 0o600))
	past := history(t, s, d)
	require.Len(t, past, 2)
	require.NoError(t, past[0].Unreadable)
	require.Error(t, past[1].Unreadable)
}

// TestKilledWhileRevising is killed repeatedly while it revises a connector: the
// history matches the former definitions.
func TestKilledWhileRevising(t *testing.T) {
	if dir := os.Getenv("STORE_REVISE_DIR"); dir != "" {
		s := open(t, dir)
		all := load(t, s).Definitions
		var d Definition
		if len(all) == 0 {
			d = create(t, s, "c")
		} else {
			d = all[0]
		}
		fmt.Println("open")
		for {
			d = revise(t, s, d, fmt.Sprintf("t%d", d.Revision+1))
		}
	}
	dir := t.TempDir()
	for range 10 {
		killWhile(t, "STORE_REVISE_DIR", dir, filepath.Join(dir, "history", "c.json"))
		s := open(t, dir)
		all := load(t, s)
		require.Empty(t, all.Unreadable)
		require.Empty(t, all.Ignored)
		require.Len(t, all.Definitions, 1)
		d := all.Definitions[0]
		require.Equal(t, fmt.Sprintf("t%d", d.Revision), d.Connector.Kafka.Topic)
		past := history(t, s, d)
		require.Len(t, past, min(d.Revision, MaxRevisions)-1)
		for i, r := range past {
			require.Equal(t, d.Revision-1-i, r.Number)
			require.Equal(t, fmt.Sprintf("t%d", r.Number), r.Connector.Kafka.Topic)
		}
		require.NoError(t, s.Close())
	}
}
