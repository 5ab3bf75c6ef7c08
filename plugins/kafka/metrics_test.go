package kafka

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/redpanda-data/benthos/v4/public/service"

	_ "github.com/redpanda-data/connect/v4/public/components/prometheus" // to read the metrics
)

// metered is a stream that writes 20 messages in one batch, of which number 10 is too
// large. Its metrics can be read.
type metered struct {
	mux   *http.ServeMux
	ended chan error
}

func startMetered(t *testing.T, c *kfake.Cluster, strategy string) *metered {
	t.Helper()
	setLimit(t, c, "t", "1000")
	env := service.GlobalEnvironment().Clone()
	require.NoError(t, Register(env))
	builder := env.NewStreamBuilder()
	m := &metered{mux: http.NewServeMux(), ended: make(chan error, 1)}
	builder.SetHTTPMux(m.mux)
	require.NoError(t, builder.SetMetricsYAML("prometheus: {}"))
	require.NoError(t, builder.SetLoggerYAML("level: none"))
	// The input's count keeps the stream alive until the metrics are read.
	require.NoError(t, builder.AddInputYAML(
		`generate: { count: 21, batch_size: 20, interval: 1s, mapping: 'root = if counter() == 10 { "x".repeat(3000) } else { "x" }' }`))
	require.NoError(t, builder.AddOutputYAML(fmt.Sprintf(
		`kafka_franz: { seed_brokers: [ %q ], topic: t, compression: none, %s }`, c.ListenAddrs()[0], strategy)))
	stream, err := builder.Build()
	require.NoError(t, err)
	go func() { m.ended <- stream.Run(context.Background()) }()
	return m
}

func (m *metered) require(t *testing.T, name, labels, value string) {
	t.Helper()
	want := fmt.Sprintf("kafka_output_%s{%s} %s", name, labels, value)
	require.Eventually(t, func() bool {
		recorder := httptest.NewRecorder()
		m.mux.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		return strings.Contains(recorder.Body.String(), want)
	}, patience, 5*time.Millisecond, "%s", want)
}

func TestRefusedRecordsAreCounted(t *testing.T) {
	const own = `label="",path="root.output"`
	tooLarge := `class="record",error="MESSAGE_TOO_LARGE",` + own + `,topic="t"`
	t.Run("block", func(t *testing.T) {
		c := cluster(t, 1)
		m := startMetered(t, c, "failure_strategy: block")
		m.require(t, "records_failed", tooLarge, "1")
		m.require(t, "blocked", own, "1")
		setLimit(t, c, "t", "10000")
		m.require(t, "blocked", own, "0")
		m.require(t, "records_sent", own, "20")
		require.NoError(t, <-m.ended)
	})
	t.Run("discard", func(t *testing.T) {
		m := startMetered(t, cluster(t, 1), discard)
		m.require(t, "records_failed", tooLarge, "1")
		m.require(t, "records_discarded", own+`,strategy="discard"`, "1")
		m.require(t, "records_sent", own, "19")
		m.require(t, "send_duration_count", own, "1")
		require.NoError(t, <-m.ended)
	})
	t.Run("discard_after_retry", func(t *testing.T) {
		m := startMetered(t, cluster(t, 1), retry)
		m.require(t, "records_retried", own, "2")
		m.require(t, "records_discarded", own+`,strategy="discard_after_retry"`, "1")
		m.require(t, "records_failed", tooLarge, "1")
		require.NoError(t, <-m.ended)
	})
	t.Run("dead_message_queue", func(t *testing.T) {
		m := startMetered(t, cluster(t, 1, kfake.SeedTopics(1, "dead")), deadLetter)
		m.require(t, "records_retried", own, "1")
		m.require(t, "records_dead_lettered", own, "1")
		m.require(t, "records_sent", own, "19")
		require.NoError(t, <-m.ended)
	})
}
