// Package kubernetes tests what resources/kubernetes and resources/helm offer.
package kubernetes

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"

	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
	"github.com/robustmq/robustmq-connect/plugins/embedded"
	"github.com/robustmq/robustmq-connect/tests/program"
)

func TestMain(m *testing.M) { os.Exit(program.Main(m)) }

var resources = filepath.Join("..", "..", "resources")

// objects are what a set of manifests makes, nil where it has none of a kind.
type objects struct {
	account  *corev1.ServiceAccount
	config   *corev1.ConfigMap
	service  *corev1.Service
	api      *corev1.Service // for callers, where there are several pods
	set      *appsv1.StatefulSet
	budget   *policyv1.PodDisruptionBudget
	policy   *networkingv1.NetworkPolicy
	monitor  *monitoringv1.ServiceMonitor
	rule     *monitoringv1.PrometheusRule
	decoding int
}

// decode reads manifests into the types of Kubernetes. A field that it does not know is an
// error, as is one that stands twice.
func decode(t *testing.T, text string) (o objects) {
	t.Helper()
	for _, document := range regexp.MustCompile(`(?m)^---$`).Split(text, -1) {
		var kind struct{ APIVersion, Kind string }
		require.NoError(t, yaml.Unmarshal([]byte(document), &kind))
		if kind.Kind == "" {
			assert.Regexp(t, `^(\s*#[^\n]*\n)*\s*$`, document, "only comments have no kind")
			continue
		}
		var into any
		switch kind.APIVersion + " " + kind.Kind {
		case "v1 ServiceAccount":
			o.account = &corev1.ServiceAccount{}
			into = o.account
		case "v1 ConfigMap":
			o.config = &corev1.ConfigMap{}
			into = o.config
		case "v1 Service":
			at := &o.service
			if *at != nil {
				at = &o.api
			}
			*at = &corev1.Service{}
			into = *at
		case "apps/v1 StatefulSet":
			o.set = &appsv1.StatefulSet{}
			into = o.set
		case "policy/v1 PodDisruptionBudget":
			o.budget = &policyv1.PodDisruptionBudget{}
			into = o.budget
		case "networking.k8s.io/v1 NetworkPolicy":
			o.policy = &networkingv1.NetworkPolicy{}
			into = o.policy
		case "monitoring.coreos.com/v1 ServiceMonitor":
			o.monitor = &monitoringv1.ServiceMonitor{}
			into = o.monitor
		case "monitoring.coreos.com/v1 PrometheusRule":
			o.rule = &monitoringv1.PrometheusRule{}
			into = o.rule
		default:
			require.Fail(t, "no type for "+kind.APIVersion+" "+kind.Kind)
		}
		require.NoError(t, unmarshal(document, into), document)
		o.decoding++
	}
	return o
}

// unmarshal is as strict as a server: a number is no text, which yaml.UnmarshalStrict makes of it.
func unmarshal(document string, into any) error {
	text, err := yaml.YAMLToJSONStrict([]byte(document))
	if err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

func manifest(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(resources, "kubernetes", name))
	require.NoError(t, err)
	return string(text)
}

// plain are the manifests for kubectl apply.
func plain(t *testing.T) objects {
	t.Helper()
	return decode(t, manifest(t, "robustmq-connect.yaml")+"\n---\n"+manifest(t, "monitoring.yaml"))
}

func TestManifestsAreThoseOfKubernetes(t *testing.T) {
	o := plain(t)
	assert.Equal(t, 8, o.decoding)
	checkAll(t, o)
	assert.Equal(t, "robustmq-connect-token", o.monitor.Spec.Endpoints[0].Authorization.Credentials.Name)
}

func TestManifestsOfWorkersAreThoseOfKubernetes(t *testing.T) {
	o := decode(t, manifest(t, "workers.yaml"))
	assert.Equal(t, 7, o.decoding)
	checkAll(t, o)
	assert.Equal(t, int32(3), *o.set.Spec.Replicas)
	assert.Equal(t, "kafka://kafka:9092/robustmq_connect", configFile(t, o)["store"])
}

// An unknown field, one that stands twice, and one of another type are found.
func TestDecodingIsStrict(t *testing.T) {
	for _, text := range []string{"replica: 1", "replicas: 1\nreplicas: 2", "replicas: one", "serviceName: 1", "selector: { matchLabels: { a: 1 } }"} {
		assert.Error(t, unmarshal(text, &appsv1.StatefulSetSpec{}), text)
	}
}

