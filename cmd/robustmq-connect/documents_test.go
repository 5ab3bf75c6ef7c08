package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	ucli "github.com/urfave/cli/v2"

	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/cli"
	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/control"
	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/demo"
	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
	"github.com/robustmq/robustmq-connect/plugins/envelope"
	"github.com/robustmq/robustmq-connect/plugins/kafka"
)

// top is the root of the repository.
const top = "../.."

// documents returns the files that users read, by path. Their commands, YAML, records
// and links are tested.
func documents(t *testing.T) map[string]string {
	t.Helper()
	paths := []string{"README.md", "config/README.md"}
	found, err := filepath.Glob(filepath.Join(top, "resources/docs/*.md"))
	require.NoError(t, err)
	for _, path := range found {
		paths = append(paths, "resources/docs/"+filepath.Base(path))
	}
	require.GreaterOrEqual(t, len(paths), 12)
	texts := map[string]string{}
	for _, path := range paths {
		text, err := os.ReadFile(filepath.Join(top, path))
		require.NoError(t, err)
		texts[path] = string(text)
	}
	return texts
}

// fenced returns the blocks of a language in a document, without the indentation that
// they have inside a list.
func fenced(document, language string) []string {
	var blocks []string
	for _, m := range regexp.MustCompile("(?ms)^( *)```"+language+"\n(.*?)\n *```$").FindAllStringSubmatch(document, -1) {
		blocks = append(blocks, regexp.MustCompile("(?m)^"+m[1]).ReplaceAllString(m[2], ""))
	}
	return blocks
}

func TestDocumentsLint(t *testing.T) {
	snippets := 0
	for path, text := range documents(t) {
		snippets += len(fenced(text, "yaml"))
		_, stderr, err := lintFiles(t, filepath.Join(top, path))
		require.NoError(t, err, stderr)
	}
	assert.GreaterOrEqual(t, snippets, 6)
}

func TestRecordsOfDocumentsDecode(t *testing.T) {
	records := 0
	for path, text := range documents(t) {
		for _, record := range fenced(text, "json") {
			records++
			_, err := envelope.DecodeFormat([]byte(record), "", true)
			require.NoError(t, err, path)
		}
	}
	assert.Positive(t, records)
}

// The first line of a block of settings says what they belong to; other blocks are for
// mosquitto.
func TestSettingsOfDocumentsAreKnown(t *testing.T) {
	servers, err := os.ReadFile(filepath.Join(top, "tests/servers/mosquitto.sh"))
	require.NoError(t, err)
	settings := 0
	for path, text := range documents(t) {
		for _, block := range fenced(text, "conf") {
			settings++
			if strings.HasPrefix(block, "# connectors.yaml\n") {
				assertConnectors(t, path, block)
				continue
			}
			if first, file, _ := strings.Cut(block, "\n"); first == "# serve.yaml" {
				app := &ucli.App{
					Commands:       []*ucli.Command{{Name: "serve", Flags: serveFlags(), Action: applyFile}},
					ExitErrHandler: func(*ucli.Context, error) {},
				}
				require.NoError(t, app.Run([]string{cli.BinaryName, "serve", "--config", writeFile(t, t.TempDir(), "serve.yaml", file)}), path)
				continue
			}
			if first, file, _ := strings.Cut(block, "\n"); first == "# store.yaml" {
				_, err := kafka.ClientOptions([]string{"localhost:9092"}, file)
				require.NoError(t, err, path)
				continue
			}
			for line := range strings.Lines(block) {
				if name, _, _ := strings.Cut(line, " "); name != "#" {
					assert.Contains(t, string(servers), name+" ", "%s: the tests' mosquitto has no %s", path, name)
				}
			}
		}
	}
	assert.GreaterOrEqual(t, settings, 4)
}

// assertConnectors plans the connectors of a block at a server that validates
// definitions.
func assertConnectors(t *testing.T, path, block string) {
	t.Helper()
	t.Setenv("MQTT_PASSWORD", "secret")
	planned := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		_, err = connector.Parse(body)
		assert.NoError(t, err, path)
		planned++
		_, _ = io.WriteString(w, `{"code":0,"data":{"exists":false},"error":null}`)
	}))
	defer server.Close()
	app := &ucli.App{
		Reader: strings.NewReader(block), Writer: io.Discard, ErrWriter: io.Discard,
		Commands: []*ucli.Command{control.ConnectorsCommand()}, ExitErrHandler: func(*ucli.Context, error) {},
	}
	err := app.Run([]string{cli.BinaryName, "connectors", "apply", "-f", "-", "--dry-run", "--server", server.URL})
	require.ErrorIs(t, err, cli.ErrPending, path)
	assert.Positive(t, planned)
}

