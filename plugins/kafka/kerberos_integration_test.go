//go:build integration

package kafka

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// startKDC starts MIT's KDC for the realm NORTH, with the principals bridge
// (password secret) and kafka/127.0.0.1, and returns krb5.conf and their keytabs.
func startKDC(t *testing.T) (conf, bridge, broker string) {
	t.Helper()
	if _, err := exec.LookPath("krb5kdc"); err != nil {
		t.Skip("krb5kdc is missing; apt-get install krb5-kdc krb5-admin-server")
	}
	kdc := freeAddress(t)
	conf, _ = kerberosFiles(t, kdc)
	dir := filepath.Dir(conf)
	profile := filepath.Join(dir, "kdc.conf")
	_, port, err := net.SplitHostPort(kdc)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(profile, fmt.Appendf(nil, `[kdcdefaults]
kdc_listen = 127.0.0.1:%s
kdc_tcp_listen = 127.0.0.1:%s
[realms]
NORTH = {
 database_name = %s/principal
 key_stash_file = %s/stash
 supported_enctypes = aes256-cts-hmac-sha1-96:normal
}
`, port, port, dir, dir), 0o600))
	command := func(name string, args ...string) *exec.Cmd {
		c := exec.Command(name, args...)
		c.Env = append(os.Environ(), "KRB5_CONFIG="+conf, "KRB5_KDC_PROFILE="+profile)
		return c
	}
	run := func(name string, args ...string) {
		out, err := command(name, args...).CombinedOutput()
		require.NoError(t, err, string(out))
	}
	bridge, broker = filepath.Join(dir, "b.keytab"), filepath.Join(dir, "kafka.keytab")
	run("kdb5_util", "create", "-s", "-r", "NORTH", "-P", "master")
	run("kadmin.local", "-r", "NORTH", "-q", "addprinc -pw secret bridge")
	run("kadmin.local", "-r", "NORTH", "-q", "addprinc -randkey kafka/127.0.0.1")
	run("kadmin.local", "-r", "NORTH", "-q", "ktadd -norandkey -k "+bridge+" bridge")
	run("kadmin.local", "-r", "NORTH", "-q", "ktadd -norandkey -k "+broker+" kafka/127.0.0.1")
	server := command("krb5kdc", "-n", "-r", "NORTH")
	require.NoError(t, server.Start())
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", kdc)
		if err == nil {
			conn.Close()
		}
		return err == nil
	}, patience, 10*time.Millisecond)
	return conf, bridge, broker
}

// TestRealKafkaOverKerberos logs in to Apache Kafka with tickets of a real KDC.
func TestRealKafkaOverKerberos(t *testing.T) {
	conf, bridge, broker := startKDC(t)
	secure := freeAddress(t)
	plain := startKafka(t, "SASL_PLAINTEXT://"+secure, fmt.Sprintf(`
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT
listener.name.sasl_plaintext.sasl.enabled.mechanisms=GSSAPI
listener.name.sasl_plaintext.sasl.kerberos.service.name=kafka
listener.name.sasl_plaintext.gssapi.sasl.jaas.config=com.sun.security.auth.module.Krb5LoginModule required useKeyTab=true storeKey=true keyTab="%s" principal="kafka/127.0.0.1@NORTH";
`, broker), "-Djava.security.krb5.conf="+conf)
	client, err := kgo.NewClient(kgo.SeedBrokers(plain))
	require.NoError(t, err)
	defer client.Close()
	_, err = kadm.NewClient(client).CreateTopic(t.Context(), 1, 1, nil, "t")
	require.NoError(t, err)

	written := 0
	for name, settings := range map[string]string{
		"keytab":   "username: bridge@NORTH, kerberos: { config_file: " + conf + ", keytab_file: " + bridge + " }",
		"password": "username: bridge, password: secret, kerberos: { config_file: " + conf + ", fast: false }",
	} {
		t.Run(name, func(t *testing.T) {
			o := unconnected(t, []string{secure}, "sasl: [ { mechanism: GSSAPI, "+settings+" } ]")
			require.NoError(t, o.Connect(t.Context()))
			require.NoError(t, o.WriteBatch(t.Context(), messages(written, 10)))
			written += 10
			require.Equal(t, numbers(0, written), realValues(t, []string{plain}, "t", written))
		})
	}
	for settings, want := range map[string]string{
		"username: bridge, password: wrong, kerberos: { config_file: " + conf + " }":                    "as bridge: ",
		"username: nobody, password: secret, kerberos: { config_file: " + conf + " }":                   "KDC_ERR_C_PRINCIPAL_UNKNOWN",
		"username: bridge, password: secret, kerberos: { config_file: " + conf + ", service_name: mq }": "for the service mq at " + secure,
	} {
		t.Run(want, func(t *testing.T) {
			err := unconnected(t, []string{secure}, "sasl: [ { mechanism: GSSAPI, "+settings+" } ]").Connect(t.Context())
			require.ErrorContains(t, err, "getting a Kerberos ticket")
			require.ErrorContains(t, err, want)
			t.Log(err)
		})
	}
}
