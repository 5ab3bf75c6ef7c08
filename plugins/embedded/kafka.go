package embedded

import (
	"fmt"
	"net"
	"sync"

	"github.com/twmb/franz-go/pkg/kfake"
)

// Partitions is the number of partitions of every topic of the embedded Kafka. It is
// more than one, so that a record with a wrong key appears out of order.
const Partitions = 3

// Kafka is one Kafka broker that keeps its records in memory. It creates a topic when a
// client first requests it.
type Kafka struct {
	cluster *kfake.Cluster
	ln      *listener

	closeOnce sync.Once
}

// StartKafka starts a Kafka with these topics on addr, for example "127.0.0.1:9092".
// Port 0 selects a free port, which Addr returns. Kafka advertises the same address, so
// that programs on this machine can connect.
func StartKafka(addr string, topics ...string) (*Kafka, error) {
	ln, err := listen("Kafka", addr)
	if err != nil {
		return nil, err
	}
	cluster, err := kfake.NewCluster(
		kfake.NumBrokers(1),
		kfake.ListenFn(func(string, string) (net.Listener, error) { return ln, nil }),
		kfake.AllowAutoTopicCreation(),
		kfake.DefaultNumPartitions(Partitions),
		kfake.SeedTopics(Partitions, topics...),
		kfake.BrokerConfigs(map[string]string{
			"log.segment.bytes":   "16777216",
			"log.retention.bytes": "67108864",
		}),
	)
	if err != nil {
		_ = ln.Close() // the first error is reported
		return nil, fmt.Errorf("starting the embedded Kafka on %s: %w", addr, err)
	}
	return &Kafka{cluster: cluster, ln: ln}, nil
}

// Addr returns the address to bootstrap from, as host:port.
func (k *Kafka) Addr() string { return k.ln.Addr().String() }

// Trim drops the oldest records of each partition that holds more than 64 MiB. Nothing
// is dropped unless it is called.
func (k *Kafka) Trim() { k.cluster.ApplyRetention() }

// Close ends all connections and discards the records. It may be called more than once.
func (k *Kafka) Close() {
	k.closeOnce.Do(func() {
		k.cluster.Close()
		k.ln.closeConns()
	})
}
