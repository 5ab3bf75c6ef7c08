package disklog

import (
	"context"
	"encoding/binary"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func first(int) int { return 0 }

// appendTo appends records with these bodies as one batch, and writes them.
func appendTo(t *testing.T, l *Log, bodies ...string) {
	t.Helper()
	durable := false
	var b Batch
	for _, body := range bodies {
		b.Add(1, func(to []byte) []byte { return append(to, body...) })
	}
	require.NoError(t, l.Append(context.Background(), &b, func(err error) {
		require.NoError(t, err)
		durable = true
	}))
	l.commit()
	require.True(t, durable)
}

func readAll(t *testing.T, l *Log) (bodies []string) {
	t.Helper()
	for {
		chunk, err := l.Read(100, 1<<20)
		require.NoError(t, err)
		if chunk.From == chunk.Next {
			return bodies
		}
		for _, r := range chunk.Records {
			bodies = append(bodies, string(r.Body))
		}
		l.Release(chunk.Next)
	}
}

func openOn(t *testing.T, d *disk, opts Options) *Log {
	t.Helper()
	if opts.MaxBytes == 0 {
		opts.MaxBytes = 1 << 20
	}
	l, err := Open(d, opts)
	require.NoError(t, err)
	return l
}

const firstSegment = "00000000000000000001.segment"

// The process ended while it wrote the last batch, which nobody has heard of.
func TestATailCutAtAnyByteLosesOnlyWhatWasNotReported(t *testing.T) {
	t.Parallel()
	d := newDisk(first)
	l := openOn(t, d, Options{})
	appendTo(t, l, "a", "bb", "ccc")
	appendTo(t, l, "dddd")
	before := len(d.names[firstSegment].now)
	appendTo(t, l, "e", strings.Repeat("f", 300), "g")
	whole := slices.Clone(d.names[firstSegment].now)
	for size := before; size < len(whole); size++ {
		for _, rest := range []int{0, 1, 700} { // a file may have its size without its content
			d.names = map[string]*content{firstSegment: {now: append(slices.Clone(whole[:size]), make([]byte, rest)...)}}
			l := openOn(t, d, Options{})
			appendTo(t, l, "next")
			all := readAll(t, l)
			require.Equal(t, []string{"a", "bb", "ccc", "dddd"}, all[:4], size)
			require.Equal(t, "next", all[len(all)-1])
			require.Less(t, len(all), 8)
			require.Zero(t, l.Stats().Corrupt, size)
		}
	}
}

func TestADamagedByteLosesItsRecordAndNoOther(t *testing.T) {
	t.Parallel()
	d := newDisk(first)
	l := openOn(t, d, Options{})
	bodies := []string{"a", "bb", strings.Repeat("c", 200), "dddd", "eeeee"}
	appendTo(t, l, bodies[:2]...)
	appendTo(t, l, bodies[2])
	appendTo(t, l, bodies[3:]...)
	l.Stop()
	l.Run()
	require.NoError(t, l.Close())
	whole := slices.Clone(d.names[firstSegment].now)
	for at := range whole {
		damaged := slices.Clone(whole)
		damaged[at] ^= 0x10
		d := newDisk(first)
		d.names[firstSegment] = &content{now: damaged}
		var warnings []string
		l := openOn(t, d, Options{Warn: func(text string) { warnings = append(warnings, text) }})
		appendTo(t, l, "next")
		all := readAll(t, l)
		lost := int(l.Stats().Corrupt)
		require.LessOrEqual(t, lost, 1, at)
		require.Len(t, all, 6-lost, at)
		require.Equal(t, "next", all[len(all)-1])
		require.True(t, slices.IsSortedFunc(all[:len(all)-1], strings.Compare))
		if lost > 0 {
			require.Len(t, warnings, 1)
			require.Contains(t, warnings[0], "of the segment "+firstSegment+" are lost: it is damaged")
		}
		l.roll = true
		appendTo(t, l, "later") // the first segment is finished
		require.Equal(t, []string{"later"}, readAll(t, l))
		l.commit()
		require.NotContains(t, d.names, firstSegment)
		if lost > 0 {
			require.Contains(t, d.names, firstSegment+".corrupt")
		}
	}
}

func TestASegmentWithoutItsBeginningIsSetAside(t *testing.T) {
	t.Parallel()
	d := newDisk(first)
	l := openOn(t, d, Options{})
	appendTo(t, l, "a", "b")
	l.roll = true
	appendTo(t, l, "c")
	clear(d.names[firstSegment].now[:headSize+frameSize])
	l = openOn(t, d, Options{})
	assert.Equal(t, []string{"c"}, readAll(t, l))
	assert.Equal(t, uint64(2), l.Stats().Corrupt)

	second := segmentName(3)
	d.names[second] = &content{now: slices.Repeat([]byte{7}, 100)}
	l = openOn(t, d, Options{})
	assert.NotContains(t, d.names, second)
	assert.Contains(t, d.names, second+".corrupt")
	assert.Equal(t, uint64(1), l.Stats().Corrupt, "how many is not known")
	appendTo(t, l, "d")
	assert.Equal(t, []string{"d"}, readAll(t, l))
}

// The age of the oldest record is asked for at any time.
func TestWhatOldestPassesIsFinishedToo(t *testing.T) {
	t.Parallel()
	d := newDisk(first)
	l := openOn(t, d, Options{})
	appendTo(t, l, "a")
	d.names[firstSegment].now[headSize+2*frameSize] ^= 1
	_, ok := l.Oldest()
	assert.False(t, ok)
	assert.Empty(t, readAll(t, l))
	assert.Equal(t, Stats{Bytes: l.Stats().Bytes, Corrupt: 1}, l.Stats(), "nothing waits")
	appendTo(t, l, "b")
	_, ok = l.Oldest()
	assert.True(t, ok)
	chunk, err := l.Read(1, 1)
	require.NoError(t, err)
	again, err := l.Again(chunk)
	require.NoError(t, err)
	assert.Equal(t, chunk.Records, again)
}

func TestManyOldRecordsAreDroppedInSteps(t *testing.T) {
	t.Parallel()
	l := openOn(t, newDisk(first), Options{MaxAge: time.Hour})
	appendTo(t, l, "a", "b", "c")
	var b Batch
	b.Add(time.Now().UnixMilli(), func(to []byte) []byte { return append(to, 'd') })
	require.NoError(t, l.Append(context.Background(), &b, func(error) {}))
	l.commit()
	chunk, err := l.Read(2, 100)
	require.NoError(t, err)
	assert.Empty(t, chunk.Records)
	assert.Equal(t, uint64(3), chunk.Next)
	assert.Equal(t, []string{"d"}, readAll(t, l))
	assert.Equal(t, uint64(3), l.Stats().Dropped)
}

// Whoever publishes chooses the payload, also one that looks like a part of the file.
func TestAPayloadDoesNotPassForARecordWhereTheFileIsDamaged(t *testing.T) {
	t.Parallel()
	forged := slices.Repeat([]byte("forged"), 10)
	forged = append(make([]byte, frameSize), forged...)
	sealFrame(forged, kindRecord, 0, 2, 1)
	mark := make([]byte, frameSize)
	sealFrame(mark, kindMark, 0, 9, 1)
	d := newDisk(first)
	l := openOn(t, d, Options{})
	appendTo(t, l, "a", "before"+string(forged)+string(mark), "c")
	l.Stop()
	l.Run()
	require.NoError(t, l.Close())
	file := d.names[firstSegment].now
	at := strings.Index(string(file), "before")
	file[at] ^= 1
	l = openOn(t, d, Options{})
	assert.Equal(t, []string{"a", "c"}, readAll(t, l))
}

func TestANewerFormatIsRefused(t *testing.T) {
	t.Parallel()
	d := newDisk(first)
	l := openOn(t, d, Options{})
	appendTo(t, l, "a")
	head := d.names[firstSegment].now
	head[len(headMagic)] = headVersion + 1
	binary.LittleEndian.PutUint32(head[24:], crc32.Checksum(head[:24], castagnoli))
	_, err := Open(d, Options{MaxBytes: 1 << 20})
	require.ErrorContains(t, err, "has version 2 of the format, which this program does not know")
	assert.Contains(t, d.names, firstSegment)
}

func TestADirectoryIsForOneLog(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "new", "buffer")
	files, err := OpenDir(path)
	require.NoError(t, err)
	_, err = OpenDir(path)
	require.ErrorContains(t, err, "is used by another buffer or process")
	require.NoError(t, files.Close())
	files, err = OpenDir(path)
	require.NoError(t, err)
	require.NoError(t, files.Close())

	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err = OpenDir(file)
	require.Error(t, err)
}

