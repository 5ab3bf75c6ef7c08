//go:build integration

package kubernetes

import (
	"bytes"
	"flag"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
	"github.com/robustmq/robustmq-connect/plugins/embedded"
	"github.com/robustmq/robustmq-connect/tests/program"
)

var update = flag.Bool("update", false, "write resources/kubernetes from the chart")

var chart = filepath.Join(resources, "helm", "robustmq-connect")

// helm runs it as it is built by the Makefile.
func helm(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	path := os.Getenv("HELM")
	require.NotEmpty(t, path, "HELM is not set: run make kubernetes, which builds it")
	cmd := exec.Command(path, args...)
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	err = cmd.Run()
	return out.String(), log.String(), err
}

// template renders the chart. Built by go install, helm knows no version of Kubernetes.
func template(t *testing.T, values ...string) (stdout, stderr string, err error) {
	t.Helper()
	args := []string{"template", "robustmq-connect", chart, "--kube-version", "1.34.0"}
	for _, v := range values {
		args = append(args, "--set", v)
	}
	return helm(t, args...)
}

func rendered(t *testing.T, values ...string) objects {
	t.Helper()
	out, log, err := template(t, values...)
	require.NoError(t, err, log)
	o := decode(t, out)
	checkAll(t, o)
	return o
}

func TestHelmLintsTheChart(t *testing.T) {
	for _, values := range []string{
		"fullnameOverride=", "serviceMonitor.enabled=true,prometheusRule.enabled=true", "api.tlsSecret=tls,networkPolicy.enabled=false",
	} {
		out, log, err := helm(t, "lint", chart, "--strict", "--kube-version", "1.34.0", "--set", values)
		require.NoError(t, err, "%s\n%s", out, log)
	}
}

// All that a value may switch on decodes as strictly as what is there by default.
func TestChartMakesObjectsOfKubernetes(t *testing.T) {
	o := rendered(t)
	assert.Equal(t, 6, o.decoding)
	assert.Nil(t, o.monitor)
	assert.Nil(t, o.rule)
	run(t, o)

	o = rendered(
		t, "networkPolicy.enabled=false", "image.repository=registry.example/connect", "image.tag=v1", "imagePullSecrets[0].name=registry",
		"mqtt.clientIDPrefix=east", "podLabels.team=iot", "podAnnotations.note=x", "nodeSelector.disk=ssd", "tolerations[0].operator=Exists",
		"affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution=null", "priorityClassName=high", "store.storageClassName=fast",
		"store.size=5Gi", "drainTimeoutSeconds=60", "podDisruptionBudget.maxUnavailable=0", "config.log_level=warn",
	)
	assert.Nil(t, o.policy)
	pod := o.set.Spec.Template
	assert.Equal(t, "registry.example/connect:v1", pod.Spec.Containers[0].Image)
	assert.Equal(t, []corev1.LocalObjectReference{{Name: "registry"}}, pod.Spec.ImagePullSecrets)
	assert.Equal(t, []corev1.EnvVar{{Name: "ROBUSTMQ_CONNECT_MQTT_CLIENT_ID_PREFIX", Value: "east"}}, pod.Spec.Containers[0].Env)
	assert.Equal(t, "iot", pod.Labels["team"])
	assert.Equal(t, "x", pod.Annotations["note"])
	assert.Equal(t, "ssd", pod.Spec.NodeSelector["disk"])
	assert.Equal(t, corev1.TolerationOpExists, pod.Spec.Tolerations[0].Operator)
	assert.NotNil(t, pod.Spec.Affinity)
	assert.Equal(t, "high", pod.Spec.PriorityClassName)
	assert.Equal(t, "fast", *o.set.Spec.VolumeClaimTemplates[0].Spec.StorageClassName)
	assert.Equal(t, "5Gi", o.set.Spec.VolumeClaimTemplates[0].Spec.Resources.Requests.Storage().String())
	assert.Equal(t, int64(70), *pod.Spec.TerminationGracePeriodSeconds)
	assert.Zero(t, o.budget.Spec.MaxUnavailable.IntValue())
	assert.Equal(t, "warn", configFile(t, o)["log_level"])
	run(t, o)
}

