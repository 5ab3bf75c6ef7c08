//go:build integration

package integration

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/tests/program"
)

// TestServersMayComeLater starts a pipeline before its servers can be reached.
// It says so with the address, is not ready, and continues by itself.
func TestServersMayComeLater(t *testing.T) {
	broker, err := url.Parse(mqttURL)
	require.NoError(t, err)
	mqttAddr := program.FreeAddress(t)
	shared.createTopic(t, "later", 1)
	pipeline := startPipeline(t, fmt.Sprintf(`
input:
  robustmq_kafka: { topic_id: later/#, urls: [ "tcp://%s" ], client_id: later }
output:
  robustmq_kafka: { bootstrap_servers: %q, topic: later }
`, mqttAddr, brokers))
	pipeline.WaitLog(mqttAddr)
	code, _ := pipeline.Ready()
	assert.Equal(t, http.StatusServiceUnavailable, code)

	forward(t, mqttAddr, broker.Host)
	pipeline.WaitReady()
	token := mqttClient(t, mqttURL, "late-publisher").Publish("later/1", 1, false, "hello")
	require.True(t, token.WaitTimeout(time.Minute))
	require.Eventually(t, func() bool { return shared.recordCount(t, "later") == 1 }, time.Minute, 100*time.Millisecond)
}

func TestKafkaThatIsAwayAtTheStartIsNamed(t *testing.T) {
	kafka := program.FreeAddress(t)
	pipeline := startPipeline(t, fmt.Sprintf(`
input:
  robustmq_kafka: { topic_id: away/#, urls: [ %s ], client_id: away }
output:
  robustmq_kafka: { bootstrap_servers: %q, topic: away }
`, mqttURL, kafka))
	pipeline.WaitLog(kafka)
	code, _ := pipeline.Ready()
	assert.Equal(t, http.StatusServiceUnavailable, code)
	exit, took := pipeline.Stop()
	assert.Zero(t, exit)
	assert.Less(t, took, 20*time.Second)
}

// forward lets TCP connections to an address reach another until the test ends.
func forward(t *testing.T, from, to string) {
	t.Helper()
	l, err := net.Listen("tcp", from)
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				_ = in.Close()
				continue
			}
			go pipe(in, out)
			go pipe(out, in)
		}
	}()
}

func pipe(dst, src net.Conn) {
	_, _ = io.Copy(dst, src) // either side may hang up first
	_ = dst.Close()
}

// startMosquitto runs a broker of the test's own with some more lines of
// configuration.
func startMosquitto(t *testing.T, lines string) (address string) {
	t.Helper()
	address = program.FreeAddress(t)
	_, port, err := net.SplitHostPort(address)
	require.NoError(t, err)
	conf := filepath.Join(t.TempDir(), "mosquitto.conf")
	require.NoError(t, os.WriteFile(conf, fmt.Appendf(nil, "listener %s 127.0.0.1\nuser root\n%s\n", port, lines), 0o600))
	server, err := exec.LookPath("mosquitto")
	if err != nil {
		server = "/usr/sbin/mosquitto"
	}
	cmd := exec.Command(server, "-c", conf)
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have refused its configuration
		_ = cmd.Wait()
	})
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	}, time.Minute, 20*time.Millisecond, "mosquitto did not start")
	return address
}

func TestWrongCredentialsAreNamed(t *testing.T) {
	passwords := filepath.Join(t.TempDir(), "passwords")
	out, err := exec.Command("mosquitto_passwd", "-b", "-c", passwords, "ada", "lovelace").CombinedOutput()
	require.NoError(t, err, "%s", out)
	address := startMosquitto(t, "allow_anonymous false\npassword_file "+passwords)
	pipeline := startPipeline(t, fmt.Sprintf(`
input:
  robustmq_kafka: { topic_id: a, urls: [ "tcp://%s" ], client_id: wrong, username: ada, password: babbage }
output:
  robustmq_kafka: { bootstrap_servers: %q, topic: a }
`, address, brokers))
	pipeline.WaitLog("not authorized")
	code, _ := pipeline.Ready()
	assert.Equal(t, http.StatusServiceUnavailable, code)
	assert.NotContains(t, pipeline.Output(), "babbage")
}

func TestUnknownCertificateAuthorityIsNamed(t *testing.T) {
	cert, key := selfSigned(t)
	address := startMosquitto(t, "allow_anonymous true\ncertfile "+cert+"\nkeyfile "+key)
	config := `
input:
  robustmq_kafka: { topic_id: a, urls: [ "ssl://%s" ], client_id: tls%s }
output:
  robustmq_kafka: { bootstrap_servers: %q, topic: a }
`
	unknown := startPipeline(t, fmt.Sprintf(config, address, "", brokers))
	unknown.WaitLog("certificate signed by unknown authority")

	known := startPipeline(t, fmt.Sprintf(config, address, fmt.Sprintf(", tls: { enabled: true, root_cas_file: %s }", cert), brokers))
	known.WaitReady()
}
