package supervisor

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/connector/store"
)

// value is what a scrape has for a series, -1 where it has none.
func value(t testing.TB, scrape, series string) float64 {
	t.Helper()
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(series) + ` (\S+)$`).FindStringSubmatch(scrape)
	if m == nil {
		return -1
	}
	v, err := strconv.ParseFloat(m[1], 64)
	require.NoError(t, err)
	return v
}

func (r *rig) metric(format string, args ...any) float64 {
	r.t.Helper()
	return value(r.t, r.scrape(), "robustmq_connect_"+fmt.Sprintf(format, args...))
}

func (r *rig) untilMetric(want float64, format string, args ...any) {
	r.t.Helper()
	require.Eventually(r.t, func() bool { return r.metric(format, args...) == want }, patience, 20*time.Millisecond,
		"%s is %v, not %v", fmt.Sprintf(format, args...), r.metric(format, args...), want)
}

func TestOwnMetricsFollowTheConventionsOfPrometheus(t *testing.T) {
	r := newRig(t)
	r.create(r.conn("c", "in/#", "out", ""))
	r.ready("c")
	var own strings.Builder
	names := map[string]bool{}
	for line := range strings.Lines(r.scrape()) {
		words := strings.Fields(strings.TrimPrefix(strings.TrimPrefix(line, "# HELP "), "# TYPE "))
		if !strings.HasPrefix(words[0], "robustmq_connect_") {
			continue
		}
		own.WriteString(line)
		if strings.HasPrefix(line, "# TYPE ") {
			names[words[0]] = true
		}
	}
	assert.Greater(t, len(names), 20)
	problems, err := promlint.New(strings.NewReader(own.String())).Lint()
	require.NoError(t, err)
	assert.Empty(t, problems)
}

func TestOwnMetricsTellWhatAConnectorDoes(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Version = "v1.2.3"; o.MaxPendingBytes = 1 << 20 })
	r.create(r.conn("c", "in/#", "out", ""))
	r.ready("c")
	r.publish("in/a", "1", "2", "3")
	r.untilMetric(3, `connector_end_to_end_latency_seconds_count{connector="c"}`)
	r.untilMetric(0, `connector_in_flight_messages{connector="c"}`)
	text := r.scrape()
	for series, want := range map[string]float64{
		`build_info{version="v1.2.3"}`: 1, `store_writable`: 1, `streams_not_ended`: 0, `pending_limit_bytes`: 1 << 20, `pending_bytes`: 0,
		`connectors{state="Running"}`: 1, `connectors{state="Waiting"}`: 0, `connectors{state="Failed"}`: 0, `connectors{state="Paused"}`: 0,
		`connector_messages_received_total{connector="c"}`: 3, `connector_records_sent_total{connector="c"}`: 3,
		`connector_records_refused_total{connector="c"}`: 0, `connector_records_retried_total{connector="c"}`: 0,
		`connector_records_discarded_total{connector="c"}`: 0, `connector_records_dead_lettered_total{connector="c"}`: 0,
		`connector_up{connector="c"}`: 1, `connector_blocked{connector="c"}`: 0, `connector_quarantined{connector="c"}`: 0,
		`connector_lag_seconds{connector="c"}`:                   0,
		`connector_state{connector="c",state="Running"}`:         1,
		`connector_state{connector="c",state="Paused"}`:          0,
		`connector_waiting_seconds{connector="c",waits_for="x"}`: -1,
		// Of each message, not of each batch.
		`connector_end_to_end_latency_seconds_bucket{connector="c",le="+Inf"}`: 3,
		`connector_end_to_end_latency_seconds_bucket{connector="c",le="1800"}`: 3,
	} {
		assert.InDelta(t, want, value(t, text, "robustmq_connect_"+series), 0, series)
	}
	for _, need := range needs {
		assert.Zero(t, value(t, text, fmt.Sprintf(`robustmq_connect_connector_waiting_seconds{connector="c",waits_for=%q}`, need)))
	}
	batches := value(t, text, `mqtt_connector_send_duration_ms_count{connector_name="c",connector_type="kafka",tenant="default"}`)
	assert.Positive(t, batches)
	assert.InDelta(t, batches, value(t, text, `robustmq_connect_connector_send_duration_seconds_count{connector="c"}`), 0)
	assert.InDelta(t, batches, value(t, text, `robustmq_connect_connector_send_duration_seconds_bucket{connector="c",le="10"}`), 0)
	assert.InDelta(t, value(t, text, `mqtt_connector_send_duration_ms_sum{connector_name="c",connector_type="kafka",tenant="default"}`),
		1000*value(t, text, `robustmq_connect_connector_send_duration_seconds_sum{connector="c"}`), 1e-6)
	assert.InDelta(t, time.Now().Unix(), value(t, text, `robustmq_connect_connector_last_send_timestamp_seconds{connector="c"}`), 60)

	require.NoError(t, r.Pause(t.Context(), "c"))
	text = r.scrape()
	assert.Zero(t, value(t, text, `robustmq_connect_connector_up{connector="c"}`))
	assert.InDelta(t, 1, value(t, text, `robustmq_connect_connector_state{connector="c",state="Paused"}`), 0)
	assert.InDelta(t, 1, value(t, text, `robustmq_connect_connectors{state="Paused"}`), 0)
	assert.InDelta(t, 3, value(t, text, `robustmq_connect_connector_end_to_end_latency_seconds_count{connector="c"}`), 0, "what was counted stays")

	_, err := r.Delete(t.Context(), "c")
	require.NoError(t, err)
	assert.NotContains(t, r.scrape(), `connector="c"`)
}

