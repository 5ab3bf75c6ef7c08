package lint

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/robustmq/robustmq-connect/plugins/kafka"
)

// The rules of this file report the same as the constructor of plugins/kafka.

func (f fields) kafkaConnection(saslWords []string) {
	f.listRule("seed_brokers", checkSeedBrokers)
	if servers, ok := f.conf["seed_brokers"].([]any); ok && len(servers) == 0 {
		f.report("seed_brokers", checkServers(""))
	}
	if batching, ok := f.inner("batching", f.conf["batching"]); ok {
		batching.textRule("period", func(s string) string {
			if s == "" {
				return ""
			}
			return checkDuration(s, true)
		})
	}
	f.durationRange("request_timeout_overhead", 100*time.Millisecond, 15*time.Minute)
	f.durationRange("conn_idle_timeout", 100*time.Millisecond, 15*time.Minute)
	f.tls()
	f.sasl(saslWords)
}

func checkKafkaInput(f fields) {
	f.kafkaConnection(stockMechanisms)
	f.durationRules(true, "metadata_max_age")
	if f.boolean("regexp_topics") || len(f.list("regexp_topics_include")) > 0 {
		return
	}
	// An item may be a list, and have partitions and offsets after a colon.
	f.listRule("topics", func(item string) string {
		for _, topic := range splitServers(item) {
			name, _, _ := strings.Cut(topic, ":")
			if what := checkKafkaTopic(name); what != "" {
				return what
			}
		}
		return ""
	})
}

func checkKafkaOutput(f fields) {
	f.constraints(kafka.Constraints)
	f.kafkaConnection(mechanisms)
	f.kafkaTopicRule()
	f.failureStrategy()
	f.durationRange("metadata_max_age", time.Second, time.Hour)
	f.durationRange("linger", 0, time.Minute)
	f.durationRange("timeout", 100*time.Millisecond, math.MaxInt32*time.Millisecond)
	f.scalarRule("record_delivery_timeout", func(s string) string {
		d, err := time.ParseDuration(s)
		if err == nil && d != 0 && d < time.Second {
			return fmt.Sprintf("%s is out of range; must be 0s for no limit, or at least 1s", d)
		}
		return checkDuration(s, true)
	})
	f.sizeRule("max_message_bytes", 512, 1<<30)
	f.sizeRule("broker_write_max_bytes", 1<<10, 1<<30)
	f.sizeRule("max_buffered_bytes", 0, math.MaxInt)
	f.requestHoldsBatch()
	f.textRule("max_kafka_version", kafka.CheckVersion)
	f.rangeRule("max_in_flight", 1, math.MaxInt32)
	f.rangeRule("metric_topics", 0, math.MaxInt32)
	f.rangeRule("max_buffered_records", 1, math.MaxInt32)
	f.rangeRule("max_in_flight_requests", 1, math.MaxInt32)
	f.rangeRule("record_retries", 0, math.MaxInt32)
	f.wordRule("acks", "all", "leader", "none")
	f.wordRule("compression", "lz4", "snappy", "gzip", "none", "zstd")
	f.wordRule("partitioner", "murmur2_hash", "round_robin", "least_backup", "manual")
}

// requestHoldsBatch compares the two sizes or their defaults.
func (f fields) requestHoldsBatch() {
	size := func(name, otherwise string) (uint64, error) {
		if f.isSet(name) {
			otherwise = fmt.Sprint(f.conf[name])
		}
		return humanize.ParseBytes(otherwise)
	}
	request, err := size("broker_write_max_bytes", "100MiB")
	batch, err2 := size("max_message_bytes", "1MiB")
	if err != nil || err2 != nil || request >= batch {
		return
	}
	f.report("broker_write_max_bytes", fmt.Sprintf("%d bytes cannot hold a record batch of max_message_bytes, %d; raise broker_write_max_bytes or lower max_message_bytes", request, batch))
}
