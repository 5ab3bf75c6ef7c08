package kafkastore

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Kafka tells where the topic ends to those who may not read it.
func TestAReaderThatMayNotReadNamesTheRight(t *testing.T) {
	t.Parallel()
	r, s := opened(t)
	fault := r.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: "a-definitions", Err: kerr.TopicAuthorizationFailed, Count: -1})
	last := []error{nil}
	require.Eventually(t, func() bool {
		r.write(t, "/of_a_later_version", `{"format":2}`)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		last[0] = s.Sync(ctx)
		return last[0] != nil && strings.HasSuffix(last[0].Error(), `: give the user READ, WRITE and DESCRIBE on topic "a-definitions"`)
	}, time.Minute, 10*time.Millisecond, "%v", &last)
	require.ErrorIs(t, last[0], kerr.TopicAuthorizationFailed)
	fault.Remove()
	isSynced(t, s)
}

func TestTheTopicOfAMissingRightIsNamed(t *testing.T) {
	t.Parallel()
	for topic, advice := range map[string]string{
		"a-definitions": `: give the user READ, WRITE and DESCRIBE on topic "a-definitions"`,
		"a-assignment":  `: give the user DESCRIBE on topic "a-assignment"`,
	} {
		r := newRig(t)
		require.NoError(t, r.open(t).Close())
		r.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Topic: topic, Err: kerr.TopicAuthorizationFailed, Count: -1})
		s, err := Open(t.Context(), r.opts)
		if err == nil {
			_ = s.Close()
		}
		require.ErrorContains(t, err, advice)
		require.ErrorIs(t, err, kerr.TopicAuthorizationFailed)
	}
}
