//go:build !linux

package mqtt

import (
	"net"
	"time"
)

// hungUp works on Linux only. Elsewhere, the loss of a connection that is not read is
// detected when a ping cannot be written.
func hungUp(net.Conn) bool { return false }

// limitSilence works on Linux only.
func limitSilence(net.Conn, time.Duration) {}

// directWrite works on Linux only.
func directWrite(net.Conn) func(buf []byte) int { return nil }

// acknowledgeNow works on Linux only.
func acknowledgeNow(net.Conn) {}
