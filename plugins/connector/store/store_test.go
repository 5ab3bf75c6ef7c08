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

func open(t *testing.T, dir string) *Dir {
	t.Helper()
	s, err := Open(dir)
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func load(t *testing.T, s *Dir) Contents {
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
		"plain-1_x", "Plain-1_x", "with space", "../../etc/passwd", "a/b", ".", "..", "ü", "日本語", "a.json", "CON",
		strings.Repeat("x", 128), strings.Repeat("é", 128), strings.Repeat("é", 127) + "e", "~",
	}
	for _, name := range names {
		require.NoError(t, s.Put(Definition{Connector: conn(t, name, "before")}))
		require.NoError(t, s.Put(Definition{Connector: conn(t, name, "t"), HandOver: []HandOver{{conn(t, name, "old"), []string{"localhost:1883", "other:1"}}}}))
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
		require.Len(t, d.HandOver, 1)
		assert.Equal(t, []string{"localhost:1883", "other:1"}, d.HandOver[0].Endpoints)
		assert.Equal(t, name, d.HandOver[0].From.Name)
		assert.Equal(t, "old", d.HandOver[0].From.Kafka.Topic)
		assert.Equal(t, "secret", d.HandOver[0].From.MQTT.Text("password"), "the credentials are kept")
		assert.Equal(t, Old{}, d.Old)
	}
}

func TestFilesAreReadableOnlyByTheirOwner(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	require.NoError(t, s.Put(Definition{Connector: conn(t, "c", "t")}))
	_, err := s.Mark(Definition{Connector: conn(t, "c", "t")})
	require.NoError(t, err)
	require.NoError(t, s.PutSession(Session{Endpoint: "localhost:1883", ClientID: "x", Connector: "c"}))
	require.NoError(t, s.Upgrade())
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
	assert.Equal(t, 5, files) // three, the version and the lock

	text, err := os.ReadFile(filepath.Join(dir, "connectors", "c.json"))
	require.NoError(t, err)
	assert.True(t, strings.HasPrefix(string(text), "{\n  \"connector_name\": \"c\",\n"), "people read it:\n%s", text)
}

func TestASecondServiceIsRefused(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	_, err := Open(dir)
	require.ErrorContains(t, err, "another service uses it: stop that one, or give this one its own directory")
	require.NoError(t, s.Close())
	open(t, dir)
}

// A crash leaves a half-written file next to the complete one.
func TestAHalfWrittenFileIsIgnored(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	require.NoError(t, s.Put(Definition{Connector: conn(t, "c", "whole")}))
	whole, err := os.ReadFile(filepath.Join(dir, "connectors", "c.json"))
	require.NoError(t, err)
	for i := range len(whole) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "connectors", "c.json.tmp"), whole[:i], 0o600))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "released", "new.1.json.tmp"), whole[:i], 0o600))
		all := load(t, s)
		require.Len(t, all.Definitions, 1)
		require.Equal(t, "whole", all.Definitions[0].Connector.Kafka.Topic)
		require.Empty(t, all.Released)
		require.Empty(t, all.Ignored)
		require.Empty(t, all.Unreadable)
	}
	assert.NoFileExists(t, filepath.Join(dir, "connectors", "c.json.tmp"))
}

