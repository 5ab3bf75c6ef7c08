//go:build integration

package console

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
	"github.com/robustmq/robustmq-connect/tests/program"
)

// detail reads how a connector stands.
func (w *world) detail(name string) admin.Detail {
	w.t.Helper()
	query := url.Values{"tenant": {"default"}, "connector_name": {name}}
	r, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, w.root+admin.PathDetail+"?"+query.Encode(), nil)
	require.NoError(w.t, err)
	r.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(r)
	require.NoError(w.t, err)
	defer resp.Body.Close()
	var answer admin.Answer[json.RawMessage]
	require.NoError(w.t, json.NewDecoder(resp.Body).Decode(&answer))
	var d admin.Detail
	_ = json.Unmarshal(answer.Data, &d) // an error has none
	return d
}

// The page gave a connector up when the worker that runs it was gone for a moment.
func TestTheTailOfAConnectorOnAnotherWorkerGoesOnWhenThatEnds(t *testing.T) {
	files := t.TempDir()
	shared, own := filepath.Join(files, "shared"), filepath.Join(files, "own")
	require.NoError(t, os.WriteFile(shared, []byte(strings.Repeat("t", 32)), 0o600))
	require.NoError(t, os.WriteFile(own, []byte(token), 0o600))
	w := newWorld(t, "--store=kafka://KAFKA/console", "--advertise=http://API", "--cluster-token-file="+shared)
	address := program.FreeAddress(t)
	other := program.Start(t, address, "serve", "--mqtt-url", w.broker.URL(), "--listen", address, "--api-token-file", own,
		"--store=kafka://"+w.kafka.Addr()+"/console", "--advertise=http://"+address, "--cluster-token-file="+shared)
	other.WaitReady()
	b := newBrowser(t, w.root)
	w.login(b)
	b.open("/console/workers")
	b.sees("table", "32 of 64")

	// Names until one has its first member there, and others here.
	w.topic("out", "1000000")
	config := fmt.Sprintf(`{"bootstrap_servers":%q,"topic":"out","parallelism":3}`, w.kafka.Addr())
	name := ""
	for i := 0; name == ""; i++ {
		require.Less(t, i, 30)
		one := fmt.Sprintf("c%d", i)
		done := w.call("create", "-n", one, "-c", config, "-p", one+"/#")
		require.Equal(t, 0, done.Code, done.Stderr)
		var d admin.Detail
		require.Eventually(t, func() bool { d = w.detail(one); return d.State == "Running" }, patience, 200*time.Millisecond)
		for _, m := range d.Members {
			if d.Worker == "http://"+address && m.Worker == w.root {
				name = one
			}
		}
	}
	w.stream(name+"/a", 200*time.Millisecond)
	b.open("/console/connector?name=" + name + "&tab=live")
	b.sees("#tail", name+"/a")
	b.sees(".stands", "Workers: http://"+address+", "+w.root)
	b.accessibleToAll("tail")

	other.Kill()
	b.sees("#tailed", "It is tried again.")
	b.sees(".stands", "Worker: "+w.root)
	b.sees("#tailed", " shown")
	require.NoError(t, b.eval(`document.getElementById("tail").replaceChildren(), 0`, new(int)))
	b.sees("#tail", name+"/a")
	b.accessibleToAll("tail-after")
}
