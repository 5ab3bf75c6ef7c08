//go:build integration

package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"
)

// The settings of resources/compose.yaml are those of a mosquitto that starts with them.
func TestMosquittoTakesTheComposeFilesSettings(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "resources", "compose.yaml"))
	require.NoError(t, err)
	var file struct {
		Configs struct{ Mosquitto struct{ Content string } }
	}
	require.NoError(t, yaml.Unmarshal(text, &file))
	settings := file.Configs.Mosquitto.Content
	require.Contains(t, settings, "persistence_location /mosquitto/data/\n")
	require.Contains(t, settings, "listener 1883\n")
	settings = strings.Replace(settings, "/mosquitto/data/", t.TempDir()+"/", 1)
	startMosquitto(t, strings.Replace(settings, "listener 1883\n", "", 1)) // at a port of the test's
}
