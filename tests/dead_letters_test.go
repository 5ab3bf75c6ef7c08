package tests

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
	"github.com/robustmq/robustmq-connect/tests/program"
)

// limit sets the largest record batch that a Kafka topic takes.
func (g *gitops) limit(topic, bytes string) {
	g.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(g.kafka))
	require.NoError(g.t, err)
	defer client.Close()
	kafka := kadm.NewClient(client)
	if _, err = kafka.CreateTopic(g.t.Context(), 1, 1, nil, topic); err != nil {
		require.ErrorIs(g.t, err, kerr.TopicAlreadyExists)
	}
	_, err = kafka.AlterTopicConfigs(g.t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "max.message.bytes", Value: &bytes}}, topic)
	require.NoError(g.t, err)
}

func (g *gitops) publish(topic, message string) {
	g.t.Helper()
	r := program.Call(g.t, message, nil, program.Path(g.t), "mqtt", "publish", "--server", g.broker, "--topic", topic, "--qos", "1", "--file", "-")
	require.Zero(g.t, r.Code, r.Stderr)
}

func (g *gitops) letters(name string) (all []admin.DeadLetter) {
	g.t.Helper()
	var page admin.DeadLetters
	require.NoError(g.t, json.Unmarshal([]byte(g.must("dead-letters", "list", "-c", name, "--output", "json")), &page))
	return page.Letters
}

// An operator looks at messages, sees one that Kafka refuses, corrects the cause and
// replays it.
func TestAnOperatorWatchesMessagesAndReplaysWhatKafkaRefused(t *testing.T) {
	g := newGitops(t)
	g.limit("out", "3000")
	config := fmt.Sprintf(`{"bootstrap_servers":%q,"topic":"out"}`, g.kafka)
	g.must("create", "-n", "c", "--config", config, "--topic-id", "in/#",
		"--failure-strategy", "dead_message_queue", "--retry-total-times", "1")
	g.until(map[string]string{"c": "Running"})

	watching := exec.Command(program.Path(t), "mqtt", "connector", "tail", "-c", "c")
	watching.Env = append(os.Environ(), "ROBUSTMQ_API_URL="+g.server)
	tail := program.StartCommand(t, g.server, watching)
	require.Eventually(t, func() bool {
		g.publish("in/1", "21.5") // until the tail is there to see it
		return strings.Contains(tail.Output(), "in/1 -> out/0@")
	}, exampleTimeout, 100*time.Millisecond, "%s", tail.Output())
	assert.Contains(t, tail.Output(), ": 21.5\n")
	g.publish("in/2", strings.Repeat("x", 5000))
	tail.WaitLog("in/2 -> out (dead-lettered: ")

	letters := g.letters("c")
	require.Len(t, letters, 1)
	assert.Contains(t, letters[0].Reason, "MESSAGE_TOO_LARGE")
	assert.Equal(t, "out", letters[0].KafkaTopic)
	assert.Nil(t, letters[0].ReplayedTime)
	place := fmt.Sprintf("%d/%d", letters[0].Partition, letters[0].Offset)
	assert.Contains(t, g.must("dead-letters", "list", "-c", "c"), place+"  ")

	r := g.connector("dead-letters", "replay", "-c", "c", "--letter", place)
	assert.Equal(t, 1, r.Code, "the cause is not corrected yet")
	assert.Contains(t, r.Stdout, place+`: writing it to topic "out": MESSAGE_TOO_LARGE`)
	g.limit("out", "100000")
	assert.Equal(t, "replayed 1 letters; 0 were replayed before\n", g.must("dead-letters", "replay", "-c", "c", "--letter", place))
	assert.Equal(t, "replayed 0 letters; 1 were replayed before\n", g.must("dead-letters", "replay", "-c", "c", "--all"))
	assert.NotNil(t, g.letters("c")[0].ReplayedTime)

	g.must("delete", "-c", "c")
	tail.WaitLog(`tailing connector "c": the connector was deleted`)
	require.Eventually(t, tail.Ended, time.Minute, 10*time.Millisecond)
}
