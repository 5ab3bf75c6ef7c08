package kafka

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/stretchr/testify/require"
)

// kerberosFiles writes a krb5.conf whose KDC has the address, and a keytab.
func kerberosFiles(t *testing.T, kdc string) (conf, keys string) {
	t.Helper()
	dir := t.TempDir()
	conf, keys = filepath.Join(dir, "krb5.conf"), filepath.Join(dir, "bridge.keytab")
	require.NoError(t, os.WriteFile(conf, fmt.Appendf(nil, `[libdefaults]
default_realm = NORTH
udp_preference_limit = 1
[realms]
NORTH = {
 kdc = %s
}
`, kdc), 0o600))
	table := keytab.New()
	require.NoError(t, table.AddEntry("bridge", "NORTH", "secret", time.Now(), 1, 18))
	text, err := table.Marshal()
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(keys, text, 0o600))
	return conf, keys
}

func TestKerberosRequiresPrincipalSecretAndFiles(t *testing.T) {
	conf, keys := kerberosFiles(t, "127.0.0.1:1")
	noRealm := filepath.Join(t.TempDir(), "krb5.conf")
	require.NoError(t, os.WriteFile(noRealm, []byte("[libdefaults]\n"), 0o600))
	for settings, want := range map[string]string{
		"username: bridge, password: p, kerberos: { config_file: " + conf + " }":                               "",
		"username: bridge@NORTH, kerberos: { config_file: " + conf + ", keytab_file: " + keys + " }":           "",
		"username: bridge@NORTH, password: p, kerberos: { config_file: " + noRealm + " }":                      "",
		"username: bridge, password: p, kerberos: { config_file: " + noRealm + ", realm: NORTH, fast: false }": "",
		"password: p":      "field sasl[0]: " + needPrincipal,
		"username: bridge": "field sasl[0]: " + needSecret,
		"username: bridge, password: p, kerberos: { keytab_file: k }":                          "field sasl[0]: " + oneSecret,
		"username: bridge@A, password: p, kerberos: { realm: B }":                              `field sasl[0]: kerberos.realm: "B" is not the realm of username, "A"`,
		"username: bridge, password: p, kerberos: { service_name: '' }":                        "field sasl[0]: " + needService,
		"username: bridge, password: p, kerberos: { config_file: /nowhere }":                   `field sasl[0]: kerberos.config_file: reading "/nowhere": `,
		"username: bridge, password: p, kerberos: { config_file: " + noRealm + " }":            "field sasl[0]: kerberos.realm: is empty",
		"username: bridge, kerberos: { config_file: " + conf + ", keytab_file: /nowhere }":     `field sasl[0]: kerberos.keytab_file: reading "/nowhere": `,
		"username: bridge, kerberos: { config_file: " + conf + ", keytab_file: " + conf + " }": "field sasl[0]: kerberos.keytab_file: reading ",
	} {
		c, err := tryParse([]string{"localhost:1"}, "sasl: [ { mechanism: GSSAPI, "+settings+" } ]")
		if want != "" {
			require.ErrorContains(t, err, want, settings)
			continue
		}
		require.NoError(t, err, settings)
		require.Equal(t, "GSSAPI", c.mechanisms())
	}
}