// A version of the program that does not understand a file must not remove it.
func TestAnUnreadableFileStaysWhereItIs(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	require.NoError(t, s.Put(Definition{Connector: conn(t, "good", "t")}))
	whole, err := os.ReadFile(filepath.Join(dir, "connectors", "good.json"))
	require.NoError(t, err)
	files := map[string]string{
		"connectors/cut.json":    string(whole[:len(whole)/2]),
		"connectors/empty.json":  "",
		"connectors/copy.json":   string(whole), // another's name
		"connectors/notes.txt":   "hello",
		"connectors/newer.json":  strings.Replace(string(whole), `"good"`, `"newer", "of_a_later_version": 1`, 1),
		"connectors/named.json":  strings.NewReplacer(`"good"`, `"named"`, `"topic"`, `"client_id": "given", "later": [], "topic"`).Replace(string(whole)),
		"connectors/chores.json": `{"before_start": 7}`,
		"released/cut.1.json":    "{",
		"sessions/cut.json":      `{"endpoint":"localhost:1883","client_id":"x","of_a_later_version":1}`,
		"version":                "7.5",
	}
	for file, text := range files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600))
	}
	require.NoError(t, os.Mkdir(filepath.Join(dir, "connectors", "folder.json"), 0o700))
	require.NoError(t, os.Symlink("loop.json", filepath.Join(dir, "connectors", "loop.json"))) // what no open gets through

	for range 2 {
		all := load(t, s)
		require.Len(t, all.Definitions, 1)
		assert.Equal(t, "good", all.Definitions[0].Connector.Name)
		assert.Equal(t, Version, all.Version)
		found := map[string]Unreadable{}
		for _, u := range all.Unreadable {
			found[u.Name] = u
			assert.Equal(t, filepath.Join(dir, "connectors", u.Name+".json"), u.File)
			assert.NotContains(t, u.Why.Error(), "secret")
		}
		assert.Len(t, found, 8)
		for name, why := range map[string]string{
			"cut":    "not one JSON object: unexpected end of JSON input",
			"empty":  "not one JSON object: unexpected end of JSON input",
			"copy":   `it holds connector "good", which belongs in good.json`,
			"newer":  `unknown field "of_a_later_version"`,
			"named":  `config: unknown field "later"`,
			"chores": "before_start: json: cannot unmarshal number",
			"folder": "is a directory",
			"loop":   "too many levels of symbolic links",
		} {
			require.Error(t, found[name].Why, name)
			assert.Contains(t, found[name].Why.Error(), why, name)
		}
		assert.Equal(t, "given", found["named"].ClientID)
		assert.Empty(t, found["newer"].ClientID)
		ignored := map[string]string{}
		for _, u := range all.Ignored {
			rel, err := filepath.Rel(dir, u.File)
			require.NoError(t, err)
			ignored[rel] = u.Why.Error()
		}
		assert.Len(t, ignored, 4)
		assert.Contains(t, ignored["connectors/notes.txt"], "it is not a connector: its name does not end in .json")
		assert.Contains(t, ignored["released/cut.1.json"], "not one JSON object")
		assert.Contains(t, ignored["sessions/cut.json"], "of_a_later_version")
		assert.Contains(t, ignored["version"], `"7.5" is not the version of a store, such as {"version": 2}`)
	}
	for file, text := range files {
		got, err := os.ReadFile(filepath.Join(dir, file))
		require.NoError(t, err)
		assert.Equal(t, text, string(got), file)
	}
	assert.DirExists(t, filepath.Join(dir, "connectors", "folder.json"))
}

func TestAnUnreadableDefinitionIsRetriedOrSetAside(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	require.NoError(t, s.Put(Definition{Connector: conn(t, "c", "t")}))
	file := filepath.Join(dir, "connectors", "c.json")
	whole, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, []byte("{"), 0o600))
	u := load(t, s).Unreadable[0]

	_, err = s.Retry(u)
	require.ErrorContains(t, err, "not one JSON object")
	require.NoError(t, os.WriteFile(file, whole, 0o600))
	d, err := s.Retry(u)
	require.NoError(t, err)
	assert.Equal(t, "c", d.Connector.Name)

	aside, err := s.SetAside(u)
	require.NoError(t, err)
	kept, err := os.ReadFile(aside)
	require.NoError(t, err)
	assert.Equal(t, string(whole), string(kept))
	assert.NoFileExists(t, file)
	_, err = s.SetAside(u)
	require.NoError(t, err, "somebody has removed the file")
}

func TestTheStoreHasAVersion(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	assert.Equal(t, Version, load(t, s).Version, "an empty one is new")
	require.NoError(t, s.Put(Definition{Connector: conn(t, "c", "t")}))
	assert.Equal(t, 1, load(t, s).Version, "the first version had no file of it")
	require.NoError(t, s.Upgrade())
	assert.Equal(t, Version, load(t, s).Version)

	newer := filepath.Join(dir, "version")
	require.NoError(t, os.WriteFile(newer, []byte(`{"version": 3, "more": []}`), 0o600))
	assert.Equal(t, 3, load(t, s).Version)
	require.NoError(t, s.Upgrade())
	assert.Equal(t, 3, load(t, s).Version, "a newer one stays")
}

