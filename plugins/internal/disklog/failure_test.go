package disklog

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestADiskThatCannotBeReadLosesNothing(t *testing.T) {
	t.Parallel()
	d := newDisk(first)
	l := openOn(t, d, Options{})
	appendTo(t, l, "a", "b")
	for _, op := range []string{"open", "read"} {
		d.fail = func(is string) error {
			if is == op {
				return errDisk
			}
			return nil
		}
		_, err := l.Read(1, 100)
		require.ErrorIs(t, err, errDisk)
		_, err = l.Read(1, 100)
		require.ErrorIs(t, err, errDisk)
	}
	d.fail = func(string) error { return nil }
	assert.Equal(t, []string{"a", "b"}, readAll(t, l))
	assert.Zero(t, l.Stats().Corrupt)
}

// ENOSPC, EIO at a write and EIO at an fsync: nothing is reported as durable before it
// is, and nothing is lost when the disk recovers.
func TestADiskThatFailsAcknowledgesNothing(t *testing.T) {
	t.Parallel()
	for _, op := range []string{"create", "write", "sync", "sync directory"} {
		t.Run(op, func(t *testing.T) {
			d := newDisk(first)
			l := openOn(t, d, Options{})
			failed, recovered := make(chan struct{}), make(chan struct{})
			d.short = true
			failures := 0
			d.fail = func(is string) error {
				select {
				case <-recovered:
					return nil
				default:
				}
				if is != op {
					return nil
				}
				if failures++; failures == 2 {
					close(failed)
				}
				return errDisk
			}
			var b Batch
			b.Add(1, func(to []byte) []byte { return append(to, "a"...) })
			reported := make(chan error, 1)
			require.NoError(t, l.Append(context.Background(), &b, func(err error) { reported <- err }))
			ended := make(chan struct{})
			go func() { defer close(ended); l.Run() }()
			<-failed
			select {
			case err := <-reported:
				require.NoError(t, err)
				require.Fail(t, "reported while the disk failed")
			default:
			}
			require.ErrorIs(t, l.Stats().Failure, errDisk)
			close(recovered)
			require.NoError(t, <-reported)
			l.Stop()
			<-ended
			require.NoError(t, l.Stats().Failure)
			assert.Equal(t, []string{"a"}, readAll(t, l))
			require.NoError(t, l.Close())
		})
	}
}

func TestAStopDoesNotWaitForADiskThatFails(t *testing.T) {
	t.Parallel()
	d := newDisk(first)
	l := openOn(t, d, Options{})
	d.fail = func(op string) error {
		if op == "write" {
			return errDisk
		}
		return nil
	}
	var results []error
	for range 2 {
		var b Batch
		b.Add(1, func(to []byte) []byte { return to })
		require.NoError(t, l.Append(context.Background(), &b, func(err error) { results = append(results, err) }))
	}
	l.Stop()
	l.Run()
	require.Len(t, results, 2)
	for _, err := range results {
		require.ErrorIs(t, err, ErrClosed)
	}
	require.ErrorIs(t, l.Append(context.Background(), &Batch{}, nil), ErrClosed)
}

// Nothing else of the buffer could be removed for room.
func TestAFullDiskGetsTheRoomOfASegmentThatIsFinished(t *testing.T) {
	t.Parallel()
	d := newDisk(first)
	l := openOn(t, d, Options{})
	appendTo(t, l, "a")
	full := func(op string) error {
		if op == "write" && d.names[firstSegment] != nil {
			return syscall.ENOSPC
		}
		return nil
	}
	assert.Equal(t, []string{"a"}, readAll(t, l))
	l.commit() // saves the position, for which the disk has room
	require.NoError(t, l.SavePosition())
	d.fail = full
	appendTo(t, l, "b", "c")
	assert.NotContains(t, d.names, firstSegment)
	require.NoError(t, l.Stats().Failure)
	assert.Equal(t, []string{"b", "c"}, readAll(t, openOn(t, d.stop(), Options{})), "a is not repeated")
	assert.Equal(t, []string{"b", "c"}, readAll(t, l))
}

// What is not finished stays.
func TestAFullDiskKeepsWhatIsNotFinished(t *testing.T) {
	t.Parallel()
	d := newDisk(first)
	l := openOn(t, d, Options{})
	appendTo(t, l, "a", "b")
	chunk, err := l.Read(1, 100)
	require.NoError(t, err)
	l.Release(chunk.Next)
	l.commit()
	require.NoError(t, l.SavePosition())
	fails := 3
	d.fail = func(op string) error {
		if fails--; op == "write" && fails >= 0 {
			return syscall.ENOSPC
		}
		return nil
	}
	appendTo(t, l, "c")
	assert.Equal(t, []string{"b", "c"}, readAll(t, l))
}

// The oldest segment is dropped for room between the moment in which the reader finds it
// and the one in which it opens it.
func TestASegmentThatIsDroppedWhileItIsOpenedIsNotDamaged(t *testing.T) {
	t.Parallel()
	d := newDisk(first)
	l := openOn(t, d, Options{DropOldest: true})
	appendTo(t, l, "a", "b")
	l.roll = true
	appendTo(t, l, "c")
	d.fail = func(op string) error {
		if op == "open" {
			d.fail = func(string) error { return nil }
			l.mu.Lock()
			l.dropLocked()
			l.mu.Unlock()
			require.NoError(t, l.clean())
		}
		return nil
	}
	assert.Equal(t, []string{"c"}, readAll(t, l))
	stats := l.Stats()
	assert.Equal(t, uint64(2), stats.Dropped)
	assert.Zero(t, stats.Corrupt)
}

func TestALateSyncThatFailsIsReported(t *testing.T) {
	t.Parallel()
	d := newDisk(first)
	l := openOn(t, d, Options{SyncEvery: time.Hour})
	appendTo(t, l, "a")
	d.fail = func(op string) error {
		if op == "sync" {
			return errDisk
		}
		return nil
	}
	l.syncLate()
	require.ErrorIs(t, l.Stats().Failure, errDisk)
	d.fail = func(string) error { return nil }
	appendTo(t, l, "b")
	require.NoError(t, l.Stats().Failure)
	assert.Equal(t, []string{"a", "b"}, readAll(t, l))
}
