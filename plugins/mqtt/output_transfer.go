package mqtt

import "github.com/redpanda-data/benthos/v4/public/service"

// transfer is one batch on its way to the broker.
type transfer struct {
	batch    service.MessageBatch
	messages []outgoing
	awaited  bool // a call of WriteBatch has it; the output guards it
	tries    int  // how often its refused messages were sent again; WriteBatch owns it
	held     bool // WriteBatch has given it back with a refusal; WriteBatch owns it
	counted  bool // its refused messages are; WriteBatch owns it

	// lettersLost is how many connections have ended with its dead letter in flight;
	// WriteBatch owns it.
	lettersLost int

	// The outbox guards the rest.
	left    int // messages without a result
	refused int
	done    chan struct{} // closed when no message is left
}

// newTransfer returns the transfer of messages, some of which may be refused already.
func newTransfer(batch service.MessageBatch, messages []outgoing) *transfer {
	d := &transfer{batch: batch, messages: messages, done: make(chan struct{})}
	for i := range messages {
		m := &messages[i]
		m.transfer = d
		if m.err != nil {
			m.state = stageFinished
			d.refused++
		} else {
			d.left++
		}
	}
	if d.left == 0 {
		close(d.done)
	}
	return d
}

// finish records the result of one message: err is why it is refused, or nil.
func (d *transfer) finish(err error) {
	if err != nil {
		d.refused++
	}
	if d.left--; d.left == 0 {
		close(d.done)
	}
}
