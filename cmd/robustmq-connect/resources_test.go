package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	ucli "github.com/urfave/cli/v2"
)

// systemd kills a service that has not stopped in time: the service ends at most five
// seconds after it has drained.
func TestTheUnitAllowsTheServiceToDrain(t *testing.T) {
	unit, err := os.ReadFile(filepath.Join("..", "..", "resources", "robustmq-connect.service"))
	require.NoError(t, err)
	found := regexp.MustCompile(`(?m)^TimeoutStopSec=([0-9]+)$`).FindSubmatch(unit)
	require.NotNil(t, found)
	seconds, err := strconv.Atoi(string(found[1]))
	require.NoError(t, err)
	for _, flag := range serveFlags() {
		if drain, ok := flag.(*ucli.DurationFlag); ok && drain.Name == "drain-timeout" {
			assert.Greater(t, time.Duration(seconds)*time.Second, drain.Value+5*time.Second)
			return
		}
	}
	require.Fail(t, "serve has no flag drain-timeout")
}
