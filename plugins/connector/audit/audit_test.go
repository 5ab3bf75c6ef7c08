package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// entries reads a log back, every line of it.
func entries(t *testing.T, text string) (all []Entry) {
	t.Helper()
	require.True(t, text == "" || strings.HasSuffix(text, "\n"), "%q", text)
	for line := range strings.Lines(text) {
		var e Entry
		d := json.NewDecoder(strings.NewReader(line))
		d.DisallowUnknownFields()
		require.NoError(t, d.Decode(&e), "%q", line)
		assert.Equal(t, time.UTC, e.Time.Location())
		all = append(all, e)
	}
	return all
}

func withoutTimes(all []Entry) []Entry {
	for i := range all {
		all[i].Time = time.Time{}
	}
	return all
}

func TestAnEntryIsALineThatHoldsEveryField(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		l, err := Open("-", &out, discard())
		require.NoError(t, err)
		e := Entry{
			Actor: "alice", Address: "192.0.2.1:5", Method: "POST", Route: "/update", Connector: "c\nd\u202e\U000e0001<",
			IfMatch: `"7"`, Revision: `"8"`, Status: 200, Code: 100, Error: strings.Repeat("ä", maxText),
		}
		l.Record(e)
		assert.Equal(t, 1, strings.Count(out.String(), "\n"))
		assert.True(t, strings.HasPrefix(out.String(), `{"time":"2000-01-01T00:00:00Z","actor":"alice","address":"192.0.2.1:5","method":"POST","route":"/update","connector":"c\nd\u202e\udb40\udc01`), out.String())
		e.Error = strings.Repeat("ä", maxText/2) + "…"
		assert.Equal(t, []Entry{e}, withoutTimes(entries(t, out.String())))
		assert.Empty(t, l.Warning())
		require.NoError(t, l.Close())
	})
	var none *Log
	none.Record(Entry{})
	none.Refused(Entry{})
	none.Reopen()
	assert.Empty(t, none.Warning())
	require.NoError(t, none.Close())
}

func TestTheFileIsAppendedToAndReopened(t *testing.T) {
	dir := t.TempDir()
	path, moved := filepath.Join(dir, "audit.log"), filepath.Join(dir, "audit.log.1")
	require.NoError(t, os.WriteFile(path, []byte(`{"code":0}`+"\n"+`{"cut of`), 0o600))
	l, err := Open(path, nil, discard())
	require.NoError(t, err)
	l.Record(Entry{Actor: "a"})
	require.NoError(t, os.Rename(path, moved))
	l.Record(Entry{Actor: "b"})
	l.Reopen()
	l.Record(Entry{Actor: "c"})
	old, err := os.ReadFile(moved)
	require.NoError(t, err)
	lines := strings.SplitAfter(string(old), "\n")
	require.Len(t, lines, 5)
	assert.Equal(t, `{"cut of`+"\n", lines[1], "a line that was cut is not continued")
	assert.Equal(t, []Entry{{Actor: "a"}, {Actor: "b"}}, withoutTimes(entries(t, lines[2]+lines[3])))
	fresh, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, []Entry{{Actor: "c"}}, withoutTimes(entries(t, string(fresh))))
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	// What cannot be reopened is written on.
	require.NoError(t, os.Rename(path, moved))
	require.NoError(t, os.Mkdir(path, 0o700))
	l.Reopen()
	l.Record(Entry{Actor: "d"})
	old, err = os.ReadFile(moved)
	require.NoError(t, err)
	assert.Equal(t, []Entry{{Actor: "c"}, {Actor: "d"}}, withoutTimes(entries(t, string(old))))
	require.NoError(t, l.Close())

	_, err = Open(path, nil, discard())
	require.ErrorContains(t, err, "opening the audit log: open "+path+": is a directory")
}

// full is a disk that takes so many more bytes, and says so when it is full.
type full struct {
	text bytes.Buffer
	room int
}

func (f *full) Write(p []byte) (int, error) {
	if len(p) > f.room {
		n, _ := f.text.Write(p[:f.room])
		f.room = 0
		return n, syscall.ENOSPC
	}
	f.room -= len(p)
	return f.text.Write(p)
}

