package supervisor

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/connector/store"
	"github.com/robustmq/robustmq-connect/plugins/lint"
)

const stolen = "value-of-the-environment"

// A user of the API tries to read an environment variable and a file of the host
// through each field that is evaluated.
func TestADefinitionReachesNeitherTheEnvironmentNorFiles(t *testing.T) {
	t.Setenv("ROBUSTMQ_TEST_SECRET", stolen)
	elsewhere := filepath.Join(t.TempDir(), "outside.pem")
	require.NoError(t, os.WriteFile(elsewhere, []byte(stolen), 0o600))
	secrets := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(secrets, "inside.pem"), []byte("no certificate"), 0o600))
	require.NoError(t, os.Symlink(elsewhere, filepath.Join(secrets, "link.pem")))
	r := newRig(t, func(o *Options) { o.SecretsDir = secrets })

	// In a field that is an interpolation.
	interpolations := []string{
		`${! env("ROBUSTMQ_TEST_SECRET") }`,
		`${! file("/etc/passwd") }`,
		`${! file_rel("/etc/passwd") }`,
		`${! hostname() }`,
		`${! "x".bloblang("root = env(\"ROBUSTMQ_TEST_SECRET\")") }`,
		`${! "x".bloblang("import \"/etc/passwd\"") }`,
		`${! import "/etc/passwd" }`,
		`${! "/etc/passwd".file() }`,
		`${! json().json_schema("{\"$ref\":\"file:///etc/passwd\"}") }`,
		`${! {}.robustmq_client_id("x") }`,
		// Expressions that end the process, or use up a core, when they are parsed or
		// evaluated.
		`${! range(0,1000000000000).length() }`,
		`${! range(0,100000000) }`,
		`${! "a".repeat(300000000000000) }`,
		`${! content().parse_msgpack() }`,
		`${! content().parse_xml() }`,
		`${! content().decompress("gzip") }`,
		`${! json("l").map_each(json("l").map_each(json("l"))) }`,
		`${! content().(c -> c + c).(c -> c + c).(c -> c + c) }`,
		`${! content().(this + this) }`,
		`${! [content(), content()].string() }`,
		`${! "%v".format(this) }`,
		`${! "x".re_match("(a{1,100}){1,10}") }`,
	}
	refused := 0
	for i, text := range interpolations {
		quoted, err := json.Marshal(text)
		require.NoError(t, err)
		for _, field := range []string{"key", "topic"} {
			config := fmt.Sprintf(`{"bootstrap_servers":%q,"topic":"out","%s":%s}`, r.kafka.Addr(), field, quoted)
			if field == "topic" {
				config = fmt.Sprintf(`{"bootstrap_servers":%q,"topic":%s}`, r.kafka.Addr(), quoted)
			}
			name := fmt.Sprintf("%s%d", field, i)
			_, err = r.Create(t.Context(), r.parse(name, "in/#", config, `{"strategy":"block"}`), connector.CreateOptions{})
			var invalid *connector.InvalidError
			require.ErrorAs(t, err, &invalid, "%s: %s", field, text)
			assert.Equal(t, "config."+field, invalid.Field, "%s", err)
			refused++
		}
	}
	assert.Equal(t, 2*len(interpolations), refused)

	// A reference to the environment, which Parse refuses everywhere.
	for _, field := range []string{"key", "topic", "client_id", "username", "password", "bootstrap_servers", "format"} {
		for _, reference := range []string{"${ROBUSTMQ_TEST_SECRET}", "${ROBUSTMQ_TEST_SECRET:x}", "${{ROBUSTMQ_TEST_SECRET}}", "a${X:${ROBUSTMQ_TEST_SECRET}}"} {
			config := fmt.Sprintf(`{"bootstrap_servers":"h:1","topic":"out",%q:%q}`, field, reference)
			if field == "topic" || field == "bootstrap_servers" {
				config = strings.Replace(config, map[string]string{"topic": `"topic":"out",`, "bootstrap_servers": `"bootstrap_servers":"h:1",`}[field], "", 1)
			}
			_, err := connector.Parse(fmt.Appendf(nil, `{"connector_name":"c","connector_type":"kafka","topic_name":"a","config":%s}`, config))
			require.ErrorContains(t, err, "config."+field+": ", "%s", config)
		}
	}

	// In a field that names a file.
	for _, file := range []string{
		"/etc/passwd", elsewhere, "../outside.pem", "link.pem", filepath.Join(secrets, "..", filepath.Base(filepath.Dir(elsewhere)), "outside.pem"),
		"/proc/self/environ", filepath.Join(secrets, "link.pem"), "/no/such/file",
	} {
		for field, config := range map[string]string{
			"config.tls.root_cas_file":                `"tls":{"enabled":true,"root_cas_file":%q}`,
			"config.tls.client_certs.0.cert_file":     `"tls":{"enabled":true,"client_certs":[{"cert_file":%q,"key":"k"}]}`,
			"config.mqtt_tls.root_cas_file":           `"urls":["ssl://h:1"],"mqtt_tls":{"enabled":true,"root_cas_file":%q}`,
			"config.mqtt_tls.client_certs.0.key_file": `"urls":["ssl://h:1"],"mqtt_tls":{"enabled":true,"client_certs":[{"cert":"c","key_file":%q}]}`,
		} {
			text := `{"bootstrap_servers":"h:1","topic":"out",` + fmt.Sprintf(config, file) + `}`
			_, err := r.Create(t.Context(), r.parse("f", "in/#", text, `{"strategy":"block"}`), connector.CreateOptions{})
			var invalid *connector.InvalidError
			require.ErrorAs(t, err, &invalid, "%s", text)
			assert.Equal(t, field, invalid.Field, "%s", err)
			assert.NotContains(t, err.Error(), stolen)
			_, err = r.Check(t.Context(), r.parse("f", "in/#", text, `{"strategy":"block"}`))
			require.ErrorAs(t, err, &invalid)
		}
	}
	// An existing file is read, and is not a certificate.
	for _, file := range []string{"inside.pem", filepath.Join(secrets, "inside.pem")} {
		_, err := r.Create(t.Context(), r.parse("f", "in/#", fmt.Sprintf(`{"bootstrap_servers":"h:1","topic":"out","tls":{"enabled":true,"client_certs":[{"cert_file":%q,"key_file":%q}]}}`, file, file), `{"strategy":"block"}`), connector.CreateOptions{})
		require.ErrorContains(t, err, "config.tls: ")
		assert.NotContains(t, err.Error(), "no such file")
	}
	assert.Empty(t, r.List())
	assert.NotContains(t, r.logs.String(), stolen)
}

