//go:build integration

package integration

import (
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/tests/program"
)

// selfSigned makes a certificate of localhost that is its own authority.
func selfSigned(t *testing.T) (cert, key string) {
	t.Helper()
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	out, err := exec.Command("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
		"-nodes", "-days", "1", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
		"-keyout", key, "-out", cert).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return cert, key
}

// Every quality of service over every transport and version of MQTT: each message
// arrives once, in order, with the QoS that it was published with.
func TestEveryTransportVersionAndQoS(t *testing.T) {
	const perQoS = 200
	cert, key := selfSigned(t)
	port := func(address string) string {
		_, port, err := net.SplitHostPort(address)
		require.NoError(t, err)
		return port
	}
	secure, web, secureWeb := program.FreeAddress(t), program.FreeAddress(t), program.FreeAddress(t)
	plain := startMosquitto(t, fmt.Sprintf(`max_queued_messages 0
allow_anonymous true
listener %s 127.0.0.1
certfile %s
keyfile %s
listener %s 127.0.0.1
protocol websockets
listener %s 127.0.0.1
protocol websockets
certfile %s
keyfile %s`, port(secure), cert, key, port(web), port(secureWeb), cert, key))
	tls := fmt.Sprintf("tls: { enabled: true, root_cas_file: %s }", cert)
	for transport, c := range map[string]struct{ url, tls string }{
		"tcp": {"tcp://" + plain, ""}, "tls": {"tls://" + secure, tls}, "ws": {"ws://" + web, ""}, "wss": {"wss://" + secureWeb, tls},
	} {
		for _, version := range []string{"3.1.1", "5"} {
			name := transport + "_" + version
			t.Run(name, func(t *testing.T) {
				shared.createTopic(t, name, 3)
				pipeline := startPipeline(t, fmt.Sprintf(`
input:
  mqtt:
    urls: [ %s ]
    topics: [ %s/# ]
    client_id: %s
    clean_session: false
    qos: 2
    protocol_version: "%s"
    %s
output:
  robustmq_kafka: { bootstrap_servers: %q, topic: %s }
`, c.url, name, name, version, c.tls, brokers, name))
				pipeline.WaitReady()
				publisher := mqttClient(t, "tcp://"+plain, name+"-publisher")
				// One after the other: mosquitto itself lets messages of one QoS
				// overtake those of another.
				for qos := range 3 {
					for i := range perQoS {
						token := publisher.Publish(name+"/"+strconv.Itoa(qos), byte(qos), false, strconv.Itoa(i))
						require.True(t, token.WaitTimeout(time.Minute))
					}
					require.Eventually(t, func() bool { return shared.recordCount(t, name) >= int64((qos+1)*perQoS) },
						20*time.Second, 20*time.Millisecond, "of QoS %d not all arrived", qos)
				}
				code, _ := pipeline.Stop()
				require.Zero(t, code)
				var next [3]int
				shared.readWithKcat(t, name, func(_ string, value []byte) {
					r := strictEnvelope(t, value)
					require.Equal(t, name+"/"+strconv.Itoa(r.QoS), r.Topic)
					require.Equal(t, strconv.Itoa(next[r.QoS]), string(r.Payload))
					next[r.QoS]++
				})
				require.Equal(t, [3]int{perQoS, perQoS, perQoS}, next)
			})
		}
	}
}
