package mqtt

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redpanda-data/benthos/v4/public/service"

	_ "github.com/redpanda-data/connect/v4/public/components/mqtt"
)

type field struct {
	Name     string  `json:"name"`
	Type     string  `json:"type"`
	Kind     string  `json:"kind"`
	Default  any     `json:"default"`
	Optional bool    `json:"is_optional"`
	Secret   bool    `json:"is_secret"`
	Options  any     `json:"annotated_options"`
	Children []field `json:"children"`
	About    string  `json:"description"`
}

// fieldsOf returns the fields of the component mqtt, which walk finds: a look-up by name
// on a clone returns the original.
func fieldsOf(t *testing.T, walk func(func(string, *service.ConfigView))) []field {
	t.Helper()
	var spec struct {
		Config struct {
			Children []field `json:"children"`
		} `json:"config"`
	}
	walk(func(name string, view *service.ConfigView) {
		if name != "mqtt" {
			return
		}
		raw, err := view.FormatJSON()
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(raw, &spec))
	})
	require.NotEmpty(t, spec.Config.Children)
	return spec.Config.Children
}

func TestSpecHasEveryStockField(t *testing.T) {
	env := service.GlobalEnvironment().Clone()
	stock := fieldsOf(t, env.WalkInputs)
	require.NoError(t, Register(env))
	ours := fieldsOf(t, env.WalkInputs)
	require.Greater(t, len(ours), len(stock))
	require.GreaterOrEqual(t, compareFields(t, "", stock, ours), 20)
}

func compareFields(t *testing.T, path string, stock, ours []field) (compared int) {
	t.Helper()
	byName := map[string]field{}
	for _, f := range ours {
		byName[f.Name] = f
		require.NotEmpty(t, f.About, path+f.Name)
	}
	for _, want := range stock {
		got, ok := byName[want.Name]
		require.True(t, ok, "upstream has the field %s%s", path, want.Name)
		require.Equal(t, []any{want.Type, want.Kind, want.Default, want.Optional, want.Secret, want.Options},
			[]any{got.Type, got.Kind, got.Default, got.Optional, got.Secret, got.Options}, path+want.Name)
		compared += 1 + compareFields(t, path+want.Name+".", want.Children, got.Children)
	}
	return compared
}

const stockConfig = `
urls: [ "tcp://localhost:1883,ssl://other:8883" ]
client_id: "me"
dynamic_client_id_suffix: "nanoid"
connect_timeout: 30s
will:
  enabled: false
  qos: 0
  retained: false
  topic: ""
  payload: ""
user: ""
password: ""
keepalive: 30
tls:
  enabled: false
  skip_cert_verify: false
  enable_renegotiation: false
  root_cas: ""
  root_cas_file: ""
  client_certs: []
topics: [ a, b/#, a ]
qos: 1
clean_session: true
auto_replay_nacks: true
`

func TestConfigOfTheStockInput(t *testing.T) {
	env := service.NewEnvironment()
	require.NoError(t, Register(env))
	linter := env.NewComponentConfigLinter()
	indented := "mqtt:\n  " + strings.ReplaceAll(strings.TrimSpace(stockConfig), "\n", "\n  ")
	lints, err := linter.LintInputYAML([]byte(indented))
	require.NoError(t, err)
	require.Empty(t, lints)

	conf, err := parse(t, stockConfig)
	require.NoError(t, err)
	require.Len(t, conf.urls, 2)
	require.Len(t, conf.clientID, len("me")+21)
	require.False(t, conf.stableID)
	require.Nil(t, conf.will)
	require.Equal(t, []subscription{{"a", 1}, {"b/#", 1}}, conf.topics)
	require.Zero(t, conf.sessionExpiry)
	require.Equal(t, uint16(math.MaxUint16), conf.receiveMaximum)
}

