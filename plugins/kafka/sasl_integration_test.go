//go:build integration

package kafka

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const kafkaScript = "../../tests/servers/kafka.sh"

func freeAddress(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	return ln.Addr().String()
}

// startKafka starts an Apache Kafka with an additional listener with these properties,
// and returns the address of its plain listener.
func startKafka(t *testing.T, listener, properties, options string) (plain string) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "more.properties")
	require.NoError(t, os.WriteFile(file, []byte(properties), 0o600))
	run := func(args ...string) string {
		command := exec.Command(kafkaScript, args...)
		command.Env = append(os.Environ(), "KAFKA_OPTS="+options)
		var said strings.Builder
		command.Stderr = &said
		out, err := command.Output()
		require.NoError(t, err, said.String())
		return strings.TrimSpace(string(out))
	}
	run("install")
	t.Cleanup(func() { run("stop", "--dir", filepath.Join(dir, "kafka")) })
	said := run("start", "--dir", filepath.Join(dir, "kafka"), "--port", "0", "--listeners", listener, "--properties", file)
	return said[strings.LastIndexByte(said, ' ')+1:]
}

// TestRealKafkaOverSASLAndTLS logs in to Apache Kafka with each mechanism, with
// the right credentials and with wrong ones.
func TestRealKafkaOverSASLAndTLS(t *testing.T) {
	cert, ca := certificate(t)
	_, otherCA := certificate(t)
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	require.NoError(t, err)
	store := filepath.Join(t.TempDir(), "store.pem")
	require.NoError(t, os.WriteFile(store, append(
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}),
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]})...), 0o600))
	secure := freeAddress(t)
	const scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
	plain := startKafka(t, "SASL_SSL://"+secure, fmt.Sprintf(`
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL
listener.name.sasl_ssl.ssl.keystore.type=PEM
listener.name.sasl_ssl.ssl.keystore.location=%s
listener.name.sasl_ssl.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.sasl_ssl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_ada="lovelace";
listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config=%s
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=%s
`, store, scram, scram), "")

	client, err := kgo.NewClient(kgo.SeedBrokers(plain))
	require.NoError(t, err)
	defer client.Close()
	admin := kadm.NewClient(client)
	_, err = admin.CreateTopic(t.Context(), 1, 1, nil, "t")
	require.NoError(t, err)
	// Kafka allows one change of a user per request.
	for _, mechanism := range []kadm.ScramMechanism{kadm.ScramSha256, kadm.ScramSha512} {
		altered, err := admin.AlterUserSCRAMs(t.Context(), nil, []kadm.UpsertSCRAM{
			{User: "ada", Password: "lovelace", Mechanism: mechanism, Iterations: 4096},
		})
		require.NoError(t, err)
		require.NoError(t, altered.Error())
	}

	tls := func(ca string) string { return "tls: { enabled: true, root_cas_file: " + ca + " }" }
	login := func(mechanism, password string) string {
		return fmt.Sprintf("sasl: [ { mechanism: %s, username: ada, password: %s } ]", mechanism, password)
	}
	written := 0
	for _, mechanism := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
		t.Run(mechanism, func(t *testing.T) {
			o := unconnected(t, []string{secure}, tls(ca), login(mechanism, "lovelace"))
			// The broker learns of its SCRAM users a little later.
			require.Eventually(t, func() bool { return o.Connect(t.Context()) == nil }, time.Minute, 50*time.Millisecond)
			require.NoError(t, o.WriteBatch(t.Context(), messages(written, 10)))
			written += 10
			require.Equal(t, numbers(0, written), realValues(t, []string{plain}, "t", written))

			wrong := unconnected(t, []string{secure}, tls(ca), login(mechanism, "byron"))
			err := wrong.Connect(t.Context())
			require.ErrorContains(t, err, "reaching Kafka at "+secure)
			require.ErrorContains(t, err, "SASL_AUTHENTICATION_FAILED")
			require.ErrorContains(t, err, "correct sasl, which is "+mechanism)
		})
	}
	require.Equal(t, 30, written)

	for name, test := range map[string]struct {
		lines []string
		want  string
	}{
		"wrong authority":   {[]string{tls(otherCA), login("PLAIN", "lovelace")}, "certificate signed by unknown authority"},
		"no authority":      {[]string{"tls: { enabled: true }", login("PLAIN", "lovelace")}, "certificate signed by unknown authority"},
		"no credentials":    {[]string{tls(ca)}, "authentication (sasl)"},
		"no TLS":            {[]string{login("PLAIN", "lovelace")}, "TLS"},
		"unknown mechanism": {[]string{tls(ca), "sasl: [ { mechanism: OAUTHBEARER, token: t } ]"}, "which is OAUTHBEARER"},
	} {
		t.Run(name, func(t *testing.T) {
			err := unconnected(t, []string{secure}, test.lines...).Connect(t.Context())
			require.ErrorContains(t, err, "reaching Kafka at "+secure)
			require.ErrorContains(t, err, test.want)
		})
	}

	t.Run("not ready", func(t *testing.T) {
		s := startStreamTo(t, 10, fmt.Sprintf("kafka_franz: { seed_brokers: [ %q ], topic: t, %s, %s }", secure, tls(ca), login("SCRAM-SHA-512", "byron")))
		s.requireNotReady(t, "SASL_AUTHENTICATION_FAILED")
		s.requireNotReady(t, "correct sasl, which is SCRAM-SHA-512")
	})
	realValues(t, []string{plain}, "t", written)
}