// foreign are programs of other projects that the documents use.
var foreign = []string{"sudo", "docker", "mosquitto_pub", "kcat", "promtool", "age-keygen", "kubectl", "helm"}

func TestCommandsOfDocumentsExist(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join(top, "Makefile"))
	require.NoError(t, err)
	targets, commands, requests := 0, 0, 0
	for path, text := range documents(t) {
		for _, block := range fenced(text, "sh") {
			for _, line := range commandLines(block) {
				words := strings.Fields(line)
				for _, file := range regexp.MustCompile(`(?:^|[ =])((?:config|resources)/[\w./-]+)`).FindAllStringSubmatch(line, -1) {
					_, err := os.Stat(filepath.Join(top, file[1])) // a file, or the folder of a chart
					require.NoError(t, err, line)
				}
				switch words[0] {
				case "make":
					targets++
					assert.Regexp(t, `(?m)^`+words[1]+`:`, string(makefile), line)
				case "curl":
					requests++
					assertRequest(t, line)
				case cli.BinaryName:
					commands++
					assertInvocation(t, words[1:], line)
				default:
					assert.Contains(t, foreign, words[0], "%s: no program that this test knows: %s", path, line)
				}
			}
		}
	}
	assert.GreaterOrEqual(t, targets, 5)
	assert.GreaterOrEqual(t, commands, 15)
	assert.GreaterOrEqual(t, requests, 4)
}

// commandLines returns the commands of a block. A command continues after a backslash
// and within quotes; a server's answer is JSON and is skipped.
func commandLines(block string) []string {
	var lines []string
	open := ""
	for line := range strings.Lines(strings.ReplaceAll(block, "\\\n", " ")) {
		open += line
		if strings.Count(open, "'")%2 == 1 {
			continue
		}
		line := strings.TrimSpace(open)
		open = ""
		if substituted, ok := strings.CutPrefix(line, "source <("); ok {
			line = strings.TrimSuffix(substituted, ")")
		}
		if line != "" && !strings.HasPrefix(line, "{") {
			lines = append(lines, line)
		}
	}
	return lines
}

func assertInvocation(t *testing.T, words []string, line string) {
	t.Helper()
	env := service.GlobalEnvironment()
	own := []*ucli.Command{serveCommand(env), control.Command(documentLinter(env)), control.ConnectorsCommand(), demo.Command(), completionCommand(), healthCommand(), tokenCommand(), storeCommand()}
	upstream := []string{"lint", "run", "streams", "test", "echo", "create", "list"}
	call := parseInvocation(words)
	assert.False(t, call.bare, line)
	if call.command != "" && !slices.Contains(upstream, call.command) {
		assertCommand(t, own, words, line)
	}
}

// assertCommand follows the words to the command that they name, and checks every flag
// on the way.
func assertCommand(t *testing.T, commands []*ucli.Command, words []string, line string) {
	t.Helper()
	var known []string
	at := "" // the last command found
	for _, word := range words {
		if flag, isFlag := strings.CutPrefix(word, "--"); isFlag {
			assert.Contains(t, known, flag, line)
			continue
		}
		for _, c := range commands {
			if c.Name == word {
				at, commands = word, c.Subcommands
				for _, flag := range c.Flags {
					known = append(known, flag.Names()...)
				}
				break
			}
		}
	}
	assert.NotEmpty(t, at, "no command of ours: %s", line)
	assert.Empty(t, commands, "%s lacks a subcommand: %s", at, line)
}

// assertRequest checks that the path of a request is one of the admin API.
func assertRequest(t *testing.T, line string) {
	t.Helper()
	m := regexp.MustCompile(`https?://[^/\s']+(/[\w/]*)`).FindStringSubmatch(line)
	require.NotNil(t, m, line)
	assert.Contains(t, admin.Paths(), m[1], line)
}

// A new user reads only README.
func TestREADMEIsShortAndNamesEveryDocument(t *testing.T) {
	texts := documents(t)
	assert.LessOrEqual(t, strings.Count(texts["README.md"], "\n"), 180)
	for path := range texts {
		if path != "README.md" {
			assert.Contains(t, texts["README.md"], "]("+path, "README.md has no link to %s", path)
		}
	}
}

func TestEveryExampleHasALineInItsREADME(t *testing.T) {
	text := documents(t)["config/README.md"]
	files, err := os.ReadDir(filepath.Join(top, "config"))
	require.NoError(t, err)
	lines := 0
	for _, file := range files {
		if name := file.Name(); name != "README.md" {
			lines++
			assert.Regexp(t, `(?m)^\| \[`+regexp.QuoteMeta(name)+`\]\(`+regexp.QuoteMeta(name)+`\) \| .+ \|$`, text)
		}
	}
	assert.GreaterOrEqual(t, lines, 10)
}
