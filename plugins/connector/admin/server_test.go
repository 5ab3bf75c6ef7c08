package admin

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// serving runs a server on a free port; stop ends it and gives what Serve returned.
func serving(t *testing.T, m *memory, options Options) (s *Server, stop func() error) {
	t.Helper()
	options.Listen = "127.0.0.1:0"
	s = newServer(t, m, options)
	require.NoError(t, s.Listen())
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx) }()
	stop = func() error {
		cancel()
		return <-served
	}
	return s, stop
}

func post(client *http.Client, url, body string) (int, string, error) {
	answer, err := client.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = answer.Body.Close() }() // read to its end
	text, err := io.ReadAll(answer.Body)
	return answer.StatusCode, string(text), err
}

func newClient(t *testing.T) *http.Client {
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func TestServeAnswersOverTCPUntilItsContextEnds(t *testing.T) {
	s, stop := serving(t, newMemory(), Options{})
	url := "http://" + s.Addr().String()
	status, text, err := post(newClient(t), url+PathCreate, definitionOf("c", plainConfig))
	require.NoError(t, err)
	assert.Equal(t, 200, status)
	assert.Equal(t, success, text)
	require.NoError(t, stop())
	_, _, err = post(newClient(t), url+PathCreate, definitionOf("c", plainConfig))
	require.Error(t, err)
}

func TestAnAddressInUseIsToldBeforeServing(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	s := newServer(t, newMemory(), Options{Listen: taken.Addr().String()})
	require.ErrorContains(t, s.Listen(), "listening for the admin API: listen tcp 127.0.0.1:")
	require.ErrorContains(t, s.Serve(t.Context()), "address already in use")
	assert.Nil(t, s.Addr())
}

// A name is trusted for what it says; what it became is looked at again.
func TestLocalhostThatIsNotThisMachineIsRefused(t *testing.T) {
	s := newServer(t, newMemory(), Options{Listen: "localhost:0"})
	s.options.Listen = "0.0.0.0:0" // what a resolver might make of it
	require.ErrorContains(t, s.Listen(), "which other machines can reach: use 127.0.0.1")
}

func TestStoppingLetsARequestFinish(t *testing.T) {
	m := newMemory()
	entered, leave := make(chan struct{}), make(chan struct{})
	m.during = func(ctx context.Context) error {
		close(entered)
		<-leave
		return ctx.Err()
	}
	s, stop := serving(t, m, Options{ShutdownTimeout: time.Minute})
	answered := make(chan string, 1)
	go func() {
		_, text, err := post(newClient(t), "http://"+s.Addr().String()+PathCreate, definitionOf("c", plainConfig))
		answered <- text + errorText(err)
	}()
	<-entered
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	require.Eventually(t, func() bool { // the address is given up, the request is not
		connection, err := net.Dial("tcp", s.Addr().String())
		if err == nil {
			_ = connection.Close()
		}
		return err != nil
	}, time.Minute, time.Millisecond)
	close(leave)
	assert.Equal(t, success, <-answered)
	require.NoError(t, <-stopped)
}

func TestStoppingEndsARequestThatDoesNotFinish(t *testing.T) {
	m := newMemory()
	entered := make(chan struct{})
	m.during = func(ctx context.Context) error {
		close(entered)
		<-ctx.Done()
		return ctx.Err()
	}
	s, stop := serving(t, m, Options{ShutdownTimeout: time.Millisecond})
	answered := make(chan string, 1)
	go func() {
		_, text, err := post(newClient(t), "http://"+s.Addr().String()+PathCreate, definitionOf("c", plainConfig))
		answered <- text + errorText(err)
	}()
	<-entered
	require.NoError(t, stop())
	assert.Contains(t, <-answered, `"code":100,"data":"","error":"the service is stopping, and this may be unfinished: context canceled"`)
}

// Nothing can end a handler that does not look at its context.
func TestStoppingIsBounded(t *testing.T) {
	m := newMemory()
	entered, leave := make(chan struct{}), make(chan struct{})
	m.during = func(context.Context) error {
		close(entered)
		<-leave
		return nil
	}
	s, stop := serving(t, m, Options{ShutdownTimeout: time.Millisecond})
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		_, _, _ = post(newClient(t), "http://"+s.Addr().String()+PathCreate, definitionOf("c", plainConfig))
	}()
	<-entered
	began := time.Now()
	require.NoError(t, stop())
	assert.Less(t, time.Since(began), 2*lastTime+5*time.Second)
	close(leave)
	<-answered
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// robust-ctl hangs up after 30 s; a delete that drains for longer is not undone.
func TestAChangeGoesOnWhenTheClientHangsUp(t *testing.T) {
	m := newMemory()
	entered, leave, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	m.during = func(ctx context.Context) error {
		close(entered)
		<-leave
		done <- ctx.Err()
		return ctx.Err()
	}
	s, stop := serving(t, m, Options{ShutdownTimeout: time.Minute})
	ctx, hangUp := context.WithCancel(t.Context())
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.Addr().String()+PathCreate,
		strings.NewReader(definitionOf("c", plainConfig)))
	require.NoError(t, err)
	answered := make(chan error, 1)
	client := newClient(t)
	go func() {
		answer, err := client.Do(request)
		if err == nil {
			_ = answer.Body.Close()
		}
		answered <- err
	}()
	<-entered
	hangUp()
	require.Error(t, <-answered)
	close(leave)
	require.NoError(t, <-done)
	require.NoError(t, stop())
	assert.Len(t, m.all, 1)
}

func TestAChangeEndsWithItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		m.during = func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}
		h := newServer(t, m, Options{LongTimeout: time.Hour}).Handler()
		began := time.Now()
		w := ask(h, http.MethodPost, PathDelete, nameOf("c"))
		assert.Equal(t, time.Hour, time.Since(began))
		assert.Equal(t, http.StatusGatewayTimeout, w.Code)
		assert.Contains(t, refusal(t, w), "this took too long and may be unfinished")
	})
}

func TestAPanicFailsOneRequest(t *testing.T) {
	m := newMemory()
	m.during = func(context.Context) error { panic("no more hunter2") }
	var log bytes.Buffer
	h := newServer(t, m, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}).Handler()
	w := ask(h, http.MethodPost, PathDelete, `{"tenant":"default","connector_name":"c","password":"hunter2"}`)
	assert.Equal(t, http.StatusInternalServerError, w.Code)
	assert.Equal(t, "internal error: the service's log has its place", refusal(t, w))
	assert.Contains(t, log.String(), "no more ***")
	assert.Contains(t, log.String(), "fake_test.go")
	assert.NotContains(t, log.String(), "hunter2")
	m.during = nil
	read[string](t, ask(h, http.MethodPost, PathCreate, definitionOf("c", plainConfig)))
}

// certificate writes a key pair for 127.0.0.1 and gives its paths and a pool that
// trusts it.
func certificate(t *testing.T) (cert, key string, pool *x509.CertPool) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	require.NoError(t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	cert, key = filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	require.NoError(t, os.WriteFile(cert, certPEM, 0o600))
	require.NoError(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), 0o600))
	pool = x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(certPEM))
	return cert, key, pool
}

func TestServeSpeaksTLS(t *testing.T) {
	cert, key, pool := certificate(t)
	s, stop := serving(t, newMemory(), Options{TLSCertFile: cert, TLSKeyFile: key, TokenFile: tokenFile(t, token)})
	for _, http2 := range []bool{true, false} {
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: http2}
		client := &http.Client{Transport: transport}
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+s.Addr().String()+PathDelete,
			strings.NewReader(nameOf("nosuch")))
		require.NoError(t, err)
		request.Header.Set("Authorization", "Bearer "+token)
		answer, err := client.Do(request)
		require.NoError(t, err)
		text, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		require.NoError(t, answer.Body.Close())
		assert.Equal(t, `{"code":100,"data":"","error":"Connector nosuch does not exist."}`, string(text))
		transport.CloseIdleConnections()
	}
	// Nothing is said without it.
	status, text, err := post(newClient(t), "http://"+s.Addr().String()+PathDelete, nameOf("nosuch"))
	require.NoError(t, err)
	assert.Equal(t, http.StatusBadRequest, status)
	assert.NotContains(t, text, "nosuch")
	require.NoError(t, stop())
}

func TestMetricsAreThoseOfTheOptions(t *testing.T) {
	metrics := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "up 1\n") })
	w := ask(newServer(t, newMemory(), Options{Metrics: metrics}).Handler(), http.MethodGet, PathMetrics, "")
	assert.Equal(t, "up 1\n", w.Body.String())
	w = ask(newServer(t, newMemory(), Options{}).Handler(), http.MethodGet, PathMetrics, "")
	assert.Equal(t, http.StatusNotFound, w.Code)
}