func TestOwnMetricsTellOfKafkaBeingAway(t *testing.T) {
	r := newRig(t)
	r.create(r.conn("c", "in/#", "out", ""))
	r.ready("c")
	r.kafka.Close()
	r.publish("in/a", "1", "2")
	r.untilMetric(1, `connector_blocked{connector="c"}`)
	r.untilMetric(2, `connector_in_flight_messages{connector="c"}`)
	r.untilMetric(0, `connector_up{connector="c"}`)
	text := r.scrape()
	assert.Positive(t, value(t, text, `robustmq_connect_connector_lag_seconds{connector="c"}`))
	assert.Positive(t, value(t, text, `robustmq_connect_connector_waiting_seconds{connector="c",waits_for="kafka"}`))
	assert.Zero(t, value(t, text, `robustmq_connect_connector_waiting_seconds{connector="c",waits_for="mqtt"}`))
	assert.Positive(t, value(t, text, `robustmq_connect_pending_bytes`))
	// A connector that has moved nothing has no histograms: they were half of a scrape of thousands.
	for _, name := range []string{"end_to_end_latency_seconds", "send_duration", "latency_ns"} {
		assert.NotContains(t, text, name)
	}
}

func TestMetricsTellThatTheStoreTakesNoChanges(t *testing.T) {
	r := newRig(t)
	r.untilMetric(1, "store_writable")
	r.health.mu.Lock()
	r.health.probe = func() error { return os.ErrPermission }
	r.health.mu.Unlock()
	r.untilMetric(0, "store_writable")
}

// pemFile writes a certificate that ends at a time.
func pemFile(t *testing.T, path string, ends time.Time) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: ends.Add(-time.Hour), NotAfter: ends}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	require.NoError(t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	cert = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	key = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
	require.NoError(t, os.WriteFile(path, []byte(cert), 0o600))
	require.NoError(t, os.WriteFile(path+".key", []byte(key), 0o600))
	return cert, key
}

