package kafka

import (
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/robustmq/robustmq-connect/plugins/internal/crash"
)

// pinning keeps a record that is written again on the partition that it was
// given first: a partition without keys is chosen anew for each batch, and the
// record would else land behind ones that came after it. A record without a
// partition has -1.
type pinning struct {
	kgo.Partitioner
	guard *crash.Guard
}

// ForTopic implements kgo.Partitioner. The client tells by type assertion what
// a partitioner wants to know, so that each kind has its own wrapper.
func (p pinning) ForTopic(topic string) kgo.TopicPartitioner {
	inner := p.Partitioner.ForTopic(topic)
	pinned := pinnedTopic{inner, p.guard}
	switch inner := inner.(type) {
	case backupPartitioner:
		return pinnedBackup{pinned, inner}
	case newBatchPartitioner:
		return pinnedNewBatch{pinned, inner}
	default:
		return pinned
	}
}

type newBatchPartitioner interface {
	kgo.TopicPartitioner
	kgo.TopicPartitionerOnNewBatch
}

type backupPartitioner interface {
	kgo.TopicBackupPartitioner
	kgo.TopicPartitionerOnNewBatch
}

type pinnedTopic struct {
	kgo.TopicPartitioner
	guard *crash.Guard
}

// RequiresConsistency makes the client count all partitions of the topic, so
// that a number means the same one as before.
func (p pinnedTopic) RequiresConsistency(r *kgo.Record) bool {
	return r.Partition >= 0 || p.TopicPartitioner.RequiresConsistency(r)
}

func (p pinnedTopic) Partition(r *kgo.Record, n int) (partition int) {
	partition = -1 // there is none after a panic, and the client refuses the record
	defer p.guard.Catch("the output kafka_franz, choosing a partition")
	if r.Partition >= 0 && int(r.Partition) < n {
		return int(r.Partition)
	}
	return p.TopicPartitioner.Partition(r, n)
}

type pinnedNewBatch struct {
	pinnedTopic
	inner newBatchPartitioner
}

func (p pinnedNewBatch) OnNewBatch() { p.inner.OnNewBatch() }

type pinnedBackup struct {
	pinnedTopic
	inner backupPartitioner
}

func (p pinnedBackup) OnNewBatch() { p.inner.OnNewBatch() }

func (p pinnedBackup) PartitionByBackup(r *kgo.Record, n int, backup kgo.TopicBackupIter) (partition int) {
	partition = -1
	defer p.guard.Catch("the output kafka_franz, choosing a partition")
	if r.Partition >= 0 && int(r.Partition) < n {
		return int(r.Partition)
	}
	return p.inner.PartitionByBackup(r, n, backup)
}
