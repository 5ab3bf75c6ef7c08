//go:build integration

package monitoring

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
	"github.com/robustmq/robustmq-connect/plugins/embedded"
	"github.com/robustmq/robustmq-connect/tests/program"
)

const patience = time.Minute

func TestMain(m *testing.M) { os.Exit(program.Main(m)) }

var script = filepath.Join("..", "servers", "prometheus.sh")

func promtool(t *testing.T, args ...string) {
	t.Helper()
	out, err := exec.Command("promtool", args...).CombinedOutput()
	require.NoError(t, err, "promtool %v (tests/servers/prometheus.sh install brings it): %s", args, out)
}

func TestPromtoolTakesTheRulesAndTheirTests(t *testing.T) {
	promtool(t, "check", "rules", filepath.Join(resources, "prometheus", "rules.yaml"))
	promtool(t, "test", "rules", filepath.Join(resources, "prometheus", "rules_test.yaml"))
}

// service is a robustmq-connect as one runs it where Prometheus is: with TLS and a token.
type service struct {
	address, ca, tokenFile, token string
	client                        *http.Client
}

func startService(t *testing.T, broker string) *service {
	t.Helper()
	dir := t.TempDir()
	s := &service{address: program.FreeAddress(t), ca: filepath.Join(dir, "cert.pem"), tokenFile: filepath.Join(dir, "token"), token: "let-me-in"}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	write := func(name string, text []byte) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, text, 0o600))
		return path
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	write("cert.pem", certPEM)
	write("token", []byte(s.token))
	keyFile := write("key.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(certPEM))
	s.client = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}}
	p := program.Start(t, s.address, "serve", "--listen", s.address, "--store", filepath.Join(dir, "store"), "--mqtt-url", broker,
		"--api-token-file", s.tokenFile, "--tls-cert-file", s.ca, "--tls-key-file", keyFile, "--drain-timeout", "2s",
		"--robustmq-dashboard-metrics")
	require.Eventually(t, func() bool {
		code, _ := s.call("GET", "/ready", nil)
		return code == http.StatusOK
	}, patience, 20*time.Millisecond, "the service does not become ready: %s", p.Output())
	return s
}

// call asks the admin API; the code is 0 while nobody answers.
func (s *service) call(method, path string, body any) (code int, text string) {
	data, err := json.Marshal(body)
	if err != nil {
		return 0, err.Error()
	}
	req, err := http.NewRequest(method, "https://"+s.address+path, bytes.NewReader(data))
	if err != nil {
		return 0, err.Error()
	}
	req.Header.Set("Authorization", "Bearer "+s.token)
	resp, err := s.client.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(answer)
}

func (s *service) create(t *testing.T, name, filter, config, strategy string) {
	t.Helper()
	s.createOf(t, "kafka", name, filter, config, strategy)
}

func (s *service) createOf(t *testing.T, kind, name, filter, config, strategy string) {
	t.Helper()
	code, text := s.call("POST", admin.PathCreate, admin.Definition{
		ConnectorName: name, ConnectorType: kind, Tenant: "default", TopicName: filter,
		Config: json.RawMessage(config), FailureStrategy: json.RawMessage(strategy),
	})
	require.Equal(t, http.StatusOK, code, text)
	require.Contains(t, text, `"code":0`)
}

// publish sends messages that Kafka takes, and ones that have no legal topic, until the
// test ends.
func publish(t *testing.T, broker string) {
	t.Helper()
	client := paho.NewClient(paho.NewClientOptions().AddBroker(broker).SetClientID("load"))
	token := client.Connect()
	require.True(t, token.WaitTimeout(patience))
	require.NoError(t, token.Error())
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		beat := time.NewTicker(20 * time.Millisecond)
		defer beat.Stop()
		for {
			select {
			case <-stop:
				return
			case <-beat.C:
			}
			client.Publish("good/a", 1, false, "payload")
			client.Publish("bad/a", 1, false, "no topic at all")
		}
	}()
	t.Cleanup(func() {
		close(stop)
		<-stopped
		client.Disconnect(100)
	})
}

// prometheus is a server that scrapes the service every second.
type prometheus struct{ url string }

