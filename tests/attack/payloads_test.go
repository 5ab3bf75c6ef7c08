//go:build integration

package attack

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
	"github.com/robustmq/robustmq-connect/tests/records"
)

// publisher connects to the broker of the healthy connectors.
func (s *service) publisher(t *testing.T) paho.Client {
	t.Helper()
	client := paho.NewClient(paho.NewClientOptions().AddBroker(s.broker.URL()).SetClientID(strings.ReplaceAll(t.Name(), "/", "-")).SetWriteTimeout(patience))
	connected := client.Connect()
	require.True(t, connected.WaitTimeout(patience))
	require.NoError(t, connected.Error())
	t.Cleanup(func() { client.Disconnect(100) })
	return client
}

// survives publishes hostile messages to its own connector, and then a harmless one.
// The connector works if the harmless message arrives.
type survives struct {
	config   string // more members
	topic    string // the MQTT topic, attack/NAME
	payloads [][]byte
}

func (v survives) attack(name string) attack {
	return attack{"payload: " + name, func(t *testing.T, s *service) {
		connector := "p_" + strings.Map(func(r rune) rune {
			if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
				return r
			}
			return '_'
		}, strings.ToLower(name))
		d := s.definition(connector, "attack/"+connector+"/#", connector, v.config)
		d.FailureStrategy = json.RawMessage(`{"strategy":"discard"}`)
		s.with(t, d)
		s.until(t, connector, "connection", func(d admin.Detail) bool { return d.State == "Running" })
		topic := "attack/" + connector + "/" + v.topic
		publisher := s.publisher(t)
		for _, payload := range v.payloads {
			publish := publisher.Publish(topic, 1, false, payload)
			require.True(t, publish.WaitTimeout(patience))
			require.NoError(t, publish.Error())
		}
		publish := publisher.Publish("attack/"+connector+"/last", 1, false, `{"well":"yes"}`)
		require.True(t, publish.WaitTimeout(patience))
		s.waitRecord(t, connector, "attack/"+connector+"/last")
		assert.Equal(t, "Running", s.detail(t, connector).State)
	}}
}

// waitRecord waits for a record whose envelope has the MQTT topic.
func (s *service) waitRecord(t *testing.T, topic, mqttTopic string) {
	t.Helper()
	reader, err := kgo.NewClient(kgo.SeedBrokers(s.kafka.Addr()), kgo.ConsumeTopics(topic), kgo.MetadataMinAge(100*time.Millisecond), kgo.UnknownTopicRetries(-1))
	require.NoError(t, err)
	defer reader.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		fetches := reader.PollFetches(ctx)
		require.NoError(t, ctx.Err(), "no record of %s in %s", mqttTopic, topic)
		for r := range fetches.RecordsAll() {
			e, err := records.Parse(r.Value)
			require.NoError(t, err)
			if e.Topic == mqttTopic {
				return
			}
		}
	}
}

