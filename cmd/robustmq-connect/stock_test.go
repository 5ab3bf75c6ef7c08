package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"
	"github.com/redpanda-data/benthos/v4/public/service"
	_ "github.com/redpanda-data/connect/v4/public/components/mqtt" // the stock components to compare with
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"gopkg.in/yaml.v3"

	"github.com/robustmq/robustmq-connect/plugins/lint"
)

// stockEnvironment has the upstream components before ours replace them.
var stockEnvironment *service.Environment

// certificates sets environment variables with a certificate for 127.0.0.1, as files
// and as texts. It returns the settings of a server that uses it and requires client
// certificates.
func certificates(t *testing.T) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "stock"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	keyDER, err := x509.MarshalECPrivateKey(key)
	require.NoError(t, err)
	locked, err := x509.EncryptPEMBlock(rand.Reader, "EC PRIVATE KEY", keyDER, []byte("secret"), x509.PEMCipherAES256) //nolint:staticcheck // what the stock field password opens
	require.NoError(t, err)
	cert := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	keyText := string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}))
	dir := t.TempDir()
	for name, value := range map[string]string{
		"STOCK_CA_FILE":    writeFile(t, dir, "ca.pem", cert),
		"STOCK_CERT_FILE":  writeFile(t, dir, "cert.pem", cert),
		"STOCK_KEY_FILE":   writeFile(t, dir, "key.pem", keyText),
		"STOCK_CA":         quoted(cert),
		"STOCK_CERT":       quoted(cert),
		"STOCK_LOCKED_KEY": quoted(string(pem.EncodeToMemory(locked))),
	} {
		t.Setenv(name, value)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		ClientAuth:   tls.RequireAnyClientCert, MinVersion: tls.VersionTLS12,
	}
}

// quoted returns a text in YAML on one line.
func quoted(text string) string {
	line, _ := json.Marshal(text) // a text is always JSON
	return string(line)
}

// eachStockCase lints each case of the file and runs it.
func eachStockCase(t *testing.T, kind, component, path string, exempt []string, run func(t *testing.T, text string)) {
	t.Helper()
	left := stockFields(t, kind, component)
	require.GreaterOrEqual(t, len(left), 25, "upstream has lost its fields")
	for _, c := range readCases(t, path) {
		var conf map[string]map[string]any
		require.NoError(t, yaml.Unmarshal([]byte(c.yaml), &conf))
		strike(left, "", conf[kind][component])
		t.Run(c.name, func(t *testing.T) {
			require.Empty(t, testLinter(t, lint.Options{}).yaml(c.yaml, false))
			run(t, c.yaml)
		})
	}
	for _, path := range exempt {
		require.Contains(t, left, path, "it is set by a case, or no field any more")
		delete(left, path)
	}
	require.Empty(t, left, "stock fields that no case sets to another value than the default")
}

// stockFields returns the defaults of the stock component's fields, by path.
func stockFields(t *testing.T, kind, component string) map[string]any {
	t.Helper()
	text, err := lint.SpecJSON(stockEnvironment, kind, component)
	require.NoError(t, err)
	var spec struct{ Config map[string]any }
	require.NoError(t, json.Unmarshal(text, &spec))
	all := map[string]any{}
	var walk func(path string, field map[string]any)
	walk = func(path string, field map[string]any) {
		children, _ := field["children"].([]any)
		for _, child := range children {
			child := child.(map[string]any)
			walk(path+"."+child["name"].(string), child)
		}
		if len(children) == 0 {
			all[strings.TrimPrefix(path, ".")] = field["default"]
		}
	}
	walk("", spec.Config)
	return all
}

// strike removes the fields that a configuration sets to another value than the
// default.
func strike(left map[string]any, path string, conf any) {
	path = strings.TrimPrefix(path, ".")
	if otherwise, ok := left[path]; ok && fmt.Sprint(otherwise) != fmt.Sprint(conf) {
		delete(left, path)
	}
	switch conf := conf.(type) {
	case map[string]any:
		for name, value := range conf {
			strike(left, path+"."+name, value)
		}
	case []any:
		for _, item := range conf {
			strike(left, path, item)
		}
	}
}

func part(t *testing.T, text, name string) string {
	t.Helper()
	var conf map[string]yaml.Node
	require.NoError(t, yaml.Unmarshal([]byte(text), &conf))
	node := conf[name]
	out, err := yaml.Marshal(&node)
	require.NoError(t, err)
	return string(out)
}

