package disklog

import (
	"context"
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

func TestADiskThatFailsAcknowledgesNothing(t *testing.T) {
	t.Parallel()
	for _, op := range []string{"create", "write", "sync", "sync directory"} {
		t.Run(op, func(t *testing.T) {
			d := newDisk(first)
			l := openOn(t, d, Options{})
			failed := make(chan struct{})
			d.short = true
			failures := 0
			d.fail = func(is string) error {
				if is != op || failures > 2 {
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
