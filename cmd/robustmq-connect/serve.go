package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/redpanda-data/benthos/v4/public/service"
	ucli "github.com/urfave/cli/v2"

	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/cli"
	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/stores"
	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
	"github.com/robustmq/robustmq-connect/plugins/connector/console"
	"github.com/robustmq/robustmq-connect/plugins/connector/supervisor"
)

const (
	defaultListen = "127.0.0.1:58080" // RobustMQ's port
	// maxPEMFile limits what is read before it is known to be a certificate.
	maxPEMFile = 1 << 20
)

func serveCommand(env *service.Environment) *ucli.Command {
	return &ucli.Command{
		Name:  "serve",
		Usage: "Run connectors as a service, with RobustMQ's admin API",
		Description: `Keeps connectors in a directory, runs each of them in this process, and takes commands:

  robustmq-connect serve --mqtt-url tcp://localhost:1883 --store ./connectors
  robustmq-connect serve --config /etc/robustmq-connect/serve.yaml
  robustmq-connect mqtt connector list

Every flag except --config has an environment variable, ROBUSTMQ_CONNECT_MQTT_URL for
--mqtt-url, and a name in the file of --config, mqtt_url. The command line wins over the
environment, and the environment over the file.`,
		Flags:  serveFlags(),
		Action: func(c *ucli.Context) error { return serve(c, env) },
	}
}

func serveFlags() []ucli.Flag {
	text := func(name, value, usage string) ucli.Flag {
		return &ucli.StringFlag{Name: name, Value: value, Usage: usage, EnvVars: []string{serveVariable(name)}}
	}
	return append([]ucli.Flag{
		&ucli.StringFlag{Name: "config", Usage: "read flags that are not given from this YAML `FILE`"},
		text("store", "", "keep the connectors in this `DIR`, which no other service may use, or in Kafka: kafka://HOST:PORT,HOST:PORT/PREFIX"),
		text("listen", defaultListen, "serve the admin API at `HOST:PORT`, or at unix:PATH"),
		text("socket-mode", "", "the mode of the file of --listen unix:PATH in octal `DIGITS`, 0660 unless set"),
		text("socket-role", "", "what a process at that socket may do without a token: `ROLE` is read, operate or admin; root and the service's user may do everything"),
		text("mqtt-url", "tcp://localhost:1883", "the MQTT broker as a `URL` (tcp, ssl, ws, wss, unix); several, separated by commas, are tried in turn"),
		text("mqtt-username", "", "log in to the MQTT broker as `USER`"),
		text("mqtt-password", "", "log in with this `PASSWORD`; other users of this machine can read it on a command line"),
		text("mqtt-password-file", "", "log in with the password in this `FILE`"),
		text("mqtt-qos", "1", "the highest quality of service to receive messages with, `0, 1 or 2`"),
		text("max-payload-bytes", "16MiB", "the largest payload `SIZE` that is read into memory; 0 sets no limit"),
		text("mqtt-client-id-prefix", "robustmq_connect", "start MQTT client ids with this `TEXT`; give each of several services on one broker its own"),
		text("mqtt-tls-ca-file", "", "trust the MQTT broker's certificate by the authorities in this `FILE`"),
		text("mqtt-tls-cert-file", "", "authenticate to the MQTT broker with the certificate in this `FILE`"),
		text("mqtt-tls-key-file", "", "the key of that certificate, a `FILE`"),
		text("buffer-dir", "", "keep the disk buffers of connectors in this `DIR`, which no other service may use; the directory buffers in that of --store unless set"),
		text("max-buffer-bytes", "10GiB", "let the disk buffer of a connector take at most `SIZE`"),
		text("secrets-dir", "", "let connectors use certificates and keys in this `DIR`, and no other files"),
		text("allow-targets", "", "let connectors connect only to these `TARGETS`: networks (10.0.0.0/8), addresses and HOST:PORT, separated by commas; --mqtt-url is always one"),
		text("deny-targets", "", "let no connector connect to these `TARGETS`, even if --allow-targets lists them"),
		&ucli.DurationFlag{
			Name: "drain-timeout", Value: 20 * time.Second, EnvVars: []string{serveVariable("drain-timeout")},
			Usage: "let a connector that stops finish what is in flight for this `TIME`",
		},
		&ucli.DurationFlag{
			Name: "trial-time", Value: 10 * time.Second, EnvVars: []string{serveVariable("trial-time")},
			Usage: "after several crashes soon after the start, let connectors run for this `TIME` before others start",
		},
		text("max-pending-bytes", "256MiB", "let all connectors together hold `SIZE` of messages that are read and not yet acknowledged; half of it is divided among them"),
		text("memory-limit", "", "keep the process's memory below `SIZE`, 400MiB for example, as GOMEMLIMIT does; nine tenths of the cgroup's limit unless set"),
		text("api-token-file", "", "require the token in this `FILE` with every request; it may do everything"),
		text("api-tokens-file", "", "require one of the tokens in this YAML `FILE`, each with a role; robustmq-connect token makes an entry"),
		text("audit-log", "", "record each call that changes something, and each refused one, as a JSON line in this `FILE`; - is standard output"),
		&ucli.BoolFlag{
			Name: "insecure-no-auth", EnvVars: []string{serveVariable("insecure-no-auth")},
			Usage: "listen on addresses other than loopback without a token",
		},
		&ucli.BoolFlag{
			Name: "no-console", EnvVars: []string{serveVariable("no-console")},
			Usage: "serve the API alone, without the console for browsers",
		},
		text("tls-cert-file", "", "serve HTTPS with the certificate in this `FILE`"),
		text("tls-key-file", "", "the key of that certificate, a `FILE`"),
		&ucli.BoolFlag{
			Name: "robustmq-dashboard-metrics", EnvVars: []string{serveVariable("robustmq-dashboard-metrics")},
			Usage: "export also the metrics that RobustMQ's Grafana dashboard queries",
		},
		text("traces-to", "", "send spans of messages to the OpenTelemetry collector at this `URL`: http://HOST:4318, grpc://HOST:4317, or https and grpcs for TLS"),
		text("traces-ratio", "1", "trace this part of the messages, a `NUMBER` from 0 to 1, and those whose publishers trace them"),
		text("log-level", "info", "log messages of this `LEVEL` and above: debug, info, warn or error"),
		text("log-format", "text", "log as `text or json`"),
		text("state-dir", "", "with a store in Kafka, keep in this `DIR` how the process ended, to find a connector that ends it"),
	}, append(stores.Flags(text), workerFlags(text)...)...)
}

