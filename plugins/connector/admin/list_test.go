package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

func names(l List) (names []string) {
	for _, r := range l.Data {
		names = append(names, r.ConnectorName)
	}
	return names
}

func TestListPagesSortsAndFilters(t *testing.T) {
	m := newMemory()
	for i := range 12 {
		name := fmt.Sprintf("c%02d", i)
		m.all[name] = connector.Status{
			Name: name, Type: "kafka", Tenant: "default", TopicID: fmt.Sprintf("t/%d", i%2), Config: json.RawMessage(plainConfig),
			State: connector.Running, CreateTime: recordedAt.Add(time.Duration(-i) * time.Second), UpdateTime: recordedAt,
		}
	}
	h := newServer(t, m, Options{}).Handler()
	for query, want := range map[string]string{
		"":                                  "c00 c01 c02 c03 c04 c05 c06 c07 c08 c09",
		"limit=0&page=0":                    "c00 c01 c02 c03 c04 c05 c06 c07 c08 c09",
		"page=2":                            "c10 c11",
		"page=3":                            "",
		"limit=5&page=2":                    "c05 c06 c07 c08 c09",
		"limit=4294967295&page=4294967295":  "",
		"limit=3&sort_field=connector_name": "c11 c10 c09", // RobustMQ's order unless asc is said
		"limit=3&sort_field=connector_name&sort_by=asc":  "c00 c01 c02",
		"limit=3&sort_field=connector_name&sort_by=ASC":  "c11 c10 c09",
		"limit=3&sort_field=create_time&sort_by=asc":     "c11 c10 c09",
		"limit=3&sort_field=topic_name&sort_by=desc":     "c01 c03 c05", // equals stay in the order of their names
		"limit=3&sort_field=no_such_field&sort_by=desc":  "c00 c01 c02",
		"limit=3&sort_field=&sort_by=&tenant=":           "c00 c01 c02",
		"connector_name=c07":                             "c07",
		"connector_name=c07&limit=1&page=2":              "",
		"connector_name=c0&tenant=default":               "",
		"connector_name=&limit=2":                        "c00 c01",
		"filter_field=status&exact_match=exact&limit=1":  "c00",
		"limit=1&something_else=1":                       "c00",
		"sort_field=update_time&sort_by=asc&limit=1":     "c00",
		"sort_field=broker_id&sort_by=asc&limit=1":       "c00",
		"sort_field=status&sort_by=asc&limit=1":          "c00",
		"sort_field=tenant&limit=1":                      "c00",
		"sort_field=connector_type&limit=1&page=12":      "c11",
		"limit=1&page=12&sort_field=config&sort_by=desc": "c11",
	} {
		page := read[List](t, ask(h, http.MethodGet, PathList+"?"+query, ""))
		assert.Equal(t, want, strings.Join(names(page), " "), query)
		total := 12
		switch query {
		case "connector_name=c07", "connector_name=c07&limit=1&page=2":
			total = 1
		case "connector_name=c0&tenant=default":
			total = 0
		}
		assert.Equal(t, total, page.TotalCount, query)
	}
}

func TestAQueryThatIsWrongIsAnsweredInPlainText(t *testing.T) {
	h := newServer(t, newMemory(), Options{}).Handler()
	for target, want := range map[string]string{
		PathList + "?limit=x":                                  "limit: \"x\" is not a number from 0 to 4294967295",
		PathList + "?limit=-1":                                 "limit: \"-1\" is not a number from 0 to 4294967295",
		PathList + "?page=4294967296":                          "page: \"4294967296\" is not a number",
		PathList + "?limit=1&limit=2":                          "duplicate field `limit`",
		PathList + "?filter_values=a":                          "filter_values is not taken: use connector_name",
		PathList + "?page=%zz":                                 "invalid URL escape",
		PathDetail + "?tenant=default":                         "missing field `connector_name`",
		PathDetail + "?connector_name=a":                       "missing field `tenant`",
		PathDetail + "?tenant=a&tenant=b":                      "duplicate field `tenant`",
		PathReady + "?connector_name=a&connector_name=default": "duplicate field `connector_name`",
	} {
		w := ask(h, http.MethodGet, target, "")
		assert.Equal(t, http.StatusBadRequest, w.Code, target)
		assert.Contains(t, w.Body.String(), "Failed to deserialize query string: "+want, target)
		assert.Equal(t, contentType, w.Header().Get("Content-Type"), target)
	}
	for _, target := range []string{PathList + "?tenant=other", PathDetail + "?connector_name=a&tenant=other"} {
		w := ask(h, http.MethodGet, target, "")
		assert.Equal(t, http.StatusBadRequest, w.Code, target)
		assert.Equal(t, `Parameter validation failed: tenant: "other" does not exist: there is one, default`, refusal(t, w))
	}
}

