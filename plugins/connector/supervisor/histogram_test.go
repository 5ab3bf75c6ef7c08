package supervisor

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestATimeIsWithinEachBoundThatIsNotBelowIt(t *testing.T) {
	require.Len(t, histogram{}, len(allBounds)+1)
	f := newFigures()
	for _, ms := range []float64{0, 1, 1.5, 2.5, 3, 4, 10000, 524288, 1e9} {
		f.get(metricSendDuration, 0, timerKind, nil, nil).Timing(int64(ms * 1e6))
	}
	got := f.timer(metricSendDuration)
	assert.EqualValues(t, 9, got.count)
	assert.Equal(t, time.Duration((1+1.5+2.5+3+4+10000+524288+1e9)*1e6), got.sum)
	assert.Equal(t, map[float64]uint64{
		0.001: 2, 0.0025: 4, 0.005: 6, 0.01: 6, 0.025: 6, 0.05: 6, 0.1: 6, 0.25: 6, 0.5: 6, 1: 6, 2.5: 6, 5: 6, 10: 7,
	}, got.cumulative(ourBounds, 1000))
	theirs := got.cumulative(robustMQBounds, 1)
	require.Len(t, theirs, 20)
	for bound, want := range map[float64]uint64{1: 2, 2: 3, 4: 6, 8: 6, 8192: 6, 16384: 7, 262144: 7, 524288: 8} {
		assert.Equal(t, want, theirs[bound], bound)
	}
}

// RobustMQ's dashboard queries names that RobustMQ does not export.
func TestTheMetricsOfRobustMQsDashboardAreExportedOnDemand(t *testing.T) {
	for _, dashboard := range []bool{false, true} {
		r := newRig(t, func(o *Options) { o.RobustMQDashboard = dashboard })
		r.create(r.conn("one", "a/#", "out", ""))
		answer := httptest.NewRecorder()
		r.Metrics().ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
		text := answer.Body.String()
		for _, line := range []string{
			`mqtt_connector_messages_sent_success{connector_name="one",connector_type="kafka",tenant="default"} 0`,
			`mqtt_connector_messages_sent_failure{connector_name="one",connector_type="kafka",tenant="default"} 0`,
			`mqtt_connector_offset_commit_failure_total{connector_name="one",connector_type="kafka",tenant="default"} 0`,
			`mqtt_connector_send_duration_ms_bucket{connector_name="one",connector_type="kafka",tenant="default",le="524288"} 0`,
			"mqtt_connector_messages_sent_success_agg 0",
			"mqtt_connector_messages_sent_failure_agg 0",
			`mqtt_connector_send_duration_ms_agg_bucket{le="2"} 0`,
		} {
			assert.Equal(t, dashboard, strings.Contains(text, line+"\n"), line)
		}
		// The documented names are exported in any case.
		assert.Contains(t, text, `mqtt_connector_messages_sent_success_total{connector_name="one",connector_type="kafka",tenant="default"} 0`+"\n")
	}
}