func serveVariable(flag string) string {
	return "ROBUSTMQ_CONNECT_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

func serve(c *ucli.Context, env *service.Environment) error {
	if c.Args().Present() {
		return fmt.Errorf("serving: %q is not a flag", c.Args().First())
	}
	if err := applyFile(c); err != nil {
		return fmt.Errorf("serving: %w", err)
	}
	ctx, stop := signal.NotifyContext(c.Context, os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second signal ends the process at once.
	context.AfterFunc(ctx, stop)
	if err := runService(ctx, c, env); err != nil {
		return fmt.Errorf("serving: %w", err)
	}
	return nil
}

func runService(ctx context.Context, c *ucli.Context, env *service.Environment) (err error) {
	log, err := serveLogger(c)
	if err != nil {
		return err
	}
	pending, err := parseMemory("max-pending-bytes", c.String("max-pending-bytes"))
	if err != nil {
		return err
	}
	if err := setMemoryLimit(c.String("memory-limit")); err != nil {
		return err
	}
	settings, err := mqttSettings(c)
	if err != nil {
		return err
	}
	bufferDir, maxBuffer, err := bufferSettings(c)
	if err != nil {
		return err
	}
	if c.String("store") == "" {
		return errors.New("store: give the directory of the connectors by --store DIR, or --store kafka://HOST:PORT/PREFIX")
	}
	// The address is checked before anything else happens.
	listen := admin.Options{
		Listen: c.String("listen"), SocketMode: c.String("socket-mode"), SocketRole: c.String("socket-role"), TokenFile: c.String("api-token-file"), TokensFile: c.String("api-tokens-file"), InsecureNoAuth: c.Bool("insecure-no-auth"),
		TLSCertFile: c.String("tls-cert-file"), TLSKeyFile: c.String("tls-key-file"), Logger: log,
		// A delete drains, stops the stream, empties the disk buffer, and connects to the
		// broker.
		LongTimeout: 3*c.Duration("drain-timeout") + 30*time.Second,
		// A delete may continue while connectors drain. The service ends at most five
		// seconds after that.
		ShutdownTimeout: c.Duration("drain-timeout") + time.Second,
	}
	if err := listen.Validate(); err != nil {
		return err
	}
	if listen.Audit, err = openAuditLog(c, log); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, listen.Audit.Close()) }()
	traces, err := openTraces(c, log)
	if err != nil {
		return err
	}
	defer closeTraces(traces, log)
	definitions, notes, worker, err := openServiceStore(ctx, c, log)
	if err != nil {
		return err
	}
	defer func() { _ = definitions.Close() }() // the process ends with it
	trace, err := supervisor.LastCrash(notes)
	if err != nil {
		log.Warn("The next start may not know how this one ended", "error", err)
	}
	samples := (*supervisor.Supervisor).Samples
	var share supervisor.Share
	if worker != nil { // a nil pointer in an interface is not nil
		share, listen.Workers = worker, worker
		samples = func(s *supervisor.Supervisor) []connector.Sample { return worker.Samples(s.Samples()) }
	}
	connectors, err := supervisor.New(supervisor.Options{
		Environment: env, Store: definitions, Notes: notes, Share: share, MQTT: settings, ReadMQTT: readMQTTAgain(c),
		RobustMQDashboard: c.Bool("robustmq-dashboard-metrics"),
		ClientIDPrefix:    c.String("mqtt-client-id-prefix"), DrainTimeout: c.Duration("drain-timeout"),
		SecretsDir: c.String("secrets-dir"), BufferDir: bufferDir, MaxBufferBytes: maxBuffer, Logger: log, LastCrash: trace, Trial: c.Duration("trial-time"),
		AllowTargets: targetList(c.String("allow-targets")), DenyTargets: targetList(c.String("deny-targets")),
		MaxPendingBytes: pending, Version: buildVersion(), APICertFile: listen.TLSCertFile, Traces: traces,
	})
	if err != nil {
		return err
	}
	listen.Metrics, listen.Build = connectors.Metrics(), build()
	api, err := admin.New(connectors, listen)
	if err == nil {
		err = api.Listen()
	}
	if err != nil {
		return errors.Join(err, connectors.Close())
	}
	if err := connectors.Start(); err != nil {
		return errors.Join(err, connectors.Close())
	}
	watching, stopWatching := context.WithCancel(context.Background())
	var watched sync.WaitGroup
	defer watched.Wait()
	defer stopWatching()
	if !c.Bool("no-console") {
		pages := console.New(console.Options{API: api, Samples: func() []connector.Sample { return samples(connectors) }, Version: buildVersion(), Logger: log})
		api.Mount(pages)
		watched.Go(func() { pages.Run(watching) })
	}
	log.Info("Serving", "address", api.Addr().String(), "store", c.String("store"), "connectors", len(connectors.List()), "version", buildVersion())

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	lost := untilLost(ctx, definitions, log, cancel)
	// Also where there is nothing to read: a reload must not end the service.
	defer onHangup(ctx, func() {
		listen.Audit.Reopen()
		api.Reload()
	})()
	served := make(chan error, 1)
	go func() {
		defer cancel()
		served <- api.Serve(ctx)
	}()
	joined := worker.Join(ctx, connectors)
	if joined != nil {
		cancel()
	}
	<-ctx.Done()
	log.Info("Stopping: what is in flight is finished first", "drain_timeout", c.Duration("drain-timeout").String())
	// A worker drains as a member of the group, so that nobody takes over before.
	return errors.Join(joined, lost(), connectors.Close(), worker.Leave(), <-served)
}

