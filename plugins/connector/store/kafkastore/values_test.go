package kafkastore

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/robustmq/robustmq-connect/plugins/connector/store"
)

// lastValue returns the last value of a key, as anybody reads it.
func (r *rig) lastValue(t *testing.T, key string) []byte {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(r.cluster.ListenAddrs()...), kgo.ConsumeTopics("a-definitions"), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	require.NoError(t, err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s := r.another(t)
	isSynced(t, s)
	end, _ := s.view.seen()
	var value []byte
	found := false
	for seen := int64(0); seen < end-1; { // the last is a marker of a transaction
		fetches := client.PollFetches(ctx)
		require.NoError(t, fetches.Err())
		fetches.EachRecord(func(record *kgo.Record) {
			seen = record.Offset + 1
			if string(record.Key) == key {
				value, found = record.Value, true
			}
		})
	}
	require.True(t, found, "no record has the key %q", key)
	return value
}

func TestSecretsAreEncrypted(t *testing.T) {
	t.Parallel()
	r, s := opened(t)
	d := created(t, s, "c")
	_, _, err := s.Revise(&d, definition(t, "c", "t2"))
	require.NoError(t, err)
	value := string(r.lastValue(t, "default/c"))
	assert.NotContains(t, value, "secret")
	assert.Contains(t, value, `"sealed":{"key":"k1"`)
	assert.Contains(t, value, `***`, "the history has none")
}

func TestASecretWithoutAKeyIsRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.opts.Keys = Keys{}
	s := r.open(t)
	_, err := s.Create(definition(t, "c", "t"))
	require.EqualError(t, err, `storing connector "c": it has a secret (config.password), and a store in Kafka takes one only encrypted: start with --store-key-file`)
	assert.Empty(t, isSynced(t, s).Definitions)
	plain := definition(t, "c", "t")
	plain.Connector.Config = json.RawMessage(`{"bootstrap_servers":"h:1","topic":"t"}`)
	_, err = s.Create(plain)
	require.NoError(t, err)
}

func TestKeysAreRotated(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	d, err := r.open(t).Create(definition(t, "c", "t"))
	require.NoError(t, err)

	r.opts.Keys = testKeys(t, "k2", "k1")
	s := r.open(t)
	require.Len(t, isSynced(t, s).Definitions, 1, "each key decrypts")
	d, _, err = s.Revise(&d, definition(t, "c", "t2"))
	require.NoError(t, err)
	assert.Contains(t, string(r.lastValue(t, "default/c")), `"sealed":{"key":"k2"`, "the first encrypts")

	r.opts.Keys = testKeys(t, "k1")
	s = r.open(t)
	all := isSynced(t, s)
	require.Len(t, all.Unreadable, 1)
	require.ErrorContains(t, all.Unreadable[0].Why, `it is encrypted by the key "k2", which the file of --store-key-file does not have: add it there`)
	require.Error(t, s.Put(d))
	r.opts.Keys = Keys{}
	require.ErrorContains(t, isSynced(t, r.open(t)).Unreadable[0].Why, "give the file with that key by --store-key-file")
	r.opts.Keys = testKeys(t, "k2")
	assert.Len(t, isSynced(t, r.open(t)).Definitions, 1, "nothing was rewritten meanwhile")
}

// A user who may write to the topic must not get a password by moving it.
func TestASealedDefinitionBelongsToItsConnector(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	_, err := r.open(t).Create(definition(t, "c", "t"))
	require.NoError(t, err)
	value := string(r.lastValue(t, "default/c"))
	r.write(t, "default/other", value)
	cut := strings.Index(value, `"data":"`) + len(`"data":"`)
	r.write(t, "default/changed", value[:cut]+"AAAA"+value[cut+4:])
	r.write(t, "default/short", `{"format":1,"revision":1,"connector":{"sealed":{"key":"k1","data":"AAAA"}}}`)
	all := isSynced(t, r.open(t))
	require.Len(t, all.Definitions, 1)
	require.Len(t, all.Unreadable, 3)
	for _, u := range all.Unreadable {
		assert.NotContains(t, u.Why.Error(), "secret")
	}
}

