package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	ucli "github.com/urfave/cli/v2"

	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/cli"
	"github.com/robustmq/robustmq-connect/plugins/lint"
)

func TestMain(m *testing.M) {
	stockEnvironment = service.GlobalEnvironment().Clone()
	if err := registerComponents(service.GlobalEnvironment()); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

func testLinter(t *testing.T, opts lint.Options) *linter {
	t.Helper()
	standIns, err := lint.StandIns(service.GlobalEnvironment())
	require.NoError(t, err)
	return newLinter(standIns, opts)
}

type lintCase struct{ name, yaml string }

// readCases reads a table of pipelines, each after a line "== name".
func readCases(t *testing.T, path string) []lintCase {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	var cases []lintCase
	for _, part := range strings.Split("\n"+string(text), "\n== ")[1:] {
		name, yaml, _ := strings.Cut(part, "\n")
		cases = append(cases, lintCase{name, yaml})
	}
	return cases
}

func TestLintReportsWrongConfigsAtTheLineOfTheValue(t *testing.T) {
	cases := readCases(t, "testdata/lint_wrong.txt")
	require.GreaterOrEqual(t, len(cases), 30, "the table has lost its cases")
	t.Logf("counted %d wrong configs", len(cases))
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			findings := testLinter(t, lint.Options{Warnings: true}).yaml(c.yaml, false)
			wanted := 0
			for i, line := range strings.Split(c.yaml, "\n") {
				for _, message := range strings.Split(line, "#!")[1:] {
					wanted++
					message = strings.TrimSpace(message)
					found := false
					for _, f := range findings {
						found = found || f.Line == i+1 && strings.Contains(f.String(), message)
					}
					assert.True(t, found, "line %d: want %q\ngot %+v", i+1, message, findings)
				}
			}
			assert.Positive(t, wanted, "the case marks no line")
			assert.Len(t, findings, wanted, "%+v", findings)
		})
	}
}

func TestLintReportsNothingAboutRightConfigs(t *testing.T) {
	cases := readCases(t, "testdata/lint_right.txt")
	require.GreaterOrEqual(t, len(cases), 30, "the table has lost its cases")
	t.Logf("counted %d right configs", len(cases))
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			assert.Empty(t, testLinter(t, lint.Options{Warnings: true}).yaml(c.yaml, false))
		})
	}
}

// lintFiles runs the lint command on files and returns its output.
func lintFiles(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, errOut bytes.Buffer
	app := &ucli.App{
		Name: cli.BinaryName, Writer: &out, ErrWriter: &errOut,
		Commands:       []*ucli.Command{lintCommand(service.GlobalEnvironment())},
		ExitErrHandler: func(*ucli.Context, error) {},
	}
	err = app.Run(append([]string{cli.BinaryName, "lint"}, args...))
	return out.String(), errOut.String(), err
}

