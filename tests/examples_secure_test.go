package tests

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// exampleTLSAndSASL runs the example against servers that accept nobody else.
func exampleTLSAndSASL(t *testing.T, document string) {
	server, client, caFile := certificates(t)
	for name, value := range map[string]string{
		"MQTT_USERNAME": "bridge", "MQTT_PASSWORD": "of sighs",
		"KAFKA_USERNAME": "franz", "KAFKA_PASSWORD": "der prozess", "CA_FILE": caFile,
	} {
		t.Setenv(name, value)
	}
	broker, brokerAddr := startSecureBroker(t, server)
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, "mqtt_messages"), kfake.TLS(server),
		kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-512", "franz", "der prozess"))
	require.NoError(t, err)
	t.Cleanup(cluster.Close)

	r := &exampleRig{
		t: t, mqttURL: "ssl://" + brokerAddr, kafkaAddr: cluster.ListenAddrs()[0],
		tls: client, user: "bridge", password: "of sighs",
		kafkaOpts: []kgo.Opt{
			kgo.DialTLSConfig(client),
			kgo.SASL(scram.Auth{User: "franz", Pass: "der prozess"}.AsSha512Mechanism()),
		},
	}
	r.start(document)
	require.Eventually(t, func() bool {
		return len(broker.Topics.Subscribers("sensors/1").Subscriptions) > 0
	}, exampleTimeout, 10*time.Millisecond)
	r.publish("sensors/1", "secret")
	records := r.records("mqtt_messages", 1)
	assert.Equal(t, []string{"sensors/1 secret"}, allOpened(t, records))
	assert.Equal(t, "sensors/1", string(records[0].Key))
}

func startSecureBroker(t *testing.T, conf *tls.Config) (*mqtt.Server, string) {
	t.Helper()
	broker := mqtt.New(&mqtt.Options{Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, broker.AddHook(new(auth.Hook), &auth.Options{Ledger: &auth.Ledger{
		Auth: auth.AuthRules{{Username: "bridge", Password: "of sighs", Allow: true}},
	}}))
	listener := listeners.NewTCP(listeners.Config{ID: "tls", Address: "127.0.0.1:0", TLSConfig: conf})
	require.NoError(t, broker.AddListener(listener))
	require.NoError(t, broker.Serve())
	t.Cleanup(func() { assert.NoError(t, broker.Close()) })
	return broker, listener.Address()
}

// certificates creates a certificate for 127.0.0.1, the TLS settings of a server that
// uses it and of a client that trusts it, and a CA file.
func certificates(t *testing.T) (server, client *tls.Config, caFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "examples"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
		IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	caFile = filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(caFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12},
		&tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, caFile
}