// A definition that bypassed the checks, by hand or by an older version, still runs in
// the sandbox.
func TestDefinitionsInTheStoreAreSandboxedToo(t *testing.T) {
	t.Setenv("ROBUSTMQ_TEST_SECRET", stolen)
	r := newRig(t)
	r.stopService()
	opened, err := store.Open(r.dir)
	require.NoError(t, err)
	for name, config := range map[string]string{
		"env":  `,"key":"${! env(\"ROBUSTMQ_TEST_SECRET\") }"`,
		"file": `,"key":"${! file(\"/etc/passwd\") }"`,
		"tls":  `,"tls":{"enabled":true,"root_cas_file":"/etc/passwd"}`,
	} {
		require.NoError(t, opened.Put(store.Definition{Connector: r.conn(name, "in/#", "out", config)}))
	}
	require.NoError(t, opened.Close())
	r.start()
	for name, want := range map[string]string{
		"env": "the function env is not allowed here", "file": "the function file is not allowed here", "tls": "files are read only from the service's --secrets-dir",
	} {
		r.until(name, func(s connector.Status) bool { return strings.Contains(s.Reason, want) })
	}
	assert.NotContains(t, r.logs.String(), stolen)
}

func TestInterpolationsOfTheMessageWork(t *testing.T) {
	r := newRig(t)
	r.create(r.conn("c", "in/#", `out_${! json("to") }`, `,"key":"${! @mqtt_topic.split(\"/\").index(1) }"`))
	r.ready("c")
	r.publish("in/dev7", `{"to":"here"}`)
	assert.Equal(t, "dev7", string(r.records("out_here", 1)[0].Key))
}

