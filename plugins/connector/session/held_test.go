package session

import (
	"math/rand/v2"
	"net/url"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// The index must answer as a look at all sides would.
func TestHeldFindsWhoHasASessionAndWhoUsesAClientID(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	names, clients, hosts := []string{"a", "b", "c", "d"}, []string{"x", "y", ""}, []string{"one", "two"}
	anySide := func() Side {
		side := Side{ClientID: clients[random.IntN(len(clients))]}
		for range 1 + random.IntN(2) {
			side.URLs = append(side.URLs, &url.URL{Scheme: "tcp", Host: hosts[random.IntN(len(hosts))] + ":1883"})
		}
		return side
	}
	h, all := newHeld(), map[string][]Side{}
	for range 2000 {
		name := names[random.IntN(len(names))]
		var sides []Side
		for range random.IntN(3) {
			sides = append(sides, anySide())
		}
		h.set(name, sides...)
		if all[name] = sides; len(sides) == 0 {
			delete(all, name)
		}
		require.Len(t, h.sides, len(all))

		asked := anySide()
		var overlapping []string
		for name, sides := range all {
			if slices.ContainsFunc(sides, asked.overlaps) {
				overlapping = append(overlapping, name)
			}
		}
		require.ElementsMatch(t, overlapping, h.overlapping(asked))
		for _, id := range asked.IDs() {
			var holders []string
			for name, sides := range all {
				if slices.ContainsFunc(sides, func(s Side) bool { return slices.Contains(s.IDs(), id) }) {
					holders = append(holders, name)
				}
			}
			holder, side, ok := h.holder(id)
			require.Equal(t, len(holders) > 0, ok)
			if ok {
				require.Contains(t, holders, holder)
				require.Contains(t, side.IDs(), id)
			}
		}
		for _, beside := range []string{"", name} {
			used := false
			for other, sides := range all {
				used = used || other != beside && slices.ContainsFunc(sides, func(s Side) bool { return s.ClientID == asked.ClientID })
			}
			require.Equal(t, used, h.usedBeside(beside, asked.ClientID), "%v beside %q", all, beside)
		}
	}
	for _, name := range names {
		h.set(name)
	}
	require.Empty(t, h.users)
}
