package main

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	ucli "github.com/urfave/cli/v2"

	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/cli"
	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/connector/store"
	"github.com/robustmq/robustmq-connect/plugins/embedded"
)

// kafkaStore starts a Kafka and returns the address of a store in it, and a key file.
func kafkaStore(t *testing.T) (address, keys string) {
	t.Helper()
	kafka, err := embedded.StartKafka("127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(kafka.Close)
	key := make([]byte, 32)
	_, err = rand.Read(key)
	require.NoError(t, err)
	keys = filepath.Join(t.TempDir(), "keys.txt")
	require.NoError(t, os.WriteFile(keys, []byte("k1 "+base64.StdEncoding.EncodeToString(key)+"\n"), 0o600))
	return "kafka://" + kafka.Addr() + "/robustmq_connect", keys
}

func runStore(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, errs bytes.Buffer
	app := &ucli.App{
		Name: cli.BinaryName, ErrWriter: &errs, Writer: &out, Commands: []*ucli.Command{storeCommand()},
		ExitErrHandler: func(*ucli.Context, error) {},
	}
	err = app.RunContext(t.Context(), append([]string{cli.BinaryName, "store"}, args...))
	return out.String(), errs.String(), err
}

const createInKafka = `{"connector_name":%q,"connector_type":"kafka","tenant":"default","topic_name":"in/#","failure_strategy":"{\"strategy\":\"block\"}","config":"{\"bootstrap_servers\":\"127.0.0.1:1\",\"topic\":\"t\",\"username\":\"u\",\"password\":\"secret\"}"}`

func TestServeKeepsConnectorsInKafkaOverARestart(t *testing.T) {
	address, keys := kafkaStore(t)
	args := []string{"--store", address, "--store-key-file", keys, "--state-dir", t.TempDir(), "--drain-timeout", "100ms", "--mqtt-url", "tcp://127.0.0.1:1"}
	s := startServe(t, args...)
	assert.Contains(t, s.do("POST", "/api/cluster/connector/create", fmt.Sprintf(createInKafka, "c")), `"success"`)
	s.end()

	s = startServe(t, args...)
	list := s.do("GET", "/api/cluster/connector/list", "")
	assert.Contains(t, list, `"connector_name":"c"`)
	assert.NotContains(t, list, "secret")

	// A second service on the same store is refused.
	err := runServe(t.Context(), s.stderr, append(args, "--listen", "127.0.0.1:0")...)
	require.ErrorContains(t, err, "another service uses it")
	assert.Contains(t, s.do("POST", "/api/cluster/connector/create", fmt.Sprintf(createInKafka, "d")), `"success"`)
	s.end()
}

func TestServeRefusesWhatDoesNotBelongToItsStore(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.yaml")
	require.NoError(t, os.WriteFile(bad, []byte("seed_brokers: [h:1]\n"), 0o600))
	for want, args := range map[string][]string{
		"store-key-file: it is for a store in Kafka, and --store ":   {"--store", dir, "--store-key-file", "f"},
		"store-config: it is for a store in Kafka, and --store ":     {"--store", dir, "--store-config", "f"},
		"state-dir: it is for a store in Kafka, and --store ":        {"--store", dir, "--state-dir", "f"},
		"the prefix of the topics is missing":                        {"--store", "kafka://h:1"},
		"field seed_brokers is unknown: the fields are client_id":    {"--store", "kafka://h:1/p", "--store-config", bad},
		"store-key-file: reading " + bad + ": line 1: the id is not": {"--store", "kafka://h:1/p", "--store-key-file", bad},
		"store-config: reading /nowhere":                             {"--store", "kafka://h:1/p", "--store-config", "/nowhere"},
	} {
		var stderr bytes.Buffer
		require.ErrorContains(t, runServe(t.Context(), &stderr, args...), want)
	}
}

func TestStoreCopyMovesConnectorsBothWays(t *testing.T) {
	address, keys := kafkaStore(t)
	first, back := filepath.Join(t.TempDir(), "first"), filepath.Join(t.TempDir(), "back")
	s := startServe(t, "--store", first, "--drain-timeout", "100ms", "--mqtt-url", "tcp://127.0.0.1:1")
	for _, name := range []string{"c", "d"} {
		assert.Contains(t, s.do("POST", "/api/cluster/connector/create", fmt.Sprintf(createInKafka, name)), `"success"`)
	}
	_, _, err := runStore(t, "copy", first, address, "--store-key-file", keys)
	require.ErrorContains(t, err, "another service uses it", "its service runs")
	s.end()

	out, _, err := runStore(t, "copy", first, address, "--dry-run")
	require.NoError(t, err)
	assert.Equal(t, "c, revision 1\nd, revision 1\nWould copy 2 connectors, 0 deleted ones whose sessions remain and 0 sessions from "+first+" to "+address+"\n", out)
	_, _, err = runStore(t, "copy", first, address)
	require.ErrorContains(t, err, "a store in Kafka takes one only encrypted: start with --store-key-file")
	out, _, err = runStore(t, "copy", first, address, "--store-key-file", keys)
	require.NoError(t, err)
	assert.Contains(t, out, "Copied 2 connectors")
	_, _, err = runStore(t, "copy", first, address, "--store-key-file", keys)
	require.ErrorContains(t, err, address+" is not empty: it has 2 connectors")
	_, _, err = runStore(t, "copy", first, address, "--store-key-file", keys, "--force")
	require.NoError(t, err)

	out, _, err = runStore(t, "copy", address, back, "--store-key-file", keys)
	require.NoError(t, err)
	assert.Contains(t, out, "Copied 2 connectors")
	for _, name := range []string{"c.json", "d.json"} {
		want, err := os.ReadFile(filepath.Join(first, "connectors", name))
		require.NoError(t, err)
		got, err := os.ReadFile(filepath.Join(back, "connectors", name))
		require.NoError(t, err)
		assert.Equal(t, string(want), string(got))
	}
	_, _, err = runStore(t, "copy", first, first)
	require.ErrorContains(t, err, "FROM and TO are the same store")
	_, _, err = runStore(t, "copy", first)
	require.ErrorContains(t, err, "name two stores, FROM and TO: 1 are given")
}

// A mistyped name would otherwise be made as an empty store, and copied with success.
func TestStoreCopyRefusesASourceThatDoesNotExist(t *testing.T) {
	address, _ := kafkaStore(t)
	missing, to := filepath.Join(t.TempDir(), "missing"), filepath.Join(t.TempDir(), "to")
	for from, want := range map[string]string{
		missing:              "opening the store " + missing + ": it is no store: name the directory of serve --store",
		address + "_missing": `topic "robustmq_connect_missing-definitions" does not exist: check the address of the store`,
		"kafka:/h:9092/a":    "it does not begin with kafka://",
	} {
		_, _, err := runStore(t, "copy", from, to)
		require.ErrorContains(t, err, want)
	}
	assert.NoDirExists(t, missing)
	assert.NoDirExists(t, to)
}

// Version 1 did not record sessions: connectors would look as if others had made theirs.
func TestStoreCopyRefusesAStoreOfVersionOne(t *testing.T) {
	dir := t.TempDir()
	s, err := store.Open(dir)
	require.NoError(t, err)
	c, err := connector.Parse([]byte(`{"connector_name":"c","connector_type":"kafka","topic_name":"a","config":{"bootstrap_servers":"h:1","topic":"t"}}`))
	require.NoError(t, err)
	_, err = s.Create(store.Definition{Connector: c})
	require.NoError(t, err)
	require.NoError(t, s.Close())
	_, _, err = runStore(t, "copy", dir, filepath.Join(t.TempDir(), "to"))
	require.ErrorContains(t, err, dir+" is of version 1, which does not know all sessions: start a service with it once, and stop that")
}
