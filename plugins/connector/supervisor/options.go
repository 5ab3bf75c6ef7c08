package supervisor

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/url"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/connector/store"
	"github.com/robustmq/robustmq-connect/plugins/kafka"
	"github.com/robustmq/robustmq-connect/plugins/mqtt"
	"github.com/robustmq/robustmq-connect/plugins/targets"
	"github.com/robustmq/robustmq-connect/plugins/tracing"
)

// Options of a supervisor.
type Options struct {
	// Environment has this distribution's components (plugins.Register).
	Environment *service.Environment
	Store       store.Store
	// Notes are the files of the service itself, in which the next start finds how this one
	// ended.
	Notes store.Notes
	// Share says which connectors this worker runs; nil means all.
	Share Share
	// MQTT is the default MQTT side of every connector: fields of the input template.
	// It must have urls, and no files.
	MQTT connector.Settings
	// ReadMQTT reads MQTT again from the files from which it was made, nil if there are
	// none.
	ReadMQTT func() (connector.Settings, error)
	// ClientIDPrefix is the start of the MQTT client ids of connectors that name none.
	// Default: robustmq_connect. Services that share a broker need different ones.
	ClientIDPrefix string
	// DrainTimeout is how long a stop waits for what is in flight. Default: 20 s.
	DrainTimeout time.Duration
	// SecretsDir is the directory of the files that definitions name; without it a
	// definition cannot name any.
	SecretsDir string
	// BufferDir is the directory of the disk buffers of connectors, below which each has its
	// own; "" keeps none. MaxBufferBytes is the most that a connector may ask for. Default:
	// 10 GiB.
	BufferDir      string
	MaxBufferBytes uint64
	// LastCrash is what the runtime wrote when it ended the last run with these notes.
	LastCrash string
	// MaxPendingBytes limits what all connectors together have read and not yet
	// acknowledged. Default: 256 MiB. Each connector has a guaranteed share of half of it.
	MaxPendingBytes int64
	// Trial is how long a connector that may end the process runs before the next
	// starts. Default: 10 s.
	Trial time.Duration
	// AllowTargets are the only addresses that connectors may connect to, if there are
	// any. DenyTargets are refused even if AllowTargets has them. Both are networks
	// (10.0.0.0/8), addresses and HOST:PORT. The MQTT broker is always allowed.
	AllowTargets, DenyTargets []string
	// Dial replaces TCP for connectors, for tests that control the clock or break the
	// network. The rules about targets do not apply. nil dials TCP, TLS and the others.
	Dial kafka.DialFunc
	// RobustMQDashboard exports what RobustMQ's Grafana dashboard queries.
	RobustMQDashboard bool
	// Version is of the program, and APICertFile its API's certificate, for the metrics.
	Version, APICertFile string
	// MaxLogBytes limits the memory for what all connectors together logged. Default: 8
	// MiB.
	MaxLogBytes int
	// Traces gets the spans of all connectors, nil for none. The supervisor does not close
	// it.
	Traces *tracing.Shared
	Logger *slog.Logger

	credentialsEvery time.Duration // tests are less patient
}

// dialBroker returns how connectors connect to MQTT brokers.
func (o Options) dialBroker(guard *targets.Guard) mqtt.DialFunc {
	if o.Dial == nil {
		return mqtt.DialTo(guard)
	}
	return func(ctx context.Context, u *url.URL, _ *tls.Config) (net.Conn, error) {
		return o.Dial(ctx, "tcp", u.Host)
	}
}