// Each secret that is named is a file, and serve is told where.
func TestChartMountsSecretsByReference(t *testing.T) {
	o := rendered(
		t, "mqtt.username=ada", "mqtt.passwordSecret.name=login", "mqtt.tlsSecret.name=broker", "mqtt.tlsSecret.clientCertificate=true",
		"api.tlsSecret=api", "connectorSecret=certs", "serviceMonitor.enabled=true",
		"api.tokensSecret.name=people", "serviceMonitor.tokenSecret.name=scraper",
	)
	file := configFile(t, o)
	mounts := secretsByFolder(o)
	for name, secret := range map[string]string{
		"api_token_file": "robustmq-connect-token", "api_tokens_file": "people", "mqtt_password_file": "login", "mqtt_tls_ca_file": "broker",
		"mqtt_tls_cert_file": "broker", "mqtt_tls_key_file": "broker", "tls_cert_file": "api", "tls_key_file": "api",
	} {
		require.Contains(t, file, name)
		assert.Equal(t, secret, mounts[filepath.Dir(file[name])], name)
	}
	assert.Equal(t, "scraper", o.monitor.Spec.Endpoints[0].Authorization.Credentials.Name)
	assert.Equal(t, "certs", mounts[file["secrets_dir"]])
	assert.Equal(t, "ada", file["mqtt_username"])
	c := o.set.Spec.Template.Spec.Containers[0]
	for _, probe := range []*corev1.Probe{c.StartupProbe, c.LivenessProbe, c.ReadinessProbe} {
		assert.Equal(t, corev1.URISchemeHTTPS, probe.HTTPGet.Scheme)
	}
	assert.Equal(t, "https", o.monitor.Spec.Endpoints[0].Scheme)
	assert.Equal(t, "api", o.monitor.Spec.Endpoints[0].TLSConfig.CA.Secret.Name)
}

func secretsByFolder(o objects) map[string]string {
	mounts := map[string]string{}
	for _, m := range o.set.Spec.Template.Spec.Containers[0].VolumeMounts {
		for _, v := range o.set.Spec.Template.Spec.Volumes {
			if v.Name == m.Name && v.Secret != nil {
				mounts[m.MountPath] = v.Secret.SecretName
			}
		}
	}
	return mounts
}

func TestChartRefusesWhatItDoesNotKnow(t *testing.T) {
	for value, why := range map[string]string{
		"replicas=2":                           "'replicas' not allowed",
		"workers=2":                            "workers: several share the connectors of a store in Kafka: set store.kafka",
		"workers=65":                           "maximum",
		"store.kafka=kafka1:9092/p":            "does not match pattern",
		"mqtt.urls=x":                          "'urls' not allowed",
		"mqtt.url=localhost:1883":              "does not match pattern",
		"config.listen=x":                      "config.listen: the chart decides that",
		"podDisruptionBudget.maxUnavailable=2": "maximum",
		"api.tokenSecret.name=":                "minLength",
		"networkPolicy.from=null":              "missing property 'from'", // it would let everybody in
	} {
		_, log, err := template(t, value)
		require.Error(t, err, value)
		assert.Contains(t, log, why, value)
	}
}

// Pods with a store in Kafka are workers, each under its own name, which all of them resolve.
func TestChartRunsWorkersOfOneStore(t *testing.T) {
	kafka, err := embedded.StartKafka("127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(kafka.Close)
	broker, err := embedded.StartBroker("127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(broker.Close)
	o := rendered(t, "workers=3", "store.kafka=kafka://"+kafka.Addr()+"/robustmq_connect", "store.keySecret.name=keys", "mqtt.url="+broker.URL())
	assert.Equal(t, int32(3), *o.set.Spec.Replicas)
	assert.True(t, o.service.Spec.PublishNotReadyAddresses)
	assert.Equal(t, "None", o.service.Spec.ClusterIP)
	require.NotNil(t, o.api)
	assert.Empty(t, o.api.Spec.ClusterIP)
	assert.Equal(t, o.service.Spec.Selector, o.api.Spec.Selector)
	assert.NotContains(t, o.api.Labels, "app.kubernetes.io/name", "Prometheus would scrape each pod twice")
	env := o.set.Spec.Template.Spec.Containers[0].Env
	require.Len(t, env, 4)
	assert.Equal(t, corev1.EnvVar{Name: "ROBUSTMQ_CONNECT_MQTT_CLIENT_ID_PREFIX", Value: "robustmq-connect-0"}, env[0])
	assert.Equal(t, "metadata.name", env[1].ValueFrom.FieldRef.FieldPath)
	assert.Equal(t, "metadata.namespace", env[2].ValueFrom.FieldRef.FieldPath)
	assert.Equal(t, "ROBUSTMQ_CONNECT_ADVERTISE", env[3].Name)
	assert.Equal(t, "http://$("+env[1].Name+").robustmq-connect.$("+env[2].Name+").svc:58080", env[3].Value)
	peers := o.policy.Spec.Egress[2]
	assert.Equal(t, o.service.Spec.Selector, peers.To[0].PodSelector.MatchLabels)

	var pods []*program.Process
	for range 2 {
		address, args := container(t, o, nil)
		cmd := exec.Command(program.Path(t), args...)
		cmd.Env = append(os.Environ(), env[0].Name+"="+env[0].Value, env[3].Name+"=http://"+address)
		p := program.StartCommand(t, address, cmd)
		probe(t, o, p)
		pods = append(pods, p)
	}
	require.Eventually(t, func() bool {
		for _, p := range pods {
			if !strings.Contains(metrics(t, p), "\nrobustmq_connect_workers 2\n") {
				return false
			}
		}
		return true
	}, time.Minute, 100*time.Millisecond, "both know each other")
	for _, p := range pods {
		end(t, o, p)
	}
}

func metrics(t *testing.T, p *program.Process) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+p.HTTP+admin.PathMetrics, nil)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return string(text)
}

