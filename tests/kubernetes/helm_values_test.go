//go:build integration

package kubernetes

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/yaml"
)

// A server refuses a number where a text belongs. All of these look like one: of the configuration of
// tcp://b5660:1883, the first 16 digits of the hash are decimal.
func TestChartTextsThatLookLikeNumbersStayTexts(t *testing.T) {
	out, log, err := helm(
		t, "template", "123", chart, "--kube-version", "1.34.0", "--set-string", "fullnameOverride=east,nameOverride=1e3",
		"--set", "mqtt.url=tcp://b5660:1883,store.kafka=kafka://kafka:9092/p,store.size=1000,serviceMonitor.enabled=true,serviceMonitor.interval=15s",
		"--set-string", "store.size=1000,priorityClassName=1,networkPolicy.monitoringNamespace=2",
	)
	require.NoError(t, err, log)
	o := decode(t, out)
	checkAll(t, o)
	assert.Equal(t, "123", o.service.Labels["app.kubernetes.io/instance"])
	assert.Equal(t, "123", o.api.Labels["app.kubernetes.io/instance"])
	assert.Equal(t, "1e3", o.set.Labels["app.kubernetes.io/name"])
	assert.Equal(t, "1", o.set.Spec.Template.Spec.PriorityClassName)
	assert.Equal(t, "2", o.policy.Spec.Ingress[0].From[2].NamespaceSelector.MatchLabels["kubernetes.io/metadata.name"])
	assert.Regexp(t, `robustmq-connect/config: "[0-9a-f]{16}"\n`, out, "whatever its digits are")

	o = rendered(t, "mqtt.url=tcp://b5660:1883")
	assert.Len(t, o.set.Spec.Template.Annotations["robustmq-connect/config"], 16)
}

// A value is a value: it adds no field, whatever is in it.
func TestChartValuesAddNoFields(t *testing.T) {
	evil := "x\"' } ]\n      hostNetwork: true\n  evil: true #"
	text, err := json.Marshal(evil)
	require.NoError(t, err)
	args := []string{"template", "robustmq-connect", chart, "--kube-version", "1.34.0", "--set", "serviceMonitor.enabled=true,store.kafka=kafka://kafka:9092/p"}
	for _, name := range []string{
		"priorityClassName", "networkPolicy.monitoringNamespace", "mqtt.clientIDPrefix", "mqtt.username", "mqtt.passwordSecret.name",
		"api.tokenSecret.name", "api.tlsSecret", "connectorSecret", "podLabels.evil", "podAnnotations.evil", "nodeSelector.evil", "config.log_level",
	} {
		args = append(args, "--set-json", name+"="+string(text))
	}
	out, log, err := helm(t, args...)
	require.NoError(t, err, log)
	o := decode(t, out)
	checkAll(t, o)
	pod := o.set.Spec.Template
	assert.False(t, pod.Spec.HostNetwork)
	assert.Equal(t, evil, pod.Spec.PriorityClassName)
	assert.Equal(t, evil, pod.Labels["evil"])
	assert.Equal(t, evil, pod.Annotations["evil"])
	assert.Equal(t, evil, pod.Spec.NodeSelector["evil"])
	assert.Equal(t, evil, pod.Spec.Containers[0].Env[0].Value)
	assert.Equal(t, evil, configFile(t, o)["mqtt_username"])
	assert.Equal(t, evil, configFile(t, o)["log_level"])
	assert.Equal(t, evil, secretsByFolder(o)["/etc/robustmq-connect/token"])
	assert.Equal(t, evil, o.policy.Spec.Ingress[0].From[2].NamespaceSelector.MatchLabels["kubernetes.io/metadata.name"])
}

