package kafka

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func groupLag(t testing.TB, brokers []string, lines ...string) *GroupLag {
	t.Helper()
	conf, err := tryInput(brokers, append([]string{"request_timeout_overhead: 60s"}, lines...)...)
	require.NoError(t, err)
	return &GroupLag{conf, patience}
}

func admin(t testing.TB, c *kfake.Cluster) *kadm.Client {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...))
	require.NoError(t, err)
	t.Cleanup(client.Close)
	return kadm.NewClient(client)
}

func commit(t testing.TB, c *kfake.Cluster, topic string, partition int32, at int64) {
	t.Helper()
	offsets := kadm.Offsets{}
	offsets.AddOffset(topic, partition, at, -1)
	require.NoError(t, admin(t, c).CommitAllOffsets(t.Context(), "g", offsets))
}

func lagOf(t testing.TB, c *kfake.Cluster, lines ...string) []PartitionLag {
	t.Helper()
	all, err := groupLag(t, c.ListenAddrs(), lines...).Read(t.Context())
	require.NoError(t, err)
	return all
}

func TestTheLagOfAGroupIsWhatItWouldReadNow(t *testing.T) {
	c := cluster(t, 4)
	produce(t, c, "t", 4, 0, 40)
	earliest, latest := []string{"topics: [t]"}, []string{"topics: [t]", "start_offset: latest"}
	whole := []PartitionLag{{"t", 0, 10}, {"t", 1, 10}, {"t", 2, 10}, {"t", 3, 10}}
	assert.Equal(t, whole, lagOf(t, c, earliest...), "the group has committed nothing")
	assert.Equal(t, []PartitionLag{{"t", 0, 0}, {"t", 1, 0}, {"t", 2, 0}, {"t", 3, 0}}, lagOf(t, c, latest...))

	commit(t, c, "t", 0, 10)
	commit(t, c, "t", 1, 7)
	commit(t, c, "t", 2, 1)
	commit(t, c, "t", 3, 99)
	_, err := admin(t, c).DeleteRecords(t.Context(), kadm.Offsets{"t": {2: {Topic: "t", Partition: 2, At: 4}}})
	require.NoError(t, err)
	// Kafka has deleted what partition 2 would continue with, and has lost that of 3.
	assert.Equal(t, []PartitionLag{{"t", 0, 0}, {"t", 1, 3}, {"t", 2, 6}, {"t", 3, 10}}, lagOf(t, c, earliest...))
	assert.Equal(t, []PartitionLag{{"t", 0, 0}, {"t", 1, 3}, {"t", 2, 0}, {"t", 3, 0}}, lagOf(t, c, latest...))

	groups, err := admin(t, c).DescribeGroups(t.Context(), "g")
	require.NoError(t, err)
	assert.Empty(t, groups["g"].Members, "whoever asks is no member")
}

func TestTheLagOfAPatternIsThatOfItsTopics(t *testing.T) {
	c := cluster(t, 1, kfake.SeedTopics(1, "t", "in_a", "in_b", "in_b_dead", "other"))
	produce(t, c, "in_a", 1, 0, 2)
	pattern := []string{`regexp_topics_include: ["^in_"]`, `regexp_topics_exclude: ["_dead$"]`, "topics: []"}
	assert.Equal(t, []PartitionLag{{"in_a", 0, 2}, {"in_b", 0, 0}}, lagOf(t, c, pattern...))
	assert.Empty(t, lagOf(t, c, `regexp_topics_include: ["^nothing$"]`, "topics: []"))
}

