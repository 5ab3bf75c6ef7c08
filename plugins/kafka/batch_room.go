package kafka

// batchRooms counts the bytes of the record batches that the records of a part fill:
// one for each partition of each topic.
type batchRooms struct {
	list  []batchRoom
	index map[string]int
}

// batchRoom counts the bytes for one topic. A record whose partition cannot be
// predicted counts for every partition, because it may land on any.
type batchRoom struct {
	name     string
	topic    *topic // nil if it is not known
	limit    int
	sizes    []int // of the records whose partition is known, by partition
	largest  int   // the largest of them
	unplaced int   // of the others
}

func (r *batchRooms) reset() {
	for i := range r.list {
		r.list[i].topic = nil
	}
	r.list = r.list[:0]
	clear(r.index)
}

// forTopic returns the batchRoom of the topic, valid until the next call.
func (r *batchRooms) forTopic(name string, p *producer) *batchRoom {
	if i, ok := r.index[name]; ok {
		return &r.list[i]
	}
	if r.index == nil {
		r.index = map[string]int{}
	}
	r.index[name] = len(r.list)
	var sizes []int
	if len(r.list) < cap(r.list) {
		sizes = r.list[:len(r.list)+1][len(r.list)].sizes[:0]
	}
	topic := p.topics.get(name)
	r.list = append(r.list, batchRoom{name: name, topic: topic, limit: topic.batchBytes(int(p.conf.maxMessageBytes)), sizes: sizes})
	return &r.list[len(r.list)-1]
}

// partitions returns the topic's number of partitions, or 0 if it is not known.
func (r *batchRoom) partitions() int32 {
	if r.topic == nil {
		return 0
	}
	return r.topic.partitions.Load()
}

// addRecord counts a record for this partition, -1 for any. It reports whether every
// record batch is still within the topic's limit.
func (r *batchRoom) addRecord(partition int32, size int) (fits bool) {
	if partition < 0 {
		r.unplaced += size
	} else {
		for len(r.sizes) <= int(partition) {
			r.sizes = append(r.sizes, 0)
		}
		r.sizes[partition] += size
		r.largest = max(r.largest, r.sizes[partition])
	}
	return batchOverhead+r.largest+r.unplaced <= r.limit
}