func TestAReleasedConnectorIsKeptInOneStep(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	for range 3 { // of one name: each session must be removed
		d := Definition{Connector: conn(t, "c", "t"), HandOver: []HandOver{{conn(t, "c", "old"), []string{"a:1"}}}}
		require.NoError(t, s.Put(d))
		r, err := s.Release(d)
		require.NoError(t, err)
		assert.FileExists(t, r.ID)
	}
	// Somebody has removed the file.
	_, err := s.Release(Definition{Connector: conn(t, "c", "t")})
	require.NoError(t, err)

	all := load(t, s)
	assert.Empty(t, all.Definitions)
	require.Len(t, all.Released, 4)
	handedOver := 0
	for _, r := range all.Released {
		assert.Equal(t, "secret", r.Connector.MQTT.Text("password"), "the credentials are kept")
		assert.False(t, r.Old)
		handedOver += len(r.HandOver)
		require.NoError(t, s.Forget(r))
		require.NoError(t, s.Forget(r), "it may be gone")
	}
	assert.Equal(t, 3, handedOver)
	assert.Empty(t, load(t, s).Released)
}

func TestSessionsOutliveTheStore(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	one := Session{Endpoint: "localhost:1883", ClientID: "../x\x00", Connector: "c", Made: true, Stale: true, Filters: []string{"a/#", "b"}}
	two := Session{Endpoint: "localhost:1884", ClientID: one.ClientID, Connector: "d"}
	require.NoError(t, s.PutSession(Session{Endpoint: one.Endpoint, ClientID: one.ClientID}))
	require.NoError(t, s.PutSession(one))
	require.NoError(t, s.PutSession(two))
	require.NoError(t, s.Close())

	s = open(t, dir)
	assert.ElementsMatch(t, []Session{one, two}, load(t, s).Sessions)
	require.NoError(t, s.DropSession(one.Endpoint, one.ClientID))
	require.NoError(t, s.DropSession(one.Endpoint, one.ClientID), "it may be gone")
	assert.Equal(t, []Session{two}, load(t, s).Sessions)
}

func TestPutReportsWhyItFailed(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "connectors")))
	require.ErrorContains(t, s.Put(Definition{Connector: conn(t, "c", "t")}), `storing connector "c"`)
	_, err := s.Load()
	require.ErrorContains(t, err, "reading the store")
}

func TestAFullDiskIsReported(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	require.NoError(t, s.Put(Definition{Connector: conn(t, "c", "before")}))
	// It can be opened but not written.
	require.NoError(t, os.Symlink("/dev/full", filepath.Join(dir, "connectors", "c.json.tmp")))
	require.ErrorContains(t, s.Put(Definition{Connector: conn(t, "c", "after")}), "no space left on device")
	assert.Equal(t, "before", load(t, s).Definitions[0].Connector.Kafka.Topic)
}

// TestKilledWhileWriting is killed repeatedly while it replaces a file: the file is
// complete each time.
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
		killWhile(t, "STORE_TEST_DIR", dir, filepath.Join(dir, "connectors", "c.json"))
		s := open(t, dir)
		all := load(t, s)
		require.Empty(t, all.Unreadable)
		require.Len(t, all.Definitions, 1)
		topic := all.Definitions[0].Connector.Kafka.Topic
		require.Equal(t, strings.Repeat(topic[:1], 200), topic)
		require.NoError(t, s.Close())
	}
}

// killWhile runs this test in another process, which finds the directory in a variable
// of its environment, and kills it once it has written the file.
func killWhile(t *testing.T, variable, dir, file string) {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	child.Env = append(os.Environ(), variable+"="+dir)
	out, err := child.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	_, err = out.Read(make([]byte, 4))
	require.NoError(t, err)
	assert.Eventually(t, func() bool {
		_, err := os.Stat(file)
		return err == nil
	}, 10e9, 1e6)
	require.NoError(t, child.Process.Kill())
	_ = child.Wait() // killed
}
