package store

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

func open(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir)
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func load(t *testing.T, s *Store) Contents {
	t.Helper()
	all, err := s.Load()
	require.NoError(t, err)
	return all
}

func conn(t *testing.T, name, topic string) connector.Connector {
	t.Helper()
	quoted, err := json.Marshal(name)
	require.NoError(t, err)
	c, err := connector.Parse(fmt.Appendf(nil,
		`{"connector_name":%s,"connector_type":"kafka","tenant":"default","topic_name":"a/+","config":{"bootstrap_servers":"h:1","topic":%q,"username":"u","password":"secret"},"failure_strategy":{"strategy":"discard"},"create_time":"2026-11-23T01:02:03.000000004Z"}`, quoted, topic))
	require.NoError(t, err)
	return c
}

func TestDefinitionsOutliveTheStore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	s := open(t, dir)
	names := []string{
		"plain-1_x", "Plain-1_x", "with space", "../../etc/passwd", "a/b", ".", "..", "ü", "日本語", "a.json", "x\x00y", "CON",
		strings.Repeat("x", 128), strings.Repeat("é", 128), strings.Repeat("é", 127) + "e", "~", "a\nb",
	}
	for _, name := range names {
		require.NoError(t, s.Put(Definition{Connector: conn(t, name, "before")}))
		require.NoError(t, s.Put(Definition{Connector: conn(t, name, "t"), Before: Chores{ForgetSession: true, Unsubscribe: []string{"old/#"}}}))
	}
	require.NoError(t, s.Close())

	all := load(t, open(t, dir))
	require.Len(t, all.Definitions, len(names))
	assert.Empty(t, all.Unreadable)
	found := map[string]Definition{}
	for _, d := range all.Definitions {
		found[d.Connector.Name] = d
	}
	for _, name := range names {
		d, ok := found[name]
		require.True(t, ok, "%q", name)
		assert.Equal(t, "t", d.Connector.Kafka.Topic)
		assert.Equal(t, "secret", d.Connector.MQTT.Text("password"))
		assert.Equal(t, "2026-11-23T01:02:03.000000004Z", d.Connector.CreateTime)
		assert.Equal(t, Chores{ForgetSession: true, Unsubscribe: []string{"old/#"}}, d.Before)
	}
}

func TestFilesAreReadableByTheirOwnerAlone(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	require.NoError(t, s.Put(Definition{Connector: conn(t, "c", "t")}))
	_, err := s.Mark(conn(t, "c", "t"))
	require.NoError(t, err)
	files := 0
	require.NoError(t, filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		assert.Equal(t, os.FileMode(0o600), info.Mode().Perm(), path)
		files++
		return err
	}))
	assert.Equal(t, 3, files) // two and the lock

	text, err := os.ReadFile(filepath.Join(dir, "connectors", "c.json"))
	require.NoError(t, err)
	assert.True(t, strings.HasPrefix(string(text), "{\n  \"connector_name\": \"c\",\n"), "people read it:\n%s", text)
}

func TestASecondServiceIsRefused(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	_, err := Open(dir)
	require.ErrorContains(t, err, "another service uses it: stop that one, or give this one a directory of its own")
	require.NoError(t, s.Close())
	open(t, dir)
}

// A crash leaves a file that was being written beside the whole one.
func TestAHalfWrittenFileIsNothing(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	require.NoError(t, s.Put(Definition{Connector: conn(t, "c", "whole")}))
	whole, err := os.ReadFile(filepath.Join(dir, "connectors", "c.json"))
	require.NoError(t, err)
	for i := range len(whole) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "connectors", "c.json.tmp"), whole[:i], 0o600))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "removed", "new.1.json.tmp"), whole[:i], 0o600))
		all := load(t, s)
		require.Len(t, all.Definitions, 1)
		require.Equal(t, "whole", all.Definitions[0].Connector.Kafka.Topic)
		require.Empty(t, all.Removed)
		require.Empty(t, all.Unreadable)
	}
	assert.NoFileExists(t, filepath.Join(dir, "connectors", "c.json.tmp"))
}

