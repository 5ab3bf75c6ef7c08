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
	"log/slog"
	"math/big"
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

func overwrite(t *testing.T, path, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
}

func TestTokensAreReadAgainWhenTheirFileChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old, oldEntry, err := NewToken("old", "read", false)
		require.NoError(t, err)
		fresh, freshEntry, err := NewToken("fresh", "read", false)
		require.NoError(t, err)
		file := tokenFile(t, oldEntry)
		var said bytes.Buffer
		s := newServer(t, newMemory(), Options{TokensFile: file, Logger: slog.New(slog.NewTextHandler(&said, nil))})
		ctx, stop := context.WithCancel(t.Context())
		wait := s.watchFiles(ctx)
		expect := func(oldStatus, freshStatus int) {
			t.Helper()
			time.Sleep(2*watchEvery + watchEvery/2)
			synctest.Wait()
			assert.Equal(t, oldStatus, ask(s.Handler(), http.MethodGet, PathList, "", bearer("Bearer "+old)).Code)
			assert.Equal(t, freshStatus, ask(s.Handler(), http.MethodGet, PathList, "", bearer("Bearer "+fresh)).Code)
		}
		expect(200, 401)
		assert.Empty(t, said.String())
		overwrite(t, file, oldEntry+freshEntry)
		expect(200, 200)
		overwrite(t, file, freshEntry)
		expect(401, 200)
		assert.Equal(t, 2, strings.Count(said.String(), "The list of tokens was read again"), said.String())
		assert.Empty(t, s.Warnings())

		// What is broken is said once, and changes nothing.
		for broken, want := range map[string]string{
			"": "it is empty", "- name: a\n": "line 1: role is missing",
		} {
			said.Reset()
			overwrite(t, file, broken)
			expect(401, 200)
			expect(401, 200)
			assert.Equal(t, 1, strings.Count(said.String(), "The list of tokens cannot be read again: what was read before holds until the files are correct"), said.String())
			require.Len(t, s.Warnings(), 1)
			assert.Contains(t, s.Warnings()[0], "The list of tokens cannot be read again, and what was read before holds: reading api-tokens-file: "+file+": "+want)
		}
		require.NoError(t, os.Remove(file))
		expect(401, 200)
		assert.Contains(t, s.Warnings()[0], "no such file")
		overwrite(t, file, oldEntry)
		require.NoError(t, os.Chmod(file, 0o602))
		expect(401, 200)
		assert.Contains(t, s.Warnings()[0], "every user of this machine can write to")
		require.NoError(t, os.Chmod(file, 0o600))
		expect(200, 401)
		assert.Empty(t, s.Warnings())

		// Somebody who cannot wait sends SIGHUP.
		overwrite(t, file, "[]")
		s.Reload()
		assert.Equal(t, 401, ask(s.Handler(), http.MethodGet, PathList, "", bearer("Bearer "+old)).Code)
		stop()
		wait()
	})
}

// certificateOf makes a certificate of this name, and gives both PEM texts.
func certificateOf(t *testing.T, name string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	require.NoError(t, err)
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	block := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	return block("CERTIFICATE", der), block("PRIVATE KEY", raw)
}

func TestARenewedCertificateIsServedWithoutARestart(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	cert, key := certificateOf(t, "first.example")
	overwrite(t, certFile, cert)
	overwrite(t, keyFile, key)
	var said bytes.Buffer
	s := newServer(t, newMemory(), Options{Listen: "127.0.0.1:0", TLSCertFile: certFile, TLSKeyFile: keyFile, Logger: slog.New(slog.NewTextHandler(&said, nil))})
	require.NoError(t, s.Listen())
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx) }()
	served := func() string {
		conn, err := tls.Dial("tcp", s.Addr().String(), &tls.Config{InsecureSkipVerify: true})
		require.NoError(t, err)
		defer func() { _ = conn.Close() }()
		return conn.ConnectionState().PeerCertificates[0].DNSNames[0]
	}
	assert.Equal(t, "first.example", served())

	// A certificate that is here before its key is waited for.
	cert, key = certificateOf(t, "second.example")
	overwrite(t, certFile, cert)
	s.certificate.reloadIfChanged()
	assert.Equal(t, "first.example", served())
	assert.Empty(t, s.Warnings())
	overwrite(t, keyFile, key)
	s.certificate.reloadIfChanged()
	s.certificate.reloadIfChanged()
	assert.Equal(t, "second.example", served())
	assert.NotContains(t, said.String(), "cannot be read again")

	// A key of another certificate is told, and the old one served on.
	_, other := certificateOf(t, "third.example")
	overwrite(t, keyFile, other)
	s.Reload()
	assert.Equal(t, "second.example", served())
	require.Len(t, s.Warnings(), 1)
	assert.Contains(t, s.Warnings()[0], "The certificate of the admin API cannot be read again, and what was read before holds: reading tls-cert-file and tls-key-file: ")
	stop()
	require.NoError(t, <-ended)
}