func startPrometheus(t *testing.T, s *service) prometheus {
	t.Helper()
	// The one that documents offer, with what a reader replaces in it.
	text, err := os.ReadFile(filepath.Join(resources, "prometheus", "prometheus.yml"))
	require.NoError(t, err)
	rulesFile, err := filepath.Abs(filepath.Join(resources, "prometheus", "rules.yaml"))
	require.NoError(t, err)
	config := "global: { scrape_interval: 1s, evaluation_interval: 1s }\n" + string(text)
	for from, to := range map[string]string{
		"[rules.yaml]": "[" + rulesFile + "]", "/etc/prometheus/robustmq-connect.token": s.tokenFile,
		"/etc/prometheus/robustmq-connect-ca.pem": s.ca, "localhost:58080": s.address,
	} {
		require.Equal(t, 1, strings.Count(config, from), from)
		config = strings.Replace(config, from, to, 1)
	}
	// with.sh stops what is below SERVERS_DIR also when this process is killed.
	base := os.Getenv("SERVERS_DIR")
	if base == "" {
		base = t.TempDir()
	}
	own, err := os.MkdirTemp(base, "monitoring") //nolint:usetesting // with.sh stops what is in its own folder
	require.NoError(t, err)
	file, dir := filepath.Join(own, "prometheus.yml"), filepath.Join(own, "prometheus")
	require.NoError(t, os.WriteFile(file, []byte(config), 0o600))
	promtool(t, "check", "config", file)
	out, err := exec.Command(script, "start", "--dir", dir, "--port", "0", "--config", file).CombinedOutput()
	require.NoError(t, err, "%s", out)
	t.Cleanup(func() {
		out, err := exec.Command(script, "stop", "--dir", dir).CombinedOutput()
		assert.NoError(t, err, "%s", out)
	})
	words := strings.Fields(string(out))
	return prometheus{"http://" + words[len(words)-1]}
}

func (p prometheus) get(path string, parameters url.Values, data any) error {
	resp, err := http.Get(p.url + path + "?" + parameters.Encode())
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer := struct {
		Status, Error string
		Data          any
	}{Data: data}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return fmt.Errorf("%s: reading the answer: %w", resp.Status, err)
	}
	if answer.Status != "success" {
		return fmt.Errorf("%s: %s", resp.Status, answer.Error)
	}
	return nil
}

// data says why a query has none.
func (p prometheus) data(q query) error {
	if q.label != "" {
		var values []string
		err := p.get("/api/v1/label/"+q.label+"/values", url.Values{"match[]": {q.expr}}, &values)
		if err == nil && len(values) == 0 {
			return fmt.Errorf("no series of %s has a label %s", q.expr, q.label)
		}
		return err
	}
	var result struct {
		Result []struct {
			Metric map[string]string
			Value  []any
		}
	}
	if err := p.get("/api/v1/query", url.Values{"query": {q.expr}}, &result); err != nil {
		return err
	}
	for _, series := range result.Result {
		if len(series.Value) != 2 {
			continue
		}
		text, _ := series.Value[1].(string)
		if v, err := strconv.ParseFloat(text, 64); err == nil && !math.IsNaN(v) {
			return nil
		}
	}
	return fmt.Errorf("none of %d series has a number", len(result.Result))
}

// asGrafana fills variables in.
func asGrafana(expr string) string {
	return strings.NewReplacer("$job", ".*", "$instance", ".*", "$connector", ".*", "$__rate_interval", "20s", "$__range", "1m").Replace(expr)
}

// comparison is an operator that drops the series for which it does not hold, outside of
// label matchers.
var comparison = regexp.MustCompile(`\{[^}]*\}|==|!=|>=|<=|>|<`)

// undropped lets comparisons say 0 or 1, so that a rule has data also while all is well.
func undropped(expr string) string {
	return comparison.ReplaceAllStringFunc(expr, func(s string) string {
		if s[0] == '{' {
			return s
		}
		return s + " bool"
	})
}

// robustMQQueries are those of connectors in RobustMQ's dashboard, its
// grafana/robustmq-broker.json at commit 8bd49dc, and its totals over all connectors.
var robustMQQueries = []string{
	"sum by (connector_type) (mqtt_connector_up)",
	"sum by (connector_type) (rate(mqtt_connector_messages_sent_success[1m]))",
	"sum by (connector_type) (rate(mqtt_connector_messages_sent_failure[1m]))",
	"histogram_quantile(0.50, sum(rate(mqtt_connector_send_duration_ms_bucket[5m])) by (le, connector_type))",
	"histogram_quantile(0.95, sum(rate(mqtt_connector_send_duration_ms_bucket[5m])) by (le, connector_type))",
	"histogram_quantile(0.99, sum(rate(mqtt_connector_send_duration_ms_bucket[5m])) by (le, connector_type))",
	"sum by (connector_type, strategy) (rate(mqtt_connector_retry_total[1m]))",
	"sum by (connector_type, strategy) (rate(mqtt_connector_messages_discarded_total[1m]))",
	"sum by (connector_type, result) (rate(mqtt_connector_dlq_messages_total[1m]))",
	"sum by (connector_type) (rate(mqtt_connector_source_read_failure_total[1m]))",
	"sum by (connector_type) (rate(mqtt_connector_offset_commit_failure_total[1m]))",
	"rate(mqtt_connector_messages_sent_success_agg[1m])",
	"rate(mqtt_connector_messages_sent_failure_agg[1m])",
	"histogram_quantile(0.99, sum(rate(mqtt_connector_send_duration_ms_agg_bucket[5m])) by (le))",
}

