package supervisor

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// certificate is one that the service presents to others, with its expiry.
type certificate struct {
	side   string // api, mqtt or kafka
	expiry time.Time
}

func (c certificate) send(out chan<- prometheus.Metric, name string) {
	sample{
		serviceMetric + "certificate_expiry_timestamp_seconds",
		"When a certificate that the service shows ends, as Unix time: that of its API (api), or of a client of MQTT (mqtt) or Kafka (kafka). The label connector is empty for the service's own.",
		prometheus.GaugeValue, float64(c.expiry.Unix()),
	}.send(out, "connector", name, "side", c.side)
}

// certificateAge is how long the parsed certificates of a connector are reused. A file
// may be replaced while the connector runs.
const certificateAge = time.Minute

// certificateCache is what was read last, guarded by the supervisor's mutex.
type certificateCache struct {
	read time.Time
	of   string // the settings that it was read from
	all  []certificate
}

// certificates returns those of the service itself.
func (s *Supervisor) certificates() (all []certificate) {
	if path := s.opts.APICertFile; path != "" {
		// Whoever serves with a certificate reports that it cannot be read.
		if text, err := os.ReadFile(path); err == nil {
			all = append(all, earliest("api", [][]byte{text})...)
		}
	}
	return append(all, earliest("mqtt", clientCertificates(s.base().Get("tls"), nil))...)
}

// certificatesOf returns those of a connector's own settings. The service's are
// reported once.
func (s *Supervisor) certificatesOf(e *entry) []certificate {
	s.mu.Lock()
	c, cache := e.definition.Connector, e.certificates
	s.mu.Unlock()
	mqtt, kafka := c.MQTT.Get("tls"), c.Kafka.More.Get("tls")
	of := string(mqtt) + "\x00" + string(kafka)
	if cache.of == of && time.Since(cache.read) < certificateAge {
		return cache.all
	}
	all := earliest("mqtt", clientCertificates(mqtt, s.files))
	all = append(all, earliest("kafka", clientCertificates(kafka, s.files))...)
	s.mu.Lock()
	defer s.mu.Unlock()
	e.certificates = certificateCache{time.Now(), of, all}
	return all
}

// clientCertificates returns the PEM texts of a tls field's certificates. Unreadable
// ones are ignored here: the connector fails because of them and reports the reason.
func clientCertificates(tls json.RawMessage, files fs.FS) (texts [][]byte) {
	var fields struct {
		Enabled bool `json:"enabled"`
		Certs   []struct {
			Cert string `json:"cert"`
			File string `json:"cert_file"`
		} `json:"client_certs"`
	}
	if tls == nil || json.Unmarshal(tls, &fields) != nil || !fields.Enabled {
		return nil
	}
	for _, c := range fields.Certs {
		if c.Cert != "" {
			texts = append(texts, []byte(c.Cert))
			continue
		}
		if text, ok := readBounded(files, c.File); ok {
			texts = append(texts, text)
		}
	}
	return texts
}

func readBounded(files fs.FS, name string) (text []byte, ok bool) {
	if files == nil || name == "" {
		return nil, false
	}
	file, err := files.Open(name)
	if err != nil {
		return nil, false
	}
	defer file.Close() //nolint:errcheck // it is only read
	text, err = io.ReadAll(io.LimitReader(file, 1<<20))
	return text, err == nil
}

// earliest returns the certificate in PEM texts that expires first, including chains.
func earliest(side string, texts [][]byte) []certificate {
	var first time.Time
	for _, rest := range texts {
		for {
			var block *pem.Block
			if block, rest = pem.Decode(rest); block == nil {
				break
			}
			cert, err := x509.ParseCertificate(block.Bytes)
			if block.Type == "CERTIFICATE" && err == nil && (first.IsZero() || cert.NotAfter.Before(first)) {
				first = cert.NotAfter
			}
		}
	}
	if first.IsZero() {
		return nil
	}
	return []certificate{{side, first}}
}