func TestMetricsTellWhenCertificatesEnd(t *testing.T) {
	secrets := t.TempDir()
	path := func(name string) string { return filepath.Join(secrets, name) }
	now := time.Now().Truncate(time.Second)
	at := func(days int) time.Time { return now.Add(time.Duration(days) * 24 * time.Hour) }
	pemFile(t, path("api.pem"), at(1))
	serviceCert, serviceKey := pemFile(t, path("service.pem"), at(2))
	mqttCert, mqttKey := pemFile(t, path("mqtt.pem"), at(30))
	sooner, _ := pemFile(t, path("ca.pem"), at(3)) // a chain ends with its first
	pemFile(t, path("kafka.pem"), at(4))
	tls := func(cert, key string) map[string]any {
		return map[string]any{"enabled": true, "client_certs": []any{map[string]string{"cert": cert, "key": key}}}
	}
	r := newRig(t, func(o *Options) {
		o.SecretsDir, o.APICertFile = secrets, path("api.pem")
		o.MQTT = connector.Settings{setting("urls", []string{"ssl://127.0.0.1:1"}), setting("tls", tls(serviceCert, serviceKey))}
	})
	more, err := json.Marshal(map[string]any{"urls": []string{"ssl://127.0.0.1:1"}, "mqtt_tls": tls(mqttCert+sooner, mqttKey), "tls": map[string]any{
		"enabled": true, "client_certs": []any{map[string]string{"cert_file": "kafka.pem", "key_file": "kafka.pem.key"}},
	}})
	require.NoError(t, err)
	r.create(r.conn("own", "in/#", "out", ","+strings.Trim(string(more), "{}")))
	r.create(r.conn("of the service", "in/#", "out", ""))
	text := r.scrape()
	const name = "robustmq_connect_certificate_expiry_timestamp_seconds"
	for labels, days := range map[string]int{
		`{connector="",side="api"}`: 1, `{connector="",side="mqtt"}`: 2, `{connector="own",side="mqtt"}`: 3, `{connector="own",side="kafka"}`: 4,
	} {
		assert.InDelta(t, at(days).Unix(), value(t, text, name+labels), 0, labels)
	}
	assert.Equal(t, 4, strings.Count(text, "\n"+name+"{"), "the service's certificates are told once, and not for each connector")

	// A file is replaced under a connector that runs.
	pemFile(t, path("kafka.pem"), at(90))
	e := r.find("own")
	r.mu.Lock()
	e.certificates.read = e.certificates.read.Add(-certificateAge)
	r.mu.Unlock()
	assert.InDelta(t, at(90).Unix(), value(t, r.scrape(), name+`{connector="own",side="kafka"}`), 0)
	require.NoError(t, os.Remove(path("kafka.pem")))
	require.NoError(t, os.Remove(path("api.pem")))
	r.mu.Lock()
	e.certificates = certificateCache{}
	r.mu.Unlock()
	assert.Equal(t, 2, strings.Count(r.scrape(), "\n"+name+"{"), "what cannot be read has no end")
}

func TestEveryStateHasASeriesAndIsCounted(t *testing.T) {
	r := newRig(t)
	for _, name := range []string{"up", "waits", "failed", "paused"} {
		c := r.conn(name, "in/#", "out", "")
		if name == "waits" {
			c = r.parse(name, "in/#", `{"bootstrap_servers":"127.0.0.1:1","topic":"t"}`, `{"strategy":"block"}`)
		}
		r.create(c)
	}
	r.ready("up")
	require.NoError(t, r.Pause(t.Context(), "paused"))
	e := r.find("failed")
	r.mu.Lock()
	e.failed = &failure{since: time.Now(), why: "a test"}
	r.mu.Unlock()
	text := r.scrape()
	for name, state := range map[string]connector.State{"up": connector.Running, "waits": connector.Waiting, "failed": connector.Failed, "paused": connector.Paused} {
		for _, other := range states {
			assert.InDelta(t, oneIf(other == state), value(t, text, fmt.Sprintf(`robustmq_connect_connector_state{connector=%q,state=%q}`, name, other)), 0, "%s %s", name, other)
		}
		assert.InDelta(t, 1, value(t, text, fmt.Sprintf(`robustmq_connect_connectors{state=%q}`, state)), 0, state)
	}
}

// One scrape of a service with many connectors.
func BenchmarkScrape(b *testing.B) {
	r := newRig(b)
	const connectors = 1000
	for i := range connectors {
		c := r.conn(fmt.Sprintf("connector-%d", i), "in/#", "out", "")
		r.mu.Lock()
		e := r.newEntryLocked(store.Definition{Connector: c})
		r.mu.Unlock()
		for k := range 30 {
			e.figures.get(fmt.Sprintf("engine_metric_%d", k), 0, counterKind, []string{"label", "path"}, []string{"l", "p"}).Incr(1)
		}
		e.figures.get(metricSendDuration, 0, timerKind, nil, nil).Timing(1)
	}
	b.ReportAllocs()
	for b.Loop() {
		r.scrape()
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/connectors, "µs/connector")
}
