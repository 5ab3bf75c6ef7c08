package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func secretFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func TestASecretIsOneLineOfAFile(t *testing.T) {
	for want, text := range map[string]string{
		"it is empty":                    "\n",
		"it holds more than one line":    "a\nb\n",
		"over 64 KiB long: it is not a ": strings.Repeat("x", MaxSecretFile+1),
	} {
		_, err := ReadSecretFile(secretFile(t, text))
		require.ErrorContains(t, err, want)
	}
	secret, err := ReadSecretFile(secretFile(t, " with spaces \r\n"))
	require.NoError(t, err)
	assert.Equal(t, " with spaces ", secret)
	_, err = ReadSecretFile(t.TempDir())
	require.EqualError(t, err, "is a directory")
}
