package tests

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/embedded"
	"github.com/robustmq/robustmq-connect/tests/program"
)

// freezer forwards connections until it is frozen: then they stay open, and nothing
// passes.
type freezer struct {
	address string
	frozen  atomic.Bool
}

// newFreezer forwards to an address. Without an address, it never answers.
func newFreezer(t *testing.T, to string) *freezer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	f := &freezer{address: listener.Addr().String()}
	go func() {
		for {
			from, err := listener.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = from.Close() })
			if to == "" {
				continue
			}
			other, err := net.Dial("tcp", to)
			if err != nil {
				continue
			}
			t.Cleanup(func() { _ = other.Close() })
			go f.forward(other, from)
			go f.forward(from, other)
		}
	}()
	return f
}

func (f *freezer) forward(to io.Writer, from io.Reader) {
	buf := make([]byte, 4096)
	for {
		n, err := from.Read(buf)
		if err != nil || f.frozen.Load() {
			return
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

func createConnector(t *testing.T, p *program.Process, name, config string) {
	t.Helper()
	code, answer := post(t, p, "create", fmt.Sprintf(`{"connector_name":%q,"connector_type":"kafka","config":%s,`+
		`"failure_strategy":{"strategy":"block"},"tenant":"default","topic_name":"in/#"}`, name, config))
	require.Equal(t, http.StatusOK, code, answer)
	require.Contains(t, answer, `"code":0`)
}

func post(t *testing.T, p *program.Process, route, body string) (int, string) {
	t.Helper()
	answer, err := http.Post("http://"+p.HTTP+"/api/cluster/connector/"+route, "application/json", strings.NewReader(body))
	require.NoError(t, err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	return answer.StatusCode, string(text)
}

// Kafka is frozen with a batch in flight, another Kafka and a broker accept connections
// and never answer, a delete drains and a check waits.
func TestSIGTERMEndsTheServiceInTimeWhateverIsInFlight(t *testing.T) {
	broker, err := embedded.StartBroker("127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(broker.Close)
	kafka, err := embedded.StartKafka("127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(kafka.Close)
	mqtt, silent := newFreezer(t, strings.TrimPrefix(broker.URL(), "tcp://")), newFreezer(t, "")

	const drain = 2 * time.Second
	address := program.FreeAddress(t)
	p := program.Start(t, address, "serve", "--store", t.TempDir(), "--listen", address,
		"--mqtt-url", "tcp://"+mqtt.address, "--drain-timeout", drain.String())
	p.WaitReady()
	config := func(kafka, more string) string {
		return fmt.Sprintf(`{"bootstrap_servers":%q,"topic":"out"%s}`, kafka, more)
	}
	createConnector(t, p, "carries", config(kafka.Addr(), ""))
	createConnector(t, p, "silent kafka", config(silent.address, ""))
	createConnector(t, p, "silent broker", config(kafka.Addr(), fmt.Sprintf(`,"urls":["tcp://%s"]`, silent.address)))
	createConnector(t, p, "deleted", config(silent.address, ""))
	ready := func(name string) {
		require.Eventually(t, func() bool { code, _ := p.Get("/ready/" + name); return code == http.StatusOK },
			30*time.Second, 10*time.Millisecond, p.Output())
	}
	ready("carries")
	client := paho.NewClient(paho.NewClientOptions().AddBroker(broker.URL()).SetClientID("publisher"))
	require.True(t, client.Connect().WaitTimeout(exampleTimeout))
	defer client.Disconnect(50)
	inFlight := func(name string) int {
		var answer struct {
			Data struct {
				InFlight int `json:"in_flight"`
			}
		}
		_, text := p.Get("/api/cluster/connector/detail?tenant=default&connector_name=" + strings.ReplaceAll(name, " ", "%20"))
		require.NoError(t, json.Unmarshal([]byte(text), &answer), text)
		return answer.Data.InFlight
	}
	require.Eventually(t, func() bool {
		client.Publish("in/a", 1, false, "x")
		return inFlight("silent kafka") > 0 && inFlight("deleted") > 0
	}, exampleTimeout, 50*time.Millisecond)
	mqtt.frozen.Store(true)

	// Two requests are in progress.
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ended := make(chan struct{}, 2)
	for route, body := range map[string]string{
		"delete": `{"tenant":"default","connector_name":"deleted"}`,
		"check":  `{"connector_name":"x","connector_type":"kafka","config":` + config(silent.address, "") + `,"failure_strategy":{"strategy":"block"},"tenant":"default","topic_name":"in/#"}`,
	} {
		go func() {
			defer func() { ended <- struct{}{} }()
			request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+p.HTTP+"/api/cluster/connector/"+route, strings.NewReader(body))
			if err != nil {
				return
			}
			if answer, err := http.DefaultClient.Do(request); err == nil {
				_ = answer.Body.Close()
			}
		}()
	}
	require.Eventually(t, func() bool {
		_, text := p.Get("/api/cluster/connector/list?connector_name=deleted")
		return strings.Contains(text, "it is being started or stopped") || strings.Contains(text, `"total_count":0`) || strings.Contains(text, "waits_for")
	}, exampleTimeout, time.Millisecond)

	_, took := p.Stop()
	// The last wait of the service ends 4 s after the drain; the rest is for a loaded machine.
	assert.Less(t, took, drain+15*time.Second, p.Output())
	<-ended
	<-ended
}