// targetList splits a list of targets. Empty items, such as after a final comma, are
// ignored.
func targetList(text string) (all []string) {
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			all = append(all, item)
		}
	}
	return all
}

func serveLogger(c *ucli.Context) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.String("log-level"))); err != nil {
		return nil, fmt.Errorf("log-level: %q is unknown; must be one of debug, info, warn, error", c.String("log-level"))
	}
	options := &slog.HandlerOptions{Level: level}
	switch format := c.String("log-format"); format {
	case "text":
		return slog.New(slog.NewTextHandler(c.App.ErrWriter, options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(c.App.ErrWriter, options)), nil
	default:
		return nil, fmt.Errorf("log-format: %q is unknown; must be one of text, json", format)
	}
}

// mqttSettings returns the default MQTT fields of every connector. Files are read here,
// because no connector may name the service's own files.
func mqttSettings(c *ucli.Context) (connector.Settings, error) {
	var all connector.Settings
	add := func(name string, value any) {
		raw, _ := json.Marshal(value) // strings, in lists and maps
		all = append(all, connector.Setting{Name: name, Value: raw})
	}
	read := func(flag string) (string, error) {
		path := c.String(flag)
		if path == "" {
			return "", nil
		}
		data, err := cli.ReadBounded(c.App.Reader, path, maxPEMFile)
		if err == nil && len(data) > maxPEMFile {
			err = errors.New("over 1 MiB long: it is neither a certificate nor a key")
		}
		if err != nil {
			return "", fmt.Errorf("%s: reading %s: %w", flag, path, err)
		}
		return string(data), nil
	}
	add("urls", strings.Split(c.String("mqtt-url"), ","))
	if user := c.String("mqtt-username"); user != "" {
		add("username", user)
	}
	password := c.String("mqtt-password")
	if path := c.String("mqtt-password-file"); path != "" {
		if password != "" {
			return nil, errors.New("mqtt-password-file: it conflicts with mqtt-password; remove one of them")
		}
		var err error
		if password, err = cli.ReadSecretFile(path); err != nil {
			return nil, fmt.Errorf("mqtt-password-file: reading %s: %w", path, err)
		}
	}
	if password != "" {
		add("password", password)
	}
	if qos := c.String("mqtt-qos"); qos != "0" && qos != "1" && qos != "2" {
		return nil, fmt.Errorf("mqtt-qos: %q is not a quality of service; must be 0, 1 or 2", qos)
	}
	all = append(all, connector.Setting{Name: "qos", Value: json.RawMessage(c.String("mqtt-qos"))})

	limit := c.String("max-payload-bytes")
	if size, err := humanize.ParseBytes(limit); err != nil || size > math.MaxInt32 {
		return nil, fmt.Errorf("max-payload-bytes: %q is not a size from 0 to %d bytes: write for example 16MiB", limit, math.MaxInt32)
	} else if size > 0 {
		add("max_payload_bytes", limit)
	}

	tls := map[string]any{}
	files := map[string]string{}
	for _, flag := range []string{"mqtt-tls-ca-file", "mqtt-tls-cert-file", "mqtt-tls-key-file"} {
		var err error
		if files[flag], err = read(flag); err != nil {
			return nil, err
		}
	}
	if (files["mqtt-tls-cert-file"] == "") != (files["mqtt-tls-key-file"] == "") {
		return nil, errors.New("mqtt-tls-cert-file and mqtt-tls-key-file need each other: give both")
	}
	if ca := files["mqtt-tls-ca-file"]; ca != "" {
		tls["root_cas"] = ca
	}
	if cert := files["mqtt-tls-cert-file"]; cert != "" {
		tls["client_certs"] = []any{map[string]string{"cert": cert, "key": files["mqtt-tls-key-file"]}}
	}
	if len(tls) > 0 {
		tls["enabled"] = true
		add("tls", tls)
	}
	return all, nil
}
