package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kversion"
	"github.com/twmb/franz-go/pkg/sasl"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/redpanda-data/benthos/v4/public/utils/netutil"

	"github.com/robustmq/robustmq-connect/plugins/internal/crash"
	"github.com/robustmq/robustmq-connect/plugins/internal/fields"
	"github.com/robustmq/robustmq-connect/plugins/targets"
)

// metadataMinAge is how soon metadata may be fetched again.
const metadataMinAge = time.Second

// clientConfig says how a component connects to Kafka.
type clientConfig struct {
	guard *crash.Guard // of the stream's panics, nil without
	where string       // the component, for reports of panics

	brokers         []string
	clientID        string
	tls             *tls.Config // nil without TLS
	sasl            []sasl.Mechanism
	metadataMaxAge  time.Duration
	requestOverhead time.Duration
	connIdle        time.Duration
	maxVersion      *kversion.Versions // nil for no limit
	dialer          net.Dialer
	targets         *targets.Guard                        // nil allows every target
	refused         *atomic.Pointer[targets.RefusedError] // what the guard refused last
	network         DialFunc                              // replaces dialer if set
}

func parseClient(conf *service.ParsedConfig, where string, options options) (clientConfig, error) {
	p := fields.NewReader(conf)
	c := clientConfig{
		where:           where,
		targets:         options.targets,
		network:         options.network,
		refused:         new(atomic.Pointer[targets.RefusedError]),
		clientID:        fields.Read(p, conf.FieldString, fieldClientID),
		metadataMaxAge:  p.Duration(metadataMinAge, time.Hour, fieldMetadataMaxAge),
		requestOverhead: p.Duration(100*time.Millisecond, 15*time.Minute, fieldRequestTimeoutOverhead),
		connIdle:        p.Duration(100*time.Millisecond, 15*time.Minute, fieldConnIdleTimeout),
		brokers:         addresses(fields.Read(p, conf.FieldStringList, fieldSeedBrokers)...),
	}
	if conf.Contains(fieldMaxKafkaVersion) {
		version := fields.Read(p, conf.FieldString, fieldMaxKafkaVersion)
		if c.maxVersion = kversion.FromString(version); c.maxVersion == nil {
			return c, fmt.Errorf("field %s: %s", fieldMaxKafkaVersion, CheckVersion(version))
		}
	}
	if err := p.Err(); err != nil {
		return c, err
	}
	if err := c.readAccess(conf, options); err != nil {
		return c, err
	}
	if conf.Contains(fieldTCP) {
		dialer, err := netutil.DialerConfigFromParsed(conf.Namespace(fieldTCP))
		if err == nil {
			err = netutil.DecorateDialer(&c.dialer, dialer)
		}
		if err != nil {
			return c, fmt.Errorf("field %s: %w", fieldTCP, err)
		}
	}
	return c, nil
}

// readAccess reads the fields tls and sasl.
func (c *clientConfig) readAccess(conf *service.ParsedConfig, options options) error {
	tlsConf, enabled, err := conf.FieldTLSToggled(fieldTLS)
	if err != nil {
		return fmt.Errorf("field %s: %w", fieldTLS, err)
	}
	if enabled {
		c.tls = tlsConf
	}
	c.sasl, err = parseSASL(conf, options)
	return err
}

// mechanisms returns the names of the SASL mechanisms in their order.
func (c *clientConfig) mechanisms() string {
	var names []string
	for _, mechanism := range c.sasl {
		names = append(names, mechanism.Name())
	}
	return strings.Join(names, ", ")
}

// connection returns the options that every client has: how it connects to Kafka.
func (c *clientConfig) connection() []kgo.Opt {
	opts := []kgo.Opt{
		kgo.SeedBrokers(c.brokers...),
		kgo.ClientID(c.clientID),
		kgo.SASL(c.sasl...),
		kgo.MetadataMaxAge(c.metadataMaxAge),
		kgo.RequestTimeoutOverhead(c.requestOverhead),
		kgo.ConnIdleTimeout(c.connIdle),
		kgo.Dialer(c.dial),
		kgo.RetryBackoffFn(retryBackoff),
	}
	if c.maxVersion != nil {
		opts = append(opts, kgo.MaxVersions(c.maxVersion))
	}
	return opts
}

// CheckVersion returns what is wrong with a max_kafka_version, or "".
func CheckVersion(version string) string {
	if kversion.FromString(version) != nil {
		return ""
	}
	return fmt.Sprintf("%q is not a version of Kafka that is known here; want one from 0.8.0 to %s, such as 3.8", version, kversion.Stable().VersionGuess())
}

// retryBackoff returns the wait after so many failures. It stays short, so that writing
// continues soon after Kafka is back.
func retryBackoff(failures int) time.Duration {
	wait := time.Second
	if failures < 5 {
		wait = 50 * time.Millisecond << failures
	}
	return wait*3/4 + rand.N(wait/4)
}

func (c *clientConfig) dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	defer c.guard.Catch(c.where+", dialing", func(panicked error) { err = panicked })
	if c.network != nil {
		return c.network(ctx, network, address)
	}
	conn, err = c.dialTarget(ctx, network, address)
	if refused := (*targets.RefusedError)(nil); errors.As(err, &refused) {
		c.refused.Store(refused)
	}
	return conn, err
}

func (c *clientConfig) dialTarget(ctx context.Context, network, address string) (net.Conn, error) {
	dialer, err := c.targets.Dialer(c.dialer, address)
	if err != nil {
		return nil, err
	}
	if c.tls == nil {
		return dialer.DialContext(ctx, network, address)
	}
	return (&tls.Dialer{NetDialer: dialer, Config: c.tls}).DialContext(ctx, network, address)
}
