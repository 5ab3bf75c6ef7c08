package supervisor

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

// guarded is a broker that lets in who has its password.
type guarded struct {
	mochi.HookBase
	server   *mochi.Server
	addr     string
	password atomic.Value
}

func (*guarded) ID() string { return "guarded" }
func (*guarded) Provides(b byte) bool {
	return b == mochi.OnConnectAuthenticate || b == mochi.OnACLCheck
}

func (g *guarded) OnConnectAuthenticate(_ *mochi.Client, p packets.Packet) bool {
	return string(p.Connect.Password) == g.password.Load()
}
func (*guarded) OnACLCheck(*mochi.Client, string, bool) bool { return true }

func newGuarded(t *testing.T, password string, conf *tls.Config) *guarded {
	t.Helper()
	g := &guarded{server: mochi.New(&mochi.Options{Logger: slog.New(slog.DiscardHandler), InlineClient: true})}
	g.password.Store(password)
	require.NoError(t, g.server.AddHook(g, nil))
	listener := listeners.NewTCP(listeners.Config{ID: "tcp", Address: "127.0.0.1:0", TLSConfig: conf})
	require.NoError(t, g.server.AddListener(listener))
	g.addr = listener.Address()
	require.NoError(t, g.server.Serve())
	t.Cleanup(func() { _ = g.server.Close() })
	return g
}

// drop ends every connection.
func (g *guarded) drop() {
	for _, client := range g.server.Clients.GetAll() {
		if !client.Net.Inline {
			client.Stop(errors.New("the test ends it"))
		}
	}
}

func TestANewPasswordIsUsedWhenAConnectorConnectsAnew(t *testing.T) {
	broker := newGuarded(t, "first-one", nil)
	var file atomic.Value // what the file of the password holds
	file.Store("first-one")
	read := func() (connector.Settings, error) {
		if file.Load() == "" {
			return nil, errors.New("mqtt-password-file: it is empty")
		}
		return connector.Settings{setting("urls", []string{"tcp://" + broker.addr}), setting("username", "ada"), setting("password", file.Load())}, nil
	}
	r := newRig(t, func(o *Options) { o.MQTT, _ = read(); o.ReadMQTT, o.credentialsEvery = read, 50*time.Millisecond })
	is := func(password string) {
		t.Helper()
		require.Eventually(t, func() bool { return r.base().Text("password") == password }, patience, 10*time.Millisecond)
	}
	publish := func(payload string) {
		t.Helper()
		require.NoError(t, broker.server.Publish("in/a", []byte(payload), false, 1))
	}
	r.create(r.conn("c", "in/#", "out", ""))
	r.ready("c")
	publish("1")
	r.records("out", 1)
	first := r.find("c").run

	// A connection that stands goes on, and the next one has the new password.
	file.Store("second-one")
	is("second-one")
	assert.Equal(t, 1, broker.server.Clients.Len()-1, "the connection stands")
	broker.password.Store("second-one")
	broker.drop()
	r.until("c", func(s connector.Status) bool { return s.State != connector.Running })
	publish("2")
	r.ready("c")
	publish("3")
	var got []string
	for _, record := range r.records("out", 3) {
		got = append(got, string(record.Value))
	}
	require.Len(t, got, 3)
	assert.Same(t, first, r.find("c").run, "nobody has restarted it")
	assert.Contains(t, r.logs.String(), "Connecting anew, because files of its credentials have changed")
	assert.NotContains(t, r.logs.String(), "second-one")

	// What cannot be read changes nothing and is told once.
	file.Store("")
	require.Eventually(t, func() bool { return len(r.Warnings()) == 1 }, patience, 10*time.Millisecond)
	assert.Equal(t, []string{"the login to the MQTT broker cannot be read again, and the one from before is used: mqtt-password-file: it is empty"}, r.Warnings())
	r.rereadBase()
	r.rereadBase()
	assert.Equal(t, 1, strings.Count(r.logs.String(), "The login to the MQTT broker cannot be read again"))
	assert.Equal(t, "second-one", r.base().Text("password"))

	// The session is removed with the password of today, though the stream had another.
	file.Store("third-one")
	is("third-one")
	assert.Empty(t, r.Warnings())
	broker.password.Store("third-one")
	note, err := r.Delete(t.Context(), "c")
	require.NoError(t, err)
	assert.Empty(t, note)
	require.Eventually(t, func() bool { // the broker does it once the connection has ended
		_, there := broker.server.Clients.Get("robustmq_connect_default_c")
		return !there
	}, patience, 10*time.Millisecond, "its session is removed")
}

// authority makes a certificate of this machine that signs itself.
func authority(t *testing.T) (conf *tls.Config, text []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}},
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func TestAFileOfTheSecretsDirectoryIsReadAgainByAConnectorThatCannotConnect(t *testing.T) {
	conf, right := authority(t)
	_, wrong := authority(t)
	broker := newGuarded(t, "", conf)
	dir := t.TempDir()
	file := filepath.Join(dir, "ca.pem")
	require.NoError(t, os.WriteFile(file, wrong, 0o600))
	r := newRig(t, func(o *Options) { o.SecretsDir, o.credentialsEvery = dir, 50*time.Millisecond })
	c := r.conn("c", "in/#", "out", `,"urls":["ssl://`+broker.addr+`"],"mqtt_tls":{"enabled":true,"root_cas_file":"ca.pem"}`)
	r.create(c)
	r.until("c", func(s connector.Status) bool { return strings.Contains(s.Reason, "certificate") })
	before := r.credentialsOf(c)
	assert.Equal(t, before, r.credentialsOf(c))
	require.NoError(t, os.WriteFile(file, right, 0o600))
	assert.NotEqual(t, before, r.credentialsOf(c))
	r.ready("c")
}
