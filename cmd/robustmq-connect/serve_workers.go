package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
	ucli "github.com/urfave/cli/v2"

	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/cli"
	"github.com/robustmq/robustmq-connect/plugins/connector/cluster"
	"github.com/robustmq/robustmq-connect/plugins/connector/store/kafkastore"
)

// workerFlags are those of one of several workers.
func workerFlags(text func(name, value, usage string) ucli.Flag) []ucli.Flag {
	return []ucli.Flag{
		text("advertise", "", "share the connectors of a store in Kafka with other workers, which reach the API of this one at this `URL`"),
		text("cluster-token-file", "", "the token that workers show each other, a `FILE` with the same contents for all of them; one from openssl rand -hex 32"),
		text("cluster-tls-ca-file", "", "trust the certificates of other workers' APIs by the authorities in this `FILE`, and not by those of the system"),
	}
}

// checkWorkerFlags reports flags of workers that conflict with others.
func checkWorkerFlags(c *ucli.Context) error {
	advertise := c.String("advertise")
	secure := c.String("tls-cert-file") != ""
	switch {
	case advertise == "" && c.String("cluster-token-file") != "":
		return errors.New("cluster-token-file: it is for workers that share connectors: give --advertise too")
	case advertise == "" && c.String("cluster-tls-ca-file") != "":
		return errors.New("cluster-tls-ca-file: it is for workers that share connectors: give --advertise too")
	case advertise == "":
		return nil
	case !kafkastore.Is(c.String("store")):
		return fmt.Errorf("advertise: workers share a store in Kafka, and --store is %q: give --store kafka://HOST:PORT/PREFIX", c.String("store"))
	case strings.HasPrefix(c.String("listen"), "unix:"):
		return errors.New("advertise: other workers cannot reach a Unix socket: give --listen HOST:PORT")
	case c.String("cluster-token-file") == "":
		return errors.New("cluster-token-file: workers need a token that they share: write one from openssl rand -hex 32 into a file, and give it to all of them")
	case secure != strings.HasPrefix(advertise, "https://"):
		return fmt.Errorf("advertise: %q must begin with https:// if --tls-cert-file is given, and with http:// if not", advertise)
	}
	return nil
}

// newWorker makes this process one of the workers that share a store, nil without
// --advertise.
func newWorker(c *ucli.Context, log *slog.Logger, opts kafkastore.Options) (*cluster.Service, error) {
	if c.String("advertise") == "" {
		return nil, nil
	}
	path := c.String("cluster-token-file")
	token, err := cli.ReadSecretFile(path)
	if err != nil {
		return nil, fmt.Errorf("cluster-token-file: reading %s: %w", path, err)
	}
	transport, err := workerTransport(c.String("cluster-tls-ca-file"))
	if err != nil {
		return nil, err
	}
	return cluster.NewService(cluster.Options{
		Client: append([]kgo.Opt{kgo.SeedBrokers(opts.Address.Brokers...)}, opts.Client...),
		Group:  opts.Address.Prefix + "-workers", Topic: opts.Address.Assignment(), Advertise: c.String("advertise"),
		DrainTimeout: c.Duration("drain-timeout"), Logger: log,
	}, token, transport)
}

// workerTransport connects to other workers, and to no proxy: the token is for workers
// alone.
func workerTransport(authorities string) (http.RoundTripper, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = nil
	if authorities == "" {
		return transport, nil
	}
	text, err := cli.ReadBounded(nil, authorities, maxPEMFile)
	if err != nil {
		return nil, fmt.Errorf("cluster-tls-ca-file: reading %s: %w", authorities, err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("cluster-tls-ca-file: %s has no certificate in PEM", authorities)
	}
	transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	return transport, nil
}
