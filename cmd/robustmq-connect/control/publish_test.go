package control

import (
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	broker "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// testBroker lets one user in, forbids one topic and keeps what is published.
type testBroker struct {
	broker.HookBase

	addr, secure, web string
	authorities       string // the PEM file that secure's certificate is signed by

	mu       sync.Mutex
	messages []packets.Packet
}

const forbiddenTopic = "not/yours"

func (b *testBroker) ID() string { return "test" }

func (b *testBroker) Provides(hook byte) bool {
	return hook == broker.OnConnectAuthenticate || hook == broker.OnACLCheck || hook == broker.OnPublished
}

func (b *testBroker) OnConnectAuthenticate(_ *broker.Client, p packets.Packet) bool {
	user, password := string(p.Connect.Username), string(p.Connect.Password)
	return user == "" || user == "test_user" && password == "test_pass"
}

func (b *testBroker) OnACLCheck(_ *broker.Client, topic string, _ bool) bool {
	return topic != forbiddenTopic
}

func (b *testBroker) OnPublished(_ *broker.Client, p packets.Packet) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.messages = append(b.messages, p)
}

// payloads waits for n messages, as QoS 0 is under way when publish returns.
func (b *testBroker) payloads(t *testing.T, n int) []string {
	t.Helper()
	var payloads []string
	require.Eventually(t, func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		payloads = nil
		for _, p := range b.messages {
			payloads = append(payloads, string(p.Payload))
		}
		return len(payloads) >= n
	}, time.Minute, time.Millisecond)
	return payloads
}

func startTestBroker(t *testing.T) *testBroker {
	t.Helper()
	// A certificate for 127.0.0.1 that the standard library makes for tests.
	https := httptest.NewTLSServer(nil)
	certificate := https.TLS.Certificates[0]
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: https.Certificate().Raw})
	https.Close()

	b := &testBroker{authorities: writeFile(t, t.TempDir(), "ca.pem", string(ca))}
	server := broker.New(&broker.Options{Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, server.AddHook(b, nil))
	plain := listeners.NewTCP(listeners.Config{ID: "tcp", Address: "127.0.0.1:0"})
	secure := listeners.NewTCP(listeners.Config{
		ID: "tls", Address: "127.0.0.1:0", TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12},
	})
	port, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	b.web = port.Addr().String()
	require.NoError(t, port.Close())
	web := listeners.NewWebsocket(listeners.Config{ID: "ws", Address: b.web})
	for _, l := range []listeners.Listener{plain, secure, web} {
		require.NoError(t, server.AddListener(l))
	}
	require.NoError(t, server.Serve())
	t.Cleanup(func() { assert.NoError(t, server.Close()) })
	b.addr, b.secure = plain.Address(), secure.Address()
	return b
}

func TestPublishTakesTheDocumentedLine(t *testing.T) {
	b := startTestBroker(t)
	t.Setenv(serverVariable, "127.0.0.1:1") // is the admin API's, not the broker's
	payload := `{"temperature": 25.5, "humidity": 60, "timestamp": 1640995200}`
	stdout, stderr, err := runMQTT("", "--server", b.addr, "publish", "--username", "test_user", "--password", "test_pass",
		"--topic", "iot/sensors/temp_001/data", "--qos", "1", "--message", payload)
	require.NoError(t, err)
	assert.Equal(t, "Published successfully! 1 message to \"iot/sensors/temp_001/data\", acknowledged by the broker\n", stdout)
	assert.Empty(t, stderr)
	b.payloads(t, 1)
	require.Len(t, b.messages, 1)
	assert.Equal(t, payload, string(b.messages[0].Payload))
	assert.Equal(t, "iot/sensors/temp_001/data", b.messages[0].TopicName)
	assert.Equal(t, byte(1), b.messages[0].FixedHeader.Qos)
	assert.False(t, b.messages[0].FixedHeader.Retain)
}

