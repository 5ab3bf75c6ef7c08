package tests

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/schema"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"github.com/robustmq/robustmq-connect/tests/program"
)

const composeFile = "../resources/compose.yaml"

// compose are the parts of a compose file that the tests use.
type compose struct {
	Services map[string]struct {
		Build       struct{ Context, Dockerfile string }
		Ports       []string
		Environment map[string]string
		DependsOn   map[string]struct{ Condition string } `yaml:"depends_on"`
		Configs     []struct{ Source, Target string }
		Volumes     []string
		Healthcheck struct{ Test []string }
	}
	Configs map[string]struct{ Content string }
	Volumes map[string]any
}

func readCompose(t *testing.T) (c compose, text []byte) {
	t.Helper()
	text, err := os.ReadFile(composeFile)
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(text, &c))
	return c, text
}

// The schema is the compose specification's own, from its reference implementation.
func TestTheComposeFileFollowsTheSpecification(t *testing.T) {
	_, text := readCompose(t)
	check := func(change func(services map[string]any)) error {
		var file map[string]any
		require.NoError(t, yaml.Unmarshal(text, &file))
		change(file["services"].(map[string]any))
		return schema.Validate(file)
	}
	require.NoError(t, check(func(map[string]any) {}))
	bridge := func(services map[string]any) map[string]any { return services["bridge"].(map[string]any) }
	for name, change := range map[string]func(map[string]any){
		"an unknown field": func(s map[string]any) { bridge(s)["imagee"] = "x" },
		"a wrong type":     func(s map[string]any) { bridge(s)["ports"] = "4195" },
		"a wrong word": func(s map[string]any) {
			bridge(s)["depends_on"] = map[string]any{"kafka": map[string]any{"condition": "well"}}
		},
		"an unknown section": func(s map[string]any) { s["other"] = 1 },
	} {
		assert.Error(t, check(change), "the schema does not detect %s", name)
	}
}

func TestTheComposeFileRefersToExistingThings(t *testing.T) {
	c, _ := readCompose(t)
	require.Len(t, c.Services, 3)
	bridge := c.Services["bridge"]
	_, err := os.Stat(filepath.Join(filepath.Dir(composeFile), bridge.Build.Context, bridge.Build.Dockerfile))
	require.NoError(t, err)
	for name, service := range c.Services {
		assert.NotEmpty(t, service.Healthcheck.Test, name)
		for _, config := range service.Configs {
			assert.NotEmpty(t, c.Configs[config.Source].Content, "%s of %s", config.Source, name)
		}
		for _, volume := range service.Volumes {
			from, _, _ := strings.Cut(volume, ":")
			assert.Contains(t, c.Volumes, from, name)
		}
		for _, port := range service.Ports {
			assert.True(t, strings.HasPrefix(port, "127.0.0.1:"), "%s is open to other machines at %s", name, port)
		}
	}
	for name := range c.Services {
		if name != "bridge" {
			assert.Equal(t, "service_healthy", bridge.DependsOn[name].Condition, name)
		}
	}
	// The health check is a command of the binary, with its flags.
	require.Equal(t, []string{"CMD", "/usr/bin/robustmq-connect"}, bridge.Healthcheck.Test[:2])
	r := call(t, "", append(bridge.Healthcheck.Test[2:], "--address", program.FreeAddress(t))...)
	assert.Equal(t, 1, r.Code)
	assert.Contains(t, r.Stderr, "nobody listens there")
}

func TestTheComposeFilesPipelineReachesItsServersAndLosesNothing(t *testing.T) {
	c, _ := readCompose(t)
	require.Equal(t, []string{"/pipeline.yaml", "pipeline"}, []string{c.Services["bridge"].Configs[0].Target, c.Services["bridge"].Configs[0].Source})
	text := c.Configs["pipeline"].Content
	r := call(t, "", "lint", program.WriteFile(t, text))
	assert.Zero(t, r.Code)
	assert.Empty(t, r.Stderr, "lint warns")

	var pipeline struct {
		Input struct {
			Connector struct {
				URLs     []string
				ClientID string `yaml:"client_id"`
			} `yaml:"robustmq_kafka"`
		}
		Output struct {
			Connector struct {
				Servers string `yaml:"bootstrap_servers"`
			} `yaml:"robustmq_kafka"`
		}
	}
	require.NoError(t, yaml.Unmarshal([]byte(text), &pipeline))
	assert.NotEmpty(t, pipeline.Input.Connector.ClientID)
	require.Len(t, pipeline.Input.Connector.URLs, 1)
	broker, err := url.Parse(pipeline.Input.Connector.URLs[0])
	require.NoError(t, err)
	assert.Contains(t, c.Services, broker.Hostname())
	mosquitto := strings.Split(strings.TrimSpace(c.Configs["mosquitto"].Content), "\n")
	assert.Contains(t, mosquitto, "listener "+broker.Port())
	assert.Contains(t, c.Services["kafka"].Environment["KAFKA_ADVERTISED_LISTENERS"], "PLAINTEXT://"+pipeline.Output.Connector.Servers+",")

	// The settings of mosquitto that resources/docs/operations.md requires, in the
	// volume.
	for _, line := range []string{"max_queued_messages 0", "persistence true", "persistence_location /mosquitto/data/"} {
		assert.Contains(t, mosquitto, line)
	}
	assert.Equal(t, []string{"mosquitto:/mosquitto/data"}, c.Services["mosquitto"].Volumes)
	assert.Equal(t, c.Services["kafka"].Environment["KAFKA_LOG_DIRS"], strings.TrimPrefix(c.Services["kafka"].Volumes[0], "kafka:"))
}
