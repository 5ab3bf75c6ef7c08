package session

import (
	"crypto/tls"
	"net/url"
	"slices"
	"strings"
)

// Side is the MQTT side of a connector, as far as its sessions are concerned.
type Side struct {
	URLs               []*url.URL
	ClientID           string
	Username, Password string
	TLS                *tls.Config
	Filter             string
	QoS                byte
	// Clean: the broker keeps no session.
	Clean bool
	// Pending: what waits in its sessions is to be read before any of their filters is
	// unsubscribed.
	Pending bool
}

// ParseURLs reads the items of a field urls, each of which may hold several with
// commas between. What is not a URL is left out: lint refuses it.
func ParseURLs(items []string) []*url.URL {
	var all []*url.URL
	for _, item := range items {
		for _, one := range strings.Split(item, ",") {
			if u, err := url.Parse(strings.TrimSpace(one)); err == nil && u.Scheme != "" {
				all = append(all, u)
			}
		}
	}
	return all
}

// IDs are the sessions that the side may have, one at each of its brokers.
func (s Side) IDs() []ID {
	var all []ID
	for _, u := range s.URLs {
		if id := (ID{EndpointOf(u), s.ClientID}); !slices.Contains(all, id) {
			all = append(all, id)
		}
	}
	return all
}

// At is the side with the URLs of some endpoints alone.
func (s Side) At(endpoints ...string) Side {
	s.URLs = slices.DeleteFunc(slices.Clone(s.URLs), func(u *url.URL) bool { return !slices.Contains(endpoints, EndpointOf(u)) })
	return s
}

// overlaps tells whether two sides would have one session.
func (s Side) overlaps(o Side) bool {
	ids := o.IDs()
	return slices.ContainsFunc(s.IDs(), func(id ID) bool { return slices.Contains(ids, id) })
}
