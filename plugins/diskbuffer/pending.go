package diskbuffer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/robustmq/robustmq-connect/plugins/internal/disklog"
	"github.com/robustmq/robustmq-connect/plugins/internal/pace"
)

// pending is a chunk of records that the pipeline has, or has to get again.
type pending struct {
	chunk    disklog.Chunk   // its records only until they are handed over
	failed   map[uint64]bool // those that have to be handed over again
	attempts int             // how often it was handed over
	retries  pace.Pace       // between attempts
	size     int64           // of what the pipeline has
	first    time.Time       // when its first record was received; set before it is added
	done     bool            // the pipeline has finished it
}

// pendings are the chunks that the pipeline has not finished, in their order.
type pendings struct {
	// added has one slot: it is signalled when there is something to hand over again.
	added chan struct{}

	mu       sync.Mutex
	all      []*pending
	rejected []*pending // in the order of rejection
}

func newPendings() *pendings { return &pendings{added: make(chan struct{}, 1)} }

func (p *pendings) add(one *pending) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all = append(p.all, one)
}

// has reports whether there is something to hand over again.
func (p *pendings) has() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.rejected) > 0
}

func (p *pendings) firstRejected() *pending {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.rejected) == 0 {
		return nil
	}
	return p.rejected[0]
}

func (p *pendings) dropRejected() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rejected = slices.Delete(p.rejected, 0, 1)
}

func (p *pendings) reject(one *pending) {
	p.mu.Lock()
	p.rejected = append(p.rejected, one)
	p.mu.Unlock()
	select {
	case p.added <- struct{}{}:
	default:
	}
}

// finish returns the number before which all records are finished now, 0 if that has
// not changed.
func (p *pendings) finish(one *pending) (next uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	one.done = true
	for len(p.all) > 0 && p.all[0].done {
		next = p.all[0].chunk.Next
		p.all[0] = nil
		p.all = p.all[1:]
	}
	return next
}

// oldest returns when the first record that is not finished was received.
func (p *pendings) oldest() (time.Time, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.all) == 0 {
		return time.Time{}, false
	}
	return p.all[0].first, true
}

// next returns what the pipeline gets next, nil if there is nothing yet. It waits before
// it repeats what was rejected more than once.
func (i *input) next(ctx context.Context) (*pending, error) {
	for {
		p := i.pendings.firstRejected()
		if p == nil {
			return i.read()
		}
		if p.attempts >= 3 {
			if err := pace.Sleep(ctx, p.retries.Next()); err != nil {
				return nil, err
			}
		}
		records, err := i.buffer.Again(p.chunk)
		if err != nil {
			return nil, fmt.Errorf("reading the disk buffer: %w", err)
		}
		i.pendings.dropRejected()
		p.chunk.Records = slices.DeleteFunc(records, func(r disklog.Record) bool { return !p.failed[r.Seq] })
		i.buffer.CountDropped(len(p.failed) - len(p.chunk.Records))
		if len(p.chunk.Records) > 0 {
			return p, nil
		}
		i.finish(p) // they were dropped meanwhile
	}
}

// read returns what is on disk and was not read yet.
func (i *input) read() (*pending, error) {
	for {
		chunk, err := i.buffer.Read(i.conf.maxBatchMessages, i.conf.maxBatchBytes)
		if err != nil {
			return nil, fmt.Errorf("reading the disk buffer: %w", err)
		}
		if chunk.From == chunk.Next {
			return nil, nil
		}
		p := &pending{chunk: chunk, retries: pace.Pace{First: time.Millisecond, Limit: time.Second}}
		if len(chunk.Records) > 0 {
			p.first = time.UnixMilli(chunk.Records[0].Time)
		}
		i.pendings.add(p)
		if len(chunk.Records) > 0 {
			return p, nil
		}
		i.finish(p) // all of it was damaged or too old
	}
}

// hand makes the engine's batch of what is pending. The batch is empty if none of it can
// be decoded.
func (i *input) hand(p *pending) (service.MessageBatch, service.AckFunc) {
	records := p.chunk.Records
	p.chunk.Records = nil
	batch := make(service.MessageBatch, 0, len(records))
	seqs := make([]uint64, 0, len(records))
	received := make([]int64, 0, len(records))
	p.size = 0
	for _, r := range records {
		msg, err := i.decoder.decode(r.Body)
		if err != nil {
			// Its checksum was right, so a newer version wrote it.
			i.log.Errorf("The message %d of the disk buffer is skipped: %s", r.Seq, err)
			i.figures.skipped.Add(1)
			continue
		}
		batch, seqs, received = append(batch, msg), append(seqs, r.Seq), append(received, r.Time)
		p.size += int64(len(r.Body))
	}
	if len(batch) == 0 {
		i.finish(p)
		return nil, nil
	}
	p.attempts++
	i.handed.Add(p.size)
	indexed := batch.Index()
	return batch, func(_ context.Context, err error) error {
		i.answer(p, indexed, seqs, received, err)
		return nil
	}
}

// answer is what the engine calls when the pipeline is done with a batch.
func (i *input) answer(p *pending, indexed *service.Indexer, seqs []uint64, received []int64, err error) {
	i.handed.Add(-p.size)
	i.share.Released()
	failed := failedOf(indexed, len(seqs), err)
	now := time.Now()
	if i.latency != nil {
		for at, ms := range received {
			if failed == nil || !failed[at] {
				i.latency.Observe(now.Sub(time.UnixMilli(ms)), 1)
			}
		}
	}
	if err == nil {
		i.finish(p)
		return
	}
	p.failed = make(map[uint64]bool)
	for at, seq := range seqs {
		if failed[at] {
			p.failed[seq] = true
		}
	}
	if len(p.failed) == 0 {
		i.finish(p)
		return
	}
	i.pendings.reject(p)
}

// failedOf tells which messages of a batch the pipeline has not finished, nil if there
// are none. A message that the error does not mention counts as failed: repeating a
// message is better than losing it.
func failedOf(indexed *service.Indexer, messages int, err error) []bool {
	if err == nil {
		return nil
	}
	failed := slices.Repeat([]bool{true}, messages)
	var partial *service.BatchError
	if !errors.As(err, &partial) || partial.IndexedErrors() == 0 {
		return failed
	}
	written, refused := make([]bool, messages), make([]bool, messages)
	partial.WalkMessagesIndexedBy(indexed, func(at int, _ *service.Message, err error) bool {
		if at >= 0 && at < messages {
			if err == nil {
				written[at] = true
			} else {
				refused[at] = true
			}
		}
		return true
	})
	for at := range failed {
		failed[at] = refused[at] || !written[at]
	}
	return failed
}

// finish records that the pipeline is done with a chunk.
func (i *input) finish(p *pending) {
	if next := i.pendings.finish(p); next > 0 {
		i.buffer.Release(next)
		select {
		case i.state <- struct{}{}: // it may have been the last
		default:
		}
	}
}
