package supervisor

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

// A payload over the service's limit is handled like a record that Kafka refuses.
func TestOversizedPayloadIsHandledByTheFailureStrategy(t *testing.T) {
	r := newRig(t, func(o *Options) { o.MQTT = append(o.MQTT, setting("max_payload_bytes", "100KiB")) })
	send := func(name string) {
		r.ready(name)
		r.publish(name+"/x", "before", strings.Repeat("x", 200<<10), "after")
	}
	create := func(name, strategy string) {
		r.create(r.parse(name, name+"/#", `{"bootstrap_servers":"`+r.kafka.Addr()+`","topic":"`+name+`","format":"raw"}`, strategy))
		send(name)
	}
	values := func(topic string, n int) (all []string) {
		for _, record := range r.records(topic, n) {
			all = append(all, string(record.Value))
		}
		return all
	}

	create("dropping", `{"strategy":"discard"}`)
	require.Equal(t, []string{"before", "after"}, values("dropping", 2))

	create("deadLettering", `{"strategy":"dead_message_queue","topic_name":"letters","retry_total_times":1,"wait_time_ms":0}`)
	require.Equal(t, []string{"before", "after"}, values("deadLettering", 2))
	letter := r.records("letters", 1)[0]
	require.Empty(t, letter.Value)
	var headers []string
	for _, h := range letter.Headers {
		headers = append(headers, h.Key+"="+string(h.Value))
	}
	require.Contains(t, strings.Join(headers, "\n"),
		`a message of topic "deadLettering/x" has a payload of 204800 bytes, which was not kept: raise max_payload_bytes, which is 102400`)

	create("blocking", `{"strategy":"block"}`)
	r.until("blocking", func(s connector.Status) bool {
		return s.State != connector.Running && strings.Contains(s.Reason, `a message of topic "blocking/x" has a payload of 204800 bytes`)
	})
	// The embedded broker redelivers in random order, so later messages may pass before
	// the input gets the payload again.
	written := values("blocking", 1)
	require.Equal(t, "before", written[0])
	require.Subset(t, []string{"before", "after"}, written)
}
