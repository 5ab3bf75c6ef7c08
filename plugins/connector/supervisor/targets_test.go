package supervisor

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/connector/store"
	"github.com/robustmq/robustmq-connect/plugins/embedded"
)

// trap is an address that nobody may connect to.
type trap struct {
	addr     string
	accepted atomic.Int32
}

func newTrap(t *testing.T) *trap {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() }) // the test has ended
	tr := &trap{addr: listener.Addr().String()}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			tr.accepted.Add(1)
			_ = conn.Close() // it has told enough
		}
	}()
	return tr
}

// forwarder is another address of a server.
func forwarder(t *testing.T, to string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var open sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		_ = listener.Close() // the test has ended
		open.Wait()
	})
	open.Go(func() {
		for {
			in, err := listener.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				_ = in.Close() // the server has ended
				continue
			}
			context.AfterFunc(ctx, func() { _, _ = in.Close(), out.Close() })
			for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
				open.Go(func() {
					_, _ = io.Copy(way[0], way[1]) // until one end closes
					_ = way[0].Close()
				})
			}
		}
	})
	return listener.Addr().String()
}

const refused = "is not a target of this service's connectors"

func TestNoConnectionOfAConnectorReachesADeniedTarget(t *testing.T) {
	tr := newTrap(t)
	_, port, err := net.SplitHostPort(tr.addr)
	require.NoError(t, err)
	r := newRig(t, func(o *Options) { o.DenyTargets = []string{"169.254.0.0/16", tr.addr} })
	waits := func(name, want string) {
		t.Helper()
		r.until(name, func(s connector.Status) bool { return strings.Contains(s.Reason, want) })
	}
	for i, u := range []string{"tcp://" + tr.addr, "mqtt://localhost:" + port, "ssl://" + tr.addr, "ws://" + tr.addr + "/mqtt", "wss://" + tr.addr, "tcp://[::ffff:127.0.0.1]:" + port, "tcp://0.0.0.0:" + port} {
		name := fmt.Sprintf("mqtt%d", i)
		c := r.conn(name, "in/#", "out", fmt.Sprintf(`,"urls":[%q],"connect_timeout":"2s"`, u))
		r.create(c)
		waits(name, refused)
		probes, err := r.Check(t.Context(), c)
		require.NoError(t, err)
		assert.Contains(t, probes[0].Error, refused, "%s", u)
		assert.Empty(t, probes[1].Error)
	}
	for i, servers := range []string{tr.addr, "localhost:" + port} {
		name := fmt.Sprintf("kafka%d", i)
		c := r.parse(name, "in/#", fmt.Sprintf(`{"bootstrap_servers":%q,"topic":"out"}`, servers), `{"strategy":"block"}`)
		r.create(c)
		waits(name, refused)
		probes, err := r.Check(t.Context(), c)
		require.NoError(t, err)
		assert.Contains(t, probes[1].Error, refused)
	}
	// A record that Kafka would refuse becomes a dead letter.
	r.create(r.parse("letters", "dead/#", fmt.Sprintf(`{"bootstrap_servers":%q,"topic":"${! json(\"to\") }"}`, r.kafka.Addr()),
		fmt.Sprintf(`{"strategy":"dead_message_queue","retry_total_times":1,"wait_time_ms":0,"bootstrap_servers":%q}`, tr.addr)))
	r.ready("letters")
	r.publish("dead/a", `{"to":"an illegal topic"}`)
	waits("letters", refused)
	// A connector with allowed targets runs.
	r.create(r.conn("good", "good/#", "good", ""))
	r.ready("good")
	r.publish("good/a", "payload")
	r.records("good", 1)
	assert.Zero(t, tr.accepted.Load(), "something has connected to the denied target")
}