func TestPublishTakesShortFlagsAndEveryQoS(t *testing.T) {
	b := startTestBroker(t)
	for qos := range 3 {
		stdout, _, err := runMQTT("", "publish", "-s", b.addr, "-u", "test_user", "-p", "test_pass", "-t", "a", "-q", strconv.Itoa(qos),
			"--retained", "-m", fmt.Sprint("m", qos))
		require.NoError(t, err)
		assert.Contains(t, stdout, "Published successfully! 1 message")
		assert.Equal(t, qos == 0, strings.Contains(stdout, "the broker acknowledges none of QoS 0"))
		assert.Equal(t, fmt.Sprint("m", qos), b.payloads(t, qos+1)[qos])
	}
	for qos, m := range b.messages {
		assert.Equal(t, byte(qos), m.FixedHeader.Qos)
		assert.True(t, m.FixedHeader.Retain)
	}
}

func TestPublishReachesABrokerByURL(t *testing.T) {
	b := startTestBroker(t)
	for _, server := range []string{
		"tcp://" + b.addr, "mqtt://test_user:test_pass@" + b.addr, "ssl://" + b.secure, "mqtts://" + b.secure, "ws://" + b.web,
	} {
		_, _, err := runMQTT("", "publish", "-t", "a", "-q", "1", "-m", server, "--server", server, "--ca-file", b.authorities)
		require.NoError(t, err, server)
	}
	assert.Len(t, b.payloads(t, 5), 5)
	_, _, err := runMQTT("", "publish", "-t", "a", "-m", "x", "--server", "ssl://"+b.secure)
	require.ErrorContains(t, err, "certificate")
	_, _, err = runMQTT("", "publish", "-t", "a", "-m", "x", "--server", "mqtt://test_user:wr0ng@"+b.addr)
	require.ErrorContains(t, err, "bad user name or password")
	assert.NotContains(t, err.Error(), "wr0ng")
}

func TestPublishReadsLinesOfStandardInput(t *testing.T) {
	b := startTestBroker(t)
	long := strings.Repeat("x", 200_000)
	stdout, _, err := runMQTT("one\r\n\n"+long+"\nlast", "publish", "--server", b.addr, "-t", "a", "-q", "1")
	require.NoError(t, err)
	assert.Equal(t, "Published successfully! 4 messages to \"a\", acknowledged by the broker\n", stdout)
	assert.Equal(t, []string{"one", "", long, "last"}, b.payloads(t, 4))
}

func TestPublishReadsAFileAndRepeats(t *testing.T) {
	b := startTestBroker(t)
	path := filepath.Join(t.TempDir(), "payload")
	payload := []byte("two\nlines\x00\xff")
	require.NoError(t, os.WriteFile(path, payload, 0o600))
	began := time.Now()
	stdout, _, err := runMQTT("", "publish", "--server", b.addr, "-t", "a", "-q", "2", "--file", path, "--count", "5", "--rate", "50", "--output", "json")
	require.NoError(t, err)
	assert.GreaterOrEqual(t, time.Since(began), 80*time.Millisecond, "five messages at 50 a second")
	assert.JSONEq(t, `{"topic":"a","qos":2,"published":5,"acknowledged":true,"without_subscriber":0}`, stdout)
	for _, got := range b.payloads(t, 5) {
		assert.Equal(t, string(payload), got)
	}
	_, _, err = runMQTT("from stdin\n", "publish", "--server", b.addr, "-t", "a", "-q", "1", "--file", "-")
	require.NoError(t, err)
	assert.Equal(t, "from stdin\n", b.payloads(t, 6)[5])
	_, _, err = runMQTT("", "publish", "--server", b.addr, "-t", "a", "-q", "1", "--message", "")
	require.NoError(t, err)
	assert.Empty(t, b.payloads(t, 7)[6], "an empty message is one")
}

