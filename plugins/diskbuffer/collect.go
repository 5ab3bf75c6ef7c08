package diskbuffer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/robustmq/robustmq-connect/plugins/envelope"
	"github.com/robustmq/robustmq-connect/plugins/internal/disklog"
)

// collect moves messages from the inner input to the buffer until the context ends, or
// the input does.
func (i *input) collect(ctx context.Context) {
	var b disklog.Batch
	for {
		batch, ack, err := i.inner.ReadBatch(ctx)
		if err != nil {
			if ctx.Err() == nil {
				i.end(err)
			}
			return
		}
		// The inner input waits for every answer before it ends.
		answer := func(err error) {
			if err := ack(context.Background(), err); err != nil {
				i.log.Warnf("Acknowledging messages that are in the disk buffer: %s; they may come again", err)
			}
		}
		if err := encodeBatch(&b, batch); err != nil {
			// No retry makes it fit: the inner input decides, as if the pipeline had
			// rejected it.
			i.log.Errorf("Messages cannot be kept in the disk buffer: %s", err)
			answer(err)
			continue
		}
		if err := i.buffer.Append(ctx, &b, answer); err != nil {
			answer(err)
			if errors.Is(err, disklog.ErrClosed) || ctx.Err() != nil {
				return
			}
		}
	}
}

// end records that the inner input has no more messages.
func (i *input) end(err error) {
	if !errors.Is(err, service.ErrEndOfInput) {
		i.log.Errorf("Reading the input of the disk buffer: %s; nothing more is read from it", err)
	}
	i.mu.Lock()
	i.ended = true
	i.mu.Unlock()
	select {
	case i.state <- struct{}{}:
	default:
	}
}

// maxRecord is the largest message, with its metadata, in bytes. MQTT's largest is 256 MiB.
const maxRecord = 1 << 30

// encodeBatch makes records of messages.
func encodeBatch(b *disklog.Batch, batch service.MessageBatch) (err error) {
	b.Reset()
	now := time.Now().UnixMilli()
	for _, msg := range batch {
		received := now
		if value, ok := msg.MetaGetMut(envelope.MetaTimestampMS); ok {
			if ms, ok := value.(int64); ok {
				received = ms
			}
		}
		b.Add(received, func(to []byte) []byte {
			var failed error
			before := len(to)
			if to, failed = encode(to, msg); failed != nil {
				err = failed
			}
			if size := len(to) - before; size > maxRecord {
				err = fmt.Errorf("a message has %d bytes; the buffer holds at most %d", size, maxRecord)
			}
			return to
		})
	}
	return err
}
