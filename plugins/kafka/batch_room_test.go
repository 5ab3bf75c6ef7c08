package kafka

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// recordsOf builds n records of 100 bytes. key returns the key of each, nil for none,
// and partition its partition.
func recordsOf(n int, topic string, key func(i int) []byte, partition func(i int) int32) []kgo.Record {
	records := make([]kgo.Record, n)
	for i := range records {
		records[i] = kgo.Record{Topic: topic, Key: key(i), Value: make([]byte, 100-32), Partition: partition(i)}
		records[i].Value = records[i].Value[:len(records[i].Value)-len(records[i].Key)]
	}
	return records
}

func TestPartCountsByPartitionIfItIsPredictable(t *testing.T) {
	const limit = batchOverhead + 1000 // ten records
	noKey := func(int) []byte { return nil }
	free := func(int) int32 { return -1 }
	letter := func(i int) []byte { return []byte{'a' + byte(i%7)} }
	for name, test := range map[string]struct {
		lines      []string
		partitions int32 // of the topic, 0 for a topic that is not known
		key        func(int) []byte
		partition  func(int) int32
		want       int
	}{
		"one partition":             {nil, 1, letter, free, 10},
		"keys":                      {nil, 4, letter, free, 35}, // two letters share a partition
		"one key":                   {nil, 4, func(int) []byte { return []byte("k") }, free, 10},
		"empty keys":                {nil, 4, func(int) []byte { return []byte{} }, free, 10},
		"no keys":                   {nil, 4, noKey, free, 10},
		"unknown topic":             {nil, 0, letter, free, 10},
		"partition field":           {[]string{"partitioner: manual", "partition: 1"}, 4, noKey, func(i int) int32 { return int32(i % 4) }, 40},
		"partition out of range":    {[]string{"partitioner: manual", "partition: 1"}, 4, noKey, func(i int) int32 { return int32(i) + 4 }, 10},
		"round robin":               {[]string{"partitioner: round_robin"}, 4, letter, free, 10},
		"least backup":              {[]string{"partitioner: least_backup"}, 4, letter, free, 10},
		"written before":            {[]string{"partitioner: round_robin"}, 4, letter, func(i int) int32 { return int32(i % 2) }, 20},
		"number of records":         {[]string{"max_buffered_records: 17"}, 4, letter, free, 17},
		"bytes of the client":       {[]string{`max_buffered_bytes: "1500"`}, 4, letter, free, 15},
		"keys and none in a batch":  {nil, 4, func(i int) []byte { return [][]byte{nil, []byte("k")}[i%2] }, free, 10},
		"a key and nothing of none": {nil, 4, func(i int) []byte { return []byte(strings.Repeat("k", 1+i%2)) }, free, 20},
	} {
		t.Run(name, func(t *testing.T) {
			p := &producer{conf: parsed(t, []string{"localhost:1"}, test.lines...)}
			if test.partitions > 0 {
				topic := p.topics.add("t")
				topic.partitions.Store(test.partitions)
				topic.limit.Store(limit)
			} else {
				p.conf.maxMessageBytes = limit
			}
			require.Equal(t, test.want, p.part(recordsOf(100, "t", test.key, test.partition), 0, new(batchRooms)))
		})
	}
}

// Records of two topics never share a record batch.
func TestPartCountsByTopic(t *testing.T) {
	p := &producer{conf: parsed(t, []string{"localhost:1"})}
	p.topics.add("a").limit.Store(batchOverhead + 1000)
	p.topics.add("b").limit.Store(batchOverhead + 2000)
	none := func(int) []byte { return nil }
	free := func(int) int32 { return -1 }
	a, b := recordsOf(20, "a", none, free), recordsOf(20, "b", none, free)
	require.Equal(t, 10, p.part(append(a[:10:10], a[10]), 0, new(batchRooms)))
	require.Equal(t, 30, p.part(append(a[:10:10], b...), 0, new(batchRooms)))
	room := new(batchRooms)
	require.Equal(t, 30, p.part(append(b[:20:20], a...), 0, room))
	require.Equal(t, 40, p.part(append(b[:20:20], a...), 30, room), "the next part starts from zero")
}

