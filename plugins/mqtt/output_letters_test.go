package mqtt

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// letterKafka is a Kafka for dead letters that demands TLS and a login.
type letterKafka struct {
	t       *testing.T
	cluster *kfake.Cluster
	client  *kgo.Client
	ca      string // in PEM
}

func newLetterKafka(t *testing.T) *letterKafka {
	t.Helper()
	certified := httptest.NewTLSServer(nil)
	certified.Close()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "dead"), kfake.TLS(&tls.Config{Certificates: certified.TLS.Certificates}),
		kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-512", "ada", "lovelace"))
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	k := &letterKafka{t: t, cluster: cluster, ca: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certified.Certificate().Raw}))}
	k.client, err = kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.DialTLSConfig(&tls.Config{InsecureSkipVerify: true}),
		kgo.SASL(scram.Auth{User: "ada", Pass: "lovelace"}.AsSha512Mechanism()), kgo.ConsumeTopics("dead"), kgo.ConsumeResetOffset(kgo.NewOffset().At(0)))
	require.NoError(t, err)
	t.Cleanup(k.client.Close)
	return k
}

// yaml returns the fields of an output whose dead letters go to this Kafka.
func (k *letterKafka) yaml(password string) string {
	return fmt.Sprintf(`
failure_strategy: { strategy: dead_message_queue, topic_name: dead, retry_total_times: 1, wait_time_ms: 0, bootstrap_servers: %q }
dead_letter_kafka:
  tls: { enabled: true, root_cas: %q }
  sasl: [ { mechanism: SCRAM-SHA-512, username: ada, password: %s } ]
`, k.cluster.ListenAddrs()[0], k.ca, password)
}

// letters reads n dead letters.
func (k *letterKafka) letters(n int) (all []*kgo.Record) {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for len(all) < n {
		fetches := k.client.PollFetches(ctx)
		require.NoError(k.t, fetches.Err())
		all = append(all, fetches.Records()...)
	}
	require.Len(k.t, all, n)
	return all
}

func (k *letterKafka) limit(bytes string) {
	k.t.Helper()
	_, err := kadm.NewClient(k.client).AlterTopicConfigs(k.t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "max.message.bytes", Value: &bytes}}, "dead")
	require.NoError(k.t, err)
}

func headersOf(r *kgo.Record) map[string]string {
	all := map[string]string{}
	for _, h := range r.Headers {
		all[h.Key] = string(h.Value)
	}
	return all
}

func with(all map[string]string, more ...string) map[string]string {
	for i := 0; i < len(more); i += 2 {
		all[more[i]] = more[i+1]
	}
	return all
}

// The names and values are those that kafka_franz writes, too.
func TestOutputWritesDeadLettersToKafka(t *testing.T) {
	k := newLetterKafka(t)
	b := newScripted(t)
	out, _ := outputTo(t, b.url(), "topic: '${! @mqtt_topic.or(\"a\") }'\n"+k.yaml("lovelace"))
	p := joins(t, b, out, false)
	batch := batchFrom("0", "1", "2", "3")
	for key, value := range map[string]any{
		"mqtt_topic": "a/b", "mqtt_qos": 1, "mqtt_content_type": "text/plain", "kafka_key": "k", "kafka_topic": "in", "kafka_partition": 3, "kafka_offset": 7, "other": "x",
	} {
		batch[1].MetaSetMut(key, value)
	}
	batch[2].MetaSetMut("mqtt_topic", "a/+")
	batch[3].SetError(errors.New("no envelope"))
	done := writes(out, batch)
	ids := p.sees(true, false, "0", "1")
	p.write(acks(typePuback, ids[0]), refusal(typePuback, ids[1], 0x99))
	p.write(refusal(typePuback, p.sees(true, false, "1")[0], 0x99))
	require.NoError(t, wait(t, done))

	const prefix = "__connect.errors."
	letter := func(topic, stage, class, reason string) map[string]string {
		return map[string]string{
			prefix + "topic": topic, prefix + "partition": "-1", prefix + "offset": "-1", prefix + "connector.name": "mqtt", prefix + "task.id": "0",
			prefix + "stage": stage, prefix + "class.name": "mqtt", prefix + "exception.class.name": class,
			prefix + "exception.message": reason, prefix + "exception.stacktrace": class + ": " + reason,
		}
	}
	letters := k.letters(3)
	require.Equal(t, []string{"1", "2", "3"}, []string{string(letters[0].Value), string(letters[1].Value), string(letters[2].Value)})
	require.Equal(t, "k", string(letters[0].Key))
	require.Equal(t, with(letter("a/b", "TASK_PUT", "org.apache.kafka.connect.errors.ConnectException", `publishing message 2 of 4 to the topic "a/b": payload format invalid (0x99)`),
		"mqtt_topic", "a/b", "mqtt_qos", "1", "mqtt_content_type", "text/plain", "kafka_topic", "in", "kafka_partition", "3", "kafka_offset", "7"), headersOf(letters[0]))
	require.Equal(t, with(letter("a/+", "VALUE_CONVERTER", "org.apache.kafka.connect.errors.DataException",
		`publishing message 3 of 4 to the topic "a/+": the topic "a/+" has a wildcard; a message is published to a topic without '+' and '#'`), "mqtt_topic", "a/+"), headersOf(letters[1]))
	require.Equal(t, letter("a", "TRANSFORMATION", "org.apache.kafka.connect.errors.DataException",
		`publishing message 4 of 4 to the topic "a": a processor failed on the message: correct the processor, or handle the error with catch: no envelope`), headersOf(letters[2]))
	leaves(t, out, p)
}

