package audit

import (
	"math"
	"net"
	"net/netip"
	"time"
)

// Refused calls are recorded up to these: at most 26 MB of lines a day.
const (
	addressBurst, addressEvery = 100, 5 * time.Second
	overallBurst, overallEvery = 1000, time.Second
	// maxAddresses bounds the memory. Further ones share the overall limit alone.
	maxAddresses = 4096
)

// limits bound the entries of refused calls, by address and in all.
type limits struct {
	overall   bucket
	addresses map[string]*bucket
	swept     time.Time // when forget last looked
	leftOut   int
}

// mayRecord reports whether a refused call of an address is recorded, and counts it.
func (l *limits) mayRecord(address string, now time.Time) bool {
	network := Network(address)
	b := l.addresses[network]
	if b == nil {
		if len(l.addresses) >= maxAddresses {
			l.forget(now)
		}
		b = &bucket{}
		if len(l.addresses) < maxAddresses {
			if l.addresses == nil {
				l.addresses = map[string]*bucket{}
			}
			l.addresses[network] = b
		}
	}
	// One address that has no more must not take of what is for all.
	return b.spend(now, addressBurst, addressEvery) && l.overall.spend(now, overallBurst, overallEvery)
}

// forget drops the addresses that are as good as new.
func (l *limits) forget(now time.Time) {
	if now.Sub(l.swept) < addressEvery {
		return // it looks at all of them
	}
	l.swept = now
	for network, b := range l.addresses {
		if now.Sub(b.at) >= addressBurst*addressEvery {
			delete(l.addresses, network)
		}
	}
}

// Network returns who shares a limit with an address: the address without its port, and
// of IPv6 the /64 that one caller has.
func Network(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	if ip = ip.Unmap(); ip.Is6() {
		if prefix, err := ip.WithZone("").Prefix(64); err == nil {
			return prefix.String()
		}
	}
	return ip.String()
}

// bucket holds the entries that may be written now. The zero value is a full one.
type bucket struct {
	used float64
	at   time.Time
}

// spend takes one entry of the bucket, which gets one back every so often. It reports
// whether there was one.
func (b *bucket) spend(now time.Time, burst float64, every time.Duration) bool {
	b.used = math.Max(0, b.used-now.Sub(b.at).Seconds()/every.Seconds())
	b.at = now
	if b.used+1 > burst {
		return false
	}
	b.used++
	return true
}
