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
	told, silent, err := gather(ctx, s, pathTold, []Told{mine}, func(one *Told) string { return one.URL }, func(*Told, string) {})
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

// url is that of this worker, as others reach it.
func (s *Service) url() string { return strings.TrimSuffix(s.opts.Advertise, "/") }

func (s *Service) tell() Told {
	return Told{URL: s.url(), Membership: s.Membership(), Connectors: len(s.mine())}
}