func TestAListedConfigIsWrappedAndFilled(t *testing.T) {
	const filled = `"key":"","compression_type":"none","batch_size":16384,"linger_ms":5,"acks":"1","retries":3,` +
		`"message_timeout_ms":30000,"cleanup_timeout_secs":10`
	for given, want := range map[string]string{
		plainConfig: `{"Kafka":{"bootstrap_servers":"localhost:9092","topic":"t",` + filled + `}}`,
		`"{\"bootstrap_servers\":\"localhost:9092\",\"topic\":\"t\"}"`:                 `{"Kafka":{"bootstrap_servers":"localhost:9092","topic":"t",` + filled + `}}`,
		`{"kafka": {"topic": "t", "bootstrap_servers": "localhost:9092", "key":null}}`: `{"Kafka":{"bootstrap_servers":"localhost:9092","topic":"t",` + filled + `}}`,
		// What is not RobustMQ's stands behind.
		`{"urls":["tcp://b:1883"],"qos":2,"password":"***","topic":"t","sasl":[{"mechanism":"PLAIN"}],"acks":"all","bootstrap_servers":"k:1"}`: `{"Kafka":{"bootstrap_servers":"k:1","topic":"t",` +
			strings.Replace(filled, `"acks":"1"`, `"acks":"all"`, 1) +
			`,"password":"***","qos":2,"sasl":[{"mechanism":"PLAIN"}],"urls":["tcp://b:1883"]}}`,
		`"nothing"`: `"nothing"`,
	} {
		assert.Equal(t, want, listedConfig(connector.Status{Config: json.RawMessage(given)}))
	}
}

// A row of a list is a connector description. What the list filled in must not
// become a setting when it is created again, here or with create -f.
func TestAListedRowCreatesTheSameConnector(t *testing.T) {
	for _, config := range []string{
		plainConfig,
		`{"bootstrap_servers":"localhost:9092","topic":"t","key":"k","acks":"all","retries":7,"linger_ms":0}`,
		`{"Kafka":{"bootstrap_servers":"localhost:9092","topic":"t","acks":"1","retries":3,"batch_size":1}}`,
		`{"bootstrap_servers":"k:1","topic":"t","urls":["tcp://b:1883"],"qos":2,"format":"raw","tls":{"enabled":true},"mqtt_tls":{"enabled":true}}`,
	} {
		m := newMemory()
		h := newServer(t, m, Options{}).Handler()
		first := definitionOf("c", config)
		read[string](t, ask(h, http.MethodPost, PathCreate, first))
		block := strings.Replace(first, `"discard"`, `"block"`, 1)
		read[string](t, ask(h, http.MethodPost, PathUpdate, block))
		m.all["c"] = reasoned(m.all["c"], "waiting for Kafka since 02:52")

		var listed struct {
			Data struct{ Data []json.RawMessage }
		}
		require.NoError(t, json.Unmarshal(ask(h, http.MethodGet, PathList, "").Body.Bytes(), &listed))
		require.Len(t, listed.Data.Data, 1)
		row := listed.Data.Data[0]

		copied := newMemory()
		read[string](t, ask(newServer(t, copied, Options{}).Handler(), http.MethodPost, PathCreate, string(row)))
		assert.Equal(t, m.all["c"].FailureStrategy, copied.all["c"].FailureStrategy)

		a, err := connector.Parse([]byte(block))
		require.NoError(t, err)
		b, err := connector.Parse(row)
		require.NoError(t, err)
		want, _ := connector.Pipeline(a)
		got, _ := connector.Pipeline(b)
		assert.Equal(t, string(want), string(got))
	}
}

func reasoned(s connector.Status, reason string) connector.Status {
	s.State, s.Reason = connector.Running, reason
	if reason != "" {
		s.State = connector.Waiting
		s.Waits = []connector.Wait{{For: connector.NeedKafka, Since: time.Unix(1795402440, 0), Why: reason}}
	}
	return s
}