// A panel that stays empty looks like all is well. So does an alert that asks for a metric
// which nobody exports.
func TestEveryQueryHasData(t *testing.T) {
	broker, err := embedded.StartBroker("127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(broker.Close)
	kafka, err := embedded.StartKafka("127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(kafka.Close)
	s := startService(t, broker.URL())
	good := fmt.Sprintf(`{"bootstrap_servers":%q,"topic":"out"}`, kafka.Addr())
	bad := fmt.Sprintf(`{"bootstrap_servers":%q,"topic":"${! content() }"}`, kafka.Addr())
	s.create(t, "steady", "good/#", good, `{"strategy":"block"}`)
	s.create(t, "discards", "bad/#", bad, `{"strategy":"discard"}`)
	s.create(t, "dead-letters", "bad/#", bad, `{"strategy":"dead_message_queue","topic_name":"dead"}`)
	s.create(t, "blocked", "bad/#", bad, `{"strategy":"block"}`)
	s.create(t, "waits", "good/#", `{"bootstrap_servers":"127.0.0.1:1","topic":"out"}`, `{"strategy":"block"}`)
	s.create(t, "buffered", "good/#", strings.Replace(good, `"out"`, `"out","disk_buffer":{}`, 1), `{"strategy":"block"}`)
	s.createOf(t, "kafka_source", "source", "replay/${! @mqtt_topic }", good, `{"strategy":"block"}`)
	publish(t, broker.URL())
	p := startPrometheus(t, s)

	queries := dashboardQueries(t)
	require.Greater(t, len(queries), 60)
	for _, r := range rules(t) {
		queries = append(queries, query{where: r.Alert, expr: undropped(r.Expr)})
	}
	for _, expr := range robustMQQueries {
		queries = append(queries, query{where: "RobustMQ's dashboard", expr: expr})
	}
	var empty []string
	deadline := time.Now().Add(patience)
	for _, q := range queries {
		q.expr = asGrafana(q.expr)
		err := p.data(q)
		for ; err != nil && time.Now().Before(deadline); err = p.data(q) {
			time.Sleep(500 * time.Millisecond)
		}
		if err != nil {
			empty = append(empty, fmt.Sprintf("%s: %s: %v", q.where, q.expr, err))
		}
	}
	require.Empty(t, empty)
	t.Logf("counted %d queries with data", len(queries))
	for _, q := range []query{{expr: "robustmq_connect_nothing"}, {expr: "0 / 0"}, {expr: "up{"}, {expr: "robustmq_connect_nothing", label: "job"}} {
		require.Error(t, p.data(q), "%s has none", q.expr)
	}

	// What this test brings about is what the alerts tell.
	for _, name := range []string{
		"CertificateExpiresVerySoon", "ConnectorDiscards", "ConnectorDeadLetters",
	} {
		q := query{expr: `ALERTS{alertname="RobustMQConnect` + name + `", alertstate="firing"}`}
		require.Eventually(t, func() bool { return p.data(q) == nil }, patience, 500*time.Millisecond, name)
	}
	pending := query{expr: `ALERTS{alertname="RobustMQConnectConnectorBlocked", alertstate="pending", connector="blocked"}`}
	require.Eventually(t, func() bool { return p.data(pending) == nil }, patience, 500*time.Millisecond)
	p.checkRules(t)
}

// checkRules asks whether Prometheus evaluates every rule, and can write what it tells.
func (p prometheus) checkRules(t *testing.T) {
	t.Helper()
	var loaded struct {
		Groups []struct {
			Rules []struct {
				Name, Health, LastError string
				Alerts                  []struct{ Annotations map[string]string }
			}
		}
	}
	require.NoError(t, p.get("/api/v1/rules", nil, &loaded))
	count := 0
	for _, group := range loaded.Groups {
		for _, r := range group.Rules {
			count++
			assert.Equal(t, "ok", r.Health, "%s: %s", r.Name, r.LastError)
			for _, alert := range r.Alerts {
				for name, text := range alert.Annotations {
					assert.NotContains(t, text, "<", "%s: %s", r.Name, name) // <no value>, <error …>
				}
			}
		}
	}
	assert.Len(t, rules(t), count)
}

func TestUndroppedKeepsLabelMatchers(t *testing.T) {
	assert.Equal(t, `max(a{b!="c",d=~"e>f"}) > bool 300`, undropped(`max(a{b!="c",d=~"e>f"}) > 300`))
	assert.Equal(t, `a{s="F"} == bool 1 and on (c) d == bool 0`, undropped(`a{s="F"} == 1 and on (c) d == 0`))
}
