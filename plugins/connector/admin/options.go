package admin

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/robustmq/robustmq-connect/plugins/connector/audit"
)

// Options say where the API listens and who may use it. With only Listen set, the API
// serves only this machine.
type Options struct {
	Listen string // host:port, or unix:PATH

	// SocketMode is the mode of the file of a Unix socket in octal digits, 0660 unless
	// set. SocketRole is what a peer there may do without a token (read, operate, admin),
	// nothing unless set. Root and the service's own user may do everything.
	SocketMode, SocketRole string

	// TokenFile holds a bearer token that may do everything, TokensFile a list of tokens
	// with their roles. Every request must carry one of them, but for those of probes:
	// /health, /ready and /ready/connectors. Without both, only a loopback address may be
	// listened on, unless InsecureNoAuth is set.
	TokenFile, TokensFile string
	InsecureNoAuth        bool

	TLSCertFile, TLSKeyFile string // PEM, both or none

	Audit   *audit.Log   // of who changes what, nil keeps none
	Metrics http.Handler // GET /metrics, nil is 404
	Build   Build        // GET /version
	Logger  *slog.Logger // nil logs nothing

	// Workers are those that share the connectors, nil without any.
	Workers Workers

	// LongTimeout ends a request that changes or checks a connector. Default: 2
	// minutes. A delete needs the time that draining may take.
	LongTimeout time.Duration
	// ShutdownTimeout is how long Serve lets requests in progress continue when its
	// context has ended. Default: 10 seconds.
	ShutdownTimeout time.Duration
}

// Validate reports whether an API may start with these options. It does not access
// files or the network.
func (o Options) Validate() error {
	if err := o.validateSocket(); err != nil || o.socketPath() != "" {
		return err
	}
	host, port, err := net.SplitHostPort(o.Listen)
	if err != nil || port == "" {
		return fmt.Errorf("listen: %q is not host:port: give e.g. 127.0.0.1:58080 or unix:/run/robustmq-connect/api.sock", o.Listen)
	}
	switch {
	case o.TokenFile != "" && o.InsecureNoAuth:
		return errors.New("api-token-file and insecure-no-auth conflict with each other: remove one")
	case o.TokensFile != "" && o.InsecureNoAuth:
		return errors.New("api-tokens-file and insecure-no-auth conflict with each other: remove one")
	case (o.TLSCertFile == "") != (o.TLSKeyFile == ""):
		return errors.New("tls-cert-file and tls-key-file need each other: give both")
	case o.TokenFile == "" && o.TokensFile == "" && !o.InsecureNoAuth && !isLoopback(host):
		return fmt.Errorf("listen: %s can be reached from other machines, and whoever reaches it may change connectors: "+
			"give bearer tokens with --api-tokens-file or --api-token-file, listen on 127.0.0.1, or say --insecure-no-auth", o.Listen)
	}
	return nil
}

// isLoopback reports whether only this machine can connect. The only trusted name is
// localhost, and Listen checks its address.
func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	address, err := netip.ParseAddr(host)
	return err == nil && address.Unmap().IsLoopback()
}

// watchCertificate gives the certificate of the API, nil without TLS.
func (o Options) watchCertificate(log *slog.Logger) (*watched[*tls.Certificate], error) {
	if o.TLSCertFile == "" {
		return nil, nil
	}
	return watch("The certificate of the admin API", []string{o.TLSCertFile, o.TLSKeyFile}, log, func() (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(o.TLSCertFile, o.TLSKeyFile)
		if err != nil {
			return nil, fmt.Errorf("reading tls-cert-file and tls-key-file: %w", err)
		}
		return &pair, nil
	})
}

// tlsOf serves with the certificate of today.
func tlsOf(certificate *watched[*tls.Certificate]) *tls.Config {
	if certificate == nil {
		return nil
	}
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return certificate.get(), nil },
	}
}
