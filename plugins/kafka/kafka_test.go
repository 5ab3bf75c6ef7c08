package kafka

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/redpanda-data/benthos/v4/public/service"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// franz-go leaves it behind when a consumer is closed just as a fetch arrives.
		goleak.IgnoreTopFunction("github.com/twmb/franz-go/pkg/kgo.(*fetchManager).manageFetchConcurrency"))
}

// cluster starts a Kafka of one broker with the topic t of that many partitions.
func cluster(t testing.TB, partitions int32, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1), kfake.SeedTopics(partitions, "t")}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

// parsed returns the configuration of an output to the brokers with these lines.
func parsed(t testing.TB, brokers []string, lines ...string) *config {
	t.Helper()
	c, err := tryParse(brokers, lines...)
	require.NoError(t, err)
	return c
}

func tryParse(brokers []string, lines ...string) (*config, error) {
	conf, err := parseLines(Spec(), brokers, lines, "topic:", "topic: t")
	if err != nil {
		return nil, err
	}
	return parseConfig(conf)
}

// parseLines parses the configuration of a component with the brokers and these lines,
// and with the line topic unless they contain has.
func parseLines(spec *service.ConfigSpec, brokers, lines []string, has, topic string) (*service.ParsedConfig, error) {
	if !strings.Contains(strings.Join(lines, "\n"), has) {
		lines = append([]string{topic}, lines...)
	}
	return spec.ParseYAML(fmt.Sprintf("seed_brokers: [%q]\n", strings.Join(brokers, ","))+strings.Join(lines, "\n"), nil)
}

// started returns a connected output with short timeouts.
func started(t testing.TB, brokers []string, lines ...string) *output {
	t.Helper()
	o := unconnected(t, brokers, lines...)
	require.NoError(t, o.Connect(t.Context()))
	return o
}

func unconnected(t testing.TB, brokers []string, lines ...string) *output {
	t.Helper()
	o := newOutput(parsed(t, brokers, lines...), service.MockResources())
	o.silence, o.patience = time.Second, time.Second
	o.pace.shortest, o.pace.longest, o.pace.refused = 20*time.Millisecond, 50*time.Millisecond, 50*time.Millisecond
	t.Cleanup(func() { require.NoError(t, o.Close(context.Background())) })
	return o
}

func block(lines ...string) []string { return append(lines, "failure_strategy: block") }

// messages returns n messages numbered from first.
func messages(first, n int) service.MessageBatch {
	batch := make(service.MessageBatch, n)
	for i := range batch {
		batch[i] = service.NewMessage(fmt.Appendf(nil, "%06d", first+i))
	}
	return batch
}

// rewrapped returns the batch as the engine hands it over again: other message objects
// with the same contents.
func rewrapped(batch service.MessageBatch) service.MessageBatch { return batch.Copy() }

// consumed returns all records of the topic by partition.
func consumed(t testing.TB, c *kfake.Cluster, topic string, opts ...kgo.Opt) map[int32][]*kgo.Record {
	t.Helper()
	return consumedFrom(t, c.ListenAddrs(), topic, opts...)
}

func consumedFrom(t testing.TB, brokers []string, topic string, opts ...kgo.Opt) map[int32][]*kgo.Record {
	t.Helper()
	// At an offset that need not be listed: franz-go has a data race there.
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().At(0))}, opts...)...)
	require.NoError(t, err)
	defer client.Close()
	ends, err := kadm.NewClient(client).ListEndOffsets(t.Context(), topic)
	require.NoError(t, err)
	want := 0
	ends.Each(func(o kadm.ListedOffset) { want += int(o.Offset) })
	records := map[int32][]*kgo.Record{}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for got := 0; got < want; {
		fetches := client.PollFetches(ctx)
		require.NoError(t, fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) {
			records[r.Partition] = append(records[r.Partition], r)
			got++
		})
	}
	return records
}

// values returns the payloads of a topic of one partition, in order.
func values(t testing.TB, c *kfake.Cluster, topic string, opts ...kgo.Opt) []string {
	t.Helper()
	var values []string
	for _, r := range consumed(t, c, topic, opts...)[0] {
		values = append(values, string(r.Value))
	}
	return values
}

// numbers returns the expected values for the messages from first to before end.
func numbers(first, end int) []string {
	var values []string
	for i := first; i < end; i++ {
		values = append(values, fmt.Sprintf("%06d", i))
	}
	return values
}

func setLimit(t testing.TB, c *kfake.Cluster, topic, bytes string) {
	t.Helper()
	setConfig(t, c, topic, "max.message.bytes", bytes)
}

func setConfig(t testing.TB, c *kfake.Cluster, topic, name, value string) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...))
	require.NoError(t, err)
	defer client.Close()
	_, err = kadm.NewClient(client).AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: name, Value: &value}}, topic)
	require.NoError(t, err)
}

// rewrite does what the engine does after ErrNotConnected, and returns the reasons that
// Connect gave.
func rewrite(t testing.TB, o *output, batch service.MessageBatch) []string {
	t.Helper()
	var reasons []string
	require.Eventually(t, func() bool {
		for {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			err := o.Connect(ctx)
			cancel()
			if err != nil {
				reasons = append(reasons, err.Error())
				return false
			}
			if err := o.WriteBatch(t.Context(), rewrapped(batch)); err == nil {
				return true
			}
		}
	}, patience, time.Millisecond)
	return reasons
}

// reason returns what Connect reports first.
func reason(t testing.TB, o *output) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err := o.Connect(ctx)
	require.Error(t, err)
	require.NoError(t, ctx.Err(), "Connect did not report in time")
	var backOff *service.ErrBackOff
	require.ErrorAs(t, err, &backOff)
	return err.Error()
}

func createTopic(t testing.TB, c *kfake.Cluster, topic string) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...))
	require.NoError(t, err)
	defer client.Close()
	_, err = kadm.NewClient(client).CreateTopic(t.Context(), 1, 1, nil, topic)
	require.NoError(t, err)
}

// unbraced turns "{a: 1, b: 2}" into lines.
func unbraced(line string) []string {
	if inner, ok := strings.CutPrefix(line, "{"); ok {
		return strings.Split(strings.TrimSuffix(inner, "}"), ", ")
	}
	return []string{line}
}
