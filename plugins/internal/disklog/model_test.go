package disklog

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// model drives a log on a disk that fails and stops, and knows what must come out: what
// was reported as durable and is not finished is read, once in every run of the process,
// in order.
type model struct {
	t      *testing.T
	choose func(n int) int
	disk   *disk
	log    *Log
	opts   Options

	id       uint64            // of the last record that was appended
	durable  map[uint64]uint64 // ids by number, that were reported as durable
	given    uint64            // the id that was read last in this run
	released uint64            // the largest id that was finished
	finished uint64            // the same in this run
	saved    uint64            // the largest id that a durable position covers
	written  uint64            // the same of a position that was written
	chunks   []Chunk           // read, not finished
	repeats  int
}

func newModel(t *testing.T, choose func(int) int, syncEvery time.Duration) *model {
	m := &model{t: t, choose: choose, disk: newDisk(choose), durable: map[uint64]uint64{}, opts: Options{MaxBytes: 1 << 20, SyncEvery: syncEvery, Warn: func(text string) { t.Log(text) }}}
	m.open()
	return m
}

func (m *model) open() {
	log, err := Open(m.disk, m.opts)
	require.NoError(m.t, err)
	m.log, m.given, m.finished, m.chunks = log, 0, 0, nil
}

func idOf(r Record) uint64 { return binary.LittleEndian.Uint64(r.Body) }

// bodyOf makes a body that says whether it is whole, of a size that is like chance.
func bodyOf(to []byte, id uint64) []byte {
	size := 8 + int(id*2654435761%1500)
	if id%97 == 0 {
		size += 90_000 // more than a segment
	}
	b := binary.LittleEndian.AppendUint64(nil, id)
	for len(b) < size {
		b = append(b, byte(id)+byte(len(b)))
	}
	return append(to, b...)
}

