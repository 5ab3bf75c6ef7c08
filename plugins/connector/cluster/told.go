package cluster

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

// Told is what a worker tells about itself.
type Told struct {
	URL string
	connector.Membership
	Connectors int // that it runs

	// Self: it is this worker. Silent: it does not answer, and nothing else is known.
	Self, Silent bool `json:"-"`
}

// Told returns what the workers of the group tell about themselves, by URL. With an error,
// it is what this worker tells.
func (s *Service) Told(ctx context.Context) ([]Told, error) {
	mine := s.tell()
	mine.Self = true
	told, silent, err := gather(ctx, s, pathTold, []Told{mine}, func(one *Told) string { return one.URL })
	var all []Told
	for _, one := range told {
		all = append(all, one...)
	}
	for _, url := range silent {
		all = append(all, Told{URL: url, Silent: true})
	}
	slices.SortFunc(all, func(a, b Told) int { return cmp.Compare(a.URL, b.URL) })
	return all, err
}

func (s *Service) tell() Told {
	return Told{URL: strings.TrimSuffix(s.opts.Advertise, "/"), Membership: s.Membership(), Connectors: len(s.mine())}
}