// For any records, what a partition gets from one part fits into one record batch, so
// that later records cannot overtake a refused one. The records on a partition are in
// order.
func TestPartIsOneRecordBatchPerPartition(t *testing.T) {
	for name, lines := range map[string][]string{
		"keys":         nil,
		"compressed":   {"compression: snappy"},
		"round robin":  {"partitioner: round_robin"},
		"least backup": {"partitioner: least_backup"},
		"partition":    {"partitioner: manual", "partition: ${! @partition }"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := cluster(t, 5, kfake.SeedTopics(5, "u"))
			o := started(t, c.ListenAddrs(), append(lines, "topic: ${! @topic }", "max_message_bytes: 2KiB", `key: ${! @key.or("").string() }`)...)
			o.silence = time.Minute
			limits := map[string]int{"t": 2 << 10, "u": 1500}
			o.producer.topics.add("u").learned(1500, time.Hour)
			random := rand.New(rand.NewPCG(3, 4))
			n, largest := 0, 0
			for range 40 {
				batch := messages(n, 1+random.IntN(300))
				n += len(batch)
				for _, msg := range batch {
					payload, _ := msg.AsBytes()
					msg.SetBytes(append(payload, make([]byte, random.IntN(100))...))
					msg.MetaSetMut("topic", []string{"t", "u"}[random.IntN(2)])
					msg.MetaSetMut("key", strconv.Itoa(random.IntN(20)))
					msg.MetaSetMut("partition", random.IntN(5))
				}
				b := new(buffers)
				require.Nil(t, o.conf.records.build(batch, b))
				for i := 0; i < len(b.records) && random.IntN(3) == 0; i++ { // some without a key
					if random.IntN(3) == 0 {
						b.records[i].Key = nil
					}
				}
				for from := 0; from < len(b.records); {
					end := o.producer.part(b.records, from, &b.rooms)
					require.Empty(t, o.producer.write(b.records, segment{from: from, to: end}, new(atomic.Int64)))
					sizes := map[string]int{}
					for i := from; i < end; i++ {
						r := &b.records[i]
						on := fmt.Sprintf("%s %d", r.Topic, r.Partition)
						sizes[on] += recordSize(r)
						if sizes[on] > limits[r.Topic]-batchOverhead {
							t.Fatalf("%d bytes for %s", sizes[on], on)
						}
					}
					largest = max(largest, end-from)
					from = end
				}
			}
			total := 0
			for _, topic := range []string{"t", "u"} {
				for partition, records := range consumed(t, c, topic) {
					last := ""
					for _, r := range records {
						require.Less(t, last, string(r.Value[:6]), "%s %d", topic, partition)
						last = string(r.Value[:6])
						total++
					}
				}
			}
			require.Equal(t, n, total)
			if name == "partition" || name == "keys" || name == "compressed" {
				require.Greater(t, largest, 60, "a part fills more than one record batch")
			}
		})
	}
}

// A topic may get partitions at any time. The client notices late and then uses the new
// number; in the meantime nothing is lost, repeated or reordered.
func TestPartitionsAddedWhileRunningAreUsed(t *testing.T) {
	c := cluster(t, 1)
	o := started(t, c.ListenAddrs(), block("key: ${! content().string().slice(5) }", "metadata_max_age: 1s", "max_message_bytes: 1KiB")...)
	client, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...))
	require.NoError(t, err)
	defer client.Close()
	n := 0
	for _, partitions := range []int{1, 4, 9} {
		if partitions > 1 {
			_, err := kadm.NewClient(client).UpdatePartitions(t.Context(), partitions, "t")
			require.NoError(t, err)
		}
		require.Eventually(t, func() bool {
			require.NoError(t, o.WriteBatch(t.Context(), messages(n, 100)))
			n += 100
			return int(o.producer.topics.get("t").partitions.Load()) == partitions
		}, patience, time.Millisecond)
		require.NoError(t, o.WriteBatch(t.Context(), messages(n, 100)))
		n += 100
	}
	requireOnceInOrder(t, c, n)
	require.Greater(t, len(consumed(t, c, "t")), 4, "the new partitions are used")
}

// The predicted partition is the one that Kafka's own clients compute.
func TestPredictedPartitionIsTheClients(t *testing.T) {
	c := cluster(t, 7)
	own, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)))
	require.NoError(t, err)
	defer own.Close()
	o := started(t, c.ListenAddrs(), "key: ${! content() }")
	for range 2 { // the second time it is predicted
		require.NoError(t, o.WriteBatch(t.Context(), messages(0, 100)))
	}
	got := map[string][]int32{}
	for partition, records := range consumed(t, c, "t") {
		for _, r := range records {
			got[string(r.Key)] = append(got[string(r.Key)], partition)
		}
	}
	require.Len(t, got, 100)
	for key, partitions := range got {
		r, err := own.ProduceSync(t.Context(), &kgo.Record{Topic: "t", Key: []byte(key)}).First()
		require.NoError(t, err)
		require.Equal(t, []int32{r.Partition, r.Partition}, partitions)
	}
}
