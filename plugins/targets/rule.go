package targets

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// rule is one item of a list: a network, an address or a name, optionally with a port.
type rule struct {
	text   string       // as it was given
	prefix netip.Prefix // valid unless the rule has a name
	host   string       // in lower case, if the rule has a name
	port   uint16       // 0 is any
}

// parseRule reads 10.0.0.0/8, 10.0.0.1, fd00::1, 10.0.0.1:9092, [fd00::1]:9092 or
// kafka.example:9092.
func parseRule(text string) (rule, error) {
	r := rule{text: text}
	wrong := func() (rule, error) {
		return rule{}, fmt.Errorf("%q is not a target: give a network as 10.0.0.0/8, or HOST:PORT", text)
	}
	if prefix, err := netip.ParsePrefix(text); err == nil {
		r.prefix = netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits())
		if prefix.Addr().Is4In6() {
			r.prefix = netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-96)
		}
		r.prefix = r.prefix.Masked()
		if !r.prefix.IsValid() {
			return wrong()
		}
		return r, nil
	}
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		r.prefix = single(addr)
		return r, nil
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil || host == "" {
		return wrong()
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return wrong()
	}
	r.port = uint16(n)
	if addr, err := netip.ParseAddr(host); err == nil && addr.Zone() == "" {
		r.prefix = single(addr)
		return r, nil
	}
	if !hostName.MatchString(host) {
		return wrong()
	}
	r.host = plainHost(host)
	return r, nil
}

var hostName = regexp.MustCompile(`^[\pL\pN._-]+$`)

func single(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap()
	return netip.PrefixFrom(addr, addr.BitLen())
}

func plainHost(host string) string { return strings.TrimSuffix(strings.ToLower(host), ".") }

// hasName reports whether a rule has this name and port. It does not resolve names.
func (r rule) hasName(host string, port uint16) bool {
	return r.host != "" && r.host == plainHost(host) && r.port == port
}

// has reports whether a rule matches an address. It resolves the rule's name now; a
// name that does not exist has no address.
func (r rule) has(ctx context.Context, to netip.AddrPort, lookup lookup) (bool, error) {
	if r.port != 0 && r.port != to.Port() {
		return false, nil
	}
	if r.host == "" {
		return r.prefix.Contains(to.Addr()), nil
	}
	addrs, err := lookup(ctx, r.host)
	var dns *net.DNSError
	if errors.As(err, &dns) && dns.IsNotFound {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking up the target %s: %w", r.text, err)
	}
	return slices.ContainsFunc(addrs, func(a netip.Addr) bool { return meant(a) == to.Addr() }), nil
}

type lookup func(ctx context.Context, host string) ([]netip.Addr, error)

func systemLookup(ctx context.Context, host string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}

// meant returns the address that the system connects to: IPv4 in IPv6 is IPv4, and an
// empty address is localhost.
func meant(addr netip.Addr) netip.Addr {
	addr = addr.Unmap().WithZone("")
	switch {
	case addr == netip.IPv4Unspecified():
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	case addr == netip.IPv6Unspecified():
		return netip.IPv6Loopback()
	}
	return addr
}

// translated are prefixes of IPv6 addresses that contain an IPv4 address, at that byte,
// which a gateway connects to.
var translated = []struct {
	prefix netip.Prefix
	at     int
}{
	{netip.MustParsePrefix("64:ff9b::/96"), 12},   // NAT64
	{netip.MustParsePrefix("64:ff9b:1::/48"), 12}, // NAT64, local prefixes
	{netip.MustParsePrefix("2002::/16"), 2},       // 6to4
	{netip.MustParsePrefix("::/96"), 12},          // IPv4-compatible
}

// behind returns the other addresses that a connection may reach.
func behind(addr netip.Addr) (others []netip.Addr) {
	if !addr.Is6() || addr.IsLoopback() {
		return nil
	}
	for _, t := range translated {
		if t.prefix.Contains(addr) {
			b := addr.As16()
			others = append(others, meant(netip.AddrFrom4([4]byte(b[t.at:t.at+4]))))
		}
	}
	return others
}