// What a server would refuse halfway, or take and never make a pod of, is refused by name before anything changes.
func TestChartRefusesWhatAServerDoesNotTake(t *testing.T) {
	for value, why := range map[string]string{
		"podLabels.a=1":                               "'/podLabels/a': got number, want string",
		"podAnnotations.a=true":                       "'/podAnnotations/a': got boolean, want string",
		"nodeSelector.a=1":                            "'/nodeSelector/a': got number, want string",
		`podLabels.app\.kubernetes\.io/name=x`:        "podLabels: the chart decides what app.kubernetes.io/name is",
		`podAnnotations.robustmq-connect/config=x`:    "podAnnotations: the chart decides what robustmq-connect/config is",
		"imagePullSecrets[0]=registry":                "'/imagePullSecrets/0': got string, want object",
		"tolerations[0]=x":                            "'/tolerations/0': got string, want object",
		"networkPolicy.from[0]=null":                  "'/networkPolicy/from/0': got null, want object",
		"resources.limits.memory=lots":                "'/resources/limits/memory': 'lots' does not match",
		"image.tag=a b":                               "'/image/tag': 'a b' does not match",
		"store.size=lots":                             "'/store/size': 'lots' does not match",
		"store.size=0Gi":                              "'/store/size': '0Gi' does not match",
		"store.storageClassName=A b":                  "'/store/storageClassName'",
		"serviceMonitor.interval=30":                  "'/serviceMonitor/interval': got number, want string",
		"nameOverride=x: y":                           "'/nameOverride': 'x: y' does not match",
		"nameOverride=" + strings.Repeat("n", 64):     "'/nameOverride': maxLength: got 64, want 63",
		"fullnameOverride=1a":                         "'/fullnameOverride': '1a' does not match",
		"fullnameOverride=" + strings.Repeat("n", 53): "'/fullnameOverride': maxLength: got 53, want 52",
		"workers=three":                               "'/workers': got string, want integer",
		"drainTimeoutSeconds=1.5":                     "'/drainTimeoutSeconds': got string, want integer",
		"config.log_level[0]=info":                    "'/config/log_level': got array",
		"image=null":                                  "missing property 'image'",
		"mqtt.passwordSecret=null":                    "'/mqtt': missing property 'passwordSecret'",
		"podDisruptionBudget.maxUnavailable=null":     "missing property 'maxUnavailable'",
	} {
		_, log, err := template(t, value)
		require.Error(t, err, value)
		assert.Contains(t, log, why, value)
	}
	rendered(t, "nameOverride="+strings.Repeat("n", 63), "store.size=0.5Gi", "resources.limits.cpu=1.5", "podLabels=null")
}

// A value that would change nothing is refused: a store that is not encrypted, for example.
func TestChartRefusesValuesWithoutEffect(t *testing.T) {
	for value, why := range map[string]string{
		"store.keySecret.name=keys":             "store.keySecret: it is for a store in Kafka",
		"store.configSecret.name=login":         "store.configSecret: it is for a store in Kafka",
		"mqtt.passwordSecret.name=login":        "mqtt.passwordSecret: a password needs a user: set mqtt.username",
		"mqtt.tlsSecret.clientCertificate=true": "mqtt.tlsSecret.clientCertificate: set mqtt.tlsSecret.name",
		"config.mqtt_client_id_prefix=east":     "config.mqtt_client_id_prefix: the chart decides that", // the environment would win
		"config.advertise=http://x":             "config.advertise: the chart decides that",
		"config.mqtt_password=x":                "config.mqtt_password: the chart decides that", // a ConfigMap is no secret
		"config.tls_cert_file=x":                "config.tls_cert_file: the chart decides that",
	} {
		_, log, err := template(t, value)
		require.Error(t, err, value)
		assert.Contains(t, log, why, value)
	}
}

