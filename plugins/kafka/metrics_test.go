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

	"github.com/redpanda-data/benthos/v4/public/service"

	_ "github.com/redpanda-data/connect/v4/public/components/prometheus" // to read the metrics
)

func TestRefusedRecordsAreCounted(t *testing.T) {
	c := cluster(t, 1)
	setLimit(t, c, "t", "1000")
	env := service.GlobalEnvironment().Clone()
	require.NoError(t, Register(env))
	builder := env.NewStreamBuilder()
	mux := http.NewServeMux()
	builder.SetHTTPMux(mux)
	require.NoError(t, builder.SetMetricsYAML("prometheus: {}"))
	require.NoError(t, builder.SetLoggerYAML("level: none"))
	require.NoError(t, builder.AddInputYAML(`generate: { count: 1, mapping: 'root = "x".repeat(3000)' }`))
	require.NoError(t, builder.AddOutputYAML(fmt.Sprintf(
		`kafka_franz: { seed_brokers: [ %q ], topic: t, failure_strategy: block, compression: none }`, c.ListenAddrs()[0])))
	stream, err := builder.Build()
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- stream.Run(context.Background()) }()

	requireMetric := func(want string) {
		t.Helper()
		require.Eventually(t, func() bool {
			recorder := httptest.NewRecorder()
			mux.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/metrics", nil))
			return strings.Contains(recorder.Body.String(), want)
		}, 10*time.Second, 5*time.Millisecond, "%s", want)
	}
	requireMetric(`kafka_output_records_failed{class="record",error="MESSAGE_TOO_LARGE",label="",path="root.output",topic="t"} 1`)
	requireMetric(`kafka_output_blocked{label="",path="root.output"} 1`)
	setLimit(t, c, "t", "10000")
	requireMetric(`kafka_output_blocked{label="",path="root.output"} 0`)
	require.NoError(t, <-ended)
}
