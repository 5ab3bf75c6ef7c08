package tests

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/embedded"
	"github.com/robustmq/robustmq-connect/tests/program"
)

// gitops is a service, and a folder that says which connectors it has.
type gitops struct {
	t                  *testing.T
	server, store, dir string
	secrets            string
	kafka, broker      string
	service            *program.Process
}

// newGitops starts a service between servers in this process. The flags are more of serve,
// in which KAFKA and API stand for addresses.
func newGitops(t *testing.T, flags ...string) *gitops {
	t.Helper()
	broker, err := embedded.StartBroker("127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { broker.Close() })
	kafka, err := embedded.StartKafka("127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { kafka.Close() })
	g := &gitops{
		t: t, server: program.FreeAddress(t), store: t.TempDir(), dir: t.TempDir(), secrets: t.TempDir(),
		kafka: kafka.Addr(), broker: broker.URL(),
	}
	args := []string{"serve", "--store", g.store, "--listen", g.server, "--mqtt-url", g.broker}
	for _, flag := range flags {
		args = append(args, strings.NewReplacer("KAFKA", g.kafka, "API", g.server).Replace(flag))
	}
	g.service = program.Start(t, g.server, args...)
	g.service.WaitReady()
	return g
}

// connectors runs a connectors command. The secret is in the environment.
func (g *gitops) connectors(stdin string, args ...string) program.Result {
	g.t.Helper()
	environment := []string{"ROBUSTMQ_API_URL=" + g.server, "MQTT_PASSWORD=from-the-environment"}
	return program.Call(g.t, stdin, environment, program.Path(g.t), append([]string{"connectors"}, args...)...)
}

func (g *gitops) apply(args ...string) program.Result {
	g.t.Helper()
	return g.connectors("", append([]string{"apply", "-f", g.dir, "--secrets-dir", g.secrets}, args...)...)
}

func (g *gitops) write(file, text string) {
	g.t.Helper()
	path := filepath.Join(g.dir, file)
	require.NoError(g.t, os.MkdirAll(filepath.Dir(path), 0o700))
	require.NoError(g.t, os.WriteFile(path, []byte(text), 0o600))
}

func (g *gitops) yaml(name, topic string) string {
	return fmt.Sprintf("connector_name: %s\ntopic_name: in/%s/#\nconfig:\n  bootstrap_servers: %s\n  topic: %s\n", name, name, g.kafka, topic)
}

// outcome is what apply --output json prints.
type outcome struct {
	DryRun     bool `json:"dry_run"`
	Connectors []struct {
		Name     string `json:"connector_name"`
		Action   string
		Revision int
		Result   string
		Changes  []struct{ Field string }
	}
}

func (g *gitops) outcome(r program.Result) (all outcome, actions map[string]int) {
	g.t.Helper()
	require.NoError(g.t, json.Unmarshal([]byte(r.Stdout), &all), "%+v", r)
	actions = map[string]int{}
	for _, c := range all.Connectors {
		actions[c.Action]++
	}
	return all, actions
}

// A repository of fifty connectors: all are created, three are edited, two removed.
func TestApplyKeepsFiftyConnectorsAsAFolderSays(t *testing.T) {
	g := newGitops(t)
	for i := range 40 { // a file each, in folders
		g.write(fmt.Sprintf("site-%d/c%02d.yaml", i%4, i), "# one\n"+g.yaml(fmt.Sprintf("c%02d", i), "t"))
	}
	var several strings.Builder
	for i := 40; i < 48; i++ { // many in a file, with what they have in common written once
		several.WriteString("---\n" + g.yaml(fmt.Sprintf("c%02d", i), "t") + "failure_strategy: {strategy: dead_message_queue, topic_name: dead}\n")
	}
	g.write("several.yml", several.String())
	g.write("two.json", fmt.Sprintf(`[{"connector_name":"c48","topic_name":"a","config":{"bootstrap_servers":%q,"topic":"t","key":"\ud83d\ude00"}},
		{"connector_name":"c49","topic_name":"b","config":{"bootstrap_servers":%q,"topic":"t","username":"ada","password":"${MQTT_PASSWORD}"}}]`, g.kafka, g.kafka))
	g.write("README.md", "not a connector")
	g.write(".hidden.yaml", "not: [a connector")

	r := g.apply("--dry-run")
	assert.Equal(t, 2, r.Code, r.Stderr)
	assert.Contains(t, r.Stdout, "\n50 to create, 0 to update, 0 to delete, 0 as they should be\n")
	assert.Contains(t, r.Stdout, "+ c48: create it from "+filepath.Join(g.dir, "two.json")+", connector 1\n")
	assert.NotContains(t, r.Stdout+r.Stderr, "from-the-environment")
	assert.NotContains(t, r.Stdout, "\x1b", "no terminal, no colours")
	r = g.connectors("", "get", "-o", "json")
	assert.Equal(t, "[]\n", r.Stdout, "a dry run creates nothing")

	r = g.apply()
	assert.Zero(t, r.Code, r.Stderr)
	assert.Equal(t, 50, strings.Count(r.Stdout, ": created, revision 1\n"), r.Stdout)
	for _, args := range [][]string{{"--dry-run"}, nil, {"--prune"}} {
		r = g.apply(args...)
		assert.Zero(t, r.Code, "%+v", r)
		assert.Equal(t, "0 to create, 0 to update, 0 to delete, 50 as they should be\n", r.Stdout)
		assert.Empty(t, r.Stderr)
	}

	// What get prints changes nothing, in either form, and to the byte.
	for _, format := range []string{"yaml", "json"} {
		got := g.connectors("", "get", "-o", format)
		require.Zero(t, got.Code, got.Stderr)
		assert.NotContains(t, got.Stdout, "from-the-environment")
		r = g.connectors(got.Stdout, "apply", "--file", "-", "--prune")
		assert.Zero(t, r.Code, r.Stderr)
		assert.Equal(t, "0 to create, 0 to update, 0 to delete, 50 as they should be\n", r.Stdout)
		assert.Equal(t, got.Stdout, g.connectors("", "get", "-o", format).Stdout)
	}
	r = g.connectors("", "get", "c49", "-o", "yaml")
	assert.Contains(t, r.Stdout, "connector_name: c49\n")
	assert.Contains(t, r.Stdout, "  password: '***'\n")

	// Three are edited and two are removed.
	g.write("site-0/c00.yaml", g.yaml("c00", "other"))
	g.write("site-1/c01.yaml", strings.Replace(g.yaml("c01", "t"), "in/c01/#", "elsewhere/#", 1))
	g.write("site-2/c02.yaml", g.yaml("c02", "t")+"  acks: \"1\"\n")
	require.NoError(t, os.Remove(filepath.Join(g.dir, "site-3/c03.yaml")))
	require.NoError(t, os.Remove(filepath.Join(g.dir, "site-3/c07.yaml")))
	r = g.apply("--dry-run", "--prune", "--output", "json")
	assert.Equal(t, 2, r.Code, r.Stderr)
	all, actions := g.outcome(r)
	assert.True(t, all.DryRun)
	assert.Equal(t, map[string]int{"update": 3, "delete": 2, "none": 45}, actions)
	r = g.apply("--dry-run")
	assert.Equal(t, 2, r.Code, r.Stderr)
	assert.Equal(t, `~ c00: update revision 1 to `+g.dir+`/site-0/c00.yaml
    ~ config.topic: "t" -> "other"
~ c01: update revision 1 to `+g.dir+`/site-1/c01.yaml
    ~ topic_name: "in/c01/#" -> "elsewhere/#"
~ c02: update revision 1 to `+g.dir+`/site-2/c02.yaml
    + config.acks: "1"
0 to create, 3 to update, 0 to delete, 45 as they should be
`, r.Stdout)
	assert.Contains(t, r.Stderr, "note: c02: ", "what the change costs is said before it is made")

	r = g.apply("--prune")
	assert.Zero(t, r.Code, r.Stderr)
	assert.Contains(t, r.Stdout, "- c03: delete revision 1, no file names it\n- c07: delete revision 1, no file names it\n")
	assert.Contains(t, r.Stdout, "0 to create, 3 to update, 2 to delete, 45 as they should be\nc03: deleted\nc07: deleted\nc00: updated, revision 2\n")
	r = g.apply("--prune", "--output", "json")
	assert.Zero(t, r.Code, r.Stderr)
	_, actions = g.outcome(r)
	assert.Equal(t, map[string]int{"none": 48}, actions)
	stored, err := filepath.Glob(filepath.Join(g.store, "connectors", "*.json"))
	require.NoError(t, err)
	assert.Len(t, stored, 48)
}

func TestApplySetsAndKeepsSecrets(t *testing.T) {
	g := newGitops(t)
	described := func(password string) string {
		return g.yaml("c", "t") + "  urls: [" + g.broker + "]\n  username: ada\n  password: " + password + "\n"
	}
	stored := func() string {
		text, err := os.ReadFile(filepath.Join(g.store, "connectors", "c.json"))
		require.NoError(t, err)
		return string(text)
	}
	g.write("c.yaml", described(`"***"`))
	r := g.apply()
	assert.Equal(t, 1, r.Code)
	assert.Contains(t, r.Stderr, filepath.Join(g.dir, "c.yaml")+`: connector "c": config.password: *** keeps a stored secret, and none is stored: give the secret itself`)
	assert.Contains(t, r.Stderr, "applying connectors: the server refuses 1 of 1 definitions, and so nothing is changed\n")

	g.write("c.yaml", described("${MQTT_PASSWORD}"))
	r = g.apply()
	require.Zero(t, r.Code, r.Stderr)
	assert.Contains(t, stored(), `"password": "from-the-environment"`)
	assert.Equal(t, "0 to create, 0 to update, 0 to delete, 1 as they should be\n", g.apply().Stdout, "it is the same")

	require.NoError(t, os.WriteFile(filepath.Join(g.secrets, "MQTT_PASSWORD"), []byte("from a file\n"), 0o600))
	r = g.apply()
	require.Zero(t, r.Code, r.Stderr)
	assert.Contains(t, r.Stdout, "    ~ config.password: the secret changes\n")
	assert.Contains(t, stored(), `"password": "from a file"`)
	g.write("c.yaml", described(`"***"`))
	assert.Equal(t, "0 to create, 0 to update, 0 to delete, 1 as they should be\n", g.apply().Stdout, "*** keeps it")

	g.write("c.yaml", strings.Replace(described(`"***"`), g.broker, "tcp://127.0.0.1:1", 1))
	r = g.apply()
	assert.Equal(t, 1, r.Code)
	assert.Contains(t, r.Stderr, "config.urls changes that: give the secret itself")
	g.write("c.yaml", described("${NO_SUCH_SECRET}"))
	r = g.apply()
	assert.Equal(t, 1, r.Code)
	assert.Contains(t, r.Stderr, "config.password: ${NO_SUCH_SECRET}: it is neither a file in --secrets-dir "+g.secrets+" nor an environment variable\n")
	assert.NotContains(t, r.Stderr, "from a file")
}

// A file that names no labels says that there are none.
func TestApplyAddsAndRemovesLabels(t *testing.T) {
	g := newGitops(t)
	g.write("c.yaml", g.yaml("c", "t")+"labels: {site: north}\n")
	require.Zero(t, g.apply().Code)
	assert.Contains(t, g.connectors("", "get", "c").Stdout, "labels:\n  site: north\n")
	got := g.connectors("", "get").Stdout
	assert.Equal(t, "0 to create, 0 to update, 0 to delete, 1 as they should be\n", g.connectors(got, "apply", "-f", "-").Stdout)
	g.write("c.yaml", g.yaml("c", "t"))
	r := g.apply()
	assert.Zero(t, r.Code, r.Stderr)
	assert.Contains(t, r.Stdout, "    - labels.site: \"north\"\n")
	assert.NotContains(t, g.connectors("", "get", "c").Stdout, "labels")
	assert.Equal(t, "0 to create, 0 to update, 0 to delete, 1 as they should be\n", g.apply().Stdout)
}

// One that is wrong stops all before anything is changed.
func TestApplyChangesNothingWhereADefinitionIsWrong(t *testing.T) {
	g := newGitops(t)
	g.write("good.yaml", g.yaml("good", "t"))
	g.write("bad.yaml", g.yaml("bad", "t")+"  acks: \"7\"\n")
	g.write("worse.yaml", strings.Replace(g.yaml("worse", "t"), "in/worse/#", "in/#/x", 1))
	r := g.apply("--prune")
	assert.Equal(t, 1, r.Code)
	assert.Empty(t, r.Stdout)
	lines := strings.Split(strings.TrimSpace(r.Stderr), "\n")
	require.Len(t, lines, 3, r.Stderr)
	assert.Contains(t, lines[0], `connector "bad": `)
	assert.Contains(t, lines[1], `connector "worse": `)
	assert.Contains(t, lines[2], "the server refuses 2 of 3 definitions, and so nothing is changed")
	assert.Equal(t, "[]\n", g.connectors("", "get", "-o", "json").Stdout)
}

// A service that runs is backed up, and another one goes on with what it had.
func TestABackupOfAServiceThatRunsIsRestoredElsewhere(t *testing.T) {
	g := newGitops(t)
	for i := range 3 {
		g.write(fmt.Sprintf("c%d.yaml", i), g.yaml(fmt.Sprintf("c%d", i), "t")+"  username: ada\n  password: ${MQTT_PASSWORD}\n")
	}
	require.Zero(t, g.apply().Code)
	g.write("c1.yaml", g.yaml("c1", "other")+"  username: ada\n  password: ${MQTT_PASSWORD}\n")
	require.Zero(t, g.apply().Code)
	passphrase := filepath.Join(t.TempDir(), "passphrase")
	require.NoError(t, os.WriteFile(passphrase, []byte("correct horse battery\n"), 0o600))
	file := filepath.Join(t.TempDir(), "store.age")
	r := g.connectors("", "backup", "--store", g.store, "--out", file, "--passphrase-file", passphrase)
	require.Zero(t, r.Code, r.Stderr)
	assert.Equal(t, "Backed up 3 connectors of "+g.store+" into "+file+"\n", r.Stdout)

	r = g.connectors("", "restore", file, "--store", g.store, "--passphrase-file", passphrase)
	assert.Equal(t, 1, r.Code)
	assert.Contains(t, r.Stderr, "another service uses it: stop that one, or give this one its own directory")

	before := g.connectors("", "get").Stdout
	g.store = filepath.Join(t.TempDir(), "new")
	r = g.connectors("", "restore", file, "--store", g.store, "--passphrase-file", passphrase)
	require.Zero(t, r.Code, r.Stderr)
	g.server = program.FreeAddress(t)
	program.Start(t, g.server, "serve", "--store", g.store, "--listen", g.server, "--mqtt-url", g.broker, "--mqtt-client-id-prefix", "elsewhere").WaitReady()
	assert.Equal(t, before, g.connectors("", "get").Stdout)
	assert.Equal(t, "0 to create, 0 to update, 0 to delete, 3 as they should be\n", g.apply("--prune").Stdout, "secrets included")
	history := program.Call(t, "", []string{"ROBUSTMQ_API_URL=" + g.server}, program.Path(t), "mqtt", "connector", "history", "-c", "c1", "--output", "json")
	assert.Contains(t, history.Stdout, `"revision": 2`)
	assert.Contains(t, history.Stdout, `"revision": 1`)
}