// The chart lists the settings that it writes: a user's value for one that it forgot would
// be overridden in silence.
func TestChartRefusesEverySettingThatItWrites(t *testing.T) {
	file := configFile(t, rendered(
		t, "mqtt.username=ada", "mqtt.passwordSecret.name=login", "mqtt.tlsSecret.name=broker", "mqtt.tlsSecret.clientCertificate=true",
		"api.tlsSecret=api", "api.tokensSecret.name=people", "connectorSecret=certs", "store.kafka=kafka://kafka:9092/p",
		"store.configSecret.name=login", "store.keySecret.name=keys", "cluster.tokenSecret.name=shared", "cluster.caSecret.name=authority",
	))
	delete(file, "log_format") // it is the default of a user's value
	require.Greater(t, len(file), 15)
	for name := range file {
		_, log, err := template(t, "config."+name+"=x")
		require.Error(t, err, name)
		assert.Contains(t, log, "config."+name+": the chart decides that")
	}
}

// The names of Services are stricter than those of releases.
func TestChartRefusesNamesThatNoServiceHas(t *testing.T) {
	for _, release := range []string{"1", "a.b"} {
		_, log, err := helm(t, "template", release, chart, "--kube-version", "1.34.0")
		require.Error(t, err, release)
		assert.Contains(t, log, `fullnameOverride: a service cannot have the name "`+release+`-robustmq-connect"`)
		_, log, err = helm(t, "template", release, chart, "--kube-version", "1.34.0", "--set", "fullnameOverride=east")
		require.NoError(t, err, log)
	}
}

// installed is as much of an API server as knows the StatefulSet of a release.
func installed(t *testing.T, set *appsv1.StatefulSet) (url string) {
	t.Helper()
	answer := func(what any) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(what) // a client that is gone wants no answer
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /apis/apps/v1", answer(map[string]any{
		"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "apps/v1",
		"resources": []any{map[string]any{"name": "statefulsets", "kind": "StatefulSet", "namespaced": true}},
	}))
	mux.HandleFunc("GET /apis/apps/v1/namespaces/default/statefulsets/robustmq-connect", answer(set))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}

// Pods that start with another store would leave the connectors behind. It is what an upgrade without the
// values of the installation asks for.
func TestChartKeepsTheStoreOfARelease(t *testing.T) {
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	directory, kafka := "workers=1", "store.kafka=kafka://kafka:9092/p"
	for _, c := range []struct{ is, asked, why string }{
		{directory, directory, ""},
		{kafka, kafka + "2", ""},
		{directory, kafka, "store.kafka: this release keeps its connectors in a directory"},
		{kafka, directory, "store.kafka: this release keeps its connectors in Kafka"},
	} {
		url := installed(t, rendered(t, c.is).set)
		_, log, err := helm(t, "template", "robustmq-connect", chart, "--kube-version", "1.34.0", "--dry-run=server", "--namespace", "default", "--kube-apiserver", url, "--set", c.asked)
		if c.why == "" {
			require.NoError(t, err, log)
			continue
		}
		require.Error(t, err, "%s, then %s", c.is, c.asked)
		assert.Contains(t, log, c.why)
	}
}

// In a path of kubectl a dot is the next level: the command for the token printed nothing.
func TestChartNotesReadATokenWithADotInItsKey(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "templates"), 0o700))
	for _, name := range []string{"Chart.yaml", "values.yaml", "templates/_helpers.tpl"} {
		text, err := os.ReadFile(filepath.Join(chart, name))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), text, 0o600))
	}
	notes, err := os.ReadFile(filepath.Join(chart, "templates", "NOTES.txt"))
	require.NoError(t, err)
	// helm template renders no notes, but any other file.
	text := "notes: |\n  " + strings.ReplaceAll(string(notes), "\n", "\n  ")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "templates", "notes.yaml"), []byte(text), 0o600))
	out, log, err := helm(t, "template", "east", dir, "--kube-version", "1.34.0", "--set", "api.tokenSecret.key=api.token")
	require.NoError(t, err, log)
	var is struct{ Notes string }
	require.NoError(t, yaml.Unmarshal([]byte(out), &is))
	assert.Contains(t, is.Notes, `-o jsonpath='{.data.api\.token}'`)
}
