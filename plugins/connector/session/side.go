package session

import (
	"crypto/tls"
	"net/url"
	"slices"
	"strings"
)

// Side is the MQTT side of a connector, as far as its sessions are concerned.
type Side struct {
	// Member is the member of the connector that joins its sessions, from 0.
	Member             int
	URLs               []*url.URL
	ClientID           string
	Username, Password string
	TLS                *tls.Config
	Filter             string
	QoS                byte
	// Clean: the broker does not keep the session.
	Clean bool
	// Pending: the first member must read the messages in its sessions before any of their
	// filters is unsubscribed.
	Pending bool
	// Renew gives the side with the login and the TLS settings of today, whose files may
	// have changed since it was read. It may be nil.
	Renew func(Side) Side
}

func (s Side) renewed() Side {
	if s.Renew == nil {
		return s
	}
	return s.Renew(s)
}

// ParseURLs reads the items of a field urls, each of which may have several URLs
// separated by commas. Invalid URLs are ignored: lint refuses them.
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

// IDs returns the sessions that the side may have, one at each of its brokers.
func (s Side) IDs() []ID {
	var all []ID
	for _, u := range s.URLs {
		if id := (ID{EndpointOf(u), s.ClientID}); !slices.Contains(all, id) {
			all = append(all, id)
		}
	}
	return all
}

// At returns the side with only the URLs of some endpoints.
func (s Side) At(endpoints ...string) Side {
	s.URLs = slices.DeleteFunc(slices.Clone(s.URLs), func(u *url.URL) bool { return !slices.Contains(endpoints, EndpointOf(u)) })
	return s
}

// overlaps reports whether two sides would share a session.
func (s Side) overlaps(o Side) bool {
	ids := o.IDs()
	return slices.ContainsFunc(s.IDs(), func(id ID) bool { return slices.Contains(ids, id) })
}