func TestALagThatIsNotKnownHasAReason(t *testing.T) {
	c := cluster(t, 2)
	produce(t, c, "t", 2, 0, 4)
	_, err := groupLag(t, c.ListenAddrs(), "topics: [t, missing]").Read(t.Context())
	require.ErrorContains(t, err, `topic "missing": the topic does not exist`)
	_, err = groupLag(t, []string{"127.0.0.1:1"}).Read(t.Context())
	require.ErrorContains(t, err, "reaching Kafka at 127.0.0.1:1")

	c.ControlKey(int16(kmsg.ListOffsets), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		resp := req.ResponseKind().(*kmsg.ListOffsetsResponse)
		for _, topic := range req.(*kmsg.ListOffsetsRequest).Topics {
			out := kmsg.NewListOffsetsResponseTopic()
			out.Topic = topic.Topic
			for _, p := range topic.Partitions {
				one := kmsg.NewListOffsetsResponseTopicPartition()
				one.Partition, one.Offset = p.Partition, 5
				if p.Partition == 1 {
					one.ErrorCode = kerr.OffsetNotAvailable.Code
				}
				out.Partitions = append(out.Partitions, one)
			}
			resp.Topics = append(resp.Topics, out)
		}
		return resp, nil, true
	})
	all, err := groupLag(t, c.ListenAddrs()).Read(t.Context())
	require.ErrorContains(t, err, `reading the lag of the group "g": topic "t": OFFSET_NOT_AVAILABLE`)
	assert.Equal(t, []PartitionLag{{"t", 0, 0}}, all, "that of other partitions is known")

	c.ControlKey(int16(kmsg.OffsetFetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		resp := req.ResponseKind().(*kmsg.OffsetFetchResponse)
		group := kmsg.NewOffsetFetchResponseGroup()
		group.Group, group.ErrorCode = "g", kerr.GroupAuthorizationFailed.Code
		resp.Groups = append(resp.Groups, group)
		return resp, nil, true
	})
	_, err = groupLag(t, c.ListenAddrs()).Read(t.Context())
	require.ErrorContains(t, err, "GROUP_AUTHORIZATION_FAILED")
	require.ErrorContains(t, err, "give the user READ on the group")
}

// Each try with a wrong password may lock the account.
func TestALoginThatIsRefusedIsTriedOnceForALag(t *testing.T) {
	c := cluster(t, 1, kfake.EnableSASL(), kfake.Superuser("PLAIN", "u", "p"))
	var tries atomic.Int32
	c.ControlKey(int16(kmsg.SASLAuthenticate), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		tries.Add(1)
		resp := req.ResponseKind().(*kmsg.SASLAuthenticateResponse)
		resp.ErrorCode = kerr.SaslAuthenticationFailed.Code
		return resp, nil, true
	})
	_, err := groupLag(t, c.ListenAddrs(), "sasl: [{mechanism: PLAIN, username: u, password: wrong}]").Read(t.Context())
	require.ErrorContains(t, err, "correct sasl")
	assert.Equal(t, int32(1), tries.Load())
}

// A Kafka that accepts connections and does not answer, and one that stops answering later.
func TestTheLagOfAKafkaThatHangsIsGivenUp(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	g := groupLag(t, []string{listener.Addr().String()})
	g.within = lagTime
	began := time.Now()
	_, err = g.Read(t.Context())
	require.ErrorContains(t, err, "reaching Kafka at")
	assert.Less(t, time.Since(began), patience)

	c := cluster(t, 1)
	release := sync.OnceFunc(hang(c, kmsg.OffsetFetch))
	t.Cleanup(release)
	g = groupLag(t, c.ListenAddrs())
	g.within = lagTime
	_, err = g.Read(t.Context())
	require.ErrorContains(t, err, "no answer within")
}

// hang lets requests of a kind wait until it is released.
func hang(c *kfake.Cluster, key kmsg.Key) (release func()) {
	released := make(chan struct{})
	c.ControlKey(int16(key), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		c.SleepControl(func() { <-released })
		return nil, nil, false
	})
	return func() { close(released) }
}

func BenchmarkTheLagOf10000Partitions(b *testing.B) {
	topics := make([]string, 100)
	for i := range topics {
		topics[i] = "in_" + string(rune('a'+i/10)) + string(rune('a'+i%10))
	}
	c := cluster(b, 100, kfake.SeedTopics(100, topics...))
	g := groupLag(b, c.ListenAddrs(), `regexp_topics_include: ["^in_"]`, "topics: []")
	for b.Loop() {
		all, err := g.Read(b.Context())
		require.NoError(b, err)
		require.Len(b, all, 10000)
	}
}