// The service's login is only for its own broker: a definition cannot make it send the
// login to another.
func TestTheServicesLoginStaysWithItsBroker(t *testing.T) {
	r := newRig(t, func(o *Options) {
		o.MQTT = append(o.MQTT, setting("username", "service"), setting("password", "hush-hush"), setting("tls", map[string]any{"enabled": false}))
	})
	own := r.effective(r.conn("c", "a", "t", ""))
	assert.Equal(t, "hush-hush", own.MQTT.Text("password"))
	assert.Equal(t, "robustmq_connect_default_c", own.MQTT.Text("client_id"))
	for _, more := range []string{`,"urls":["tcp://evil:1883"]`, `,"urls":["tcp://evil:1883"],"client_id":""`, `,"username":"other"`} {
		other := r.effective(r.conn("c", "a", "t", more))
		assert.Empty(t, other.MQTT.Text("password"), more)
		assert.NotEqual(t, "service", other.MQTT.Text("username"), more)
		assert.Equal(t, "robustmq_connect_default_c", other.MQTT.Text("client_id"))
		if strings.Contains(more, "urls") {
			assert.Nil(t, other.MQTT.Get("tls"))
		}
	}
}

func TestFilesAreReadOnly(t *testing.T) {
	dir := t.TempDir()
	files, err := openSecretFiles(dir)
	require.NoError(t, err)
	defer func() { assert.NoError(t, files.Close()) }()
	_, err = files.OpenFile("a", os.O_CREATE|os.O_WRONLY, 0o600)
	require.ErrorIs(t, err, errReadOnly)
	require.ErrorIs(t, files.Remove("a"), errReadOnly)
	require.ErrorIs(t, files.MkdirAll("a", 0o700), errReadOnly)
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, entries)
	_, err = openSecretFiles(filepath.Join(dir, "none"))
	require.ErrorContains(t, err, "opening the secrets directory")
}

// The field is derived from the finding's path and not from its text.
func TestFindingsAreErrorsOfTheDefinitionsFields(t *testing.T) {
	for _, test := range []struct {
		path, field, want string
	}{
		{"input robustmq_kafka topic_id", "topic_id", "topic_name"},
		{"input robustmq_kafka urls 0", "urls.0", "config.urls.0"},
		{"input robustmq_kafka tls root_cas", "tls.root_cas", "config.mqtt_tls.root_cas"},
		{"output robustmq_kafka tls root_cas", "tls.root_cas", "config.tls.root_cas"},
		{"output robustmq_kafka topic", "topic", "config.topic"},
		{"output robustmq_kafka failure_strategy topic_name", "failure_strategy.topic_name", "failure_strategy.topic_name"},
		{"output robustmq_kafka sasl 0 mechanism", "sasl.0.mechanism", "config.sasl.0.mechanism"},
		{"output label", "label", "config"},
		{"output", "", "config"},
		{"", "", "config"},
	} {
		err := invalid(lint.Finding{Path: strings.Fields(test.path), Field: test.field, What: "urls: is wrong"}, false)
		require.Equal(t, &connector.InvalidError{Field: test.want, Why: "urls: is wrong"}, err)
	}
}

func TestCreateAndCheckRefuseANameThatIsNotShownAsItIs(t *testing.T) {
	r := newRig(t)
	c := r.conn("c", "in/#", "out", "")
	c.Name = "c\u202e"
	_, err := r.Create(t.Context(), c, connector.CreateOptions{})
	const want = `connector_name: "c\u202e" holds U+202E, which a terminal does not show: remove it`
	require.EqualError(t, err, want)
	_, err = r.Check(t.Context(), c)
	require.EqualError(t, err, want)
	assert.Empty(t, r.List())
}
