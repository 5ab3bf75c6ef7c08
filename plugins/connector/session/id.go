package session

import (
	"net"
	"net/netip"
	"net/url"
	"path"
	"strings"
)

// ID identifies a session: a broker has one for each client id.
type ID struct {
	Endpoint string // as EndpointOf gives it
	ClientID string
}

// EndpointOf returns the broker of a URL in a normalized form: two URLs of one listener
// have the same. It cannot know what only the network knows (two names of one host, two
// listeners of one broker).
//
// The scheme matters only for its default port, because one port has one listener. Only
// a WebSocket has a path, at which another broker may be.
func EndpointOf(u *url.URL) string {
	if u.Scheme == "unix" {
		return "unix:" + path.Clean(u.Host+u.Path)
	}
	port, inner := u.Port(), ""
	switch u.Scheme {
	case "ws", "wss":
		inner = strings.TrimSuffix(path.Clean("/"+u.Path), "/")
		if port == "" {
			port = map[string]string{"ws": "80", "wss": "443"}[u.Scheme]
		}
	}
	return net.JoinHostPort(hostOf(u.Hostname()), strings.TrimLeft(port, "0")) + inner
}

// hostOf returns a host in a normalized form. All addresses of localhost are one.
func hostOf(host string) string {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if ip, err := netip.ParseAddr(host); err == nil {
		ip = ip.Unmap()
		if ip == netip.AddrFrom4([4]byte{127, 0, 0, 1}) || ip == netip.IPv6Loopback() || ip.IsUnspecified() {
			return "localhost"
		}
		return ip.String()
	}
	switch host {
	case "", "ip6-localhost", "localhost.localdomain":
		return "localhost"
	}
	return host
}
