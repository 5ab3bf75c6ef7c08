package tests

import (
	"encoding/xml"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// screenText is a line of the recorded terminal.
type screenText struct {
	Class string `xml:"class,attr"`
	Line  string `xml:",chardata"`
}

// shape replaces the values of a line that differ from run to run.
func shape(line string) string {
	line = regexp.MustCompile(`"[A-Za-z0-9+/]{40,}=*"`).ReplaceAllString(line, `"base64"`)
	return regexp.MustCompile(`[0-9]+`).ReplaceAllString(line, "0")
}

// If the demo's output changes, record it again with resources/demo-svg.sh.
func TestTheRecordedDemoIsOneOfThisProgram(t *testing.T) {
	text, err := os.ReadFile("../resources/docs/demo.svg")
	require.NoError(t, err)
	var picture struct {
		Screen struct {
			Lines []screenText `xml:"g>text"`
		} `xml:"svg"`
	}
	require.NoError(t, xml.Unmarshal(text, &picture))
	lines := picture.Screen.Lines
	require.Greater(t, len(lines), 60)
	assert.True(t, strings.HasPrefix(lines[0].Line, "$ robustmq-connect demo --duration "), lines[0].Line)
	assert.Equal(t, "every message that was published is in Kafka, in order", lines[len(lines)-1].Line)

	recorded, stats := map[string]bool{}, 0
	for _, l := range lines[1:] {
		if l.Class == "stats" { // the run below is too short for one
			stats++
			assert.Equal(t, "0 s   in 0   out 0   0 records/s   latency p0 0.0 ms, p0 0.0 ms", strings.TrimSpace(shape(l.Line)))
			continue
		}
		recorded[shape(l.Line)] = true
	}
	assert.GreaterOrEqual(t, stats, 2)

	r := call(t, "", "demo", "--duration", "1s")
	require.Zero(t, r.Code, r.Stderr)
	printed := map[string]bool{}
	for line := range strings.Lines(r.Stdout) {
		if line = strings.TrimSuffix(line, "\n"); line != "" {
			printed[shape(line)] = true
		}
	}
	assert.Equal(t, printed, recorded, "record it again: resources/demo-svg.sh")
}