func TestPublishTellsWhyTheBrokerRefuses(t *testing.T) {
	b := startTestBroker(t)
	publish := func(args ...string) error {
		stdout, _, err := runMQTT("a\nb\n", append([]string{"publish", "--server", b.addr, "-q", "1"}, args...)...)
		assert.Empty(t, stdout)
		return err
	}
	err := publish("-t", "a", "-u", "test_user", "-p", "wrong")
	require.EqualError(t, err, `publishing to "a" at tcp://`+b.addr+
		`: the broker refused the connection: bad user name or password (0x86), "bad username or password": check user and password`)
	err = publish("-t", forbiddenTopic)
	require.ErrorContains(t, err, "the broker refused the message: not authorized (0x87), \"not authorized\": check what the broker permits this user")
	assert.Empty(t, b.messages)
}

func TestPublishTakesThePasswordFromAFile(t *testing.T) {
	b := startTestBroker(t)
	right := writeFile(t, t.TempDir(), "password", "test_pass\n")
	_, _, err := runMQTT("", "publish", "--server", b.addr, "-t", "a", "-m", "x", "-u", "test_user", "--password-file", right)
	require.NoError(t, err)
	_, _, err = runMQTT("", "publish", "--server", b.addr, "-t", "a", "-m", "x", "-u", "test_user", "--password-file", right, "-p", "x")
	require.ErrorContains(t, err, "--password and --password-file exclude each other")
}

// oldBroker stands before a broker and does to MQTT 5 what one that only speaks
// 3.1.1 does.
func oldBroker(t *testing.T, to string, refuse func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var all sync.WaitGroup
	t.Cleanup(func() {
		_ = l.Close() // ends the loop below
		all.Wait()
	})
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { relay(conn, to, refuse) })
		}
	})
	return l.Addr().String()
}

func relay(conn net.Conn, to string, refuse func(net.Conn)) {
	defer conn.Close()
	// Two bytes of header, then the protocol's name with its length, and its version.
	head := make([]byte, 9)
	if _, err := io.ReadFull(conn, head); err != nil {
		return
	}
	if head[8] == 5 {
		_, _ = io.CopyN(io.Discard, conn, int64(head[1])-7) // or closing would reset the connection
		refuse(conn)
		return
	}
	up, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer up.Close()
	if _, err := up.Write(head); err != nil {
		return
	}
	go func() {
		_, _ = io.Copy(up, conn) // either end may close first
		up.Close()
	}()
	_, _ = io.Copy(conn, up) // either end may close first
}

func TestPublishSpeaksMQTT311WithABrokerThatDoesNotSpeak5(t *testing.T) {
	for name, refuse := range map[string]func(net.Conn){
		"a return code of 3.1.1": func(conn net.Conn) { _, _ = conn.Write([]byte{0x20, 2, 0, 1}) },
		"a reason code of 5":     func(conn net.Conn) { _, _ = conn.Write([]byte{0x20, 3, 0, 0x84, 0}) },
		"a closed connection":    func(net.Conn) {},
	} {
		t.Run(name, func(t *testing.T) {
			b := startTestBroker(t)
			addr := oldBroker(t, b.addr, refuse)
			_, _, err := runMQTT("1\n2\n", "publish", "--server", addr, "-t", "a", "-q", "1", "-u", "test_user", "-p", "test_pass")
			require.NoError(t, err)
			assert.Equal(t, []string{"1", "2"}, b.payloads(t, 2))
			_, _, err = runMQTT("", "publish", "--server", addr, "-t", "a", "-m", "x", "-u", "test_user", "-p", "wrong")
			require.ErrorContains(t, err, "the broker refused the connection: not authorized (0x87): check user and password, and what the broker permits this user")
		})
	}
}

func TestPublishToWhatIsNoBrokerIsExplained(t *testing.T) {
	closing := oldBroker(t, "127.0.0.1:1", func(net.Conn) {})
	_, _, err := runMQTT("", "publish", "--server", closing, "-t", "a", "-m", "x")
	require.ErrorContains(t, err, "the broker closed the connection without an answer")
	_, _, err = runMQTT("", "publish", "--server", "127.0.0.1:1", "-t", "a", "-m", "x")
	require.ErrorContains(t, err, "no broker listens there; name another by --server")
}

