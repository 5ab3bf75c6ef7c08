package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	ucli "github.com/urfave/cli/v2"

	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/cli"
	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
)

func runToken(args ...string) (string, error) {
	var out bytes.Buffer
	app := &ucli.App{
		Name: cli.BinaryName, Writer: &out, ErrWriter: &out, Commands: []*ucli.Command{tokenCommand()},
		ExitErrHandler: func(*ucli.Context, error) {},
	}
	err := app.Run(append([]string{cli.BinaryName, "token"}, args...))
	return out.String(), err
}

func TestATokenAndItsEntryArePrinted(t *testing.T) {
	for line, want := range map[string]string{
		"alice --role operate --payloads":              "- name: \"alice\"\n  role: operate\n  payloads: true\n",
		"--payloads alice --role=operate":              "- name: \"alice\"\n  role: operate\n  payloads: true\n",
		"--role read alice":                            "- name: \"alice\"\n  role: read\n  payloads: false\n",
		"--role read --payloads=false alice":           "- name: \"alice\"\n  role: read\n  payloads: false\n",
		"alice@example.com --role admin --output text": "- name: \"alice@example.com\"\n  role: admin\n  payloads: false\n",
	} {
		out, err := runToken(strings.Fields(line)...)
		require.NoError(t, err, line)
		assert.Contains(t, out, want, line)
		assert.Regexp(t, `(?m)^rmqc_[A-Za-z0-9_-]{43}$`, out, line)

		// The printed entry is accepted by the service.
		file := filepath.Join(t.TempDir(), "tokens.yaml")
		_, entry, _ := strings.Cut(out, "--api-tokens-file:\n\n")
		require.NoError(t, os.WriteFile(file, []byte(entry), 0o600))
		_, err = admin.New(struct{ connector.Manager }{}, admin.Options{Listen: "127.0.0.1:0", TokensFile: file})
		require.NoError(t, err, line)
	}
	out, err := runToken("a", "--role", "read", "--output", "json")
	require.NoError(t, err)
	var made map[string]string
	require.NoError(t, json.Unmarshal([]byte(out), &made))
	assert.Regexp(t, `^rmqc_`, made["token"])
	assert.Contains(t, made["entry"], "hash: sha256:")
	assert.Len(t, made, 2)
}

func TestAnInvalidTokenIsRefused(t *testing.T) {
	for line, want := range map[string]string{
		"":                        "reading the words of token: it takes one, NAME, and got 0: see robustmq-connect token --help",
		"a b":                     "it takes one, NAME, and got 2",
		"a --role read b":         "it takes one, NAME, and got 2",
		"a":                       `making a token: role: "" is not a role; must be one of read, operate, admin`,
		"a --role root":           `role: "root" is not a role`,
		"a/b --role read":         `name: "a/b" is not a name`,
		"a --role read --loud":    "reading the flags of token: flag provided but not defined",
		"a --output xml --role r": `reading --output "xml": must be text or json`,
	} {
		_, err := runToken(strings.Fields(line)...)
		require.ErrorContains(t, err, want, line)
	}
}
