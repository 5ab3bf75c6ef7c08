//go:build linux

package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	ucli "github.com/urfave/cli/v2"

	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/cli"
	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/control"
	"github.com/robustmq/robustmq-connect/tests/logtext"
)

func TestTheCommandsReachAServiceAtItsSocket(t *testing.T) {
	dir, err := os.MkdirTemp("", "sock") //nolint:usetesting // a socket's path must be short, and that of a test is not
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	at := "unix:" + filepath.Join(dir, "api.sock")
	list := func(server string) (string, error) {
		var out bytes.Buffer
		app := &ucli.App{
			Name: cli.BinaryName, Writer: &out, ErrWriter: &out, ExitErrHandler: func(*ucli.Context, error) {},
			Commands: []*ucli.Command{control.Command(documentLinter(service.GlobalEnvironment()))},
		}
		err := app.Run([]string{cli.BinaryName, "mqtt", "connector", "list", "--server", server, "--output", "json"})
		return out.String(), err
	}
	_, err = list(at)
	require.ErrorContains(t, err, "calling the admin API at "+at+": ")
	require.ErrorContains(t, err, "start the server with robustmq-connect serve")
	_, err = list("unix:")
	require.ErrorContains(t, err, `reading the server "unix:": want the path of a socket`)

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	stderr := &logtext.Text{}
	ended := make(chan error, 1)
	go func() {
		ended <- runServe(ctx, stderr, "--store", filepath.Join(dir, "store"), "--mqtt-url", "tcp://127.0.0.1:1", "--drain-timeout", "1s", "--listen", at, "--socket-mode", "0600")
	}()
	bases, err := healthAddresses("", at)
	require.NoError(t, err)
	for _, ready := range []bool{false, true} {
		require.Eventually(t, func() bool {
			base, err := checkHealth(t.Context(), bases, ready)
			return err == nil && base == at
		}, servePatience, 10*time.Millisecond, "%s", stderr)
	}
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	out, err := list(at)
	require.NoError(t, err)
	assert.Contains(t, out, `"total_count": 0`)
	stop()
	require.NoError(t, <-ended)
	_, err = checkHealth(t.Context(), bases, false)
	require.ErrorContains(t, err, "nobody listens there")
}
