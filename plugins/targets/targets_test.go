package targets

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func guard(t *testing.T, rules Rules, names map[string][]string) *Guard {
	t.Helper()
	g, err := New(rules)
	require.NoError(t, err)
	g.lookup = func(_ context.Context, host string) (addrs []netip.Addr, err error) {
		texts, ok := names[plainHost(host)]
		if !ok {
			return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
		}
		for _, text := range texts {
			if text == "fails" {
				return nil, errors.New("the server does not answer")
			}
			addrs = append(addrs, netip.MustParseAddr(text))
		}
		return addrs, nil
	}
	return g
}

func TestInvalidRulesAreRefused(t *testing.T) {
	for _, text := range []string{"", "host", "host:", ":9092", "host:0", "host:65536", "host:x", "10.0.0.0/33", "10.0.0/8", "http://h:1", "a b:1", "fe80::1%eth0", "10.0.0.0/8:9092", "*:1883", "[fd00::1]"} {
		_, err := New(Rules{Deny: []string{text}})
		require.ErrorContains(t, err, "deny-targets: ", "%q", text)
		require.ErrorContains(t, err, "give a network as 10.0.0.0/8, or HOST:PORT", "%q", text)
		_, err = New(Rules{Allow: []string{text}})
		require.ErrorContains(t, err, "allow-targets: ", "%q", text)
	}
}

func TestAddressesAreChecked(t *testing.T) {
	names := map[string][]string{
		"kafka.example": {"10.1.0.1", "10.1.0.2"}, "broker.example": {"10.9.9.9"}, "evil.example": {"169.254.169.254"}, "mixed.example": {"10.1.0.1", "192.168.0.1"},
		"six.example": {"fd00::1"}, "metadata.example": {"169.254.169.254"},
	}
	type asked struct {
		address string
		allowed bool
	}
	for name, test := range map[string]struct {
		rules Rules
		asked []asked
	}{
		"no rules": {Rules{}, []asked{{"10.0.0.1:1", true}, {"evil.example:80", true}, {"[::1]:1", true}}},
		"a denied network": {Rules{Deny: []string{"169.254.0.0/16", "127.0.0.0/8", "fd00::/8", "::1"}}, []asked{
			{"169.254.169.254:80", false},
			{"evil.example:80", false},
			{"8.8.8.8:80", true},
			// Other spellings of the same address.
			{"[::ffff:169.254.169.254]:80", false},
			{"[::ffff:a9fe:a9fe]:80", false},
			{"[64:ff9b::a9fe:a9fe]:80", false},
			{"[64:ff9b:1::169.254.169.254]:80", false},
			{"[2002:a9fe:a9fe::1]:80", false},
			{"[::169.254.169.254]:80", false},
			{"0.0.0.0:1883", false},
			{"[::]:1883", false},
			{"127.1.2.3:1", false},
			{"[::1]:1", false},
			{"[::ffff:127.0.0.1]:1", false},
			{"[fd00::5%eth0]:1", false},
			{"six.example:1", false},
			{"[64:ff9b::808:808]:80", true},
		}},
		"a network alone is allowed": {Rules{Allow: []string{"10.1.0.0/16"}}, []asked{
			{"kafka.example:9092", true}, {"10.1.255.1:1", true}, {"10.2.0.1:1", false}, {"broker.example:1883", false}, {"[::ffff:10.1.0.1]:1", true}, {"mixed.example:1", true},
		}},
		"a name and a port are allowed": {Rules{Allow: []string{"Kafka.Example.:9092"}}, []asked{
			{"kafka.example:9092", true},
			{"KAFKA.EXAMPLE:9092", true},
			{"kafka.example:9093", false},
			{"10.1.0.2:9092", true}, // an address that the broker advertises
			{"10.1.0.2:22", false},
			{"10.1.0.3:9092", false},
		}},
		"deny takes precedence": {Rules{Allow: []string{"10.0.0.0/8"}, Deny: []string{"broker.example:1883", "10.1.0.2"}}, []asked{
			{"broker.example:1883", false}, {"10.9.9.9:1883", false}, {"10.9.9.9:1884", true}, {"10.1.0.2:1", false}, {"10.1.0.1:1", true},
		}},
		"an allowed gateway may lead anywhere": {Rules{Allow: []string{"64:ff9b::/96"}, Deny: []string{"10.0.0.0/8"}}, []asked{
			{"[64:ff9b::808:808]:1", true}, {"[64:ff9b::a00:1]:1", false}, {"8.8.8.8:1", false},
		}},
		"the service's own": {Rules{Deny: []string{"10.0.0.0/8"}, Allow: []string{"8.8.8.8"}, Own: []string{"broker.example:1883", "10.1.0.1:9092"}}, []asked{
			{"broker.example:1883", true}, {"10.9.9.9:1883", true}, {"broker.example:1884", false}, {"10.1.0.1:9092", true}, {"10.1.0.1:22", false},
		}},
		"a denied name": {Rules{Deny: []string{"metadata.example:80"}}, []asked{
			{"metadata.example:80", false}, {"METADATA.example.:80", false}, {"169.254.169.254:80", false}, {"metadata.example:81", true},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			g := guard(t, test.rules, names)
			for _, a := range test.asked {
				_, err := g.Resolve(t.Context(), a.address)
				assert.Equal(t, a.allowed, err == nil, "%s: %v", a.address, err)
				if err != nil {
					assert.ErrorAs(t, err, new(*RefusedError), a.address)
				}
			}
		})
	}
}