// answering is a broker of MQTT 5 for one client, which answers a PUBLISH to
// the topic "a" with what the test wants and hangs up.
func answering(t *testing.T, puback func(id []byte) []byte) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	t.Cleanup(func() { _ = l.Close(); <-done })
	go func() {
		defer close(done)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		readPacket(conn, packets.Connect)
		_, _ = conn.Write([]byte{0x20, 3, 0, 0, 0})
		// PUBLISH: the topic's length, the topic, the packet identifier.
		if publish := readPacket(conn, packets.Publish); len(publish) > 5 {
			_, _ = conn.Write(puback(publish[3:5]))
		}
	}()
	return l.Addr().String()
}

// readPacket gives what follows the header of the next packet of a kind, none of
// which is over 127 bytes. The client pings at moments of its own.
func readPacket(conn net.Conn, kind byte) []byte {
	head := make([]byte, 2)
	for {
		if _, err := io.ReadFull(conn, head); err != nil {
			return nil
		}
		rest := make([]byte, head[1])
		if _, err := io.ReadFull(conn, rest); err != nil {
			return nil
		}
		if head[0]>>4 == kind {
			return rest
		}
	}
}

// A broker that goes away with a message under way has not acknowledged it.
func TestPublishFailsWhenTheConnectionIsLost(t *testing.T) {
	addr := answering(t, func([]byte) []byte { return nil })
	stdout, _, err := runMQTT("", "publish", "--server", addr, "-t", "a", "-q", "1", "-m", "x")
	require.Regexp(t, `before (it|the broker) acknowledged the message`, err.Error())
	assert.Empty(t, stdout)
}

func TestPublishTellsThatNobodySubscribes(t *testing.T) {
	addr := answering(t, func(id []byte) []byte { return []byte{0x40, 4, id[0], id[1], 0x10, 0} })
	stdout, stderr, err := runMQTT("", "publish", "--server", addr, "-t", "a", "-q", "1", "-m", "x")
	require.NoError(t, err)
	assert.Equal(t, "Published successfully! 1 message to \"a\", acknowledged by the broker\n", stdout)
	assert.Equal(t, "note: the broker has no subscriber for 1 message\n", stderr)
}

func TestPublishRefusesBeforeItConnects(t *testing.T) {
	for want, args := range map[string][]string{
		"--topic is missing":                               {"-m", "x"},
		"+ and # are for subscribing":                      {"-t", "a/+", "-m", "x"},
		"want 0, 1 or 2":                                   {"-t", "a", "-m", "x", "-q", "3"},
		"--message and --file exclude each other":          {"-t", "a", "-m", "x", "-f", "y"},
		"reading /nowhere: no such file":                   {"-t", "a", "-f", "/nowhere"},
		"--count repeats a --message or a --file":          {"-t", "a", "--count", "2"},
		`reading --count "0": want a whole number from 1`:  {"-t", "a", "-m", "x", "--count", "0"},
		`reading --rate "0": want a number of messages`:    {"-t", "a", "-m", "x", "--rate", "0"},
		"--username is missing":                            {"-t", "a", "-m", "x", "-p", "x"},
		"by tcp, ssl, ws or wss, not by http":              {"-t", "a", "-m", "x", "-s", "http://a"},
		"want host:port or a URL":                          {"-t", "a", "-m", "x", "-s", "tcp://"},
		`reading "x": publish takes flags only, see `:      {"-t", "a", "x"},
		"flag provided but not defined: -api-token-file; ": {"-t", "a", "--api-token-file", "x"},
	} {
		stdout, _, err := runMQTT("", append([]string{"publish"}, args...)...)
		require.ErrorContains(t, err, want)
		assert.NotContains(t, err.Error(), "\n")
		assert.Empty(t, stdout)
	}
}

func TestABrokersPortHasADefault(t *testing.T) {
	for given, want := range map[string]string{
		"h": "h:1883", "h:9": "h:9", "tcp://h": "h:1883", "ssl://h": "h:8883", "ws://h/mqtt": "h:80", "[::1]": "[::1]:1883",
	} {
		u, err := parseBroker(given)
		require.NoError(t, err)
		assert.Equal(t, want, u.Host)
	}
}