func TestANewerValueIsNeverRewritten(t *testing.T) {
	t.Parallel()
	r, s := opened(t)
	newer := `{"format":2,"revision":7,"connector":{"connector_name":"c","config":{"client_id":"given"}},"of_a_later_version":true}`
	r.write(t, "default/c", newer)
	r.write(t, "/of_a_later_version", `{"format":2}`)
	all := isSynced(t, s)
	require.Len(t, all.Unreadable, 1)
	u := all.Unreadable[0]
	require.ErrorIs(t, u.Why, store.ErrNewer)
	require.EqualError(t, u.Why, "it needs a newer version of this program: its format is 2, and this one knows 1")
	assert.Equal(t, "c", u.Name)
	assert.Equal(t, "given", u.ClientID)
	require.Len(t, all.Ignored, 1)

	_, err := s.Create(definition(t, "c", "t"))
	require.ErrorIs(t, err, store.ErrNewer)
	_, _, err = s.Revise(nil, definition(t, "c", "t"))
	require.ErrorIs(t, err, store.ErrNewer)
	require.Error(t, s.Put(definition(t, "c", "t")))
	_, err = s.Release(definition(t, "c", "t"))
	require.Error(t, err)
	_, err = s.Mark(definition(t, "c", "t"))
	require.Error(t, err)
	_, err = s.SetAside(u)
	require.ErrorIs(t, err, store.ErrNewer)
	_, err = s.Discard(u)
	require.ErrorIs(t, err, store.ErrNewer)
	assert.Equal(t, newer, string(r.lastValue(t, "default/c")))
}

// Anybody with a right to write may write anything.
func TestAStrangersRecordsHarmNothing(t *testing.T) {
	t.Parallel()
	r, s := opened(t)
	created(t, s, "good")
	whole := string(r.lastValue(t, "default/good"))
	values := []string{
		"null", "[]", "7", `"text"`, "{", "{}", `{"format":1}x`, `{"format":0}`, `{"format":-1}`, `{"format":1e99}`, `{"format":"1"}`,
		`{"format":1,"unknown":1}`, `{"format":1,"revision":-1,"connector":{}}`, `{"format":1,"connector":null,"removed":[{}]}`,
		`{"format":1,"history":{"revisions":7}}`, `{"format":1,"removed":[{"id":"x","connector":{"sealed":{}}}]}`,
		strings.Repeat("[", 100_000), "\xff\xfe", whole[:len(whole)/2], strings.Repeat("x", 1<<20-200),
	}
	for i, value := range values {
		for _, key := range []string{"default/bad" + string(rune('a'+i)), "/session/x", "/writer/x", "/store", "/claim", "/answer", "nothing", "", "\xff/\x00", "default/" + strings.Repeat("n", 10_000)} {
			if len(value) < 1<<17 || strings.HasPrefix(key, "default/bad") {
				r.write(t, key, value)
			}
		}
	}
	all := isSynced(t, s)
	require.Len(t, all.Definitions, 1)
	assert.GreaterOrEqual(t, len(all.Unreadable), len(values)-2)
	_, err := s.Create(definition(t, "more", "t"))
	require.NoError(t, err)
	all = isSynced(t, r.open(t))
	assert.Len(t, all.Definitions, 2)
}

func TestCompactionKeepsEverything(t *testing.T) {
	t.Parallel()
	r, s := opened(t)
	d := created(t, s, "c")
	for range 30 {
		next, _, err := s.Revise(&d, definition(t, "c", "t"))
		require.NoError(t, err)
		d = next
	}
	left, err := s.Release(d)
	require.NoError(t, err)
	again, err := s.Create(definition(t, "c", "again"))
	require.NoError(t, err)
	r.cluster.Compact()
	all := isSynced(t, r.open(t))
	require.Len(t, all.Definitions, 1)
	assert.Equal(t, again.Revision, all.Definitions[0].Revision)
	require.Len(t, all.Released, 1)
	assert.True(t, all.Released[0].Is(left))
}

func TestATopicThatWouldLoseDefinitionsIsRefused(t *testing.T) {
	t.Parallel()
	for what, topic := range map[string]struct {
		partitions int32
		policy     string
	}{
		"cleanup.policy=delete, with which Kafka deletes definitions: set it to compact": {1, "delete"},
		"has 3 partitions, and must have 1":                                              {3, "compact"},
	} {
		r := newRig(t)
		require.NoError(t, r.cluster.CreateTopic("a-definitions", topic.partitions, map[string]string{"cleanup.policy": topic.policy}))
		_, err := Open(t.Context(), r.opts)
		require.ErrorContains(t, err, what)
	}
}