func TestResolveReturnsOnlyAllowedAddresses(t *testing.T) {
	g := guard(t, Rules{Deny: []string{"192.168.0.0/16"}}, map[string][]string{"mixed.example": {"192.168.0.1", "10.1.0.1", "::ffff:192.168.0.9"}})
	to, err := g.Resolve(t.Context(), "mixed.example:9092")
	require.NoError(t, err)
	assert.Equal(t, []string{"10.1.0.1:9092"}, to)
	_, err = g.Resolve(t.Context(), "none.example:1")
	require.ErrorContains(t, err, "none.example")
	_, err = g.Resolve(t.Context(), "mixed.example:http")
	require.ErrorContains(t, err, "the port is not a number")
	var none *Guard
	to, err = none.Resolve(t.Context(), "mixed.example:9092")
	require.NoError(t, err)
	assert.Equal(t, []string{"mixed.example:9092"}, to)
}

// A rule whose name cannot be resolved now must not allow what it should refuse.
func TestARuleWhoseNameCannotBeResolvedRefuses(t *testing.T) {
	names := map[string][]string{"inner.example": {"fails"}}
	for _, rules := range []Rules{{Deny: []string{"inner.example:80"}}, {Allow: []string{"inner.example:80"}}} {
		g := guard(t, rules, names)
		_, err := g.Resolve(t.Context(), "10.0.0.1:80")
		require.ErrorContains(t, err, "looking up the target inner.example:80: the server does not answer")
	}
	g := guard(t, Rules{Deny: []string{"inner.example:80"}}, names)
	_, err := g.Resolve(t.Context(), "10.0.0.1:81")
	require.NoError(t, err, "another port")
	g = guard(t, Rules{Deny: []string{"gone.example:80"}}, names)
	_, err = g.Resolve(t.Context(), "10.0.0.1:80")
	require.NoError(t, err, "a name that does not exist has no address")
}

// The address is checked when it is dialled: an earlier address of the name does not
// count.
func TestDialingChecksTheDialledAddress(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = listener.Close() }() // the test ends
	accepted := make(chan net.Conn, 8)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				close(accepted)
				return
			}
			accepted <- conn
		}
	}()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	require.NoError(t, err)

	refusing := guard(t, Rules{Deny: []string{"127.0.0.0/8", "::1"}}, nil)
	for _, host := range []string{"localhost", "127.0.0.1", "0.0.0.0", "::ffff:127.0.0.1", "::", ""} {
		_, err := refusing.DialContext(t.Context(), net.Dialer{Timeout: time.Second}, "tcp", net.JoinHostPort(host, port))
		require.Error(t, err, host)
		if host != "" {
			require.ErrorContains(t, err, "is not a target of this service's connectors: --deny-targets lists", host)
		}
	}
	calls := 0
	for _, d := range []net.Dialer{
		{},
		{Control: func(string, string, syscall.RawConn) error { calls++; return nil }},
		{ControlContext: func(context.Context, string, string, syscall.RawConn) error { calls++; return nil }},
	} {
		conn, err := guard(t, Rules{Allow: []string{"127.0.0.0/8"}}, nil).DialContext(t.Context(), d, "tcp", net.JoinHostPort("127.0.0.1", port))
		require.NoError(t, err)
		require.NoError(t, conn.Close())
		require.NoError(t, (<-accepted).Close())
	}
	assert.Equal(t, 2, calls, "the dialer's own control is called")
	assert.Empty(t, accepted, "no refused connection was opened")
	var none *Guard
	conn, err := none.DialContext(t.Context(), net.Dialer{}, "tcp", listener.Addr().String())
	require.NoError(t, err)
	require.NoError(t, conn.Close())
}

func TestOnlyTheServicesOwnSocketsAreAllowed(t *testing.T) {
	g := guard(t, Rules{Sockets: []string{"/run/mqtt.sock"}}, nil)
	require.NoError(t, g.Socket("/run/mqtt.sock"))
	require.ErrorContains(t, g.Socket("/run/docker.sock"), "only --mqtt-url may name one")
	var none *Guard
	require.NoError(t, none.Socket("/run/docker.sock"))
}