func TestAFullDiskIsToldOnceAndWhatIsLostIsCounted(t *testing.T) {
	var said bytes.Buffer
	disk := &full{room: 200}
	l, err := Open("-", disk, slog.New(slog.NewTextHandler(&said, nil)))
	require.NoError(t, err)
	for range 10 {
		l.Record(Entry{Actor: strings.Repeat("a", 100)})
	}
	assert.Equal(t, 1, strings.Count(said.String(), "Cannot write the audit log"), said.String())
	assert.Contains(t, said.String(), "no space left on device")
	assert.Equal(t, "The audit log cannot be written (entries lost: 9): no space left on device.", l.Warning())

	disk.room = 1 << 20
	l.Record(Entry{Actor: "b"})
	assert.Empty(t, l.Warning())
	assert.Contains(t, said.String(), `The audit log is written again" entries_lost=9`)
	lines := strings.SplitAfter(disk.text.String(), "\n")
	require.Len(t, lines, 5) // one, one that was cut, what was lost, one, nothing
	assert.Equal(t, []Entry{
		{LeftOut: 9, Error: "entries could not be written: no space left on device"}, {Actor: "b"},
	}, withoutTimes(entries(t, lines[2]+lines[3])))
	require.NoError(t, l.Close())
}

func TestRefusedCallsAreBoundedByAddressAndInAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		l, err := Open("-", &out, discard())
		require.NoError(t, err)
		knock := func(address string, n int) {
			for i := range n {
				l.Refused(Entry{Address: fmt.Sprintf(address, i), Status: 401, Code: 100})
			}
		}
		knock("192.0.2.1:%d", 500)
		assert.Len(t, entries(t, out.String()), addressBurst, "every port is one address")
		knock("[2001:db8::%x]:1", 300)
		assert.Len(t, entries(t, out.String()), 2*addressBurst, "a /64 is one address")
		time.Sleep(leftOutEvery + time.Second)
		synctest.Wait()
		all := entries(t, out.String())
		assert.Equal(t, Entry{LeftOut: 600, Error: "refused calls are left out, because there were too many"}, withoutTimes(all)[len(all)-1])
		time.Sleep(leftOutEvery + time.Second)
		synctest.Wait()
		assert.Len(t, entries(t, out.String()), 2*addressBurst+1, "nothing was left out since")

		knock("192.0.2.1:%d", 500)
		assert.Len(t, entries(t, out.String()), 2*addressBurst+1+24, "one for each 5 s")

		time.Sleep(time.Hour)
		synctest.Wait()
		out.Reset()
		for net := range 200 {
			knock(fmt.Sprintf("10.0.%d.%%d:1", net), 200)
		}
		all = entries(t, out.String())
		assert.LessOrEqual(t, len(all), overallBurst+2)
		assert.GreaterOrEqual(t, len(all), overallBurst)
		assert.LessOrEqual(t, len(l.limits.addresses), maxAddresses)
		// Calls that change something are recorded whatever others do.
		l.Record(Entry{Actor: "alice"})
		assert.Equal(t, "alice", withoutTimes(entries(t, out.String()))[len(all)].Actor)
		out.Reset()
		require.NoError(t, l.Close())
		all = entries(t, out.String())
		require.Len(t, all, 1, "what was left out is told at the end")
		assert.Greater(t, all[0].LeftOut, 38000)
	})
}

func TestAnAddressThatIsLikeNewIsForgotten(t *testing.T) {
	var l limits
	now := time.Now()
	for i := range maxAddresses {
		l.mayRecord(fmt.Sprintf("10.1.%d.%d:1", i/256, i%256), now)
	}
	l.mayRecord("192.0.2.1:1", now)
	assert.Len(t, l.addresses, maxAddresses)
	assert.NotContains(t, l.addresses, "192.0.2.1")
	l.mayRecord("192.0.2.1:1", now.Add(time.Hour))
	assert.Len(t, l.addresses, 1)
}

func TestNothingIsWrittenAfterTheEnd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	l, err := Open(path, io.Discard, discard())
	require.NoError(t, err)
	require.NoError(t, l.Close())
	l.Record(Entry{Actor: "a"})
	l.Reopen()
	assert.Contains(t, l.Warning(), "file already closed")
	require.NoError(t, l.Close())
	require.ErrorIs(t, l.fault, os.ErrClosed)
}
