package supervisor

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

// A legal setting that weakens a promise is noted on create and update, as lint notes
// it for a file, and only once.
func TestCreateAndUpdateSayWhatADefinitionGivesUp(t *testing.T) {
	const (
		clean  = "config.clean_session: lets the broker drop messages that arrive while the pipeline is down; write clean_session: false"
		leader = `acks "1" needs idempotent_write: false: a retry may repeat or reorder records, and what one Kafka broker confirmed is lost with that broker; acks all avoids both`
		said   = "config.acks: lets messages be lost if the leader fails before its replicas have them; write acks: all"
	)
	r := newRig(t)
	for _, c := range []struct {
		more  string
		notes []string
	}{
		{"", nil},
		{`,"clean_session":true`, []string{clean}},
		{`,"clean_session":true,"qos":0`, nil},
		{`,"acks":"1"`, []string{leader}},
		{`,"acks":"1","idempotent_write":false`, []string{said}},
		{`,"acks":"1","clean_session":true`, []string{leader, clean}},
	} {
		how := connector.CreateOptions{Paused: true}
		result, err := r.Create(t.Context(), r.conn("c", "in/#", "out", c.more), how)
		require.NoError(t, err)
		assert.Equal(t, c.notes, result.Notes, c.more)
		assert.ElementsMatch(t, c.notes, r.update(r.conn("c", "in/#", "out", c.more), connector.UpdateOptions{}), c.more)
		_, err = r.Delete(t.Context(), "c")
		require.NoError(t, err)
	}
	for _, strategy := range []string{"block", "discard", "discard_after_retry", "dead_message_queue"} {
		c := r.conn("c", "in/#", "out", "")
		c.FailureStrategy = &connector.FailureStrategy{Strategy: strategy, RetryTotalTimes: 1, TopicName: "dead"}
		result, err := r.Create(t.Context(), c, connector.CreateOptions{Paused: true})
		require.NoError(t, err)
		assert.Empty(t, result.Notes, strategy)
		_, err = r.Delete(t.Context(), "c")
		require.NoError(t, err)
	}
}