func writeFile(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func TestLintReadsFilesGlobsAndFolders(t *testing.T) {
	dir := t.TempDir()
	wrong := writeFile(t, dir, "wrong.yaml", "input:\n  robustmq_kafka:\n    topic_id: a/#/b\n")
	writeFile(t, dir, "right.yaml", "input:\n  robustmq_kafka:\n    topic_id: a\n")

	for _, target := range []string{wrong, filepath.Join(dir, "*.yaml"), dir + "/..."} {
		_, stderr, err := lintFiles(t, target)
		require.ErrorIs(t, err, cli.ErrReported)
		assert.Equal(t, wrong+"(3,15) topic_id: \"a/#/b\": '#' must be the last level; use '+' for one level in the middle\n", stderr)
	}
	stdout, _, err := lintFiles(t, "--verbose", filepath.Join(dir, "right.yaml"))
	require.NoError(t, err)
	assert.Contains(t, stdout, "right.yaml: OK")
}

// A warning is for the reader: a pipeline may trade a promise for speed.
func TestLintWarnsAboutWeakenedPromises(t *testing.T) {
	path := writeFile(t, t.TempDir(), "p.yaml", "input:\n  robustmq_kafka: { topic_id: a }\npipeline:\n  threads: 4\n  processors: [ { mapping: root = this } ]\noutput:\n  robustmq_kafka: { bootstrap_servers: \"k:1\", topic: t }\n")
	stdout, stderr, err := lintFiles(t, "--verbose", path)
	require.NoError(t, err)
	assert.Equal(t, path+": OK\n", stdout)
	assert.Equal(t, path+"(4,12) warning: pipeline.threads: lets messages of one topic overtake each other in the processors; write 1 to keep their order\n", stderr)

	wrong := writeFile(t, t.TempDir(), "q.yaml", "input:\n  robustmq_kafka: { topic_id: a, clean_session: true, qos: 3 }\noutput:\n  robustmq_kafka: { bootstrap_servers: \"k:1\", topic: t }\n")
	stdout, stderr, err = lintFiles(t, "--verbose", wrong)
	require.ErrorIs(t, err, cli.ErrReported)
	assert.Equal(t, wrong+": FAILED\n", stdout)
	assert.Equal(t, 2, strings.Count(stderr, "\n"), stderr)
}

func TestLintOfNothingFails(t *testing.T) {
	_, _, err := lintFiles(t)
	require.ErrorContains(t, err, "no file was given")
	_, _, err = lintFiles(t, filepath.Join(t.TempDir(), "*.yaml"))
	require.ErrorContains(t, err, "it matches no file")
	_, stderr, err := lintFiles(t, "nowhere.yaml")
	require.ErrorIs(t, err, cli.ErrReported)
	assert.Contains(t, stderr, "nowhere.yaml")
}

func TestLintReportsLinesOfMarkdownSnippets(t *testing.T) {
	path := writeFile(t, t.TempDir(), "README.md",
		"# Title\n\n```yaml\ninput:\n  robustmq_kafka:\n    topic_id: ${FILTER}\n    qos: 5\n```\n\n```sh\nqos: 7\n```\n")
	_, stderr, err := lintFiles(t, path)
	require.ErrorIs(t, err, cli.ErrReported)
	assert.Equal(t, path+"(7,10) qos: 5 is out of range; must be 0 to 2\n", stderr)
}

func TestLintReadsEveryKindOfFence(t *testing.T) {
	wrong := "shutdown_timeout: soon\n"
	for name, text := range map[string]string{
		"tildes":      "~~~yaml\n" + wrong + "~~~\n",
		"capitals":    "```YAML\n" + wrong + "```\n",
		"in a list":   "- ```yml\n  " + wrong + "  ```\n",
		"more words":  "```yaml title=x\n" + wrong + "```\n",
		"four of one": "````yaml\n" + wrong + "````\n",
		"without end": "```yaml\n" + wrong,
	} {
		findings := testLinter(t, lint.Options{}).markdown(text)
		if assert.NotEmpty(t, findings, name) {
			last := findings[len(findings)-1]
			assert.Equal(t, 2, last.Line, name)
			assert.Contains(t, last.String(), "shutdown_timeout", name)
		}
	}
	assert.Empty(t, testLinter(t, lint.Options{}).markdown("````md\n```yaml\n"+wrong+"```\n````\n"), "an example of Markdown")
	assert.Contains(t, testLinter(t, lint.Options{}).markdown("```yaml\na: 1\n")[0].String(), "does not end")
}

func TestLintSkipsChecksOnRequest(t *testing.T) {
	dir := t.TempDir()
	path := writeFile(t, dir, "p.yaml", `input: { stdin: {} }
output:
  robustmq_kafka:
    bootstrap_servers: ${LINT_TEST_UNSET}
    topic: t
    tls: { enabled: true, root_cas_file: /nowhere/ca.pem }
`)
	_, stderr, err := lintFiles(t, path)
	require.ErrorIs(t, err, cli.ErrReported)
	assert.Equal(t, 2, strings.Count(stderr, "\n"), stderr)

	_, stderr, err = lintFiles(t, "--skip-file-check", "--skip-env-var-check", path)
	require.NoError(t, err, stderr)
	assert.Empty(t, stderr)

	env := writeFile(t, dir, ".env", "LINT_TEST_UNSET=nope\n")
	t.Setenv("LINT_TEST_UNSET", "") // restored after the test, since the env file sets it
	_, stderr, err = lintFiles(t, "--skip-file-check", "--env-file", env, path)
	require.ErrorIs(t, err, cli.ErrReported)
	assert.Contains(t, stderr, `(4,24) bootstrap_servers: "nope" has no port`)
}

func TestLintReportsLabelsAndDeprecatedFieldsOnRequest(t *testing.T) {
	text := "input:\n  robustmq_kafka:\n    topic_id: a\noutput:\n  kafka_franz:\n    seed_brokers: [ k:1 ]\n    topic: t\n    rack_id: r\n"
	assert.Empty(t, testLinter(t, lint.Options{}).yaml(text, false))
	assert.Len(t, testLinter(t, lint.Options{Labels: true}).yaml(text, false), 2)
	assert.Len(t, testLinter(t, lint.Options{Deprecated: true}).yaml(text, false), 1)
}

func TestLintReportsWhatIsNotAPipeline(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct{ text, want string }{
		"output.yaml":    {"output:\n  drop: {}\n", "(1,1) input: " + noInput + "\n"},
		"http.yaml":      {"http: {}\noutput:\n  drop: {}\n", "(2,1) input: " + noInput + "\n"},
		"pipeline.yml":   {"pipeline:\n  processors: [ { noop: {} } ]\n", "(1,1) input: " + noInput + "\n"},
		"buffer.yaml":    {"buffer: { memory: {} }\n", "(1,1) input: " + noInput + "\n"},
		"resources.yaml": {"cache_resources: [ { label: c, memory: {} } ]\n", ""},
		"whole.yaml":     {"input: { stdin: {} }\noutput: { drop: {} }\n", ""},
		"connector.json": {`{"connector_name":"c1","connector_type":"Kafka"}`, "(1,1) " + filepath.Join(dir, "connector.json") +
			" is a connector, not a pipeline; print its pipeline: robustmq-connect mqtt connector export -f " + filepath.Join(dir, "connector.json") + " > pipeline.yaml\n"},
		"pipeline.json": {`{ "input": { "stdin": {} }, "output": { "drop": {} } }`, ""},
	} {
		path := writeFile(t, dir, name, c.text)
		_, stderr, err := lintFiles(t, path)
		if c.want == "" {
			require.NoError(t, err, stderr)
			continue
		}
		require.ErrorIs(t, err, cli.ErrReported, name)
		assert.Equal(t, path+c.want, stderr)
	}
}

// The files that an example names are on the machines of its readers.
func TestAFileThatAMarkdownSnippetNamesNeedNotExist(t *testing.T) {
	pipeline := "input:\n  generate: { mapping: root = 1 }\noutput:\n  robustmq_kafka:\n    bootstrap_servers: k:1\n    topic: t\n" +
		"    tls: { enabled: true, root_cas_file: /nowhere/ca.pem }\n" +
		"    sasl: [ { mechanism: GSSAPI, username: a@B, kerberos: { keytab_file: /nowhere/keytab, config_file: /nowhere/krb5.conf } } ]\n"
	findings := testLinter(t, lint.Options{}).yaml(pipeline, false)
	assert.Len(t, findings, 3, "%+v", findings)
	assert.Empty(t, testLinter(t, lint.Options{}).markdown("```yaml\n"+pipeline+"```\n"))
}