// checkAll looks at what holds for every set of manifests.
func checkAll(t *testing.T, o objects) {
	t.Helper()
	require.NotNil(t, o.set)
	require.NotNil(t, o.service)
	require.NotNil(t, o.config)
	require.NotNil(t, o.account)
	require.NotNil(t, o.budget)
	pod := o.set.Spec.Template.Spec
	require.Len(t, pod.Containers, 1)
	c := pod.Containers[0]

	// One service, one store, which several share in Kafka alone.
	if kafka := strings.HasPrefix(configFile(t, o)["store"], "kafka://"); !kafka {
		assert.Equal(t, int32(1), *o.set.Spec.Replicas)
	}
	assert.Equal(t, o.service.Name, o.set.Spec.ServiceName)
	assert.Equal(t, appsv1.ParallelPodManagement, o.set.Spec.PodManagementPolicy, "a pod that never gets ready would keep its template")
	assert.Equal(t, o.account.Name, pod.ServiceAccountName)
	assert.False(t, *pod.AutomountServiceAccountToken)

	// Everything that selects the pod does.
	labels := o.set.Spec.Template.Labels
	selectors := []map[string]string{o.set.Spec.Selector.MatchLabels, o.service.Spec.Selector, o.budget.Spec.Selector.MatchLabels}
	if o.policy != nil {
		selectors = append(selectors, o.policy.Spec.PodSelector.MatchLabels)
		assert.ElementsMatch(t, []networkingv1.PolicyType{"Ingress", "Egress"}, o.policy.Spec.PolicyTypes)
		require.Len(t, o.policy.Spec.Ingress, 1)
		require.NotEmpty(t, o.policy.Spec.Ingress[0].From, "an empty list lets everybody in")
		require.Len(t, o.policy.Spec.Ingress[0].Ports, 1)
		assert.Equal(t, c.Ports[0].Name, o.policy.Spec.Ingress[0].Ports[0].Port.String())
		for _, rule := range o.policy.Spec.Egress {
			assert.NotEmpty(t, rule.Ports, "an empty list lets everything out")
		}
	}
	for _, selector := range selectors {
		assert.NotEmpty(t, selector)
		for name, value := range selector {
			assert.Equal(t, value, labels[name], name)
		}
	}
	if o.monitor != nil {
		for name, value := range o.monitor.Spec.Selector.MatchLabels {
			assert.Equal(t, value, o.service.Labels[name], name)
		}
		require.Len(t, o.monitor.Spec.Endpoints, 1)
		e := o.monitor.Spec.Endpoints[0]
		assert.Equal(t, o.service.Spec.Ports[0].Name, e.Port)
		assert.Equal(t, admin.PathMetrics, e.Path)
		assert.NotEmpty(t, e.Authorization.Credentials.Name)
	}
	if o.rule != nil {
		count := 0
		for _, group := range o.rule.Spec.Groups {
			count += len(group.Rules)
		}
		assert.Greater(t, count, 10)
	}

	checkPod(t, pod, c)
}

func checkPod(t *testing.T, pod corev1.PodSpec, c corev1.Container) {
	t.Helper()
	// A connector that waits for Kafka takes the pod neither down nor out of its service.
	require.NotNil(t, c.LivenessProbe)
	require.NotNil(t, c.StartupProbe)
	require.NotNil(t, c.ReadinessProbe)
	assert.Equal(t, admin.PathHealth, c.LivenessProbe.HTTPGet.Path)
	assert.Equal(t, admin.PathHealth, c.StartupProbe.HTTPGet.Path)
	assert.Equal(t, admin.PathReady, c.ReadinessProbe.HTTPGet.Path)
	for _, probe := range []*corev1.Probe{c.LivenessProbe, c.StartupProbe, c.ReadinessProbe} {
		assert.Equal(t, c.Ports[0].Name, probe.HTTPGet.Port.String())
	}

	assert.True(t, *pod.SecurityContext.RunAsNonRoot)
	assert.NotZero(t, *pod.SecurityContext.RunAsUser)
	assert.Equal(t, corev1.SeccompProfileTypeRuntimeDefault, pod.SecurityContext.SeccompProfile.Type)
	assert.True(t, *c.SecurityContext.ReadOnlyRootFilesystem)
	assert.False(t, *c.SecurityContext.AllowPrivilegeEscalation)
	assert.Equal(t, []corev1.Capability{"ALL"}, c.SecurityContext.Capabilities.Drop)
	assert.False(t, c.Resources.Limits.Memory().IsZero())

	// Secrets are files of Secrets, read only; none is in the environment.
	for _, e := range c.Env {
		assert.NotRegexp(t, `(?i)password|token|secret|key`, e.Name)
	}
	volumes := map[string]corev1.VolumeSource{}
	for _, v := range pod.Volumes {
		volumes[v.Name] = v.VolumeSource
	}
	for _, m := range c.VolumeMounts {
		source, ok := volumes[m.Name]
		if m.Name == "store" {
			assert.False(t, ok, "the store is a claim of its own")
			assert.False(t, m.ReadOnly)
			continue
		}
		require.True(t, ok, m.Name)
		assert.True(t, m.ReadOnly, m.Name)
		if source.Secret != nil {
			assert.Equal(t, int32(0o440), *source.Secret.DefaultMode)
			assert.NotEmpty(t, source.Secret.SecretName)
		}
	}
}

