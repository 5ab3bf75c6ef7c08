package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	ucli "github.com/urfave/cli/v2"

	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/cli"
)

func TestTheMQTTSettingsOfAServiceAreReadAgainFromItsFiles(t *testing.T) {
	password := writeFile(t, t.TempDir(), "password", "first-one\n")
	with := func(look func(*ucli.Context), args ...string) {
		t.Helper()
		app := &ucli.App{Commands: []*ucli.Command{{Name: "serve", Flags: serveFlags(), Action: func(c *ucli.Context) error {
			look(c)
			return nil
		}}}}
		require.NoError(t, app.Run(append([]string{cli.BinaryName, "serve"}, args...)))
	}
	with(func(c *ucli.Context) {
		read := readMQTTAgain(c)
		require.NotNil(t, read)
		settings, err := read()
		require.NoError(t, err)
		assert.Equal(t, "first-one", settings.Text("password"))
		require.NoError(t, os.WriteFile(password, []byte("second-one\n"), 0o600))
		settings, err = read()
		require.NoError(t, err)
		assert.Equal(t, "second-one", settings.Text("password"))
		require.NoError(t, os.WriteFile(password, nil, 0o600))
		_, err = read()
		require.ErrorContains(t, err, "mqtt-password-file: reading "+password+": it is empty")
	}, "--mqtt-password-file", password)
	for _, args := range [][]string{{}, {"--mqtt-password", "x"}, {"--mqtt-password-file", os.DevNull}, {"--mqtt-tls-ca-file", "-"}, {"--mqtt-tls-ca-file", filepath.Join(t.TempDir(), "none")}} {
		with(func(c *ucli.Context) { assert.Nil(t, readMQTTAgain(c), "%v", args) }, args...)
	}
}
