package supervisor

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/internal/tail"
)

func nextMessage(t *testing.T, r *tail.Reader) tail.Message {
	t.Helper()
	select {
	case m, open := <-r.Messages:
		require.True(t, open, r.Ended())
		return m
	case <-time.After(patience):
		require.FailNow(t, "no message")
		return tail.Message{}
	}
}

func TestATailShowsTheMessagesOfItsConnectorUntilThatIsDeleted(t *testing.T) {
	r := newRig(t)
	_, err := r.Tail("c", 10)
	require.ErrorIs(t, err, connector.ErrNotFound)

	c := r.conn("c", "a/#", "t", "")
	r.create(c)
	r.create(r.conn("other", "b/#", "t", ""))
	r.ready("c")
	r.ready("other")
	_, figures, err := r.Detail("c")
	require.NoError(t, err)
	assert.Nil(t, figures.LastMessage, "nobody looks")

	reader, err := r.Tail("c", 10)
	require.NoError(t, err)
	defer reader.Close()
	r.publish("b/1", "of the other")
	r.publish("a/1", "21.5")
	m := nextMessage(t, reader)
	payload, _ := m.Payload.Text()
	assert.Equal(t, "21.5", payload)
	assert.Equal(t, "a/1", m.Topic)
	assert.Equal(t, 1, m.QoS)
	assert.Equal(t, "t", m.KafkaTopic)
	assert.Equal(t, "a/1", string(m.Key.Data))
	assert.Contains(t, string(m.Value.Data), `"topic":"a/1"`)
	assert.Equal(t, "sent", m.Outcome)
	assert.GreaterOrEqual(t, m.Partition, int32(0))
	assert.GreaterOrEqual(t, m.Offset, int64(0))
	assert.WithinDuration(t, time.Now(), m.Received, time.Minute)

	_, figures, err = r.Detail("c")
	require.NoError(t, err)
	require.NotNil(t, figures.LastMessage)
	assert.Equal(t, "21.5", *figures.LastMessage)
	_, figures, err = r.Detail("other")
	require.NoError(t, err)
	assert.Nil(t, figures.LastMessage)

	// It goes on with the next stream of the connector.
	_, err = r.Update(t.Context(), r.conn("c", "a/#", "t2", ""), connector.UpdateOptions{})
	require.NoError(t, err)
	r.ready("c")
	r.publish("a/2", "22")
	assert.Equal(t, "t2", nextMessage(t, reader).KafkaTopic)

	_, err = r.Delete(t.Context(), "c")
	require.NoError(t, err)
	_, open := <-reader.Messages
	assert.False(t, open)
	assert.Equal(t, "the connector was deleted", reader.Ended())
	r.create(c)
	again, err := r.Tail("c", 10)
	require.NoError(t, err, "another connector of the name")
	again.Close()
}
