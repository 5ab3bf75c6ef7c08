package kafka

import (
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/robustmq/robustmq-connect/plugins/internal/crash"
)

// pinning keeps a record on the partition that it already has: the predicted one, or
// the one that it was first written to. Without keys, the partition changes with each
// batch, so a record that is written again would otherwise land behind later ones. A
// record without a partition has -1.
//
// It also records how many partitions a topic has, as the client counts them.
type pinning struct {
	kgo.Partitioner
	topics *topics
	guard  *crash.Guard
}

// byKey predicts the partition of a record with a key: it has no state.
var byKey = kgo.StickyKeyPartitioner(nil).ForTopic("")

// foresee returns the partition on which the record will land, or -1 if that cannot be
// predicted. It assigns the partition to the record, so that the prediction stays
// correct when the topic's number of partitions changes.
func (c *config) foresee(r *kgo.Record, partitions int32) int32 {
	if partitions <= 1 {
		return -1 // all records land on one partition, or it is not known
	}
	if c.hashesKeys() && r.Key != nil {
		r.Partition = int32(byKey.Partition(r, int(partitions)))
	}
	if r.Partition >= partitions {
		return -1
	}
	return r.Partition
}

// hashesKeys reports whether the key of a record determines its partition.
func (c *config) hashesKeys() bool { return c.partitioner == "" || c.partitioner == "murmur2_hash" }

// ForTopic implements kgo.Partitioner. The client uses type assertions to detect what a
// partitioner supports, so each kind has its own wrapper.
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

// pinnedTopic is used under one of the client's locks.
type pinnedTopic struct {
	kgo.TopicPartitioner
	topics *topics
	name   string
	topic  *topic // nil until partitions were counted
	guard  *crash.Guard
}

// count records how many partitions the topic has. Only for a record that may go to any
// of them does the client pass all; for others it passes those that have a leader.
func (p *pinnedTopic) count(r *kgo.Record, n int) {
	if p.topic == nil {
		p.topic = p.topics.add(p.name)
	}
	if int(p.topic.partitions.Load()) != n && p.RequiresConsistency(r) {
		p.topic.partitions.Store(int32(n))
	}
}

// RequiresConsistency makes the client count all partitions of the topic, so that a
// number always means the same partition.
func (p *pinnedTopic) RequiresConsistency(r *kgo.Record) bool {
	return r.Partition >= 0 || p.TopicPartitioner.RequiresConsistency(r)
}

// Partition implements kgo.TopicPartitioner.
func (p *pinnedTopic) Partition(r *kgo.Record, n int) (partition int) {
	partition = -1 // after a panic it stays -1, and the client refuses the record
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