// A dead letter that cannot be written is the last copy of its message.
func TestOutputHoldsABatchWhoseDeadLetterKafkaRefuses(t *testing.T) {
	k := newLetterKafka(t)
	k.limit("1000")
	b := newScripted(t)
	out, _ := outputTo(t, b.url(), "topic: a\n"+k.yaml("lovelace"))
	p := joins(t, b, out, false)
	large := strings.Repeat("x", 2<<20) // more than kafka_franz writes by default
	batch := batchFrom("0", large, "2")
	done := writes(out, batch)
	ids := p.sees(true, false, "0", large, "2")
	p.write(acks(typePuback, ids[0]), refusal(typePuback, ids[1], 0x97), acks(typePuback, ids[2]))
	p.write(refusal(typePuback, p.sees(true, false, large)[0], 0x97))
	require.ErrorIs(t, wait(t, done), service.ErrNotConnected)
	require.ErrorContains(t, out.Connect(t.Context()), `publishing message 2 of 3 to the topic "a": quota exceeded (0x97); writing it to the dead letter topic "dead": `)
	require.ErrorContains(t, out.heldBy(), "MESSAGE_TOO_LARGE")
	k.limit("10000000")
	require.NoError(t, connectAgain(out))
	rewrites(t, out, batch)
	require.Equal(t, large, string(k.letters(1)[0].Value))
	require.NoError(t, out.heldBy())
	leaves(t, out, p)
}

// rewrites hands a batch over again until it is done, while the broker has nothing to
// answer.
func rewrites(t *testing.T, out *output, batch service.MessageBatch) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		err := out.WriteBatch(ctx, batch.Copy())
		if err == nil {
			return
		}
		require.ErrorIs(t, err, service.ErrNotConnected)
		require.NoError(t, connectAgain(out))
	}
}

func TestOutputHoldsABatchWhoseDeadLetterCannotReachKafka(t *testing.T) {
	k := newLetterKafka(t)
	b := newScripted(t)
	out, _ := outputTo(t, b.url(), "topic: '#${! \"\" }'\n"+k.yaml("wrong"))
	p := joins(t, b, out, false)
	batch := batchFrom("0")
	require.ErrorIs(t, wait(t, writes(out, batch)), service.ErrNotConnected)
	require.ErrorContains(t, out.Connect(t.Context()), `writing it to the dead letter topic "dead": `)
	require.ErrorContains(t, out.heldBy(), "check whether it knows this user and password (sasl, which is SCRAM-SHA-512)")
	require.Zero(t, k.client.BufferedFetchRecords())
	leaves(t, out, p)

	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	nowhere := ln.Addr().String()
	require.NoError(t, ln.Close())
	out, _ = outputTo(t, b.url(), fmt.Sprintf("topic: '#${! \"\" }'\nfailure_strategy: { strategy: dead_message_queue, bootstrap_servers: %q }", nowhere))
	p = joins(t, b, out, false)
	done := writes(out, batch)
	select {
	case err := <-done:
		require.ErrorIs(t, err, service.ErrNotConnected)
	case <-time.After(patience):
		require.Fail(t, "WriteBatch does not return")
	}
	require.ErrorContains(t, out.heldBy(), nowhere)
	leaves(t, out, p)
}

func TestOutputTestsTheKafkaOfItsDeadLetters(t *testing.T) {
	k := newLetterKafka(t)
	b := newScripted(t)
	for password, want := range map[string]string{"lovelace": "", "wrong": "dead letters: "} {
		out, _ := outputTo(t, b.url(), "topic: a\n"+k.yaml(password))
		done := make(chan service.ConnectionTestResults, 1)
		go func() { done <- out.ConnectionTest(context.Background()) }()
		p := b.accept()
		p.welcome5(false, false)
		p.gone()
		select {
		case results := <-done:
			require.Len(t, results, 1)
			if want == "" {
				require.NoError(t, results[0].Err)
			} else {
				require.ErrorContains(t, results[0].Err, want)
			}
		case <-time.After(patience):
			require.Fail(t, "the test does not end")
		}
	}
}
