package crashes

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the table into README.md")

var marks = regexp.MustCompile(`(?s)<!-- crashes -->\n(.*?)<!-- end of crashes -->`)

// What is published is what was counted.
func TestTheTableInTheReadmeIsThatOfTheResults(t *testing.T) {
	all, err := Read("RESULTS.json")
	require.NoError(t, err)
	require.NotEmpty(t, all)
	for _, r := range all {
		assert.Zero(t, r.Missing, r)
		assert.Zero(t, r.OutOfOrder, r)
		assert.Positive(t, r.Sent, r)
	}
	const readme = "../../README.md"
	text, err := os.ReadFile(readme)
	require.NoError(t, err)
	found := marks.FindSubmatch(text)
	require.NotNil(t, found, "README.md has no place for the table")
	if *update {
		fresh := strings.Replace(string(text), string(found[0]), "<!-- crashes -->\n"+Table(all)+"<!-- end of crashes -->", 1)
		require.NoError(t, os.WriteFile(readme, []byte(fresh), 0o644))
		return
	}
	assert.Equal(t, Table(all), string(found[1]), "run make docs")
}

func TestAResultReplacesTheEarlierOneOfItsFaultAndWay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "results.json")
	stop := Result{Fault: Stop, Way: ToMQTT, Times: 3, Sent: 1_234_567}
	kill := Result{Fault: Kill, Way: Buffered, Times: 50, Sent: 999, Repeated: 1000}
	for _, r := range []Result{stop, {Fault: Kill, Way: Buffered, Times: 2, Sent: 1}, kill} {
		require.NoError(t, Add(path, r))
	}
	all, err := Read(path)
	require.NoError(t, err)
	assert.Equal(t, []Result{kill, stop}, all)
	assert.Equal(t, "| what fails | MQTT to Kafka | MQTT to Kafka with a disk buffer | Kafka to MQTT |\n|---|---|---|---|\n"+
		"| `kill -9` | | 50×: 999 / 0 / 0 / 1,000 | |\n"+
		"| clean stop | | | 3×: 1,234,567 / 0 / 0 / 0 |\n", Table(all))
}

func TestWhatTheTableCannotShowIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "results.json")
	require.ErrorContains(t, Add(path, Result{Fault: "rain", Way: ToKafka}), `no place for the fault "rain"`)
	assert.NoFileExists(t, path)
	require.NoError(t, os.WriteFile(path, []byte("{"), 0o600))
	require.ErrorContains(t, Add(path, Result{Fault: Kill, Way: ToKafka}), "remove the file to begin anew")
}