func TestTheTopicsAreMadeOnDemand(t *testing.T) {
	t.Parallel()
	r := newRig(t, kfake.NumBrokers(3))
	r.open(t)
	definitions, assignment := r.cluster.TopicInfo("a-definitions"), r.cluster.TopicInfo("a-assignment")
	require.NotNil(t, definitions)
	require.NotNil(t, assignment)
	assert.Len(t, r.cluster.PartitionInfos("a-definitions"), 1)
	assert.Len(t, r.cluster.PartitionInfos("a-assignment"), AssignmentPartitions)
	assert.Equal(t, "compact", *definitions.Configs["cleanup.policy"])
	assert.Equal(t, "2", *definitions.Configs["min.insync.replicas"])
	assert.NotContains(t, r.logs.String(), "can lose confirmed changes")

	one := newRig(t)
	one.open(t)
	assert.Contains(t, one.logs.String(), "can lose confirmed changes when a broker is lost: give the topic 3 replicas")
}

func TestKafkaThatIsAwayAtTheStartIsWaitedFor(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.cluster.Close()
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() {
		_, err := Open(ctx, r.opts)
		result <- err
	}()
	require.Eventually(t, func() bool { return strings.Contains(r.logs.String(), "Cannot open the store in Kafka: it is retried") }, time.Minute, 10*time.Millisecond)
	cancel()
	require.ErrorContains(t, <-result, "opening the store "+r.opts.Address.String())
}

func TestParseAddress(t *testing.T) {
	t.Parallel()
	a, err := ParseAddress("kafka://h1:9092, h2,[::1]:9093/robustmq_connect")
	require.NoError(t, err)
	assert.Equal(t, []string{"h1:9092", "h2:9092", "[::1]:9093"}, a.Brokers)
	assert.Equal(t, "kafka://h1:9092,h2:9092,[::1]:9093/robustmq_connect", a.String())
	assert.Equal(t, "robustmq_connect-definitions", a.Definitions())
	for text, want := range map[string]string{
		"kafka://h1:9092":                       "the prefix of the topics is missing",
		"kafka://h1:9092/":                      "the prefix of the topics is missing",
		"kafka:///p":                            "the address of a broker is empty",
		"kafka://h1,,h2/p":                      "the address of a broker is empty",
		"kafka://h/a b":                         "is not a topic name",
		"kafka://h/a/b":                         "is not a topic name",
		"kafka://h/..":                          "is not a topic name",
		"kafka://u:secret@h/p":                  "the address must not have a login",
		"./dir":                                 "it does not begin with kafka://",
		"kafka:/h:9092/p":                       "it does not begin with kafka://",
		"kafka://h:/p":                          `the port of "h:" is not a number from 1 to 65535`,
		"kafka://h:65536/p":                     "is not a number from 1 to 65535",
		"kafka://h/" + strings.Repeat("x", 201): "longer than 200 characters",
	} {
		_, err := ParseAddress(text)
		require.ErrorContains(t, err, want, text)
		assert.NotContains(t, err.Error(), "secret")
	}
	assert.True(t, Is("kafka:h:9092/p"), "it is no directory")
	assert.False(t, Is("./kafka"))
}

func TestParseKeys(t *testing.T) {
	t.Parallel()
	good := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", 32)))
	k, err := ParseKeys("# keys\n\n k1 " + good + "\r\nk2\t" + good + "\n")
	require.NoError(t, err)
	assert.Equal(t, "k1", k.first)
	for text, want := range map[string]string{
		"":                            "it holds no key",
		"# none\n":                    "it holds no key",
		good:                          "line 1: it has 1 words",
		"k1 " + good + " x":           "line 1: it has 3 words",
		"\nk1 " + good[:20]:           "line 2: the key k1 is not 32 bytes in base64",
		"k1 " + good + "\nk1 " + good: "line 2: the id k1 is there twice",
		"k/1 " + good:                 "the id is not up to 64 letters",
		"k1 !" + good[1:]:             "the key k1 is not 32 bytes in base64",
	} {
		_, err := ParseKeys(text)
		require.ErrorContains(t, err, want, text)
		assert.NotContains(t, err.Error(), good[:20])
	}
}
