//go:build unix

package admin

import (
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The shell's <(…) is a pipe, which can be read once.
func TestAPipeOfTheShellIsReadOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	require.NoError(t, syscall.Mkfifo(path, 0o600))
	go func() {
		pipe, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err == nil {
			_, _ = pipe.WriteString(token)
			_ = pipe.Close()
		}
	}()
	s := newServer(t, newMemory(), Options{TokenFile: path})
	s.guard.tokens.reloadIfChanged()
	s.guard.tokens.reloadIfChanged()
	s.Reload()
	assert.Empty(t, s.Warnings())
	assert.Equal(t, http.StatusOK, ask(s.Handler(), http.MethodGet, PathList, "", bearer("Bearer "+token)).Code)
}
