package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/embedded"
)

func TestFlagsOfWorkersThatContradictOthersAreRefused(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	token := file("token", "0123456789abcdef0123456789abcdef\n")
	const kafka, advertise = "--store=kafka://127.0.0.1:1/p", "--advertise=http://127.0.0.1:58080"
	for _, tc := range []struct {
		flags []string
		says  string
	}{
		{[]string{"--store=" + dir, "--cluster-token-file=" + token}, "cluster-token-file: it is for workers that share connectors: give --advertise too"},
		{[]string{"--store=" + dir, "--cluster-tls-ca-file=" + token}, "cluster-tls-ca-file: it is for workers that share connectors: give --advertise too"},
		{[]string{"--store=" + dir, advertise, "--cluster-token-file=" + token}, "advertise: workers share a store in Kafka"},
		{[]string{kafka, advertise}, "cluster-token-file: workers need a token that they share"},
		{[]string{kafka, advertise, "--cluster-token-file=" + token, "--listen=unix:" + dir + "/s"}, "advertise: other workers cannot reach a Unix socket"},
		{[]string{kafka, "--advertise=https://127.0.0.1:1", "--cluster-token-file=" + token}, "must begin with https:// if --tls-cert-file is given, and with http:// if not"},
		{[]string{kafka, advertise, "--cluster-token-file=" + file("none", "")}, "it is empty"},
		{[]string{kafka, advertise, "--cluster-token-file=" + file("short", "abc")}, "cluster-token-file: the token is shorter than 32 characters"},
		{[]string{kafka, advertise, "--cluster-token-file=" + token, "--cluster-tls-ca-file=" + token}, "has no certificate in PEM"},
		{[]string{kafka, "--advertise=http://127.0.0.1:58080/path", "--cluster-token-file=" + token}, `is not the URL of an API`},
	} {
		require.ErrorContains(t, runServe(t.Context(), io.Discard, tc.flags...), tc.says)
	}
}

// secureWorkers starts two workers whose APIs have a certificate, and which trust an
// authority.
func secureWorkers(t *testing.T, kafka, broker, cert, key, authority string) []*serving {
	t.Helper()
	token := writeFile(t, t.TempDir(), "token", "0123456789abcdef0123456789abcdef\n")
	text, err := os.ReadFile(cert)
	require.NoError(t, err)
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(text))
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	t.Cleanup(transport.CloseIdleConnections)
	var all []*serving
	for range 2 {
		// The port must be known before the worker advertises it.
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		require.NoError(t, l.Close())
		one := startServe(
			t, "--store", "kafka://"+kafka+"/p", "--mqtt-url", broker, "--listen", l.Addr().String(), "--advertise", "https://"+l.Addr().String(),
			"--tls-cert-file", cert, "--tls-key-file", key, "--cluster-token-file", token, "--cluster-tls-ca-file", authority, "--drain-timeout", "1s",
		)
		one.url = "https://" + l.Addr().String()
		one.client = &http.Client{Transport: transport}
		all = append(all, one)
	}
	return all
}

// Each worker has some of the connectors, and one of them writes the store: so each
// call needs the other worker sooner or later.
func TestWorkersTrustEachOtherByTheirAuthority(t *testing.T) {
	certificates(t)
	stranger := os.Getenv("STOCK_CA_FILE")
	certificates(t)
	authority, cert, key := os.Getenv("STOCK_CA_FILE"), os.Getenv("STOCK_CERT_FILE"), os.Getenv("STOCK_KEY_FILE")
	broker, err := embedded.StartBroker("127.0.0.1:0")
	require.NoError(t, err)
	defer broker.Close()
	for _, trusted := range []bool{true, false} {
		t.Run(strconv.FormatBool(trusted), func(t *testing.T) {
			kafka, err := embedded.StartKafka("127.0.0.1:0")
			require.NoError(t, err)
			defer kafka.Close()
			authority := authority
			if !trusted {
				authority = stranger
			}
			workers := secureWorkers(t, kafka.Addr(), broker.URL(), cert, key, authority)
			config, err := json.Marshal(fmt.Sprintf(`{"bootstrap_servers":%q,"topic":"out"}`, kafka.Addr()))
			require.NoError(t, err)
			create := func(at int, name string) string {
				return workers[at].do("POST", "/api/cluster/connector/create", fmt.Sprintf(
					`{"connector_name":%q,"connector_type":"kafka","config":%s,"failure_strategy":{"strategy":"block"},"tenant":"default","topic_name":"in/%[1]s"}`, name, config))
			}
			const patience = 90 * time.Second
			shared := func() bool {
				for _, one := range workers {
					if !strings.Contains(one.do("GET", "/metrics", ""), "robustmq_connect_worker_partitions 32\n") {
						return false
					}
				}
				return true
			}
			require.Eventually(t, shared, patience, 100*time.Millisecond, "the workers do not share the partitions")
			if !trusted {
				// One of both must ask the other.
				const says = "nothing was changed: the worker https://127.0.0.1:"
				var answers [2]string
				require.Eventually(t, func() bool {
					answers = [2]string{create(0, "c"), create(1, "c")}
					return strings.Contains(answers[0]+answers[1], says)
				}, patience, 100*time.Millisecond, "%s", &answers)
				assert.Contains(t, answers[0]+answers[1], "certificate signed by unknown authority")
				assert.Contains(t, answers[0]+answers[1], "give the authority that signed its certificate by --cluster-tls-ca-file")
				assert.Contains(t, workers[0].do("GET", "/api/cluster/connector/list", ""), "these workers do not answer, and the states of their connectors are unknown: "+workers[1].url)
			} else {
				names := []string{"a", "b", "c", "d", "e", "f", "g", "h"}
				for i, name := range names {
					require.Eventually(t, func() bool {
						answer := create(i%2, name)
						return strings.Contains(answer, `"data":"success"`) || strings.Contains(answer, "exists")
					}, patience, 100*time.Millisecond)
				}
				for _, one := range workers {
					var answers [1]string
					require.Eventually(t, func() bool {
						answers[0] = one.do("GET", "/api/cluster/connector/list", "")
						return strings.Count(answers[0], `"state":"Running"`) == len(names)
					}, patience, 100*time.Millisecond, "%s", &answers)
				}
			}
			for _, one := range workers {
				one.end()
			}
		})
	}
}