func TestWhatCannotBeReadIsSetAside(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	require.NoError(t, s.Put(Definition{Connector: conn(t, "good", "t")}))
	whole, err := os.ReadFile(filepath.Join(dir, "connectors", "good.json"))
	require.NoError(t, err)
	for file, text := range map[string]string{
		"connectors/cut.json":    string(whole[:len(whole)/2]),
		"connectors/empty.json":  "",
		"connectors/copy.json":   string(whole), // another's name
		"connectors/notes.txt":   "hello",
		"connectors/newer.json":  strings.Replace(string(whole), `"good"`, `"newer", "of_a_later_version": 1`, 1),
		"connectors/chores.json": `{"before_start": 7}`,
		"removed/cut.1.json":     "{",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600))
	}
	require.NoError(t, os.Mkdir(filepath.Join(dir, "connectors", "folder.json"), 0o700))

	all := load(t, s)
	require.Len(t, all.Definitions, 1)
	assert.Equal(t, "good", all.Definitions[0].Connector.Name)
	require.Len(t, all.Unreadable, 8)
	for _, u := range all.Unreadable {
		assert.NoFileExists(t, u.File)
		_, err := os.Stat(u.Aside)
		require.NoError(t, err)
		require.Error(t, u.Why)
		assert.NotContains(t, u.Why.Error(), "secret")
	}
	assert.Empty(t, load(t, s).Unreadable, "they are out of the way")
}

func TestARemovedConnectorIsMarkedInOneStep(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	for range 3 { // of one name: each session must go
		require.NoError(t, s.Put(Definition{Connector: conn(t, "c", "t")}))
		_, err := s.Remove(conn(t, "c", "t"))
		require.NoError(t, err)
	}
	_, err := s.Remove(conn(t, "c", "t"))
	require.ErrorIs(t, err, os.ErrNotExist)

	all := load(t, s)
	assert.Empty(t, all.Definitions)
	require.Len(t, all.Removed, 3)
	for _, r := range all.Removed {
		assert.Equal(t, "secret", r.Connector.MQTT.Text("password"), "what it takes to log in")
		require.NoError(t, s.Forget(r))
	}
	assert.Empty(t, load(t, s).Removed)
}

func TestPutTellsWhyItFailed(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "connectors")))
	require.ErrorContains(t, s.Put(Definition{Connector: conn(t, "c", "t")}), `storing connector "c"`)
	_, err := s.Load()
	require.ErrorContains(t, err, "reading the store")
}

// TestKilledWhileWriting is killed again and again while it replaces a file: the
// file is whole each time.
func TestKilledWhileWriting(t *testing.T) {
	if dir := os.Getenv("STORE_TEST_DIR"); dir != "" {
		s := open(t, dir)
		fmt.Println("open")
		for i := 0; ; i++ {
			require.NoError(t, s.Put(Definition{Connector: conn(t, "c", strings.Repeat(string(rune('a'+i%26)), 200))}))
		}
	}
	dir := t.TempDir()
	for range 10 {
		child := exec.Command(os.Args[0], "-test.run=^TestKilledWhileWriting$")
		child.Env = append(os.Environ(), "STORE_TEST_DIR="+dir)
		out, err := child.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, child.Start())
		_, err = out.Read(make([]byte, 4))
		require.NoError(t, err)
		assert.Eventually(t, func() bool { // it has written something
			_, err := os.Stat(filepath.Join(dir, "connectors", "c.json"))
			return err == nil
		}, 10e9, 1e6)
		require.NoError(t, child.Process.Kill())
		_ = child.Wait() // killed

		s := open(t, dir)
		all := load(t, s)
		require.Empty(t, all.Unreadable)
		require.Len(t, all.Definitions, 1)
		topic := all.Definitions[0].Connector.Kafka.Topic
		require.Equal(t, strings.Repeat(topic[:1], 200), topic)
		require.NoError(t, s.Close())
	}
}
