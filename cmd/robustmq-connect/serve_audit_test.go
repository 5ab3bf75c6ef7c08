package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// logrotate moves the file away and sends SIGHUP, which ends a process that does not
// expect it.
func TestServeReadsItsFilesAgainAtSIGHUP(t *testing.T) {
	dir := t.TempDir()
	path, moved := filepath.Join(dir, "audit.log"), filepath.Join(dir, "audit.log.1")
	s := startServe(t, "--store", filepath.Join(dir, "store"), "--mqtt-url", "tcp://127.0.0.1:1", "--drain-timeout", "1s", "--audit-log", path)
	s2 := startServe(t, "--store", filepath.Join(dir, "store2"), "--mqtt-url", "tcp://127.0.0.1:1", "--drain-timeout", "1s", "--api-tokens-file", writeFile(t, dir, "tokens.yaml", "[]"))
	remove := func(name string) {
		s.do("POST", "/api/cluster/connector/delete", `{"tenant":"default","connector_name":"`+name+`"}`)
	}
	remove("a")
	require.NoError(t, os.Rename(path, moved))
	require.NoError(t, syscall.Kill(os.Getpid(), syscall.SIGHUP))
	require.Eventually(t, func() bool {
		_, err := os.Stat(path)
		return err == nil
	}, servePatience, 10*time.Millisecond)
	remove("b")
	require.Eventually(t, func() bool {
		return strings.Contains(s2.stderr.String(), "The list of tokens was read again")
	}, servePatience, 10*time.Millisecond, "%s", s2.stderr)
	s.end()
	s2.end()
	for file, name := range map[string]string{moved: "a", path: "b"} {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		assert.Equal(t, 1, strings.Count(string(text), "\n"), "%s", text)
		assert.Contains(t, string(text), `"actor":"anonymous"`)
		assert.Contains(t, string(text), `"method":"POST","route":"/api/cluster/connector/delete","connector":"`+name+`","status":200,"code":100,"error":"Connector `+name+` does not exist."`)
	}
}
