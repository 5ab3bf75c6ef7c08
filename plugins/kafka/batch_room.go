package kafka

// rooms counts the bytes of the record batches that the records of a part make:
// one for each partition of each topic.
type rooms struct {
	list  []room
	index map[string]int
}

// room counts for one topic. Where it cannot be foreseen on which partition a
// record lands, that may be any, or the same for all.
type room struct {
	name  string
	topic *topic // nil where it is not known
	limit int
	sizes []int // of the records whose partition is known, by partition
	most  int   // the largest of them
	loose int   // of the others
}

func (r *rooms) empty() {
	for i := range r.list {
		r.list[i].topic = nil
	}
	r.list = r.list[:0]
	clear(r.index)
}

// of is the room of the topic, until the next call.
func (r *rooms) of(name string, p *producer) *room {
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
	r.list = append(r.list, room{name: name, topic: topic, limit: topic.batchBytes(int(p.conf.maxMessageBytes)), sizes: sizes})
	return &r.list[len(r.list)-1]
}

// partitions is how many the topic has, or 0 where that is not known.
func (r *room) partitions() int32 {
	if r.topic == nil {
		return 0
	}
	return r.topic.partitions.Load()
}

// add counts a record that goes to this partition, -1 for any. It says whether
// every record batch is within the topic's limit with it.
func (r *room) add(partition int32, size int) (fits bool) {
	if partition < 0 {
		r.loose += size
	} else {
		for len(r.sizes) <= int(partition) {
			r.sizes = append(r.sizes, 0)
		}
		r.sizes[partition] += size
		r.most = max(r.most, r.sizes[partition])
	}
	return batchOverhead+r.most+r.loose <= r.limit
}