func (m *model) append() {
	var b Batch
	n := 1 + m.choose(8)
	first := m.id + 1
	for range n {
		m.id++
		id := m.id
		b.Add(int64(id), func(to []byte) []byte { return bodyOf(to, id) })
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // it does not wait
	err := m.log.Append(ctx, &b, func(err error) {
		if err == nil {
			for id := first; id < first+uint64(n); id++ {
				m.durable[id] = id
			}
		}
	})
	if err != nil {
		require.ErrorIs(m.t, err, context.Canceled)
		m.id = first - 1
	}
}

// commit writes; with faults it gives up at the first attempt, as a log that is stopped.
func (m *model) commit(faults bool) {
	if !faults {
		m.log.commit()
		m.written = max(m.written, m.finished)
		return
	}
	left := m.choose(4)
	m.disk.short = m.choose(2) == 0
	m.disk.fail = func(string) error {
		if left--; left < 0 {
			return errDisk
		}
		return nil
	}
	m.log.now = func() time.Time { return time.UnixMilli(1) }
	// The first attempts fail, and the disk recovers, or the process ends.
	l := m.log
	l.mu.Lock()
	frames, first := slices.Clone(l.pending), l.durable
	l.mu.Unlock()
	if len(frames) > 0 {
		if l.write(frames, first) != nil {
			l.giveUpFinished()
		}
	}
	m.disk.fail = func(string) error { return nil }
	if m.choose(2) == 0 {
		m.crash()
		return
	}
	m.log.commit()
	m.written = max(m.written, m.finished)
}

func (m *model) read() {
	chunk, err := m.log.Read(1+m.choose(20), 1+m.choose(20_000))
	require.NoError(m.t, err)
	if chunk.From == chunk.Next {
		return
	}
	m.check(chunk.Records)
	m.chunks = append(m.chunks, chunk)
}

func (m *model) check(records []Record) {
	for _, r := range records {
		id := idOf(r)
		require.Equal(m.t, bodyOf(nil, id), r.Body)
		require.Equal(m.t, int64(id), r.Time)
		require.Greater(m.t, id, m.given, "order")
		require.Greater(m.t, id, m.saved, "what a saved position covers comes again")
		for missing := max(m.given, m.released) + 1; missing < id; missing++ {
			require.NotContains(m.t, m.durable, missing, "read %d after %d", id, m.given)
		}
		if id <= m.released {
			m.repeats++
		}
		m.given = id
	}
}

func (m *model) again() {
	if len(m.chunks) == 0 {
		return
	}
	chunk := m.chunks[m.choose(len(m.chunks))]
	records, err := m.log.Again(chunk)
	require.NoError(m.t, err)
	require.Equal(m.t, chunk.Records, records)
}

func (m *model) release() {
	if len(m.chunks) == 0 {
		return
	}
	chunk := m.chunks[0]
	m.chunks = m.chunks[1:]
	if n := len(chunk.Records); n > 0 {
		m.finished = idOf(chunk.Records[n-1])
		m.released = max(m.released, m.finished)
	}
	m.log.Release(chunk.Next)
}

func (m *model) save() {
	require.NoError(m.t, m.log.SavePosition())
	m.saved = max(m.saved, m.finished)
}

// crash stops the machine, or only the process where that is what the options promise to
// survive.
func (m *model) crash() {
	if m.opts.SyncEvery > 0 {
		m.kill()
		return
	}
	m.disk = m.disk.stop()
	m.written = m.saved
	m.open()
}

// kill ends the process and not the machine: all that was written is there.
func (m *model) kill() {
	for _, c := range m.disk.names {
		if m.choose(2) == 0 && m.opts.SyncEvery == 0 {
			continue // also the machine may stop later
		}
		c.durable, c.writes = slices.Clone(c.now), nil
	}
	m.disk.durable = maps.Clone(m.disk.names)
	m.saved = max(m.saved, m.written) // the start syncs it
	m.open()
}

func (m *model) close() {
	m.log.Stop()
	m.log.Run()
	require.NoError(m.t, m.log.Close())
	m.saved = max(m.saved, m.finished)
	m.open()
}

func (m *model) drain() {
	for {
		before := m.given
		m.read()
		if before == m.given {
			break
		}
	}
	for id := max(m.given, m.released) + 1; id <= m.id; id++ {
		require.NotContains(m.t, m.durable, id, "it was not read; the last one was %d", m.given)
	}
}

func (m *model) run(steps int) {
	for range steps {
		switch m.choose(20) {
		case 0, 1, 2, 3, 4, 5:
			m.append()
		case 6, 7, 8:
			m.commit(false)
		case 9:
			m.commit(true)
		case 10, 11, 12:
			m.read()
		case 13, 14, 15:
			m.release()
		case 16:
			m.again()
		case 17:
			m.save()
		case 18:
			switch m.choose(4) {
			case 0:
				m.crash()
			case 1:
				m.kill()
			case 2:
				m.close()
			}
		case 19:
			m.drain()
		}
	}
	m.commit(false)
	m.drain()
	stats := m.log.Stats()
	require.Zero(m.t, stats.Corrupt)
	require.Zero(m.t, stats.Dropped)
}

func TestWhatIsDurableComesOutOnceAndInOrderWhateverTheDiskDoes(t *testing.T) {
	t.Parallel()
	seeds := uint64(30)
	if testing.Short() {
		seeds = 10
	}
	read, repeats := 0, 0
	for seed := range seeds {
		ok := t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			m := newModel(t, rng.IntN, time.Duration(seed%3/2)*time.Hour)
			m.run(300)
			read += len(m.durable)
			repeats += m.repeats
		})
		if !ok {
			return
		}
	}
	require.Greater(t, read, 100*int(seeds))
	require.Positive(t, repeats, "a position that was not saved was never used")
}

func FuzzLog(f *testing.F) {
	f.Add([]byte{0, 3, 6, 10, 13, 18, 2, 1, 2, 3})
	f.Fuzz(func(t *testing.T, plan []byte) {
		at := 0
		choose := func(n int) int {
			if len(plan) == 0 {
				return 0
			}
			at++
			return (int(plan[at%len(plan)]) + at/len(plan)) % n
		}
		newModel(t, choose, 0).run(min(len(plan), 300))
	})
}