// 10 GiB wait, in files with holes: Open reads the heads and the last segment.
func TestALargeBacklogOpensAtOnce(t *testing.T) {
	path := t.TempDir()
	files, err := OpenDir(path)
	require.NoError(t, err)
	const segments, records = 320, 100_000
	for i := range uint64(segments) {
		f, err := files.Create(segmentName(1 + i*records))
		require.NoError(t, err)
		mark := make([]byte, frameSize)
		sealFrame(mark, kindMark, 5, 1+i*records, 1)
		_, err = f.WriteAt(append(headOf(time.Now(), 5), mark...), 0)
		require.NoError(t, err)
		if i < segments-1 {
			require.NoError(t, f.Truncate(maxSegment))
		}
		require.NoError(t, f.Close())
	}
	counted := &countingFiles{Files: files}
	begin := time.Now()
	l, err := Open(counted, Options{MaxBytes: 1 << 40})
	require.NoError(t, err)
	took := time.Since(begin)
	stats := l.Stats()
	assert.Equal(t, uint64((segments-1)*records), stats.Messages)
	assert.Greater(t, stats.Bytes, int64(10_000<<20))
	assert.Less(t, counted.read, 100*segments, "bytes")
	t.Logf("opened %d MiB in %s", stats.Bytes>>20, took)
	require.NoError(t, l.Close())
}

