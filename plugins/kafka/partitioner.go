package kafka

import (
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/robustmq/robustmq-connect/plugins/internal/crash"
)

// pinning keeps a record on the partition that it has already: the one that was
// foreseen, or that it was given when it was written first. A partition without
// keys is chosen anew for each batch, and a record that is written again would
// else land behind ones that came after it. A record without a partition has -1.
//
// It also notes how many partitions a topic has, as the client counts them.
type pinning struct {
	kgo.Partitioner
	topics *topics
	guard  *crash.Guard
}

// byKey foresees the partition of a record that has a key: it has no state.
var byKey = kgo.StickyKeyPartitioner(nil).ForTopic("")

// foresee is the partition on which the record will land, or -1 where that
// cannot be told. It makes the partition that of the record, so that it stays
// true when the topic gets another number of partitions.
func (c *config) foresee(r *kgo.Record, partitions int32) int32 {
	if partitions <= 1 {
		return -1 // all records land on one, or it is not known
	}
	if c.hashesKeys() && r.Key != nil {
		r.Partition = int32(byKey.Partition(r, int(partitions)))
	}
	if r.Partition >= partitions {
		return -1
	}
	return r.Partition
}

// hashesKeys says whether the key of a record tells its partition.
func (c *config) hashesKeys() bool { return c.partitioner == "" || c.partitioner == "murmur2_hash" }

// ForTopic implements kgo.Partitioner. The client tells by type assertion what
// a partitioner wants to know, so that each kind has its own wrapper.
func (p pinning) ForTopic(topic string) kgo.TopicPartitioner {
	inner := p.Partitioner.ForTopic(topic)
	pinned := &pinnedTopic{TopicPartitioner: inner, topics: p.topics, name: topic, guard: p.guard}
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

// pinnedTopic is used under a lock of the client's.
type pinnedTopic struct {
	kgo.TopicPartitioner
	topics *topics
	name   string
	topic  *topic // nil until partitions were counted
	guard  *crash.Guard
}

// count notes how many partitions the topic has. Only a record that may go to
// all of them tells: the others see the ones that have a leader.
func (p *pinnedTopic) count(r *kgo.Record, n int) {
	if p.topic == nil {
		p.topic = p.topics.add(p.name)
	}
	if int(p.topic.partitions.Load()) != n && p.RequiresConsistency(r) {
		p.topic.partitions.Store(int32(n))
	}
}

// RequiresConsistency makes the client count all partitions of the topic, so
// that a number means the same one as before.
func (p *pinnedTopic) RequiresConsistency(r *kgo.Record) bool {
	return r.Partition >= 0 || p.TopicPartitioner.RequiresConsistency(r)
}

// Partition implements kgo.TopicPartitioner.
func (p *pinnedTopic) Partition(r *kgo.Record, n int) (partition int) {
	partition = -1 // there is none after a panic, and the client refuses the record
	defer p.guard.Catch("the output kafka_franz, choosing a partition")
	p.count(r, n)
	if r.Partition >= 0 && int(r.Partition) < n {
		return int(r.Partition)
	}
	return p.TopicPartitioner.Partition(r, n)
}

type pinnedNewBatch struct {
	*pinnedTopic
	inner newBatchPartitioner
}

func (p pinnedNewBatch) OnNewBatch() { p.inner.OnNewBatch() }

type pinnedBackup struct {
	*pinnedTopic
	inner backupPartitioner
}

func (p pinnedBackup) OnNewBatch() { p.inner.OnNewBatch() }

func (p pinnedBackup) PartitionByBackup(r *kgo.Record, n int, backup kgo.TopicBackupIter) (partition int) {
	partition = -1
	defer p.guard.Catch("the output kafka_franz, choosing a partition")
	p.count(r, n)
	if r.Partition >= 0 && int(r.Partition) < n {
		return int(r.Partition)
	}
	return p.inner.PartitionByBackup(r, n, backup)
}
