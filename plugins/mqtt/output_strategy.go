package mqtt

import (
	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/robustmq/robustmq-connect/plugins/kafka"
)

// ParseStrategy reads the value of the output's field failure_strategy: a word, or an
// object as in RobustMQ. Use the strategy only if there are no problems.
func ParseStrategy(value any) (kafka.Strategy, []kafka.StrategyProblem) {
	return kafka.ParseStrategyOf(value, checkPublishTopic)
}

func strategyField() *service.ConfigField {
	return service.NewAnyField(fieldFailureStrategy).
		Description(`What happens to a message that the broker refuses: one that is too large, has an illegal topic or property, has a QoS or a retain flag that the broker does not support, gets a reason code of MQTT 5 such as "not authorized", makes the broker end the connection, or carries an error. It is a word, or an object as in RobustMQ, with the fields of the examples:

- `+"`block`"+`: the batch is held, and every later one behind it, until the cause is corrected. Meanwhile the output is not ready and reports the cause. It continues by itself. The other messages of the batch are published once.
- `+"`discard`"+`: the message is dropped, counted and logged.
- `+"`discard_after_retry`"+`: the message is published again up to `+"`retry_total_times`"+` times (1 or more, 3 by default), `+"`wait_time_ms`"+` (1000 by default) apart, and then dropped.
- `+"`dead_message_queue`"+`: the message is published again as often, and then to the topic `+"`topic_name`"+` (dead_letter_queue by default) of the same broker, with the same payload and properties, and under MQTT 5 with Kafka Connect's error headers as user properties. With `+"`bootstrap_servers`"+` the topic is one of that Kafka, reached with `+"`dead_letter_kafka`"+`: the error headers are those of the record, beside the metadata of MQTT as `+"`robustmq_kafka`"+` with `+"`format: raw`"+` writes it and the key, and the topic, the partition and the offset that the message came from. If the dead letter cannot be written, the batch is held as with block.

Every strategy acts on the refused message alone. The others are published in their order; a message that is published again may come behind them. A message that cannot be published as it is is not tried again. 

A broker may also end the connection when it gets a message that it does not take, which is all that one of MQTT 3.1.1 can do. When connections end again and again with the same messages in flight, the output publishes them one at a time, each after the broker has answered a ping. The message at which the connection ends then, three times or once with a reason code of MQTT 5 about the message, counts as refused. A broker that is away in between is not taken for one that refuses.

Without a strategy the refused messages are rejected, and their input decides, as with the stock output.`).
		Examples(
			kafka.StrategyBlock,
			kafka.StrategyDiscard,
			map[string]any{"strategy": kafka.StrategyDiscardAfterRetry, "retry_total_times": 3, "wait_time_ms": 1000},
			map[string]any{"strategy": kafka.StrategyDeadMessageQueue, "topic_name": "dead_letter_queue", "retry_total_times": 3, "wait_time_ms": 1000},
		).
		Optional()
}
