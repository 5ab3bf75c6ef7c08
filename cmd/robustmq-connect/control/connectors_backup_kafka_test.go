package control

import (
	"context"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/connector/store"
	"github.com/robustmq/robustmq-connect/plugins/connector/store/kafkastore"
	"github.com/robustmq/robustmq-connect/plugins/embedded"
)

// kafkaStoreWith starts a Kafka with a store of one connector, which is open as that of a
// service. It returns the address without the prefix, which is "first", and a key file.
func kafkaStoreWith(t *testing.T, password string) (cluster, keys string) {
	t.Helper()
	kafka, err := embedded.StartKafka("127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(kafka.Close)
	cluster = kafkastore.Scheme + kafka.Addr() + "/"
	text := "k1 " + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", 32))) + "\n"
	keys = writeFile(t, t.TempDir(), "store-keys", text)
	address, err := kafkastore.ParseAddress(cluster + "first")
	require.NoError(t, err)
	parsed, err := kafkastore.ParseKeys(text)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s, err := kafkastore.Open(ctx, kafkastore.Options{Address: address, Keys: parsed})
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	require.NoError(t, s.Claim(ctx))
	c, err := connector.Parse([]byte(`{"connector_name":"c","connector_type":"kafka","topic_name":"a","status":"Stop","config":{"bootstrap_servers":"h:1","topic":"t","password":"` + password + `"}}`))
	require.NoError(t, err)
	before, err := s.Create(store.Definition{Connector: c})
	require.NoError(t, err)
	_, _, err = s.Revise(&before, store.Definition{Connector: c})
	require.NoError(t, err)
	require.NoError(t, s.PutSession(store.Session{Endpoint: "b:1883", ClientID: "x", Connector: "c", Made: true}))
	return cluster, keys
}

func backupKey(t *testing.T, dir string) string {
	t.Helper()
	key, err := age.GenerateX25519Identity()
	require.NoError(t, err)
	return writeFile(t, dir, "key.txt", key.String())
}

func TestABackupMovesBetweenKafkaAndDirectories(t *testing.T) {
	cluster, keys := kafkaStoreWith(t, "hush-hush")
	files := t.TempDir()
	key := backupKey(t, files)
	inKafka := []string{"--key-file", key, "--store-key-file", keys}
	file := filepath.Join(files, "kafka.age")
	stdout, _, err := runConnectors("", append([]string{"backup", "--store", cluster + "first", "--out", file}, inKafka...)...)
	require.NoError(t, err)
	assert.Equal(t, "Backed up 1 connectors of "+cluster+"first into "+file+"\n", stdout)
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.NotContains(t, string(text), "hush-hush")

	dir := filepath.Join(t.TempDir(), "store")
	_, _, err = runConnectors("", "restore", file, "--store", dir, "--key-file", key)
	require.NoError(t, err)
	stdout, _, err = runConnectors("", append([]string{"restore", file, "--store", cluster + "second"}, inKafka...)...)
	require.NoError(t, err)
	assert.Equal(t, "Restored 1 connectors into "+cluster+"second, 1 of them paused\n", stdout)
	again := filepath.Join(files, "dir.age")
	_, _, err = runConnectors("", "backup", "--store", dir, "--out", again, "--key-file", key)
	require.NoError(t, err)
	stdout, _, err = runConnectors("", append([]string{"restore", again, "-o", "json", "--store", cluster + "third"}, inKafka...)...)
	require.NoError(t, err)
	assert.JSONEq(t, `{"store":"`+cluster+`third","connectors":1,"paused":1,"unreadable":0}`, stdout)

	for _, prefix := range []string{"second", "third"} {
		out, to := filepath.Join(files, prefix+".age"), filepath.Join(t.TempDir(), "store")
		_, _, err = runConnectors("", append([]string{"backup", "--store", cluster + prefix, "--out", out}, inKafka...)...)
		require.NoError(t, err)
		_, _, err = runConnectors("", "restore", out, "--store", to, "--key-file", key)
		require.NoError(t, err)
		was, err := store.Open(dir)
		require.NoError(t, err)
		want, err := was.Whole()
		require.NoError(t, err)
		require.NoError(t, was.Close())
		is, err := store.Open(to)
		require.NoError(t, err)
		got, err := is.Whole()
		require.NoError(t, err)
		require.NoError(t, is.Close())
		assert.Equal(t, want.Definitions, got.Definitions)
		assert.Equal(t, "hush-hush", got.Definitions[0].Connector.MQTT.Text("password"))
		assert.Equal(t, want.Past, got.Past)
		assert.Equal(t, want.Sessions, got.Sessions)
		assert.Len(t, want.Sessions, 1)
		assert.Equal(t, 1, want.Past["c"].Last())
	}
}

func TestABackupOfKafkaSaysWhatItLacks(t *testing.T) {
	cluster, keys := kafkaStoreWith(t, "hush-hush")
	files := t.TempDir()
	key := backupKey(t, files)
	file := filepath.Join(files, "out.age")
	_, _, err := runConnectors("", "backup", "--store", cluster+"first", "--out", file, "--key-file", key, "--store-key-file", keys)
	require.NoError(t, err)
	none := filepath.Join(files, "none.age")
	for want, args := range map[string][]string{
		`topic "nosuch-definitions" does not exist: check the address of the store`: {"backup", "--out", none, "--store", cluster + "nosuch"},
		"has 1 entries that cannot be read, and a copy would lack them":             {"backup", "--out", none, "--store", cluster + "first"},
		"the prefix of the topics is missing":                                       {"backup", "--out", none, "--store", cluster},
		"store-key-file: it is for a store in Kafka, and --store " + files:          {"backup", "--out", none, "--store", files, "--store-key-file", keys},
		"a store in Kafka takes one only encrypted: start with --store-key-file":    {"restore", file, "--store", cluster + "new"},
		"another service uses it":                                                   {"restore", file, "--store", cluster + "first", "--store-key-file", keys},
	} {
		_, stderr, err := runConnectors("", append(args, "--key-file", key)...)
		require.ErrorContains(t, err, want)
		assert.NotContains(t, stderr, "hush-hush")
		assert.NoFileExists(t, none)
	}
	restore := []string{"restore", file, "--store", cluster + "new", "--key-file", key, "--store-key-file", keys}
	_, _, err = runConnectors("", restore...)
	require.NoError(t, err)
	_, _, err = runConnectors("", restore...)
	require.ErrorContains(t, err, "new is not empty: it has 1 connectors, 0 that cannot be read, 0 deleted ones and 1 sessions; name another prefix")
}