func TestDetailHasWhatWasGivenAndWhatWasDone(t *testing.T) {
	m := newMemory()
	h := newServer(t, m, Options{}).Handler()
	read[string](t, ask(h, http.MethodPost, PathCreate, definitionOf("c", plainConfig)))
	m.all["c"] = reasoned(m.all["c"], "waiting for Kafka since 02:52: tcp://ada:lovelace@k:9092 refused")
	m.figures["c"] = connector.Figures{
		LastSend: time.Unix(1795402446, 5), Sent: 50002, Failed: 4, Retried: 3, Discarded: 2, DeadLettered: 1,
		InFlight: 20, OldestUnacked: 1500 * time.Millisecond, LastError: "no leader", LastErrorSince: time.Unix(1795402447, 0),
	}
	w := ask(h, http.MethodGet, PathDetail+"?tenant=default&connector_name=c", "")
	assert.Equal(t, `{"code":0,"data":{"last_send_time":1795402446,"send_success_total":50002,"send_fail_total":4,"last_msg":null,`+
		`"retry_total":3,"discarded_total":2,"dead_lettered_total":1,"in_flight":20,"oldest_unacked_ms":1500,`+
		`"last_error":"no leader","last_error_time":1795402447,"tenant":"default","connector_name":"c","connector_type":"kafka",`+
		`"config":"{\"bootstrap_servers\":\"localhost:9092\",\"topic\":\"t\"}","topic_name":"a/c","failure_strategy":{"strategy":"discard"},`+
		`"state":"Waiting","waits_for":[{"for":"kafka","since":1795402440,"why":"waiting for Kafka since 02:52: tcp://***@k:9092 refused"}],`+
		`"reason":"waiting for Kafka since 02:52: tcp://***@k:9092 refused",`+
		`"create_time":"2026-11-23 02:52:14","update_time":"2026-11-23 02:52:14"},"error":null,`+
		`"notes":["failure strategy discard: a record that Kafka refuses is dropped; block keeps it and stops the connector there"]}`,
		w.Body.String())

	// A paused one has its figures too; RobustMQ has none.
	_, err := m.Pause(context.Background(), "c")
	require.NoError(t, err)
	d := read[Detail](t, ask(h, http.MethodGet, PathDetail+"?tenant=default&connector_name=c", ""))
	assert.Equal(t, "Paused", d.State)
	assert.Equal(t, int64(50002), d.SendSuccessTotal)
}

func TestTheDetailOfAPausedSourceHasItsLagOrSaysWhyNot(t *testing.T) {
	m := newMemory()
	h := newServer(t, m, Options{}).Handler()
	read[string](t, ask(h, http.MethodPost, PathCreate, definitionOf("c", plainConfig)))
	m.lag, m.lagUnknown = []connector.Lag{{Topic: "t", Partition: 1, Records: 5}}, "reaching Kafka at tcp://ada:lovelace@k:9092"
	detail := func() string {
		return ask(h, http.MethodGet, PathDetail+"?tenant=default&connector_name=c", "").Body.String()
	}
	read[string](t, ask(h, http.MethodPost, PathResume, `{"tenant":"default","connector_name":"c"}`))
	assert.NotContains(t, detail(), `"lag`, "while it runs its figures have it")
	read[string](t, ask(h, http.MethodPost, PathPause, `{"tenant":"default","connector_name":"c"}`))
	assert.Contains(t, detail(), `"lag":[{"topic":"t","partition":1,"records":5}],"lag_unknown":"reaching Kafka at tcp://***@k:9092"`)
}

func TestDetailTellsEachStrategy(t *testing.T) {
	for _, test := range []struct {
		given *connector.FailureStrategy
		want  string
		drops bool
	}{
		{nil, `{"strategy":"block"}`, false},
		{&connector.FailureStrategy{Strategy: "block"}, `{"strategy":"block"}`, false},
		{&connector.FailureStrategy{Strategy: "discard"}, `{"strategy":"discard"}`, true},
		{
			&connector.FailureStrategy{Strategy: "discard_after_retry", RetryTotalTimes: 5},
			`{"strategy":"discard_after_retry","retry_total_times":5,"wait_time_ms":0}`, true,
		},
		{
			&connector.FailureStrategy{Strategy: "dead_message_queue", RetryTotalTimes: 3, WaitTimeMS: 1000, TopicName: "dlq", BootstrapServers: "k:1"},
			`{"strategy":"dead_message_queue","retry_total_times":3,"wait_time_ms":1000,"topic_name":"dlq","bootstrap_servers":"k:1"}`, false,
		},
	} {
		got, err := json.Marshal(strategyOf(test.given))
		require.NoError(t, err)
		assert.Equal(t, test.want, string(got))
		assert.Equal(t, test.drops, len(strategyNotes(test.given)) > 0, test.want)
	}
}

func TestListAndDetailShowWhatIsInADiskBuffer(t *testing.T) {
	m := newMemory()
	h := newServer(t, m, Options{}).Handler()
	read[string](t, ask(h, http.MethodPost, PathCreate, definitionOf("c", plainConfig)))
	assert.NotContains(t, ask(h, http.MethodGet, PathList, "").Body.String(), `"buffer"`)
	m.mu.Lock()
	s := m.all["c"]
	s.State, s.Buffer = connector.Running, &connector.Buffer{Messages: 7, Bytes: 2048, MaxBytes: 1 << 30, Oldest: 1500 * time.Millisecond}
	m.all["c"] = s
	m.mu.Unlock()
	want := `"buffer":{"messages":7,"bytes":2048,"max_bytes":1073741824,"oldest_ms":1500}`
	list := ask(h, http.MethodGet, PathList, "")
	assert.Contains(t, list.Body.String(), want)
	assert.Contains(t, ask(h, http.MethodGet, PathDetail+"?tenant=default&connector_name=c", "").Body.String(), want)
	row, err := json.Marshal(read[List](t, list).Data[0])
	require.NoError(t, err)
	_, err = connector.Parse(row)
	require.NoError(t, err, "a row is a definition")
}