// countingFiles counts the bytes that are read.
type countingFiles struct {
	Files
	read int
}

func (c *countingFiles) Open(name string) (File, error) {
	f, err := c.Files.Open(name)
	return &countingFile{f, c}, err
}

type countingFile struct {
	File
	of *countingFiles
}

func (f *countingFile) ReadAt(p []byte, at int64) (int, error) {
	n, err := f.File.ReadAt(p, at)
	f.of.read += n
	return n, err
}

// FuzzFrames looks for frames in bytes of any kind.
func FuzzFrames(f *testing.F) {
	b := make([]byte, frameSize+3)
	sealFrame(b, kindRecord, 1, 2, 3)
	f.Add(b, uint64(1))
	f.Fuzz(func(t *testing.T, b []byte, key uint64) {
		if at := findFrame(b, key, 0, 10); at >= 0 {
			found, ok := parseFrame(b[at:], key)
			require.True(t, ok)
			require.LessOrEqual(t, found.seq, uint64(10))
		}
		lastMark(b, key, 1)
		_, _, _ = parseHead(b, 1)
	})
}

func BenchmarkAppendAndRead(b *testing.B) {
	files, err := OpenDir(b.TempDir())
	require.NoError(b, err)
	l, err := Open(files, Options{MaxBytes: 1 << 40})
	require.NoError(b, err)
	done := make(chan struct{})
	go func() { defer close(done); l.Run() }()
	body := make([]byte, 120)
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range body {
		body[i] = byte(rng.Uint32())
	}
	b.SetBytes(int64(len(body)))
	read, n := 0, 0
	var batch Batch
	for n < b.N {
		batch.Reset()
		for range 2000 {
			batch.Add(1, func(to []byte) []byte { return append(to, body...) })
			n++
		}
		require.NoError(b, l.Append(context.Background(), &batch, func(error) {}))
	}
	for read < n {
		chunk, err := l.Read(8192, 4<<20)
		require.NoError(b, err)
		read += len(chunk.Records)
		l.Release(chunk.Next)
	}
	l.Stop()
	<-done
	require.NoError(b, l.Close())
}
