//go:build !linux

package mqtt

import (
	"net"
	"time"
)

// hungUp is known on Linux only. Elsewhere a connection that is not read is
// noticed to be gone when a ping cannot be written.
func hungUp(net.Conn) bool { return false }

// limitSilence is known on Linux only.
func limitSilence(net.Conn, time.Duration) {}

// directWrite is known on Linux only.
func directWrite(net.Conn) func(buf []byte) int { return nil }
