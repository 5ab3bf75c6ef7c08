package kafka

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// certificate returns a self-signed certificate for 127.0.0.1, and its file.
func certificate(t *testing.T) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
}

func TestConnectErrorNamesAddressAndCause(t *testing.T) {
	cert, ca := certificate(t)
	plain := cluster(t, 1)
	secure := cluster(t, 1, kfake.TLS(&tls.Config{Certificates: []tls.Certificate{cert}}))
	users := cluster(t, 1, kfake.EnableSASL(), kfake.Superuser("PLAIN", "u", "p"), kfake.Superuser("SCRAM-SHA-256", "u", "p"), kfake.Superuser("SCRAM-SHA-512", "u", "p"))
	refusing := cluster(t, 1, kfake.EnableSASL(), kfake.Superuser("PLAIN", "u", "p"))
	refusing.ControlKey(int16(kmsg.SASLAuthenticate), func(req kmsg.Request) (kmsg.Response, error, bool) {
		refusing.KeepControl()
		resp := req.ResponseKind().(*kmsg.SASLAuthenticateResponse)
		resp.ErrorCode = kerr.SaslAuthenticationFailed.Code
		return resp, nil, true
	})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	free := ln.Addr().String()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts connections and never answers
	require.NoError(t, err)
	defer silent.Close()
	ln.Close()

	user := func(mechanism, password string) string {
		return fmt.Sprintf("sasl: [ { mechanism: %s, username: u, password: %s } ]", mechanism, password)
	}
	for _, test := range []struct {
		name    string
		brokers []string
		line    string
		want    string // "" for a connection
	}{
		{"plain", plain.ListenAddrs(), "", ""},
		{"nobody listens", []string{free}, "", "connection refused"},
		{"no such host", []string{"nowhere.invalid:9092"}, "", "nowhere.invalid"},
		{"nobody answers", []string{silent.Addr().String()}, "request_timeout_overhead: 300ms", "does not answer the request ApiVersions"},
		{"tls", secure.ListenAddrs(), "tls: { enabled: true, root_cas_file: " + ca + " }", ""},
		{"tls unchecked", secure.ListenAddrs(), "tls: { enabled: true, skip_cert_verify: true }", ""},
		{"unknown authority", secure.ListenAddrs(), "tls: { enabled: true }", "certificate signed by unknown authority"},
		{"no tls", secure.ListenAddrs(), "", "TLS"},
		{"PLAIN", users.ListenAddrs(), user("PLAIN", "p"), ""},
		{"SCRAM-SHA-256", users.ListenAddrs(), user("SCRAM-SHA-256", "p"), ""},
		{"SCRAM-SHA-512", users.ListenAddrs(), user("SCRAM-SHA-512", "p"), ""},
		{"PLAIN wrong", users.ListenAddrs(), user("PLAIN", "x"), "knows this user and password (sasl, which is PLAIN)"},
		{"SCRAM-SHA-256 wrong", users.ListenAddrs(), user("SCRAM-SHA-256", "x"), "knows this user and password (sasl, which is SCRAM-SHA-256)"},
		{"SCRAM-SHA-512 wrong", users.ListenAddrs(), user("SCRAM-SHA-512", "x"), "knows this user and password (sasl, which is SCRAM-SHA-512)"},
		{"refused by code", refusing.ListenAddrs(), user("PLAIN", "x"), "SASL_AUTHENTICATION_FAILED: SASL Authentication failed.: correct sasl, which is PLAIN"},
		{"no sasl", users.ListenAddrs(), "", "SASL"},
		{"mechanism not supported", users.ListenAddrs(), "sasl: [ { mechanism: OAUTHBEARER, token: t } ]", "OAUTHBEARER"},
		{"AWS without keys", users.ListenAddrs(), "sasl: [ { mechanism: AWS_MSK_IAM } ]", "AWS_MSK_IAM"},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := unconnected(t, test.brokers, block(test.line)...)
			if test.want == "" {
				require.NoError(t, o.Connect(t.Context()))
				require.NoError(t, o.WriteBatch(t.Context(), messages(0, 10)))
				return
			}
			text := reason(t, o)
			require.Contains(t, text, "reaching Kafka at "+test.brokers[0])
			require.Contains(t, text, test.want)
			require.ErrorIs(t, o.WriteBatch(t.Context(), messages(0, 1)), service.ErrNotConnected)
		})
	}
}

// The engine logs each error of Connect, so Connect returns a reason once, and again
// only as a reminder.
func TestConnectReturnsAReasonOnce(t *testing.T) {
	o := unconnected(t, []string{"127.0.0.1:1"})
	o.pace.reasons.first = 500 * time.Millisecond
	require.Contains(t, reason(t, o), "connection refused")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, o.Connect(ctx), context.DeadlineExceeded)
	require.Contains(t, reason(t, o), "connection refused")
}

// A broker that resets each connection causes errors with a local port that differs
// each time. They count as the same reason.
func TestConnectReturnsAConnectionResetOnce(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	var met atomic.Int64
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			met.Add(1)
			_, _ = conn.Read(make([]byte, 1))
			_ = conn.(*net.TCPConn).SetLinger(0)
			conn.Close()
		}
	}()
	o := unconnected(t, []string{ln.Addr().String()})
	require.Contains(t, reason(t, o), "read tcp "+ln.Addr().String()+": read: connection reset by peer")
	before := met.Load()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- o.Connect(ctx) }()
	require.Eventually(t, func() bool { return met.Load() >= before+5 }, patience, time.Millisecond, "it keeps retrying")
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled, "it returns nothing new")
}

func TestCloseWorksInEveryState(t *testing.T) {
	c := cluster(t, 1)
	o := unconnected(t, c.ListenAddrs(), block()...)
	require.NoError(t, o.Close(t.Context()), "before Connect")
	require.NoError(t, o.Close(t.Context()), "twice")
	require.Error(t, o.Connect(t.Context()))
	require.Error(t, o.WriteBatch(t.Context(), messages(0, 1)))

	// Close while a batch is in flight that will never finish.
	o = started(t, c.ListenAddrs(), block()...)
	require.NoError(t, o.WriteBatch(t.Context(), messages(0, 1)))
	c.Close()
	o.silence = 50 * time.Millisecond
	require.ErrorIs(t, o.WriteBatch(t.Context(), messages(1, 10)), service.ErrNotConnected)
	ended := make(chan error)
	go func() { ended <- o.Connect(context.Background()) }()
	require.NoError(t, o.Close(t.Context()))
	require.Error(t, <-ended)
}

func TestConnectionTest(t *testing.T) {
	c := cluster(t, 1)
	require.NoError(t, unconnected(t, c.ListenAddrs()).ConnectionTest(t.Context())[0].Err)
	require.ErrorContains(t, unconnected(t, []string{"127.0.0.1:1"}).ConnectionTest(t.Context())[0].Err, "127.0.0.1:1")
}
