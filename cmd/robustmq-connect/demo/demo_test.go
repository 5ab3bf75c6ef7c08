package demo

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/redpanda-data/benthos/v4/public/service"
	_ "github.com/redpanda-data/connect/v4/public/components/kafka"
	_ "github.com/redpanda-data/connect/v4/public/components/mqtt"
	_ "github.com/redpanda-data/connect/v4/public/components/pure"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	ucli "github.com/urfave/cli/v2"

	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/cli"
	"github.com/robustmq/robustmq-connect/plugins"
)

func TestMain(m *testing.M) {
	if err := plugins.Register(service.GlobalEnvironment()); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

func TestDemoTotalsAddUp(t *testing.T) {
	before := runtime.NumGoroutine()
	var stdout, stderr bytes.Buffer
	err := runDemo(t.Context(), options{duration: 2 * time.Second, rate: 300, stdout: &stdout, stderr: &stderr})
	require.NoError(t, err, stderr.String())
	assert.Empty(t, stderr.String())
	out := stdout.String()
	assert.Contains(t, out, "robustmq_kafka:\n        topic_id: sensors/+/data\n")
	assert.Contains(t, out, "mosquitto_pub -h 127.0.0.1 -p ")
	assert.Contains(t, out, "record 3, partition ")
	assert.NotContains(t, out, "record 4, partition ")
	assert.Contains(t, out, `"topic": "sensors/sensor-01/data"`)
	assert.Contains(t, out, `its payload: {"temperature":`)
	assert.Contains(t, out, "every message that was published is in Kafka, in order")

	// Eventually runs its condition in another goroutine.
	assert.Eventually(t, func() bool { return runtime.NumGoroutine() <= before+1 }, time.Minute, 20*time.Millisecond,
		"goroutines are still running")
}

// A program that reads the first line can take part; its messages are counted
// separately, and a signal stops the demo.
func TestDemoCountsOtherPublishersSeparately(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	r, w := io.Pipe()
	var stderr bytes.Buffer
	ended := make(chan error, 1)
	go func() {
		err := runDemo(ctx, options{rate: 100, json: true, stdout: w, stderr: &stderr})
		_ = w.Close() // a pipe's gives no error
		ended <- err
	}()

	var start demoStart
	var stats demoStats
	var totals demoTotals
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		var kind struct {
			Type string `json:"type"`
		}
		require.NoError(t, json.Unmarshal(lines.Bytes(), &kind), lines.Text())
		switch kind.Type {
		case "started":
			require.NoError(t, json.Unmarshal(lines.Bytes(), &start))
			publishAs(t, "tcp://"+start.MQTT, "sensors/mine/data", "not even JSON", `{"seq":1}`)
		case "stats":
			require.NoError(t, json.Unmarshal(lines.Bytes(), &stats))
			if stats.Others == 2 && stats.P99 > 0 {
				interrupt()
			}
		case "totals":
			require.NoError(t, json.Unmarshal(lines.Bytes(), &totals))
		default:
			t.Fatalf("unknown line %s", lines.Text())
		}
	}
	require.NoError(t, <-ended)
	assert.Empty(t, stderr.String())
	assert.Equal(t, "totals", totals.Type, "the last line")
	assert.True(t, totals.OK)
	assert.Positive(t, totals.Published)
	assert.Equal(t, totals.Published, totals.InKafka)
	assert.EqualValues(t, 2, totals.Others)
	assert.Zero(t, totals.Missing+totals.Duplicates+totals.OutOfOrder+totals.Dropped)
	assert.GreaterOrEqual(t, totals.P99, totals.P50)
}

func publishAs(t *testing.T, url, topic string, payloads ...string) {
	t.Helper()
	c := paho.NewClient(paho.NewClientOptions().AddBroker(url).SetClientID("somebody-else"))
	require.NoError(t, settle(c.Connect()))
	defer c.Disconnect(100)
	for _, p := range payloads {
		require.NoError(t, settle(c.Publish(topic, 1, false, p)))
	}
}

func TestDemoStopsWhenInterruptedAtOnce(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var stdout, stderr bytes.Buffer
	err := runDemo(ctx, options{rate: 1, json: true, stdout: &stdout, stderr: &stderr})
	if err != nil {
		require.EqualError(t, err, "checking the totals: nothing was published")
	}
	assert.Contains(t, stdout.String(), `{"type":"totals"`)
}

