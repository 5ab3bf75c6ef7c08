package disklog

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// childDir and childFirst make this test binary append numbers from childFirst to a log
// until it is killed. It prints each number that is durable.
const (
	childDir   = "DISKLOG_TEST_DIR"
	childFirst = "DISKLOG_TEST_FIRST"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(childDir); path != "" {
		if err := appendUntilKilled(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	goleak.VerifyTestMain(m)
}

func appendUntilKilled(path string) error {
	next, err := strconv.Atoi(os.Getenv(childFirst))
	if err != nil {
		return err
	}
	files, err := OpenDir(path)
	if err != nil {
		return err
	}
	l, err := Open(files, Options{MaxBytes: 1 << 30})
	if err != nil {
		return err
	}
	go l.Run()
	for {
		var b Batch
		first := next
		for range 1 + next%5 {
			text := strconv.Itoa(next)
			next++
			b.Add(1, func(to []byte) []byte { return append(to, text...) })
		}
		last := next
		err := l.Append(context.Background(), &b, func(err error) {
			if err == nil {
				for n := first; n < last; n++ {
					fmt.Printf("durable %d\n", n)
				}
			}
		})
		if err != nil {
			return err
		}
	}
}

func TestAProcessThatIsKilledLosesNothing(t *testing.T) {
	path := t.TempDir()
	durable := map[int]bool{}
	next := 1
	for range 5 {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), childDir+"="+path, childFirst+"="+strconv.Itoa(next))
		out, err := child.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, child.Start())
		lines, seen := bufio.NewScanner(out), 0
		for lines.Scan() {
			var n int
			if _, err := fmt.Sscanf(lines.Text(), "durable %d", &n); err == nil {
				durable[n] = true
				next = max(next, n+1)
				if seen++; seen == 300 {
					require.NoError(t, child.Process.Kill())
				}
			}
		}
		require.Error(t, child.Wait())
		require.GreaterOrEqual(t, seen, 300)
		next += 1_000_000 // the child may have appended more than it said
	}
	files, err := OpenDir(path)
	require.NoError(t, err)
	l, err := Open(files, Options{MaxBytes: 1 << 30})
	require.NoError(t, err)
	last := 0
	for _, text := range readAll(t, l) {
		n, err := strconv.Atoi(text)
		require.NoError(t, err)
		require.Greater(t, n, last, "order")
		delete(durable, n)
		last = n
	}
	assert.Empty(t, durable, "numbers that were durable and are not there")
	assert.Zero(t, l.Stats().Corrupt)
	require.NoError(t, l.Close())
}

// The position is written without a sync: a process that is killed repeats nothing, and a
// machine that stops repeats what came after the last sync.
func TestAProcessThatIsKilledRepeatsNothingThatWasReleased(t *testing.T) {
	t.Parallel()
	d := newDisk(first)
	l := openOn(t, d, Options{})
	appendTo(t, l, "a", "b", "c", "d")
	release := func(n int) {
		t.Helper()
		chunk, err := l.Read(n, 1000)
		require.NoError(t, err)
		require.Len(t, chunk.Records, n)
		l.Release(chunk.Next)
		select {
		case <-l.work: // Run would wake up
		default:
			require.Fail(t, "nothing writes the position")
		}
	}
	release(1)
	require.NoError(t, l.SavePosition())
	syncs := 0
	d.fail = func(op string) error {
		if op == "sync" {
			syncs++
		}
		return nil
	}
	release(1)
	l.commit()
	release(1)
	l.commit()
	assert.Zero(t, syncs)
	d.choose = func(int) int { return 0 } // nothing that was not synced is on the disk
	assert.Equal(t, []string{"b", "c", "d"}, readAll(t, openOn(t, d.stop(), Options{})))
	assert.Equal(t, []string{"d"}, readAll(t, openOn(t, d, Options{})))
	assert.Positive(t, syncs, "what the process before wrote is made durable")
	assert.Equal(t, []string{"d"}, readAll(t, openOn(t, d.stop(), Options{})))
}
