package main

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFlagsOfWorkersThatContradictOthersAreRefused(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	token := file("token", "0123456789abcdef0123456789abcdef\n")
	const kafka, advertise = "--store=kafka://127.0.0.1:1/p", "--advertise=http://127.0.0.1:58080"
	for _, tc := range []struct {
		flags []string
		says  string
	}{
		{[]string{"--store=" + dir, "--cluster-token-file=" + token}, "cluster-token-file: it is for workers that share connectors: give --advertise too"},
		{[]string{"--store=" + dir, "--cluster-tls-ca-file=" + token}, "cluster-tls-ca-file: it is for workers that share connectors: give --advertise too"},
		{[]string{"--store=" + dir, advertise, "--cluster-token-file=" + token}, "advertise: workers share a store in Kafka"},
		{[]string{kafka, advertise}, "cluster-token-file: workers need a token that they share"},
		{[]string{kafka, advertise, "--cluster-token-file=" + token, "--listen=unix:" + dir + "/s"}, "advertise: other workers cannot reach a Unix socket"},
		{[]string{kafka, "--advertise=https://127.0.0.1:1", "--cluster-token-file=" + token}, "must begin with https:// if --tls-cert-file is given, and with http:// if not"},
		{[]string{kafka, advertise, "--cluster-token-file=" + file("none", "")}, "it is empty"},
		{[]string{kafka, advertise, "--cluster-token-file=" + file("short", "abc")}, "cluster-token-file: the token is shorter than 32 characters"},
		{[]string{kafka, advertise, "--cluster-token-file=" + token, "--cluster-tls-ca-file=" + token}, "has no certificate in PEM"},
		{[]string{kafka, "--advertise=http://127.0.0.1:58080/path", "--cluster-token-file=" + token}, `is not the URL of an API`},
	} {
		require.ErrorContains(t, runServe(t.Context(), io.Discard, tc.flags...), tc.says)
	}
}