func TestDemoNamesTheFlagToChange(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	port := strconv.Itoa(taken.Addr().(*net.TCPAddr).Port)

	for _, tc := range []struct {
		args []string
		want string
	}{
		{[]string{"--mqtt-port", port}, "setting up --mqtt-port " + port + ": starting the embedded MQTT broker on 127.0.0.1:" + port},
		{[]string{"--kafka-port", port}, "setting up --kafka-port " + port + ": starting the embedded Kafka on 127.0.0.1:" + port},
		{[]string{"--mqtt-port", "65536"}, "reading --mqtt-port 65536: want a port"},
		{[]string{"--kafka-port", "-1"}, "reading --kafka-port -1: want a port"},
		{[]string{"--rate", "0"}, "reading --rate 0: want 1 to 100000"},
		{[]string{"--rate", "100001"}, "reading --rate 100001: want 1 to 100000"},
		{[]string{"--duration", "-1s"}, "reading --duration -1s: want 0 or more"},
		{[]string{"--output", "xml"}, `reading --output "xml": want text or json`},
		{[]string{"now"}, `reading argument "now": demo takes flags only`},
	} {
		app := &ucli.App{Writer: io.Discard, ErrWriter: io.Discard, Commands: []*ucli.Command{Command()}}
		err := app.RunContext(t.Context(), append([]string{cli.BinaryName, "demo"}, tc.args...))
		assert.ErrorContains(t, err, tc.want, tc.args)
	}
}

func demoEnvelope(topic string, seq int64) []byte {
	value, err := json.Marshal(map[string]any{"topic": topic, "payload": fmt.Appendf(nil, `{"seq":%d}`, seq)})
	if err != nil {
		panic(err)
	}
	return value
}

func TestTallyReportsWrongTotals(t *testing.T) {
	now := time.Now()
	for _, tc := range []struct {
		name    string
		arrived []int64 // of 4 that are published
		dropped int64
		want    demoTotals
		err     string
	}{
		{name: "in order", arrived: []int64{1, 2, 3, 4}, want: demoTotals{InKafka: 4}},
		{name: "a repeated suffix is no fault", arrived: []int64{1, 2, 3, 2, 3, 4}, want: demoTotals{InKafka: 4, Duplicates: 2}},
		{name: "missing", arrived: []int64{1, 3}, want: demoTotals{InKafka: 2, Missing: 2}, err: "2 of 4 messages are missing in kafka"},
		{
			name: "dropped", arrived: []int64{1, 3, 4}, dropped: 1, want: demoTotals{InKafka: 3, Missing: 1},
			err: "1 of 4 messages are missing in kafka, the broker dropped 1 because the pipeline fell behind (lower --rate)",
		},
		{
			name: "overtaken", arrived: []int64{1, 4, 2, 3}, want: demoTotals{InKafka: 4, OutOfOrder: 2},
			err: "2 of 4 messages are out of order within their topic",
		},
		{name: "never published", arrived: []int64{1, 2, 3, 4, 5, 0}, want: demoTotals{InKafka: 4, Others: 2}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tally := newTally()
			for seq := int64(1); seq <= 4; seq++ {
				tally.sent("a", seq, now)
				tally.acked("a", seq)
			}
			for _, seq := range tc.arrived {
				tally.arrived(demoEnvelope("a", seq), now.Add(time.Millisecond))
			}
			got := tally.totals(tc.dropped)
			tc.want.Published = 4
			assert.Equal(t, tc.want, demoTotals{
				Published: got.Published, InKafka: got.InKafka, Missing: got.Missing,
				Duplicates: got.Duplicates, OutOfOrder: got.OutOfOrder, Others: got.Others,
			})
			if tc.err == "" {
				require.NoError(t, got.check())
				assert.True(t, got.OK)
				return
			}
			require.EqualError(t, got.check(), "checking the totals: "+tc.err)
			assert.False(t, got.OK)
		})
	}
}

// A message can reach Kafka before its publisher has the broker's answer.
func TestTallyAcceptsAnArrivalBeforeItsAcknowledgement(t *testing.T) {
	tally := newTally()
	tally.sent("a", 1, time.Now())
	tally.arrived(demoEnvelope("a", 1), time.Now())
	tally.acked("a", 1)
	tally.waitArrived(time.Minute)
	require.NoError(t, tally.totals(0).check())
}

func TestLatenciesAreWithinTwoPercent(t *testing.T) {
	var l latencies
	assert.Zero(t, l.quantile(0.5))
	for ms := 1; ms <= 100; ms++ {
		l.add(time.Duration(ms) * time.Millisecond)
	}
	assert.InEpsilon(t, 50, l.quantile(0.5), 0.02)
	assert.InEpsilon(t, 99, l.quantile(0.99), 0.02)
	l.add(-time.Second)
	l.add(time.Hour)
	assert.Positive(t, l.quantile(1))
}

func TestTextReportRewritesItsLineOnATerminal(t *testing.T) {
	var out bytes.Buffer
	r := &textReport{out: &out, tty: true}
	r.stats(demoStats{Published: 1})
	r.stats(demoStats{Published: 2, Others: 3})
	r.totals(demoTotals{Published: 2, InKafka: 2})
	assert.Equal(t, 2, bytes.Count(out.Bytes(), []byte("\r\x1b[K")))
	assert.Contains(t, out.String(), "from others 3\n\npublished              2 ")
	assert.Equal(t, `"\x1b[2J"`, printable([]byte("\x1b[2J")))
}
