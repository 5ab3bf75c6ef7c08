package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/stretchr/testify/require"
	ucli "github.com/urfave/cli/v2"

	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/cli"
	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/control"
)

// runMQTT runs the mqtt command like the command line.
func runMQTT(stdin string, args ...string) (stdout, stderr string, err error) {
	var out, errOut bytes.Buffer
	app := &ucli.App{
		Name: cli.BinaryName, Reader: strings.NewReader(stdin), Writer: &out, ErrWriter: &errOut,
		Commands:       []*ucli.Command{control.Command(documentLinter(service.GlobalEnvironment()))},
		ExitErrHandler: func(*ucli.Context, error) {},
	}
	err = app.Run(append([]string{cli.BinaryName, "mqtt"}, args...))
	return out.String(), errOut.String(), err
}

// Other tests run the examples; this one lints them with the components that this
// binary includes.
func TestExamplesLintWithTheComponentsOfTheBinary(t *testing.T) {
	examples, err := filepath.Glob("../../config/*.yaml")
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(examples), 8)
	_, stderr, err := lintFiles(t, append([]string{"--skip-env-var-check"}, examples...)...)
	require.NoError(t, err, stderr)
}

func TestExportPrintsAPipelineThatLints(t *testing.T) {
	settings := []string{
		``, `,\"key\":\"\"`, `,\"compression_type\":\"zstd\",\"batch_size\":1048576,\"retries\":100`, `,\"acks\":\"0\"`,
		`,\"acks\":\"1\"`, `,\"acks\":\"all\"`, `,\"acks\":\"-1\"`, `,\"linger_ms\":0`, `,\"retries\":1`,
		`,\"message_timeout_ms\":1000,\"cleanup_timeout_secs\":300`, `,\"key\":\"123\"`, `,\"key\":\"true\"`,
	}
	described, err := os.ReadFile("../../config/connector.json")
	require.NoError(t, err)
	require.Contains(t, string(described), `, \"key\": \"sensor_data\"`)
	for _, setting := range settings {
		given := strings.Replace(string(described), `, \"key\": \"sensor_data\"`, setting, 1)
		stdout, _, err := runMQTT(given, "connector", "export", "-f", "-")
		require.NoError(t, err, setting)
		path := writeFile(t, t.TempDir(), "pipeline.yaml", stdout)
		_, stderr, err := lintFiles(t, path)
		require.NoError(t, err, "%s\n%s", stderr, stdout)
	}
}
