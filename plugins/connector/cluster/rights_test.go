package cluster

import (
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/robustmq/robustmq-connect/tests/logtext"
)

// Such a worker gets no connectors, and would wait for ever without a reason.
func TestAWorkerThatMayNotReadTheGroupNamesTheRight(t *testing.T) {
	t.Parallel()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(Partitions, topic))
	require.NoError(t, err)
	t.Cleanup(c.Close)
	c.ControlKey(int16(kmsg.JoinGroup), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		resp := req.ResponseKind().(*kmsg.JoinGroupResponse)
		resp.ErrorCode = kerr.GroupAuthorizationFailed.Code
		return resp, nil, true
	})
	logs := &logtext.Text{}
	m, err := Join(t.Context(), Options{
		Client: []kgo.Opt{kgo.SeedBrokers(c.ListenAddrs()...)}, Group: "workers", Topic: topic, Advertise: "http://a:58080",
		SessionTimeout: session, Logger: slog.New(slog.NewTextHandler(logs, nil)),
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = m.Leave() })
	const advice = `GROUP_AUTHORIZATION_FAILED: Not authorized to access group: Group authorization failed.: give the user READ on the group "workers"`
	require.Eventually(t, func() bool { return m.Standing().Unconfirmed }, patience, 10*time.Millisecond)
	require.EqualError(t, m.Confirm(t.Context(), 0), "this worker may not be a member: "+advice)
	_, err = m.Workers(t.Context())
	require.EqualError(t, err, `looking up the workers of "workers": `+advice+": try again soon")
	assert.Contains(t, logs.String(), "Kafka refuses this worker as a member: it gets no connectors, and those that run do not reconnect")
}
