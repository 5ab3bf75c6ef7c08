package cluster

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
)

// transport connects to other workers. Its errors say what to correct.
type transport struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.RoundTripper.RoundTrip(r)
	switch {
	case untrusted(err):
		err = fmt.Errorf("%w: give the authority that signed its certificate by --cluster-tls-ca-file, and the host name of the certificate in its --advertise", err)
	case errors.Is(err, http.ErrSchemeMismatch):
		err = fmt.Errorf("%w: give it --tls-cert-file", err)
	}
	return resp, err
}

// NotSent reports whether a request to another worker failed before it was sent, so that
// nothing can have happened there.
func NotSent(err error) bool {
	return unreachable(err) || untrusted(err) || errors.Is(err, http.ErrSchemeMismatch)
}

func unreachable(err error) bool {
	var dialing *net.OpError
	return errors.As(err, &dialing) && dialing.Op == "dial"
}

// untrusted reports whether the certificate of the other worker was refused.
func untrusted(err error) bool {
	var refused *tls.CertificateVerificationError
	return errors.As(err, &refused)
}
