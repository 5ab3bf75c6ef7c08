//go:build unix

package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLoadFollower(t *testing.T) {
	var calls []string
	l := loadFollower{
		quiet: func() { calls = append(calls, "quiet") },
		busy:  func() { calls = append(calls, "busy") },
	}
	observe := func(load float64, times int) []string {
		calls = nil
		for range times {
			l.observe(load)
		}
		return calls
	}
	require.Empty(t, observe(0.1, quietIntervals-1), "the low load has to last")
	require.Empty(t, observe(quietLoad, 1), "the count starts again")
	require.Empty(t, observe(0.1, quietIntervals-1))
	require.Equal(t, []string{"quiet"}, observe(0.1, 1))
	require.Empty(t, observe(busyLoad, 100), "one processor can do that")
	require.Empty(t, observe(0, 100))
	require.Equal(t, []string{"busy"}, observe(0.7, 1), "at once")
	require.Empty(t, observe(2, 100))
	require.Empty(t, observe(0.55, 100), "a load close to one processor keeps all of them")
	require.Equal(t, []string{"quiet"}, observe(0, quietIntervals))
}

func TestProcessTimeGrows(t *testing.T) {
	before := processTime()
	require.Positive(t, before)
	for range 1 << 26 {
		before += 0
	}
	require.Greater(t, processTime(), before)
}