// The addresses that a Kafka broker advertises are chosen by whoever runs it.
func TestAnAddressThatKafkaAdvertisesIsChecked(t *testing.T) {
	kafka, err := embedded.StartKafka("127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { kafka.Close() })
	r := newRig(t, func(o *Options) { o.DenyTargets = []string{kafka.Addr()} })
	other := forwarder(t, kafka.Addr())
	c := r.parse("c", "in/#", fmt.Sprintf(`{"bootstrap_servers":%q,"topic":"out"}`, other), `{"strategy":"block"}`)
	r.create(c)
	r.ready("c")
	r.publish("in/a", "payload")
	r.until("c", func(s connector.Status) bool { return strings.Contains(s.Reason, refused) })
}

func TestOnlyAllowedTargetsAreReachedAndTheServicesOwnBrokerIs(t *testing.T) {
	tr := newTrap(t)
	var kafka *embedded.Kafka
	r := newRig(t, func(o *Options) {
		var err error
		kafka, err = embedded.StartKafka("127.0.0.1:0")
		require.NoError(t, err)
		t.Cleanup(func() { kafka.Close() })
		o.AllowTargets = []string{kafka.Addr()}
	})
	r.create(r.parse("c", "in/#", fmt.Sprintf(`{"bootstrap_servers":%q,"topic":"out"}`, kafka.Addr()), `{"strategy":"block"}`))
	r.ready("c")
	r.create(r.parse("other", "in/#", fmt.Sprintf(`{"bootstrap_servers":%q,"topic":"out"}`, tr.addr), `{"strategy":"block"}`))
	r.until("other", func(s connector.Status) bool {
		return strings.Contains(s.Reason, refused) && strings.Contains(s.Reason, "--allow-targets does not list it")
	})
	assert.Zero(t, tr.accepted.Load())
}

// The session of a deleted connector is removed by another client than the input's.
func TestTheRemovalOfASessionIsRestrictedToAllowedTargets(t *testing.T) {
	broker, err := embedded.StartBroker("127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { broker.Close() })
	r := newRig(t)
	r.create(r.conn("c", "in/#", "out", fmt.Sprintf(`,"urls":[%q]`, broker.URL())))
	r.ready("c")
	r.stopService()
	r.opts.DenyTargets = []string{strings.TrimPrefix(broker.URL(), "tcp://")}
	r.start()
	note, err := r.Delete(t.Context(), "c")
	require.NoError(t, err)
	assert.Contains(t, note, refused)
}

func TestRulesOfTargetsThatAreNoneAreToldAtTheStart(t *testing.T) {
	r := newRig(t)
	for _, opts := range []Options{
		{Environment: r.opts.Environment, MQTT: r.opts.MQTT, DenyTargets: []string{"10.0.0.0/8", "nope"}},
		{Environment: r.opts.Environment, MQTT: r.opts.MQTT, AllowTargets: []string{"nope"}},
	} {
		_, err := New(opts)
		require.ErrorContains(t, err, `-targets: "nope" is not a target: give a network as 10.0.0.0/8, or HOST:PORT`)
	}
}

// Whether it is a socket depends on what is dialled, for any spelling.
func TestADefinitionNamesNoSocket(t *testing.T) {
	r := newRig(t)
	for _, urls := range []string{
		`["unix:///sock"]`, `["tcp://127.0.0.1:1,unix:///sock"]`, `[" unix:///sock"]`, `["tcp://h:1","\tunix:///sock "]`, `["UNIX:///sock"]`, `["Unix://sock"]`,
		`["tcp://h:1, ,uNix:///sock"]`, `["unix:/sock"]`,
	} {
		for _, do := range []func(connector.Connector) error{
			func(c connector.Connector) error {
				_, err := r.Create(t.Context(), c, connector.CreateOptions{})
				return err
			},
			func(c connector.Connector) error { _, err := r.Check(t.Context(), c); return err },
		} {
			err := do(r.conn("c", "a", "t", `,"urls":`+urls))
			var invalid *connector.InvalidError
			require.ErrorAs(t, err, &invalid, "%s", urls)
			assert.Contains(t, []string{"config.urls.0", "config.urls.1"}, invalid.Field)
			assert.Contains(t, err.Error(), "only the service's own --mqtt-url may be one", "%s", urls)
		}
	}
	// A socket that is in the store already is refused when it is dialled.
	r.stopService()
	opened, err := store.Open(r.dir)
	require.NoError(t, err)
	require.NoError(t, opened.Put(store.Definition{Connector: r.conn("c", "a", "t", `,"urls":["tcp://127.0.0.1:1, unix:///sock"]`)}))
	require.NoError(t, opened.Close())
	r.start()
	r.until("c", func(s connector.Status) bool {
		return strings.Contains(s.Reason, "/sock is not a target") && strings.Contains(s.Reason, "only --mqtt-url may name one")
	})
}

// A definition that disables verification would have the service's login sent to any
// server that answers.
func TestTheServicesLoginIsSentWithItsOwnTLSAlone(t *testing.T) {
	r := newRig(t, func(o *Options) {
		o.MQTT = append(o.MQTT, setting("username", "service"), setting("password", "hush-hush"))
	})
	for _, more := range []string{
		`,"mqtt_tls":{"skip_cert_verify":true}`, `,"mqtt_tls":{"enabled":true,"skip_cert_verify":true}`, `,"mqtt_tls":{"enabled":false}`, `,"mqtt_tls":{"enabled":true,"root_cas":"x"}`,
	} {
		_, err := r.Create(t.Context(), r.conn("c", "a", "t", more), connector.CreateOptions{})
		var invalid *connector.InvalidError
		require.ErrorAs(t, err, &invalid, more)
		assert.Equal(t, "config.mqtt_tls", invalid.Field)
		effective := r.effective(r.conn("c", "a", "t", more))
		assert.Empty(t, effective.MQTT.Text("password"), "one that is in the store already does not get it: %s", more)
		assert.Empty(t, effective.MQTT.Text("username"), more)
	}
	own := r.effective(r.conn("c", "a", "t", `,"username":"own","password":"secret","mqtt_tls":{"skip_cert_verify":true}`))
	assert.Equal(t, "own", own.MQTT.Text("username"))
	assert.Equal(t, "secret", own.MQTT.Text("password"))
	assert.Equal(t, "hush-hush", r.effective(r.conn("c", "a", "t", "")).MQTT.Text("password"))
}

func TestKerberosReadsItsFilesFromTheSecretsDirectory(t *testing.T) {
	secrets := t.TempDir()
	r := newRig(t, func(o *Options) { o.SecretsDir = secrets })
	sasl := func(kerberos string) string {
		return `,"sasl":[{"mechanism":"GSSAPI","username":"bridge@NORTH","password":"p"` + kerberos + `}]`
	}
	for _, none := range []string{"", `,"kerberos":{}`, `,"kerberos":{"realm":"NORTH"}`} {
		_, err := r.Create(t.Context(), r.conn("c", "a", "t", sasl(none)), connector.CreateOptions{})
		var invalid *connector.InvalidError
		require.ErrorAs(t, err, &invalid, none)
		assert.Equal(t, "config.sasl.0.kerberos.config_file", invalid.Field)
	}
	// The file exists only in the secrets directory, and relative paths start there.
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(secrets, name), []byte(text), 0o600))
	}
	write("krb5.conf", "[libdefaults]\ndefault_realm = NORTH\n[realms]\nNORTH = {\n kdc = 127.0.0.1:1\n}\n")
	c := r.conn("c", "a", "t", sasl(`,"kerberos":{"config_file":"krb5.conf"}`))
	r.create(c)
	probes, err := r.Check(t.Context(), c)
	require.NoError(t, err)
	assert.NotContains(t, probes[1].Error, "kerberos.config_file")
	// The contents of a file that is not a configuration are not shown.
	write("token", "[libdefaults]\nhush-hush\n")
	_, err = r.Create(t.Context(), r.conn("d", "a", "t", sasl(`,"kerberos":{"config_file":"token"}`)), connector.CreateOptions{})
	require.NoError(t, err)
	r.until("d", func(s connector.Status) bool {
		return strings.Contains(s.Reason, "not a Kerberos configuration")
	})
	assert.NotContains(t, r.logs.String(), "hush-hush")
}

// Regression: U+F8FF marked an unset variable, and a value with it was not checked.
func TestNoCharacterSwitchesLintOff(t *testing.T) {
	r := newRig(t)
	for _, mark := range []string{"\uf8ff", "\ue000", "unset", "# BENTHOS LINT DISABLE"} {
		for _, c := range []connector.Connector{
			r.parse("c", "a/#/b"+mark, `{"bootstrap_servers":"h:1","topic":"t"}`, `{"strategy":"block"}`),
			r.parse("c", "a", fmt.Sprintf(`{"bootstrap_servers":"h:1","topic":"t","urls":[%q]}`, "tcp://h:99999"+mark), `{"strategy":"block"}`),
			r.parse(mark, "a", fmt.Sprintf(`{"bootstrap_servers":%q,"topic":"t"}`, "h"+mark), `{"strategy":"block"}`),
		} {
			_, err := r.Create(t.Context(), c, connector.CreateOptions{})
			require.Error(t, err, "%q", mark)
		}
	}
}