// stockBroker starts an MQTT broker, with and without TLS, at $STOCK_PLAIN and $STOCK_TLS.
func stockBroker(t *testing.T) *mqtt.Server {
	t.Helper()
	conf := certificates(t)
	broker := mqtt.New(&mqtt.Options{Logger: slog.New(slog.DiscardHandler), InlineClient: true})
	require.NoError(t, broker.AddHook(new(auth.AllowHook), nil))
	for name, listener := range map[string]*listeners.TCP{
		"STOCK_PLAIN=tcp://": listeners.NewTCP(listeners.Config{ID: "plain", Address: "127.0.0.1:0"}),
		"STOCK_TLS=ssl://":   listeners.NewTCP(listeners.Config{ID: "tls", Address: "127.0.0.1:0", TLSConfig: conf}),
	} {
		require.NoError(t, broker.AddListener(listener))
		variable, scheme, _ := strings.Cut(name, "=")
		t.Setenv(variable, scheme+listener.Address())
	}
	require.NoError(t, broker.Serve())
	t.Cleanup(func() { assert.NoError(t, broker.Close()) })
	return broker
}

func TestStockInputsLintAndRunUnchanged(t *testing.T) {
	require.NoError(t, stockBroker(t).Publish("stock/a", []byte("hello"), true, 1))

	eachStockCase(t, "input", "mqtt", "testdata/stock_mqtt.txt", nil, func(t *testing.T, text string) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		builder := service.GlobalEnvironment().NewStreamBuilder()
		require.NoError(t, builder.SetLoggerYAML("level: off"))
		require.NoError(t, builder.AddInputYAML(part(t, text, "input")))
		var got string
		require.NoError(t, builder.AddConsumerFunc(func(_ context.Context, m *service.Message) error {
			topic, _ := m.MetaGet("mqtt_topic")
			payload, err := m.AsBytes()
			got = topic + " " + string(payload)
			cancel()
			return err
		}))
		stream, err := builder.Build()
		require.NoError(t, err)
		require.ErrorIs(t, stream.Run(ctx), context.Canceled)
		require.Equal(t, "stock/a hello", got)
	})
}

// awsRefused are the stock fields that request credentials from AWS.
var awsRefused = []string{
	"sasl.aws.endpoint", "sasl.aws.credentials.profile", "sasl.aws.credentials.from_ec2_role",
	"sasl.aws.credentials.role", "sasl.aws.credentials.role_external_id",
}

func TestStockKafkaOutputsLintAndRunUnchanged(t *testing.T) {
	conf := certificates(t)
	plain, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "stock"))
	require.NoError(t, err)
	defer plain.Close()
	secure, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "stock"), kfake.TLS(conf), kfake.EnableSASL(),
		kfake.Superuser("PLAIN", "ada", "lovelace"), kfake.Superuser("SCRAM-SHA-256", "ada", "lovelace"), kfake.Superuser("SCRAM-SHA-512", "ada", "lovelace"))
	require.NoError(t, err)
	defer secure.Close()
	t.Setenv("STOCK_PLAIN", plain.ListenAddrs()[0])
	t.Setenv("STOCK_TLS", secure.ListenAddrs()[0])
	written := func() int64 {
		return plain.PartitionInfo("stock", 0).HighWatermark + secure.PartitionInfo("stock", 0).HighWatermark
	}

	eachStockCase(t, "output", "kafka_franz", "testdata/stock_kafka.txt", awsRefused, func(t *testing.T, text string) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		before := written()
		writeThree(ctx, t, text)
		require.Equal(t, before+3, written())
	})
}

// writeThree writes three messages to the output of a configuration.
func writeThree(ctx context.Context, t *testing.T, text string) {
	t.Helper()
	builder := service.GlobalEnvironment().NewStreamBuilder()
	require.NoError(t, builder.SetLoggerYAML("level: off"))
	require.NoError(t, builder.AddInputYAML(`generate: { count: 3, interval: "", mapping: 'root = "hello"' }`))
	require.NoError(t, builder.AddOutputYAML(part(t, text, "output")))
	stream, err := builder.Build()
	require.NoError(t, err)
	require.NoError(t, stream.Run(ctx))
}

func TestStockMQTTOutputsLintAndRunUnchanged(t *testing.T) {
	broker := stockBroker(t)
	got := make(chan string, 10)
	require.NoError(t, broker.Subscribe("stock/#", 1, func(_ *mqtt.Client, _ packets.Subscription, p packets.Packet) { got <- string(p.Payload) }))
	eachStockCase(t, "output", "mqtt", "testdata/stock_mqtt_output.txt", nil, func(t *testing.T, text string) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		writeThree(ctx, t, text)
		for range 3 {
			select {
			case payload := <-got:
				require.Equal(t, "hello", payload)
			case <-ctx.Done():
				require.Fail(t, "a message did not arrive")
			}
		}
	})
}
