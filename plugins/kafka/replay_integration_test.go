//go:build integration

package kafka

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// realLetters writes dead letters of the connector a into a new topic of Apache Kafka.
// It returns what reads them, and the topic that they were meant for.
func realLetters(t *testing.T, n int) (letters func() *Letters, brokers []string, target string) {
	t.Helper()
	brokers, dead, _ := realTopic(t, "100000")
	admin := realAdmin(t, brokers)
	target = dead + "-main"
	_, err := admin.CreateTopic(t.Context(), 3, 1, realSettings("2000"), target)
	require.NoError(t, err)
	t.Cleanup(func() { _, _ = admin.DeleteTopics(context.Background(), target, memoryTopic(dead)) })
	lines := []string{"topic: " + target, "key: ${! @key }", deadOptions(StrategyDeadMessageQueue, dead)}
	conf := parsed(t, brokers, lines...)
	writeLettersTo(t, brokers, dead, "a", 0, n, func(r *kgo.Record) { r.Topic = target })
	return func() *Letters {
		own := *conf
		return &Letters{conf: &own, source: "a"}
	}, brokers, target
}

// Four workers that know nothing of each other replay the same letters.
func TestRealKafkaReplaysEachLetterOnce(t *testing.T) {
	const n = 1000
	letters, brokers, target := realLetters(t, n)
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			for range 3 {
				if _, err := letters().Replay(t.Context(), Replay{}); err != nil {
					assert.ErrorAs(t, err, new(*LetterError))
				}
			}
		})
	}
	workers.Wait()
	began := time.Now()
	result, err := letters().Replay(t.Context(), Replay{})
	require.NoError(t, err)
	assert.Equal(t, n, result.Replayed+result.Already)
	t.Logf("the last of them took %s", time.Since(began))
	assert.ElementsMatch(t, numbers(0, n), writtenValues(t, brokers, target))
	page, err := letters().List(t.Context(), LetterQuery{})
	require.NoError(t, err)
	require.Len(t, page.Letters, 20)
	for _, l := range page.Letters {
		assert.False(t, l.Replayed.IsZero())
	}
}

func TestRealKafkaReplayThatIsCutOffGoesOn(t *testing.T) {
	for _, after := range []bool{false, true} {
		t.Run(fmt.Sprintf("after the commit %v", after), func(t *testing.T) {
			const n = 350
			letters, brokers, target := realLetters(t, n)
			cable := &severed{after: after}
			cable.left.Store(2)
			dying := letters()
			dying.conf.network = cable.dial
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			cable.end = cancel
			cut, err := dying.Replay(ctx, Replay{})
			require.Error(t, err)
			began := time.Now()
			result, err := letters().Replay(t.Context(), Replay{})
			require.NoError(t, err)
			t.Logf("replaying %d after %d took %s", result.Replayed, cut.Replayed, time.Since(began))
			assert.Equal(t, n, result.Replayed+result.Already)
			assert.ElementsMatch(t, numbers(0, n), writtenValues(t, brokers, target))
		})
	}
}
