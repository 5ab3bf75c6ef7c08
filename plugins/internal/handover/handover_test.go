package handover

import (
	"testing"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/stretchr/testify/require"
)

func TestABatchIsKnownByTheAddressesOfItsPayloads(t *testing.T) {
	batch := service.MessageBatch{service.NewMessage([]byte("a")), service.NewMessage(nil), service.NewMessage([]byte("b"))}
	require.True(t, Same(batch, batch))
	require.True(t, Same(batch, batch.Copy()), "the engine hands over copies of the messages")
	require.False(t, Same(batch, batch[:2]))
	other := service.MessageBatch{service.NewMessage([]byte("a")), service.NewMessage(nil), service.NewMessage([]byte("b"))}
	require.False(t, Same(batch, other), "equal payloads are not the same ones")
}
