package logbook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func texts(lines []Line) (all []string) {
	for _, l := range lines {
		all = append(all, l.Text)
	}
	return all
}

func (b *Book) all(connector string) []string {
	lines, _, _ := b.Read(connector, time.Time{}, slog.LevelDebug, 1<<20)
	return texts(lines)
}

func TestLinesOfAConnectorAreKeptWithTheirAttributes(t *testing.T) {
	var out bytes.Buffer
	b := New(1 << 20)
	b.Open("c")
	log := slog.New(b.Handler(slog.NewTextHandler(&out, nil)))
	log.Error("Of nobody", "error", "x")
	log.Warn("Of another", "connector", "d")
	log.Error("Cannot run", "connector", "c", "error", errors.New(`it said "no"`), "n", 7)
	c := log.With("connector", "c", "label", "in")
	c.Info("Started", slog.Group("at", "host", "h", slog.Group("", "port", 1)), slog.Attr{})
	c.WithGroup("g").With("a", "b").Warn("Grouped", "connector", "inner", "empty", "")
	c.Debug("Below the level of the service")

	lines, omitted, dropped := b.Read("c", time.Time{}, slog.LevelDebug, 10)
	assert.Equal(t, []string{
		`Cannot run error="it said \"no\"" n=7`, "Started label=in at.host=h at.port=1", `Grouped label=in g.a=b g.connector=inner g.empty=""`,
	}, texts(lines))
	assert.Equal(t, []slog.Level{slog.LevelError, slog.LevelInfo, slog.LevelWarn}, []slog.Level{lines[0].Level, lines[1].Level, lines[2].Level})
	assert.Zero(t, omitted)
	assert.Zero(t, dropped)
	assert.Empty(t, b.all("d"), "it has no page")
	assert.Equal(t, 5, strings.Count(out.String(), "\n"), "the service's log has all of them")
}

func TestTheLevelOfAConnectorIsForTheServicesLogToo(t *testing.T) {
	var out bytes.Buffer
	b := New(1 << 20)
	b.Open("c")
	b.Open("d")
	log := slog.New(b.Handler(slog.NewTextHandler(&out, nil)))
	c, d := log.With("connector", "c"), log.With("connector", "d")
	debug, failures := slog.LevelDebug, slog.LevelError
	assert.Nil(t, b.Level("c"))
	require.True(t, b.SetLevel("c", &debug))
	require.True(t, b.SetLevel("d", &failures))
	assert.False(t, b.SetLevel("e", &debug))
	assert.Nil(t, b.Level("e"))
	c.Debug("Detail of c")
	d.Warn("Warning of d")
	require.True(t, b.SetLevel("c", nil))
	require.True(t, b.SetLevel("d", nil))
	c.Debug("More of c")
	d.Warn("More of d")
	assert.Equal(t, []string{"Detail of c"}, b.all("c"))
	assert.Equal(t, []string{"More of d"}, b.all("d"))
	assert.Equal(t, 2, strings.Count(out.String(), "\n"), out.String())
}

func TestReadingGivesTheNewestAndWhatFollows(t *testing.T) {
	b := New(1 << 20)
	b.Open("c")
	at := time.Now()
	for i := range 10 {
		b.add("c", Line{At: at, Level: slog.Level(4 * (i % 2)), Text: strconv.Itoa(i)}) // all at once
	}
	b.add("c", Line{At: at.Add(-time.Hour), Level: slog.LevelWarn, Text: "the clock was set back"})

	lines, omitted, _ := b.Read("c", time.Time{}, slog.LevelWarn, 3)
	assert.Equal(t, []string{"7", "9", "the clock was set back"}, texts(lines))
	assert.Equal(t, 3, omitted)
	lines, omitted, _ = b.Read("c", lines[0].At, slog.LevelDebug, 100)
	assert.Equal(t, []string{"8", "9", "the clock was set back"}, texts(lines))
	assert.Zero(t, omitted)
	lines, _, _ = b.Read("c", lines[2].At, slog.LevelDebug, 100)
	assert.Empty(t, lines)
}

func TestABookIsBoundedAndANoisyConnectorDropsItsOwn(t *testing.T) {
	b := New(100 << 10)
	for _, c := range []string{"quiet", "noisy", "third"} {
		b.Open(c)
	}
	b.add("quiet", Line{Text: "a rare fault"})
	for i := range 10000 {
		b.add("noisy", Line{Text: fmt.Sprintf("%d %s", i, strings.Repeat("x", 100))})
		require.LessOrEqual(t, b.size, b.most)
	}
	assert.Equal(t, []string{"a rare fault"}, b.all("quiet"))
	kept := b.all("noisy")
	assert.Greater(t, len(kept), 500)
	assert.True(t, strings.HasPrefix(kept[len(kept)-1], "9999 "))
	_, _, dropped := b.Read("noisy", time.Time{}, slog.LevelDebug, 1)
	assert.Equal(t, 10000-len(kept), dropped)

	// One with less than its share takes the room of the one that has most.
	b.add("third", Line{Text: strings.Repeat("é", maxLine)})
	third := b.all("third")
	require.Len(t, third, 1)
	assert.Len(t, third[0], maxLine+len("… (cut)"))
	assert.Less(t, len(b.all("noisy")), len(kept))
	assert.LessOrEqual(t, b.size, b.most)

	b.Drop("noisy")
	b.Drop("third")
	b.Drop("nosuch")
	assert.Equal(t, len("a rare fault")+overhead, b.size)
	b.Open("noisy")
	b.Open("quiet")
	assert.Empty(t, b.all("noisy"), "another one of that name")
	assert.Len(t, b.all("quiet"), 1, "open already")
}

func TestABookTakesLinesFromAllSides(t *testing.T) {
	b := New(20 << 10)
	log := slog.New(b.Handler(slog.NewTextHandler(io.Discard, nil)))
	var all sync.WaitGroup
	for i := range 4 {
		name := strconv.Itoa(i)
		b.Open(name)
		all.Go(func() {
			c := log.With("connector", name)
			level := slog.LevelDebug
			for j := range 200 {
				c.Info("Line", "j", j)
				c.Log(context.Background(), slog.LevelDebug, "Detail")
				b.SetLevel(name, &level)
				b.Read(name, time.Time{}, slog.LevelDebug, 10)
			}
		})
	}
	all.Wait()
	var last time.Time
	lines, _, _ := b.Read("0", time.Time{}, slog.LevelDebug, 1000)
	require.NotEmpty(t, lines)
	for _, l := range lines {
		assert.True(t, l.At.After(last))
		last = l.At
	}
}
