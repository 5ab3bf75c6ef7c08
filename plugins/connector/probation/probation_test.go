package probation

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// disk is a File that outlives processes.
type disk struct {
	data []byte
	err  error
}

func (d *disk) Read() ([]byte, error) { return d.data, d.err }

func (d *disk) Write(data []byte) error {
	if d.err == nil {
		d.data = slices.Clone(data)
	}
	return d.err
}

func named(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("c%03d", i)
	}
	return all
}

// world is a machine that restarts a service whenever it has ended.
type world struct {
	t        *testing.T
	disk     disk
	names    []string
	culprits map[string]time.Duration // how long after its start one ends the process
	silent   bool                     // the end leaves no trace
	// killer returns when the process is killed from outside, 0 for never.
	killer func() time.Duration
	deaths int
	notes  []string
}

// life is one process. It returns the quarantined connectors once a run has settled.
func (w *world) life(trace string) (next string, held map[string]Verdict) {
	w.t.Helper()
	j, err := Open(&w.disk, 0)
	require.NoError(w.t, err)
	note, err := j.Begin(w.names, trace)
	require.NoError(w.t, err)
	w.notes = append(w.notes, note)
	now, began := time.Duration(0), map[string]time.Duration{}
	kill := time.Duration(1 << 60)
	if w.killer != nil {
		if at := w.killer(); at > 0 {
			kill = at
		}
	}
	// until advances the time; it returns false if the process ends before.
	until := func(end time.Duration) bool {
		for name, start := range began {
			if after, guilty := w.culprits[name]; guilty && start+after < min(end, kill) {
				next = map[bool]string{false: "\nruntime stack:\nruntime.newstack()\n", true: ""}[w.silent]
				return false
			}
		}
		now = end
		next = ""
		return end <= kill
	}
	start := func(name string) {
		if _, runs := began[name]; runs {
			return
		}
		if _, held := j.Held(name); !held {
			require.NoError(w.t, j.Started(name))
			began[name] = now
		}
	}
	for j.Searching() {
		trial, ok, err := j.Next()
		require.NoError(w.t, err)
		if !ok {
			break
		}
		if trial.Alone {
			require.Empty(w.t, began, "it must run alone")
		} else {
			for _, name := range w.names {
				if !j.Suspected(name) {
					start(name)
				}
			}
		}
		for _, name := range trial.Names {
			start(name)
		}
		if !until(now + trial.For) {
			w.deaths++
			return next, nil
		}
		require.NoError(w.t, j.Survived())
		if trial.Alone {
			// A connector that has run alone continues; the time of the others starts
			// now.
			clear(began)
			for _, name := range trial.Names {
				began[name] = now - trial.For
			}
		}
	}
	for _, name := range w.names {
		start(name)
	}
	if !until(now + SettleAfter) {
		w.deaths++
		return next, nil
	}
	require.NoError(w.t, j.Settle())
	return "", maps.Clone(j.state.Quarantined)
}

// settle restarts the service until a run has settled.
func (w *world) settle(most int) []string {
	w.t.Helper()
	trace := ""
	for range most {
		next, held := w.life(trace)
		if held != nil || next == "" && w.settled() {
			return slices.Sorted(maps.Keys(held))
		}
		trace = next
	}
	require.Fail(w.t, "it never settles", "%d deaths, %s", w.deaths, w.disk.data)
	return nil
}

func (w *world) settled() bool { return strings.Contains(string(w.disk.data), `"settled": true`) }

func TestOnlyTheConnectorThatEndsTheProcessIsQuarantined(t *testing.T) {
	for _, silent := range []bool{false, true} {
		for _, n := range []int{1, 2, 3, 10, 300} {
			for _, after := range []time.Duration{0, 3 * time.Second, 25 * time.Second, 50 * time.Second} {
				t.Run(fmt.Sprintf("one of %d after %s, silent %t", n, after, silent), func(t *testing.T) {
					guilty := named(n)[n*2/3]
					w := &world{t: t, names: named(n), culprits: map[string]time.Duration{guilty: after}, silent: silent}
					assert.Equal(t, []string{guilty}, w.settle(100))
					most := 2 + 10 + 2 // deaths, halvings, proofs
					if silent {
						most = 8 + 10 + 4
					}
					if after > firstTrial {
						most *= 3 // the trial is prolonged
					}
					assert.LessOrEqual(t, w.deaths, most)
					// It stays quarantined, and no other connector is.
					w.deaths = 0
					assert.Equal(t, []string{guilty}, w.settle(1))
					assert.Zero(t, w.deaths)
				})
			}
		}
	}
}

func TestSeveralConnectorsAreQuarantined(t *testing.T) {
	w := &world{t: t, names: named(40), culprits: map[string]time.Duration{"c000": 0, "c007": 5 * time.Second, "c039": 0}}
	assert.Equal(t, []string{"c000", "c007", "c039"}, w.settle(200))
}

func TestAllConnectorsAtFaultAreFoundAndNoOther(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	worst := 0
	for range 300 {
		w := &world{t: t, names: named(1 + random.IntN(60)), culprits: map[string]time.Duration{}, silent: random.IntN(2) == 0}
		for range random.IntN(4) {
			w.culprits[w.names[random.IntN(len(w.names))]] = time.Duration(random.IntN(58)) * time.Second
		}
		assert.ElementsMatch(t, slices.Collect(maps.Keys(w.culprits)), w.settle(300), "%+v", w.culprits)
		worst = max(worst, w.deaths)
	}
	t.Logf("at most %d deaths", worst)
}

