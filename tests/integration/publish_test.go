//go:build integration

package integration

import (
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/stretchr/testify/require"
)

// TestPublishedMessagesSurviveTheConnection publishes numbered messages to mosquitto, over
// connections that are cut and half-open. None is missing, none overtakes another, and at
// QoS 2 none comes twice.
func TestPublishedMessagesSurviveTheConnection(t *testing.T) {
	s := startOwnServers(t)
	for _, version := range []string{"5", "3.1.1"} {
		for qos := 1; qos <= 2; qos++ {
			t.Run(fmt.Sprintf("MQTT %s QoS %d", version, qos), func(t *testing.T) { publishThroughFaults(t, s, version, qos) })
		}
	}
}

func publishThroughFaults(t *testing.T, s *ownServers, version string, qos int) {
	const messages = 3000
	topic := fmt.Sprintf("published/%s/%d", version, qos)
	var mu sync.Mutex
	var got []int
	subscriber := mqttClient(t, s.direct, "subscriber-"+topic)
	token := subscriber.Subscribe(topic, 1, func(_ paho.Client, m paho.Message) {
		n, err := strconv.Atoi(string(m.Payload()))
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		got = append(got, n)
	})
	require.True(t, token.WaitTimeout(time.Minute))
	require.NoError(t, token.Error())
	count := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(got)
	}

	startPipeline(t, fmt.Sprintf(`
input:
  generate: { count: %d, interval: 5ms, batch_size: 10, mapping: 'root = counter()' }
output:
  mqtt:
    urls: [ %s ]
    client_id: publisher
    clean_session: false
    keepalive: 2
    protocol_version: %q
    topic: %s
    qos: %d
`, messages, s.mqtt, version, topic, qos))
	faults := 0
	for _, fault := range []func(){s.mqttWay.cut, s.mqttWay.swallow, s.mqttWay.cut, s.mqttWay.cut} {
		faults++
		before := count()
		require.Eventually(t, func() bool { return count() > min(before+200, messages*9/10) }, time.Minute, time.Millisecond)
		fault()
	}
	last := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(got) > 0 && got[len(got)-1] == messages
	}
	require.Eventually(t, last, time.Minute, 10*time.Millisecond)
	mu.Lock()
	defer mu.Unlock()
	next, repeated := 1, 0
	for _, n := range got {
		require.LessOrEqual(t, n, next, "a message is missing or overtook another")
		if n == next {
			next++
		} else {
			repeated++
		}
	}
	require.Equal(t, messages+1, next)
	if qos == 2 {
		require.Zero(t, repeated, "messages of QoS 2 that came twice")
	}
	t.Logf("%d messages over %d faults, %d of them repeated", messages, faults, repeated)
}
