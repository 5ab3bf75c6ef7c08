package supervisor

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/connector/store"
)

// testdata/store_v1 was written by the release before the store had a version.
func TestTheStoreOfThePreviousReleaseStarts(t *testing.T) {
	r := newRig(t)
	r.stopService()
	require.NoError(t, os.RemoveAll(r.dir))
	require.NoError(t, os.CopyFS(r.dir, os.DirFS(filepath.Join("testdata", "store_v1"))))
	r.point(filepath.Join(r.dir, "connectors"))
	// As that release left it: the session of one that was deleted, with a message, and
	// one that reads from another filter than before.
	for _, id := range []string{"renewed", "gone", "refiltered"} {
		c := r.client("robustmq_connect_default_"+id, false, nil)
		require.True(t, c.Subscribe("old/#", 1, nil).WaitTimeout(patience))
		c.Disconnect(50)
	}
	given := r.client("gone-given", false, nil)
	given.Disconnect(50)
	r.publish("old/a", "of the past")
	r.start()

	states := map[string]connector.State{}
	for _, s := range r.List() {
		states[s.Name] = s.State
	}
	assert.Len(t, states, 8)
	assert.Equal(t, connector.Paused, states["paused"])
	running := []string{"plain", "With Space/ü", "clean", "wrapped", "refiltered", "renewed"}
	for _, name := range running {
		r.ready(name)
	}
	assert.Contains(t, states, "given") // its broker is none of the test's
	r.publish("old/a", "nobody reads it")
	r.publish("in/a", "1")
	r.publish("new/a", "2")
	r.arrived("out_plain", []string{"1"})
	r.arrived("out_refiltered", []string{"2", "of the past"})
	r.arrived("out_renewed", []string{"1"})
	assert.Len(t, r.records("out_renewed", 1), 1, "what the deleted one left is not inherited")

	// Sessions with a client id of the service's choice are its own; for the others it
	// is unknown who created them.
	assert.Eventually(t, func() bool {
		marks, err := os.ReadDir(filepath.Join(r.dir, "removed"))
		return err == nil && len(marks) == 0
	}, patience, 1e7)
	assert.False(t, r.sessionOn(r.broker, "robustmq_connect_default_gone"))
	assert.True(t, r.sessionOn(r.broker, "gone-given"))
	note, err := r.Delete(t.Context(), "plain")
	require.NoError(t, err)
	assert.Empty(t, note)
	assert.False(t, r.sessionOn(r.broker, "robustmq_connect_default_plain"))
	// A session with a given client id stays, and the answer says so, because it may
	// belong to somebody else.
	note, err = r.Delete(t.Context(), "given")
	require.NoError(t, err)
	assert.Regexp(t, `^the session "\S+" at \S+ stays: it existed before the connector, or the store does not say who created it; remove it on the broker if nobody uses it$`, note)
	assert.Empty(t, r.sessionsOf("given"), "it is not looked after any more")
	version, err := os.ReadFile(filepath.Join(r.dir, "version"))
	require.NoError(t, err)
	assert.Equal(t, fmt.Sprintf("{\"version\": %d}\n", store.Version), string(version))
	assert.NotContains(t, r.logs.String(), "level=ERROR msg=\"Cannot read")
}

// sessionsOf are the sessions that a connector is known to have.
func (r *rig) sessionsOf(name string) []store.Session {
	return slices.DeleteFunc(r.sessions.Records(), func(rec store.Session) bool { return rec.Connector != name })
}

// point changes the definitions in a directory to write to the rig's Kafka, each to its
// own topic.
func (r *rig) point(dir string) {
	r.t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	require.NoError(r.t, err)
	require.NotEmpty(r.t, files)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(r.t, err)
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		changed := strings.NewReplacer("127.0.0.1:9\"", r.kafka.Addr()+`"`, `"topic": "out"`, fmt.Sprintf(`"topic": "out_%s"`, strings.SplitN(name, "~", 2)[0])).Replace(string(text))
		require.NoError(r.t, os.WriteFile(file, []byte(changed), 0o600))
	}
}

// The previous release refused a definition with an unknown field, and moved it away.
// The test applies its rules.
func TestThePreviousReleaseReadsTheStore(t *testing.T) {
	r := newRig(t)
	all := []connector.Connector{
		r.conn("plain", "in/#", "out", ""),
		r.conn("every setting", "in/#", "out", `,"client_id":"given","username":"u","password":"secret","qos":2,"keepalive":60,"connect_timeout":"5s","clean_session":false,"format":"raw","idempotent_write":true`),
		r.conn("handed over", "in/#", "out", ""),
		r.parse("letters", "in/#", fmt.Sprintf(`{"bootstrap_servers":%q,"topic":"out"}`, r.kafka.Addr()), `{"strategy":"dead_message_queue","topic_name":"dead"}`),
	}
	for _, c := range all {
		r.create(c)
		r.ready(c.Name)
	}
	require.NoError(t, r.Pause(t.Context(), "handed over"))
	assert.NotEmpty(t, r.update(r.conn("handed over", "in/#", "out", `,"client_id":"another"`), connector.UpdateOptions{}))
	_, err := r.Delete(t.Context(), "letters")
	require.NoError(t, err)
	r.stopService()

	read := 0
	err = filepath.WalkDir(r.dir, func(path string, entry fs.DirEntry, err error) error {
		if rel, _ := filepath.Rel(r.dir, path); err == nil && !entry.IsDir() && strings.HasPrefix(rel, "connectors/") {
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			readsV1(t, text)
			read++
		}
		return err
	})
	require.NoError(t, err)
	assert.Equal(t, 3, read)
	assert.NoDirExists(t, filepath.Join(r.dir, "removed"), "it would remove what it finds there, whoever made it")
}

func readsV1(t *testing.T, text []byte) {
	t.Helper()
	known := func(fields map[string]json.RawMessage, names ...string) {
		t.Helper()
		for name := range fields {
			assert.True(t, slices.Contains(names, name), "the previous release does not know %s", name)
		}
	}
	var fields map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(text, &fields))
	if chores, ok := fields["before_start"]; ok {
		var before struct {
			ForgetSession bool     `json:"forget_session,omitempty"`
			Unsubscribe   []string `json:"unsubscribe,omitempty"`
		}
		require.NoError(t, json.Unmarshal(chores, &before))
		assert.False(t, before.ForgetSession)
		delete(fields, "before_start")
	}
	known(fields, "connector_name", "connector_type", "cluster_name", "tenant", "topic_id", "topic_name", "config",
		"failure_strategy", "status", "broker_id", "create_time", "update_time", "reason")
	var status string
	_ = json.Unmarshal(fields["status"], &status)
	assert.Contains(t, []string{"", "Stop"}, status)
	var config, strategy map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(fields["config"], &config))
	known(config, "bootstrap_servers", "topic", "key", "compression_type", "batch_size", "linger_ms", "acks", "retries",
		"message_timeout_ms", "cleanup_timeout_secs", "idempotent_write", "format", "tls", "sasl",
		"urls", "client_id", "username", "password", "qos", "clean_session", "keepalive", "connect_timeout", "mqtt_tls")
	require.NoError(t, json.Unmarshal(fields["failure_strategy"], &strategy))
	known(strategy, "strategy", "retry_total_times", "wait_time_ms", "topic_name", "bootstrap_servers")
}