func TestTheCauseIsNamed(t *testing.T) {
	for trace, want := range map[string]string{
		"": "it was killed, as the kernel does where memory runs out",
		"panic: boom\n\ngoroutine 19 [running]:\n":                             "panic: boom",
		"panic: " + strings.Repeat("x", 999) + "\n":                            "panic: " + strings.Repeat("x", 193) + "…",
		"\nruntime stack:\nruntime.throw({0x1, 0x2})\nruntime.newstack()\n":    "fatal error: stack overflow",
		"\nruntime stack:\nruntime.throw({0x1})\nruntime.sysMapOS(0x1, 0x2)\n": "fatal error: out of memory",
		"\ngoroutine 1 [running]:\ninternal/runtime/maps.fatal({0x4, 0x0})\n":  "fatal error: concurrent use of a map",
		"\nruntime stack:\nruntime.throw({0x1})\n":                             "a fatal error of the runtime",
	} {
		assert.Equal(t, want, fault(trace), trace)
	}
}

// A kill from outside does not depend on what runs.
func TestAKillFromOutsideQuarantinesNoConnector(t *testing.T) {
	for every := time.Second; every < SettleAfter; every += time.Second {
		w := &world{t: t, names: named(20)}
		lives := 0
		w.killer = func() time.Duration {
			if lives++; lives > 40 {
				return 0
			}
			return every
		}
		assert.Empty(t, w.settle(100), "killed every %s", every)
	}
}

// A killer without a pattern would have to hit each proof and to miss each run without
// connectors.
func TestARandomKillerHardlyEverQuarantinesAConnector(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	convicted := 0
	const runs = 500
	for range runs {
		w := &world{t: t, names: named(20)}
		lives := 0
		w.killer = func() time.Duration {
			if lives++; lives > 60 {
				return 0
			}
			return time.Duration(random.ExpFloat64() * float64(15*time.Second))
		}
		convicted += len(w.settle(200))
	}
	assert.Less(t, convicted, runs/50)
}

// An operator ends the process by a signal that leaves a trace.
func TestASignalIsAKillFromOutside(t *testing.T) {
	w := &world{t: t, names: named(4), killer: func() time.Duration { return time.Second }}
	for range 3 {
		_, held := w.life("SIGQUIT: quit\nPC=0x1")
		require.Nil(t, held)
	}
	j, err := Open(&w.disk, 0)
	require.NoError(t, err)
	assert.False(t, j.Searching())
}

func TestACrashOfTheServiceItselfQuarantinesNoConnector(t *testing.T) {
	w := &world{t: t, names: named(8), killer: func() time.Duration { return time.Second }}
	for range 30 {
		_, held := w.life("panic: in the service")
		require.Nil(t, held)
	}
	assert.Contains(t, strings.Join(w.notes, "\n"), "the process ended while no connector ran, so none is at fault")
}

// A clean stop ends a search, and a run that lasts resets the score.
func TestOnlyDeathsInARowSoonAfterAStartCount(t *testing.T) {
	d := &disk{}
	for range 10 {
		j, err := Open(d, 0)
		require.NoError(t, err)
		_, err = j.Begin(named(4), "panic: x")
		require.NoError(t, err)
		require.NoError(t, j.Settle())
	}
	for range 10 {
		j, err := Open(d, 0)
		require.NoError(t, err)
		_, err = j.Begin(named(4), "panic: x")
		require.NoError(t, err)
		require.False(t, j.Searching())
		require.NoError(t, j.Stop())
	}
}

// A connector that is created or resumed while another runs alone would be taken for
// that one's fault.
func TestAStartDuringAProofSpoilsIt(t *testing.T) {
	d := &disk{}
	life := func(during ...string) Trial {
		j, err := Open(d, 0)
		require.NoError(t, err)
		_, err = j.Begin([]string{"a"}, "panic: x")
		require.NoError(t, err)
		trial, _, err := j.Next()
		require.NoError(t, err)
		for _, name := range append(trial.Names, during...) {
			require.NoError(t, j.Started(name))
		}
		_, held := j.Held("a")
		require.False(t, held)
		return trial
	}
	for range 3 {
		life() // two deaths, and one of a alone in its group
	}
	for range 10 { // each proof is spoilt by another start
		assert.Equal(t, Trial{Names: []string{"a"}, Alone: true, For: firstTrial}, life("b"))
	}
}

func TestReleaseStartsTheConnectorAgain(t *testing.T) {
	w := &world{t: t, names: named(5), culprits: map[string]time.Duration{"c002": 0}}
	require.Equal(t, []string{"c002"}, w.settle(100))
	j, err := Open(&w.disk, 0)
	require.NoError(t, err)
	v, held := j.Held("c002")
	require.True(t, held)
	assert.Equal(t, "fatal error: stack overflow", v.Why)
	assert.False(t, v.Since.IsZero())
	require.NoError(t, j.Release("c002"))
	require.NoError(t, j.Release("c002"))
	_, held = j.Held("c002")
	assert.False(t, held)
	assert.Equal(t, []string{"c002"}, w.settle(100), "it is found again")

	// A deleted connector is removed.
	w.names = []string{"c000"}
	assert.Empty(t, w.settle(1))
}

func TestAnUnreadableJournalStartsEmpty(t *testing.T) {
	for _, text := range []string{"{", `{"version": 99}`, `[]`} {
		j, err := Open(&disk{data: []byte(text)}, 0)
		require.ErrorContains(t, err, "reading the journal of starts: ")
		assert.False(t, j.Searching())
	}
	j, err := Open(&disk{err: errors.New("input/output error")}, 0)
	require.ErrorContains(t, err, "input/output error")
	_, err = j.Begin([]string{"a"}, "")
	require.ErrorContains(t, err, "writing the journal of starts: input/output error")
}
