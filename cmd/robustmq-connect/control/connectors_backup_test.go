package control

import (
	"os"
	"path/filepath"
	"testing"

	"filippo.io/age"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/connector/store"
)

// storeWith is the directory of a store with one connector, which is paused.
func storeWith(t *testing.T, password string) string {
	t.Helper()
	dir := t.TempDir()
	s, err := store.Open(dir)
	require.NoError(t, err)
	c, err := connector.Parse([]byte(`{"connector_name":"c","connector_type":"kafka","topic_name":"a","status":"Stop","config":{"bootstrap_servers":"h:1","topic":"t","password":"` + password + `"}}`))
	require.NoError(t, err)
	_, err = s.Create(store.Definition{Connector: c})
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() }) // it stays open as that of a service
	return dir
}

func TestABackupIsEncryptedAndRestored(t *testing.T) {
	dir := storeWith(t, "hush-hush")
	files := t.TempDir()
	key, err := age.GenerateX25519Identity()
	require.NoError(t, err)
	secret := writeFile(t, files, "key.txt", "# created: today\n# public key: "+key.Recipient().String()+"\n"+key.String()+"\n")
	public := writeFile(t, files, "public.txt", key.Recipient().String()+"\n")
	phrase := writeFile(t, files, "phrase.txt", "correct horse battery\n")
	for name, test := range map[string]struct{ write, read []string }{
		"key":        {[]string{"--key-file", secret}, []string{"--key-file", secret}},
		"public key": {[]string{"--key-file", public}, []string{"--key-file", secret}},
		"passphrase": {[]string{"--passphrase-file", phrase}, []string{"--passphrase-file", phrase}},
	} {
		file := filepath.Join(files, name+".age")
		stdout, stderr, err := runConnectors("", append([]string{"backup", "--store", dir, "--out", file}, test.write...)...)
		require.NoError(t, err, name)
		assert.Equal(t, "Backed up 1 connectors of "+dir+" into "+file+"\n", stdout)
		assert.Empty(t, stderr)
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		assert.NotContains(t, string(text), "hush-hush")
		assert.NotContains(t, string(text), "connector")
		info, err := os.Stat(file)
		require.NoError(t, err)
		assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())

		to := filepath.Join(t.TempDir(), "store")
		stdout, _, err = runConnectors("", append([]string{"restore", file, "--store", to}, test.read...)...)
		require.NoError(t, err, name)
		assert.Equal(t, "Restored 1 connectors into "+to+", 1 of them paused\n", stdout)
		was, err := os.ReadFile(filepath.Join(dir, "connectors", "c.json"))
		require.NoError(t, err)
		is, err := os.ReadFile(filepath.Join(to, "connectors", "c.json"))
		require.NoError(t, err)
		assert.Equal(t, string(was), string(is))
		assert.Contains(t, string(is), "hush-hush")

		_, _, err = runConnectors("", append([]string{"restore", file, "--store", to}, test.read...)...)
		require.ErrorContains(t, err, "it has files in connectors already: give a new directory, or move that one away")
		_, _, err = runConnectors("", append([]string{"backup", "--store", dir, "--out", file}, test.write...)...)
		require.EqualError(t, err, "backing up: writing "+file+": file exists")
	}

	stdout, _, err := runConnectors("", "backup", "--store", dir, "--out", "-", "--key-file", public)
	require.NoError(t, err)
	to := t.TempDir()
	stdout, _, err = runConnectors(stdout, "restore", "-", "-o", "json", "--store", to, "--key-file", secret)
	require.NoError(t, err)
	assert.JSONEq(t, `{"store":"`+to+`","connectors":1,"paused":1,"unreadable":0}`, stdout)

	// The wrong key, the public one, and a file that was changed.
	other, err := age.GenerateX25519Identity()
	require.NoError(t, err)
	wrong := writeFile(t, files, "other.txt", other.String())
	file := filepath.Join(files, "key.age")
	changed, err := os.ReadFile(file)
	require.NoError(t, err)
	changed[len(changed)-20] ^= 1
	damaged := writeFile(t, files, "damaged.age", string(changed))
	for want, args := range map[string][]string{
		"restoring: decrypting " + file + ": it was encrypted by another key or passphrase":              {file, "--key-file", wrong},
		"restoring: reading --key-file " + public + ": it holds only a public key, which cannot decrypt": {file, "--key-file", public},
		"reading the archive: ": {damaged, "--key-file", secret},
		"restoring: reading " + filepath.Join(files, "none.age") + ": no such file": {filepath.Join(files, "none.age"), "--key-file", secret},
	} {
		to := filepath.Join(t.TempDir(), "store")
		_, _, err := runConnectors("", append([]string{"restore", "--store", to}, args...)...)
		require.ErrorContains(t, err, want)
		assert.NoFileExists(t, filepath.Join(to, "connectors", "c.json"))
	}
}

func TestABackupSaysWhatItLacks(t *testing.T) {
	dir := storeWith(t, "hush-hush")
	files := t.TempDir()
	out := filepath.Join(files, "out.age")
	short := writeFile(t, files, "short", "password\n")
	none := writeFile(t, files, "none", "hush-hush is no key\n")
	phrase := writeFile(t, files, "phrase", "correct horse battery\n")
	for want, args := range map[string][]string{
		"name the store of the service by --store":                                                      {"--out", out, "--passphrase-file", phrase},
		"name the file to write by --out, store.age for example":                                        {"--store", dir, "--passphrase-file", phrase},
		"a backup holds passwords, and so it is encrypted: give either --key-file or --passphrase-file": {"--store", dir, "--out", out},
		"give either --key-file or":                                                                     {"--store", dir, "--out", out, "--key-file", none, "--passphrase-file", short},
		"short: it is shorter than 12 characters, and could be guessed":                                 {"--store", dir, "--out", out, "--passphrase-file", short},
		"none: it holds no age key: make one with age-keygen":                                           {"--store", dir, "--out", out, "--key-file", none},
		"nosuch: no such file or directory":                                                             {"--store", dir, "--out", out, "--key-file", filepath.Join(files, "nosuch")},
		"it is no store: name the directory of serve --store":                                           {"--store", files, "--out", out, "--passphrase-file", phrase},
		`reading --output "yaml": want text or json`:                                                    {"--store", dir, "--out", out, "-o", "yaml", "--passphrase-file", phrase},
	} {
		_, _, err := runConnectors("", append([]string{"backup"}, args...)...)
		require.ErrorContains(t, err, "backing up: ")
		require.ErrorContains(t, err, want)
		assert.NotContains(t, err.Error(), "hush-hush")
		assert.NoFileExists(t, out, "half of a backup is none")
	}
	_, _, err := runConnectors("", "restore", "--store", dir, "--passphrase-file", phrase)
	require.ErrorContains(t, err, "reading the words of restore: it takes one, FILE, and got 0")
}
