package mqtt

// progress returns how many messages of QoS 1 and 2 wait for the broker, a ping that is
// to be answered before any of them counted, and how many answers it has sent.
func (o *outbox) progress() (inFlight, answers int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.isolation.asked && !o.isolation.alive {
		return o.inFlight + 1, o.answers
	}
	return o.inFlight, o.answers
}

// answered returns how many answers the broker has sent, over all connections.
func (o *outbox) answered() int {
	_, answers := o.progress()
	return answers
}

// first returns the topic of the oldest message in flight, "" without one.
func (o *outbox) first() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, d := range o.transfers {
		for i := range d.messages {
			if m := &d.messages[i]; m.state == stageSent {
				return m.topic
			}
		}
	}
	return ""
}
