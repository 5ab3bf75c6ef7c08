package session

import (
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestEndpointsAreNormalized(t *testing.T) {
	for want, urls := range map[string][]string{
		"localhost:1883": {
			"tcp://localhost:1883", "mqtt://localhost:1883", "tcp://127.0.0.1:1883", "mqtt://[::1]:1883", "TCP://LOCALHOST:1883",
			"tcp://[0:0:0:0:0:0:0:1]:1883", "tcp://[::ffff:127.0.0.1]:1883", "tcp://0.0.0.0:1883", "tcp://[::]:1883", "tcp://:1883",
			"tcp://localhost.:1883", "tcp://localhost:01883", "ssl://localhost:1883", "tcp://ip6-localhost:1883", "tcp://localhost:1883/ignored",
		},
		"localhost:8883":        {"ssl://127.0.0.1:8883", "tls://localhost:8883", "mqtts://localhost:8883", "mqtt+ssl://[::1]:8883", "tcps://localhost:8883"},
		"broker.example:1883":   {"tcp://broker.example:1883", "mqtt://Broker.Example.:1883"},
		"10.0.0.1:1883":         {"tcp://10.0.0.1:1883", "tcp://[::ffff:10.0.0.1]:1883", "tcp://[::ffff:a00:1]:1883"},
		"[2001:db8::1]:1883":    {"tcp://[2001:db8::1]:1883", "tcp://[2001:DB8:0:0:0:0:0:1]:1883", "mqtt://[2001:0db8::0001]:1883"},
		"[fe80::1%eth0]:1883":   {"tcp://[fe80::1%25eth0]:1883"},
		"127.0.0.2:1883":        {"tcp://127.0.0.2:1883"}, // an address that another listener may have
		"localhost:80":          {"ws://localhost", "ws://localhost/", "ws://127.0.0.1:80/"},
		"localhost:443":         {"wss://localhost", "wss://localhost:443/"},
		"localhost:8083/mqtt":   {"ws://localhost:8083/mqtt", "ws://localhost:8083/mqtt/", "ws://localhost:8083//mqtt", "ws://127.0.0.1:8083/mqtt?x=y"},
		"localhost:8083/b":      {"ws://localhost:8083/b"}, // another broker behind one proxy
		"unix:/run/mqtt.socket": {"unix:///run/mqtt.socket", "unix:///run//mqtt.socket"},
		"unix:mqtt.socket":      {"unix://mqtt.socket"},
	} {
		for _, text := range urls {
			u, err := url.Parse(text)
			require.NoError(t, err)
			assert.Equal(t, want, EndpointOf(u), text)
		}
	}
}

func side(clientID, filter string, urls ...string) Side {
	return Side{URLs: ParseURLs(urls), ClientID: clientID, Filter: filter, QoS: 1}
}

// A and C each share a broker with B, but not with each other.
func TestOverlapIsNotTransitive(t *testing.T) {
	a, b, c := side("x", "f", "tcp://a:1"), side("x", "f", "tcp://a:1,tcp://c:1"), side("x", "f", "mqtt://c:1")
	assert.True(t, a.overlaps(b))
	assert.True(t, b.overlaps(c))
	assert.False(t, a.overlaps(c))
	assert.False(t, a.overlaps(side("y", "f", "tcp://a:1")))
}