// A store in Kafka has a login, and pods with certificates trust an authority.
func TestChartMountsWhatWorkersNeed(t *testing.T) {
	o := rendered(
		t, "store.kafka=kafka://kafka:9092/p", "store.configSecret.name=login", "store.keySecret.name=keys", "cluster.tokenSecret.name=shared",
		"cluster.caSecret.name=authority", "api.tlsSecret=api", "serviceMonitor.enabled=true", "networkPolicy.from[0].podSelector.matchLabels.app=x",
	)
	file := configFile(t, o)
	mounts := secretsByFolder(o)
	for name, secret := range map[string]string{
		"store_config": "login", "store_key_file": "keys", "cluster_token_file": "shared", "cluster_tls_ca_file": "authority",
	} {
		require.Contains(t, file, name)
		assert.Equal(t, secret, mounts[filepath.Dir(file[name])], name)
	}
	assert.Equal(t, "/store/state", file["state_dir"])
	assert.Equal(t, int32(1), *o.set.Spec.Replicas)
	assert.Equal(t, "https://$(POD).robustmq-connect.$(NAMESPACE).svc:58080", o.set.Spec.Template.Spec.Containers[0].Env[3].Value)
	from := o.policy.Spec.Ingress[0].From
	require.Len(t, from, 3)
	assert.Equal(t, o.service.Spec.Selector, from[1].PodSelector.MatchLabels, "workers call each other, whoever else may")
}

// Another name of the release is in every name and selector, so that two stand side by side.
func TestChartNamesAreThoseOfTheRelease(t *testing.T) {
	out, log, err := helm(t, "template", "east", chart, "--kube-version", "1.34.0")
	require.NoError(t, err, log)
	o := decode(t, out)
	checkAll(t, o)
	for _, name := range []string{o.account.Name, o.config.Name, o.service.Name, o.set.Name, o.budget.Name, o.policy.Name} {
		assert.Equal(t, "east-robustmq-connect", name)
	}
	assert.Equal(t, "east", o.set.Spec.Selector.MatchLabels["app.kubernetes.io/instance"])
}

// source is what only a reader of a chart wants, and blanks at the end of a line.
var source = regexp.MustCompile(`(?m)^# Source: .*\n| +$`)

const top = `# %s
# Made of the chart in resources/helm by: make manifests
`

// The plain manifests are what the chart makes, so that there is one source.
func TestPlainManifestsAreThoseOfTheChart(t *testing.T) {
	files := map[string]string{}
	for _, document := range documents(t, "serviceMonitor.enabled=true", "prometheusRule.enabled=true") {
		file := "robustmq-connect.yaml"
		if strings.Contains(document, "monitoring.coreos.com") {
			file = "monitoring.yaml"
		}
		files[file] += document
	}
	files["workers.yaml"] = strings.Join(documents(t, "workers=3", "store.kafka=kafka://kafka:9092/robustmq_connect"), "")
	for name, is := range map[string]string{
		"robustmq-connect.yaml": "RobustMQ Connect as a service, for kubectl apply. It needs the secret\n# robustmq-connect-token: see resources/docs/operations.md",
		"monitoring.yaml":       "For the Prometheus operator: it scrapes the service, and has its alerts.",
		"workers.yaml":          "Three workers that share the connectors of a store in Kafka, in place of robustmq-connect.yaml,\n# whose connectors they do not have. They need two secrets: see resources/docs/cluster.md",
	} {
		want := strings.Replace(top, "%s", is, 1) + files[name]
		path := filepath.Join(resources, "kubernetes", name)
		if *update {
			require.NoError(t, os.WriteFile(path, []byte(want), 0o644)) //nolint:gosec // everybody may read it
		}
		got, err := os.ReadFile(path)
		require.NoError(t, err)
		assert.Equal(t, want, string(got), "%s is old: run make manifests", name)
	}
}

// documents are those of the rendered chart, each with the line before it.
func documents(t *testing.T, values ...string) (all []string) {
	t.Helper()
	out, log, err := template(t, values...)
	require.NoError(t, err, log)
	for document := range strings.SplitSeq(source.ReplaceAllString(out, ""), "---\n") {
		if strings.TrimSpace(document) != "" {
			all = append(all, "---\n"+document)
		}
	}
	return all
}
