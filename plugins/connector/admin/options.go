package admin

import (
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"time"
)

// Options say where the API listens and who may use it. The zero value but for
// Listen is an API for the own machine.
type Options struct {
	Listen string // host:port

	// TokenFile holds the bearer token that every request must carry, but for those of
	// probes: /health, /ready and /ready/connectors.
	// Without it, only a loopback address may be listened on, unless InsecureNoAuth
	// is set.
	TokenFile      string
	InsecureNoAuth bool

	TLSCertFile, TLSKeyFile string // PEM, both or none

	Metrics http.Handler // GET /metrics, nil is 404
	Logger  *slog.Logger // nil logs nothing

	// LongTimeout ends a request that changes or checks a connector, 2 minutes
	// unless set. A delete needs the time that draining may take.
	LongTimeout time.Duration
	// ShutdownTimeout is how long Serve lets requests go on that were under way when
	// its context ended, 10 seconds unless set.
	ShutdownTimeout time.Duration
}

// Validate tells whether an API may start with these options. It touches no file
// and no network.
func (o Options) Validate() error {
	host, port, err := net.SplitHostPort(o.Listen)
	if err != nil || port == "" {
		return fmt.Errorf("listen: %q is not host:port: give e.g. 127.0.0.1:58080", o.Listen)
	}
	switch {
	case o.TokenFile != "" && o.InsecureNoAuth:
		return errors.New("api-token-file and insecure-no-auth contradict each other: remove one")
	case (o.TLSCertFile == "") != (o.TLSKeyFile == ""):
		return errors.New("tls-cert-file and tls-key-file need each other: give both")
	case o.TokenFile == "" && !o.InsecureNoAuth && !isLoopback(host):
		return fmt.Errorf("listen: %s can be reached from other machines, and whoever reaches it may change connectors: "+
			"give a bearer token with --api-token-file, listen on 127.0.0.1, or say --insecure-no-auth", o.Listen)
	}
	return nil
}

// isLoopback is true where only this machine can connect. Of names it trusts
// localhost alone, and Listen looks again at what that became.
func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	address, err := netip.ParseAddr(host)
	return err == nil && address.Unmap().IsLoopback()
}

// tokenSum reads the token. Only its hash is kept: hashes are of one length, so
// that comparing them takes the same time for every guess.
func (o Options) tokenSum() (*[sha256.Size]byte, error) {
	if o.TokenFile == "" {
		return nil, nil
	}
	data, err := os.ReadFile(o.TokenFile)
	if err != nil {
		return nil, fmt.Errorf("reading api-token-file: %w", err)
	}
	token := strings.TrimSpace(string(data))
	switch {
	case token == "":
		return nil, fmt.Errorf("reading api-token-file: %s is empty: write a token into it", o.TokenFile)
	case strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		return nil, fmt.Errorf("reading api-token-file: %s must hold one word of printable ASCII", o.TokenFile)
	}
	sum := sha256.Sum256([]byte(token))
	return &sum, nil
}

func (o Options) tlsConfig() (*tls.Config, error) {
	if o.TLSCertFile == "" {
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(o.TLSCertFile, o.TLSKeyFile)
	if err != nil {
		return nil, fmt.Errorf("reading tls-cert-file and tls-key-file: %w", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, nil
}
