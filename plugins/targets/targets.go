// Package targets restricts connections to the addresses that an operator allows. An
// address is checked when it is dialled, after the name was resolved. So a name that
// resolves to another address later, and an address that a Kafka broker advertises, are
// checked too.
package targets

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"syscall"
)

// Guard checks targets. A nil *Guard allows everything.
type Guard struct {
	allow, deny []rule
	own         []rule // targets that the operator has configured in other flags
	sockets     []string
	lookup      lookup
}

// Rules configure a Guard. Each target is a network (10.0.0.0/8), an address, or
// HOST:PORT.
type Rules struct {
	// Allow are the only allowed targets, if there are any.
	Allow []string
	// Deny are refused, even if Allow has them.
	Deny []string
	// Own are allowed, as HOST:PORT, regardless of Allow and Deny.
	Own []string
	// Sockets are the paths of the Unix sockets that may be opened.
	Sockets []string
}

// New returns a Guard.
func New(rules Rules) (*Guard, error) {
	g := &Guard{sockets: rules.Sockets, lookup: systemLookup}
	for _, list := range []struct {
		name  string
		texts []string
		into  *[]rule
	}{{"allow-targets", rules.Allow, &g.allow}, {"deny-targets", rules.Deny, &g.deny}, {"own targets", rules.Own, &g.own}} {
		for _, text := range list.texts {
			r, err := parseRule(text)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", list.name, err)
			}
			*list.into = append(*list.into, r)
		}
	}
	return g, nil
}

// Judges reports whether there are any rules.
func (g *Guard) Judges() bool { return g != nil && len(g.allow)+len(g.deny) > 0 }

// RefusedError means that a target may not be connected to.
type RefusedError struct {
	Target string
	Why    string
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("%s is not a target of this service's connectors: %s", e.Target, e.Why)
}

const notAllowed = "--allow-targets does not list it"

func denied(r rule) string { return "--deny-targets lists " + r.text }

// Dialer returns a copy of d that connects only to address, and only to allowed IP
// addresses of it. The dialer's own Control is called too.
func (g *Guard) Dialer(d net.Dialer, address string) (*net.Dialer, error) {
	if !g.Judges() {
		return &d, nil
	}
	host, port, err := split(address)
	if err != nil {
		return nil, err
	}
	if err := g.judgeName(host, port); err != nil {
		return nil, err
	}
	control, controlContext := d.Control, d.ControlContext
	d.ControlContext = func(ctx context.Context, network, to string, c syscall.RawConn) error {
		if err := g.control(ctx, host, port, to); err != nil {
			return err
		}
		switch {
		case controlContext != nil:
			return controlContext(ctx, network, to, c)
		case control != nil:
			return control(network, to, c)
		}
		return nil
	}
	return &d, nil
}

// DialContext is that of a net.Dialer, restricted to allowed addresses.
func (g *Guard) DialContext(ctx context.Context, d net.Dialer, network, address string) (net.Conn, error) {
	guarded, err := g.Dialer(d, address)
	if err != nil {
		return nil, err
	}
	return guarded.DialContext(ctx, network, address)
}

// Resolve returns the allowed addresses of host:port, as IP:PORT, for a caller that
// dials itself. The caller must dial these: the name may resolve to others later.
// Without rules, it returns the address unchanged.
func (g *Guard) Resolve(ctx context.Context, address string) ([]string, error) {
	if !g.Judges() {
		return []string{address}, nil
	}
	host, port, err := split(address)
	if err != nil {
		return nil, err
	}
	if err := g.judgeName(host, port); err != nil {
		return nil, err
	}
	var addrs []netip.Addr
	if addr, err := netip.ParseAddr(host); err == nil {
		addrs = []netip.Addr{addr}
	} else if addrs, err = g.lookup(ctx, host); err != nil {
		return nil, fmt.Errorf("looking up %q: %w", host, err)
	}
	var all []string
	for _, addr := range addrs {
		to := netip.AddrPortFrom(meant(addr), port)
		if refused := g.judge(ctx, host, to); refused != nil {
			err = refused
			continue
		}
		all = append(all, to.String())
	}
	if len(all) == 0 {
		return nil, err
	}
	return all, nil
}

// Socket refuses a Unix socket that is not one of the service's own.
func (g *Guard) Socket(path string) error {
	if g == nil || slices.Contains(g.sockets, path) {
		return nil
	}
	return &RefusedError{path, "it is a socket of the machine that the service runs on, and only --mqtt-url may name one"}
}

func split(address string) (host string, port uint16, err error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, err
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		// A port by its name would be looked up in a file of the machine.
		return "", 0, fmt.Errorf("dialling %q: the port is not a number from 0 to 65535", address)
	}
	return host, uint16(n), nil
}

// control checks an address that a name was resolved to.
func (g *Guard) control(ctx context.Context, host string, port uint16, to string) error {
	addr, err := netip.ParseAddrPort(to)
	if err != nil {
		return fmt.Errorf("checking the target %q: %w", to, err)
	}
	return g.judge(ctx, host, netip.AddrPortFrom(meant(addr.Addr()), port))
}

// judgeName refuses a denied name: its addresses may differ each time it is resolved.
func (g *Guard) judgeName(host string, port uint16) error {
	if hasName(g.own, host, port) {
		return nil
	}
	for _, r := range g.deny {
		if r.hasName(host, port) {
			return &RefusedError{net.JoinHostPort(host, strconv.Itoa(int(port))), denied(r)}
		}
	}
	return nil
}

func hasName(rules []rule, host string, port uint16) bool {
	return slices.ContainsFunc(rules, func(r rule) bool { return r.hasName(host, port) })
}

// judge checks an address, and those that it may lead to.
func (g *Guard) judge(ctx context.Context, host string, to netip.AddrPort) error {
	if hasName(g.own, host, to.Port()) {
		return nil
	}
	if r, err := g.first(ctx, g.own, to); err != nil || r != nil {
		return err
	}
	for _, addr := range append(behind(to.Addr()), to.Addr()) {
		r, err := g.first(ctx, g.deny, netip.AddrPortFrom(addr, to.Port()))
		if err != nil {
			return err
		}
		if r != nil {
			return &RefusedError{to.String(), denied(*r)}
		}
	}
	if len(g.allow) == 0 || hasName(g.allow, host, to.Port()) {
		return nil
	}
	r, err := g.first(ctx, g.allow, to)
	if err == nil && r == nil {
		err = &RefusedError{to.String(), notAllowed}
	}
	return err
}

// first returns the first rule that matches an address, or nil.
func (g *Guard) first(ctx context.Context, rules []rule, to netip.AddrPort) (*rule, error) {
	for i, r := range rules {
		has, err := r.has(ctx, to, g.lookup)
		if err != nil {
			return nil, err
		}
		if has {
			return &rules[i], nil
		}
	}
	return nil, nil
}