func TestConfigProtocolVersionLint(t *testing.T) {
	env := service.NewEnvironment()
	require.NoError(t, Register(env))
	linter := env.NewComponentConfigLinter()
	for version, want := range map[string]int{"auto": 0, "5": 0, "'5'": 0, "3.1.1": 0, "4": 1, "3.1": 1} {
		lints, err := linter.LintInputYAML([]byte("mqtt: {urls: ['tcp://a:1'], topics: [a], protocol_version: " + version + "}"))
		require.NoError(t, err)
		require.Len(t, lints, want, version)
		conf, err := parse(t, "urls: ['tcp://a:1']\ntopics: [a]\nprotocol_version: "+version)
		require.Equal(t, want == 0, err == nil, version)
		if want == 0 {
			require.Contains(t, version, conf.version)
		}
	}
}

func TestConfigSessionExpiry(t *testing.T) {
	for yaml, want := range map[string]uint32{
		"":                     0,
		"clean_session: false": math.MaxUint32,
		"clean_session: false\nsession_expiry: 2h": 7200,
		"session_expiry: 1m":                       60,
		"session_expiry: never":                    math.MaxUint32,
	} {
		conf, err := parse(t, "urls: ['tcp://a:1']\ntopics: [a]\n"+yaml)
		require.NoError(t, err)
		require.Equal(t, want, conf.sessionExpiry, yaml)
	}
}

func TestConfigDefaults(t *testing.T) {
	conf, err := parse(t, "urls: ['tcp://a:1']\ntopics: [a]")
	require.NoError(t, err)
	require.Equal(t, 8192, conf.maxBatchMessages)
	require.Equal(t, 4<<20, conf.maxBatchBytes)
	require.Equal(t, 16<<20, conf.maxPendingBytes)
	require.Equal(t, 30*time.Second, conf.stallWarning)
	require.True(t, conf.cleanSession)
	require.Equal(t, versionAuto, conf.version)
}

func TestConfigErrors(t *testing.T) {
	for yaml, want := range map[string]string{
		"protocol_version: 4":          "field protocol_version: value 4 is unknown; must be one of auto, 5, 3.1.1",
		"qos: 3":                       "field qos: 3 is out of range; must be 0 to 2",
		"keepalive: -1":                "field keepalive: -1 is out of range; must be 0 to 65535",
		"retain_handling: 3":           "field retain_handling: 3 is out of range; must be 0 to 2",
		"receive_maximum: 0":           "field receive_maximum: 0 is out of range; must be 1 to 65535",
		"max_batch_messages: 0":        "field max_batch_messages: 0 is out of range; must be 1 to 2147483647",
		"max_batch_bytes: many":        `field max_batch_bytes: "many" is not a size; write a number and a unit of B, kB`,
		"max_pending_bytes: 9GiB":      `field max_pending_bytes: "9GiB" is out of range; must be 1 to 2147483647 bytes`,
		"stall_warning: soon":          `field stall_warning: "soon" is not a duration; write a number and a unit of ns, us, ms, s, m or h`,
		"connect_timeout: -1s":         `field connect_timeout: "-1s" is negative; must be 0s or more`,
		"session_expiry: 1500ms":       `field session_expiry: "1500ms" is not a number of whole seconds below 2^32-1`,
		"session_expiry: ever":         `field session_expiry: "ever" is not a duration; write a number and a unit of s, m or h, for example 24h, or never`,
		"topic_qos: {b: 1}":            `field topic_qos: "b" is not one of topics`,
		"topic_qos: {a: 5}":            `field topic_qos: "a": 5 is out of range; must be 0 to 2`,
		"will: {enabled: true}":        "field will.topic: is empty; give the topic of the last will",
		"dynamic_client_id_suffix: x":  `value "x" is unknown; must be one of nanoid`,
		"urls: ['http://user:pw@a:1']": `field urls: "http://user:xxxxx@a:1": scheme "http" is unknown; must be one of tcp, mqtt, ssl, tls, mqtts`,
		"urls: []":                     "field urls: is empty; give the MQTT broker",
	} {
		if yaml[:5] != "urls:" {
			yaml = "urls: ['tcp://a:1']\n" + yaml
		}
		_, err := parse(t, "topics: [a]\n"+yaml)
		require.ErrorContains(t, err, want)
	}
}