func payloadAttacks() (all []attack) {
	bomb := func(size int) []byte {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		_, _ = w.Write(make([]byte, size)) // into memory
		_ = w.Close()
		return b.Bytes()
	}
	byJSON := `,"key":"${! json(\"device.id\").catch(\"none\") }"`
	for name, v := range map[string]survives{
		"nothing":                     {payloads: [][]byte{{}}},
		"zero bytes":                  {payloads: [][]byte{make([]byte, 100_000)}},
		"invalid UTF-8":               {payloads: [][]byte{[]byte("\xff\xfe\xc0\x80")}, config: byJSON},
		"9,990 lists":                 {payloads: [][]byte{bytes.Repeat([]byte("["), 9_990)}, config: byJSON},
		"250 KB of closed lists":      {payloads: [][]byte{append(bytes.Repeat([]byte("["), 125_000), bytes.Repeat([]byte("]"), 125_000)...)}, config: byJSON},
		"200 KB of nested objects":    {payloads: [][]byte{[]byte(strings.Repeat(`{"device":`, 20_000) + "1" + strings.Repeat("}", 20_000))}, config: byJSON},
		"a number of 200 KB":          {payloads: [][]byte{[]byte(`{"device":{"id":` + strings.Repeat("9", 200_000) + `}}`)}, config: byJSON},
		"an exponent":                 {payloads: [][]byte{[]byte(`{"device":{"id":1e999999999}}`)}, config: byJSON},
		"a key of 200 KB":             {payloads: [][]byte{[]byte(`{"device":{"id":"` + strings.Repeat("k", 200_000) + `"}}`)}, config: byJSON},
		"a megabyte where JSON goes":  {payloads: [][]byte{[]byte(`{"device":{"id":"` + strings.Repeat("k", 1<<20) + `"}}`)}, config: byJSON},
		"escapes":                     {payloads: [][]byte{[]byte(`{"device":{"id":"` + strings.Repeat(`\u0000`, 20_000) + `"}}`)}, config: byJSON},
		"40,000 names":                {payloads: [][]byte{[]byte(`{"device":{` + strings.TrimSuffix(strings.Repeat(`"a":1,`, 40_000), ",") + `}}`)}, config: byJSON},
		"a gzip bomb":                 {payloads: [][]byte{bomb(200 << 20)}, config: byJSON},
		"msgpack of one byte":         {payloads: [][]byte{bytes.Repeat([]byte{0x91}, 4_000_000)}, config: byJSON},
		"XML":                         {payloads: [][]byte{bytes.Repeat([]byte("<a>"), 1_000_000)}, config: byJSON},
		"a regular expression's food": {payloads: [][]byte{[]byte(strings.Repeat("a", 250_000))}, config: `,"key":"${! content().re_replace_all(\"(a+)+$\",\"b\").catch(\"none\") }"`},
		"replacements that grow":      {payloads: [][]byte{[]byte(strings.Repeat("a", 250_000))}, config: `,"key":"${! content().replace_all(\"a\",\"aaaaaaaa\").replace_all(\"a\",\"aaaaaaaa\").catch(\"none\") }"`},
		"a hundred million letters":   {payloads: [][]byte{[]byte(strings.Repeat("a", 10))}, config: `,"key":"${! content().replace_all(\"a\",\"aaaaaaaaaa\").replace_all(\"a\",\"aaaaaaaaaa\").replace_all(\"a\",\"aaaaaaaaaa\").replace_all(\"a\",\"aaaaaaaaaa\").replace_all(\"a\",\"aaaaaaaaaa\").replace_all(\"a\",\"aaaaaaaaaa\") }"`},
		"a join of letters":           {payloads: [][]byte{[]byte(strings.Repeat("a", 250_000))}, config: `,"key":"${! content().split(\"\").join(content()) }"`},
		"a key that always fails":     {payloads: [][]byte{[]byte("x")}, config: `,"key":"${! if content() == \"x\" { throw(\"\\u001b[2J\") } else { \"k\" } }"`},
		"a hash of 250 KB":            {payloads: [][]byte{[]byte(strings.Repeat("a", 250_000))}, config: `,"key":"${! content().hash(\"sha512\").encode(\"hex\") }"`},
		"a format of a gigabyte":      {payloads: [][]byte{[]byte("x")}, config: `,"key":"${! \"%900000000d\".format(1).catch(\"none\") }"`},
		"an error in the key":         {payloads: [][]byte{[]byte(`{`)}, config: `,"key":"${! json(\"a\") }"`},
		"a topic of two dots":         {payloads: [][]byte{[]byte("x")}, topic: "../../../etc/passwd"},
		"a topic of 60,000 bytes":     {payloads: [][]byte{[]byte("x")}, topic: strings.Repeat("t", 60_000)},
		"a topic of 30,000 levels":    {payloads: [][]byte{[]byte("x")}, topic: strings.Repeat("/", 30_000)},
		"a topic in an expression":    {payloads: [][]byte{[]byte("x")}, topic: "${! env(\"ROBUSTMQ_TEST_SECRET\") }", config: `,"key":"${! @mqtt_topic }"`},
		"a topic turned round":        {payloads: [][]byte{[]byte("x")}, topic: "\u202egnp.exe"},
		"over the limit of 16 MiB":    {payloads: [][]byte{make([]byte, 17<<20), make([]byte, 40<<20)}},
		"8 MB that Kafka refuses":     {payloads: [][]byte{make([]byte, 8<<20), make([]byte, 8<<20)}},
	} {
		all = append(all, v.attack(name))
	}
	return append(all,
		attack{"payload: 20,000 topics", func(t *testing.T, s *service) {
			s.with(t, s.definition("manytopics", "attack/many/#", "manytopics", ""))
			s.until(t, "manytopics", "connection", func(d admin.Detail) bool { return d.State == "Running" })
			publisher := s.publisher(t)
			const topics = 20_000
			for i := range topics {
				publish := publisher.Publish(fmt.Sprintf("attack/many/%d", i), 1, false, "x")
				if i%1000 == 999 {
					require.True(t, publish.WaitTimeout(patience))
				}
			}
			s.waitRecord(t, "manytopics", fmt.Sprintf("attack/many/%d", topics-1))
			_, metrics, err := s.request("GET", admin.PathMetrics, nil, nil)
			require.NoError(t, err)
			assert.Less(t, strings.Count(metrics, "\n"), 5_000, "series")
		}},
		attack{"payload: 300 Kafka topics and illegal ones by expression", func(t *testing.T, s *service) {
			d := s.definitionTo("dynamic", "attack/dyn/#", fmt.Sprintf(`{"bootstrap_servers":%q,"topic":"${! content() }"}`, s.kafka.Addr()))
			d.FailureStrategy = json.RawMessage(`{"strategy":"discard"}`)
			s.with(t, d)
			s.until(t, "dynamic", "connection", func(d admin.Detail) bool { return d.State == "Running" })
			publisher := s.publisher(t)
			for i := range 300 {
				publisher.Publish("attack/dyn/a", 1, false, fmt.Sprintf("dyn_%d", i))
				publisher.Publish("attack/dyn/a", 1, false, fmt.Sprintf("no topic %d / \x00", i))
			}
			publish := publisher.Publish("attack/dyn/last", 1, false, "dyn_last")
			require.True(t, publish.WaitTimeout(patience))
			s.waitRecord(t, "dyn_last", "attack/dyn/last")
		}},
		attack{"payload: 100 MB while Kafka takes nothing", func(t *testing.T, s *service) {
			address, _ := hostile(t, silent)
			s.with(t, s.definitionTo("blocked", "attack/blocked", fmt.Sprintf(`{"bootstrap_servers":%q,"topic":"x"}`, address)))
			s.until(t, "blocked", "reason", func(d admin.Detail) bool { return d.State == "Waiting" && d.Reason != "" })
			publisher := s.publisher(t)
			payload := make([]byte, 50_000)
			for range 2_000 {
				publisher.Publish("attack/blocked", 1, false, payload) // the broker drops what exceeds its limit
			}
			s.until(t, "blocked", "messages in flight", func(d admin.Detail) bool { return d.InFlight > 0 })
			detail := s.detail(t, "blocked")
			assert.Equal(t, "Waiting", detail.State)
			assert.Zero(t, detail.SendSuccessTotal)
		}},
	)
}
