package kafka

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/targets"
)

func parsedWith(t *testing.T, lines string, opts ...Option) (*config, error) {
	t.Helper()
	conf, err := Spec().ParseYAML("seed_brokers: [ localhost:1 ]\ntopic: t\n"+lines, nil)
	require.NoError(t, err)
	return parseConfig(conf, opts...)
}

// Regression: a relative path was checked in the secrets directory, and then opened in
// the working directory.
func TestKerberosFilesAreReadFromTheCheckedPath(t *testing.T) {
	conf, keys := kerberosFiles(t, "127.0.0.1:1")
	dir := filepath.Dir(conf)
	require.NoError(t, os.Rename(keys, filepath.Join(dir, "k")))
	t.Chdir(t.TempDir())
	require.NoError(t, os.WriteFile("krb5.conf", []byte("[libdefaults]\nnot a configuration\n"), 0o600))
	const lines = "sasl: [ { mechanism: GSSAPI, username: bridge, kerberos: { config_file: krb5.conf, keytab_file: k } } ]"
	c, err := parsedWith(t, lines, ReadFrom(os.DirFS(dir)))
	require.NoError(t, err)
	require.Equal(t, "GSSAPI", c.mechanisms())
	_, err = parsedWith(t, lines)
	require.ErrorContains(t, err, `kerberos.config_file: reading "krb5.conf"`)

	require.NoError(t, os.WriteFile(filepath.Join(dir, "token"), []byte("[libdefaults]\nhush-hush\n"), 0o600))
	_, err = parsedWith(t, "sasl: [ { mechanism: GSSAPI, username: bridge, password: p, kerberos: { config_file: token } } ]", ReadFrom(os.DirFS(dir)))
	require.EqualError(t, err, `field sasl[0]: kerberos.config_file: reading "token": not a Kerberos configuration`)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "long"), make([]byte, maxKerberosFile+1), 0o600))
	_, err = parsedWith(t, "sasl: [ { mechanism: GSSAPI, username: bridge, password: p, kerberos: { config_file: long } } ]", ReadFrom(os.DirFS(dir)))
	require.ErrorContains(t, err, "it is longer than 1048576 bytes")
}

// The Kerberos library dials its servers itself: it gets the addresses that the guard
// checked, and resolves no names.
func TestKerberosServersAreChecked(t *testing.T) {
	conf, _ := kerberosFiles(t, "localhost:88")
	ticketer := func(rules targets.Rules) *ticketer {
		guard, err := targets.New(rules)
		require.NoError(t, err)
		return &ticketer{options: options{targets: guard}, user: "bridge", realm: "NORTH", password: "p", configFile: conf, service: "kafka"}
	}
	_, err := ticketer(targets.Rules{Deny: []string{"127.0.0.0/8", "::1"}}).client(t.Context())
	require.ErrorContains(t, err, "looking up the Kerberos servers of NORTH: ")
	require.ErrorContains(t, err, "is not a target of this service's connectors")

	c, err := ticketer(targets.Rules{Deny: []string{"10.0.0.0/8", "::1"}}).client(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"127.0.0.1:88"}, c.Config.Realms[0].KDC)
	require.False(t, c.Config.LibDefaults.DNSLookupKDC)

	c, err = ticketer(targets.Rules{}).client(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"localhost:88"}, c.Config.Realms[0].KDC, "without rules nothing is changed")
}