// configFile is what serve reads.
func configFile(t *testing.T, o objects) map[string]string {
	t.Helper()
	require.Len(t, o.config.Data, 1)
	file := map[string]string{}
	require.NoError(t, yaml.UnmarshalStrict([]byte(o.config.Data["serve.yaml"]), &file))
	return file
}

// run starts the program as the container would be started, and asks what its probes ask.
func run(t *testing.T, o objects) {
	t.Helper()
	broker, err := embedded.StartBroker("127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(broker.Close)
	address, args := container(t, o, map[string]string{"mqtt_url": broker.URL()})
	p := program.Start(t, address, args...)
	probe(t, o, p)
	end(t, o, p)
}

// container returns the arguments of the program in a container whose folders are below
// one of the test's, and where its API is. The given settings replace those of the file.
func container(t *testing.T, o objects, replaced map[string]string) (address string, args []string) {
	t.Helper()
	c := o.set.Spec.Template.Spec.Containers[0]
	root, address := t.TempDir(), program.FreeAddress(t)
	write := func(path, text string) {
		path = filepath.Join(root, path)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	}
	file := configFile(t, o)
	port := strconv.Itoa(int(c.Ports[0].ContainerPort))
	assert.True(t, strings.HasSuffix(file["listen"], ":"+port), "it listens on %s, and its port is %s", file["listen"], port)
	// On all addresses, as in the container: the host name of a request is another matter there.
	file["listen"] = strings.Replace(address, "127.0.0.1", "0.0.0.0", 1)
	maps.Copy(file, replaced)
	mounts := map[string]bool{}
	for _, m := range c.VolumeMounts {
		mounts[m.MountPath] = true
		require.NoError(t, os.MkdirAll(filepath.Join(root, m.MountPath), 0o700))
	}
	for name, value := range file {
		if filepath.IsAbs(value) {
			assert.True(t, mounts[filepath.Dir(value)] || mounts[value], "%s: %s is not mounted", name, value)
			file[name] = filepath.Join(root, value)
		}
	}
	text, err := yaml.Marshal(file)
	require.NoError(t, err)
	args = append([]string{}, c.Args...)
	for i, arg := range args {
		if filepath.IsAbs(arg) {
			assert.True(t, mounts[filepath.Dir(arg)], "%s is not mounted", arg)
			write(arg, string(text))
			args[i] = filepath.Join(root, arg)
		}
	}
	write("/etc/robustmq-connect/token/token", token)
	write("/etc/robustmq-connect/cluster-token/token", strings.Repeat("t", 32))
	write("/etc/robustmq-connect/store-keys/keys", "k1 "+base64.StdEncoding.EncodeToString(make([]byte, 32)))
	return address, args
}

const token = "let-me-in"

// probe returns once all probes succeed.
func probe(t *testing.T, o objects, p *program.Process) {
	t.Helper()
	c := o.set.Spec.Template.Spec.Containers[0]
	for _, probe := range []*corev1.Probe{c.StartupProbe, c.LivenessProbe, c.ReadinessProbe} {
		require.Eventually(t, func() bool {
			code, _ := p.Get(probe.HTTPGet.Path)
			return code == http.StatusOK
		}, time.Minute, 20*time.Millisecond, "%s: %s", probe.HTTPGet.Path, p.Output())
	}
	code, _ := p.Get(admin.PathList)
	assert.Equal(t, http.StatusUnauthorized, code, "the API wants the token")
}

// end stops a container as Kubernetes does.
func end(t *testing.T, o objects, p *program.Process) {
	t.Helper()
	drain, err := time.ParseDuration(configFile(t, o)["drain_timeout"])
	require.NoError(t, err)
	grace := time.Duration(*o.set.Spec.Template.Spec.TerminationGracePeriodSeconds) * time.Second
	assert.Greater(t, grace, drain+5*time.Second, "what drains is killed")
	code, took := p.Stop()
	assert.Zero(t, code)
	assert.Less(t, took, grace)
}

func TestManifestsRunTheService(t *testing.T) { run(t, plain(t)) }
