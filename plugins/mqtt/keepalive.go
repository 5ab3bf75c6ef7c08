package mqtt

import (
	"time"
)

// largestSpare is the size of the largest buffer that is reused.
const largestSpare = 1 << 20

// writeLoop is the only goroutine that writes once the connection is up. It returns
// when the connection fails or is ended. On each tick of look, which may be nil, it
// calls check, whose error ends the connection.
func (l *line) writeLoop(look <-chan time.Time, check func() error) {
	defer close(l.written)
	defer l.guard.Catch(l.component+", writing", l.fail)
	var spare []byte
	beat := time.NewTicker(l.pingInterval())
	defer beat.Stop()
	for {
		var err error
		select {
		case <-l.dead:
			return
		case <-l.writer.wake:
		case <-look:
			err = check()
		case <-beat.C:
			err = l.ping()
		}
		if err != nil {
			l.fail(err)
			return
		}
		buf, ending := l.writer.swap(spare)
		if len(buf) > 0 {
			n, err := l.write(buf, ending)
			l.writer.recordWritten(n)
			if err != nil {
				l.fail(connectionError("writing", err))
				return
			}
			l.user.wrote()
		}
		if ending {
			return
		}
		if spare = buf; cap(spare) > largestSpare {
			spare = nil
		}
	}
}

// writePiece is how much is written at once. The patience is for each piece, so that a
// slow connection can take a large packet.
const writePiece = 64 << 10

// write writes everything. With ending, the deadline is set already.
func (l *line) write(buf []byte, ending bool) (n int, err error) {
	for n < len(buf) && err == nil {
		if l.patience > 0 && !ending {
			_ = l.conn.SetWriteDeadline(time.Now().Add(l.patience)) // it fails on a closed connection
		}
		var one int
		one, err = l.conn.Write(buf[n:min(n+writePiece, len(buf))])
		n += one
	}
	return n, err
}

// pingInterval returns how often the writer checks whether a ping is due.
func (l *line) pingInterval() time.Duration {
	if l.keepAlive == 0 {
		return time.Hour
	}
	return max(l.keepAlive/4, 10*time.Millisecond)
}

// ping sends a PINGREQ when there was no traffic. It returns an error when the answer
// is overdue.
func (l *line) ping() error {
	if l.keepAlive == 0 {
		return nil
	}
	now, heard, asked := l.clock(), l.in.heard.Load(), l.asked
	owed := asked != 0 && heard < asked
	if l.user.mayBeSilent() {
		l.excused = now
	}
	if owed && now-max(asked, l.excused) > int64(l.pingTimeout()) {
		return errSilent
	}
	quiet := now - int64(l.keepAlive)*3/4
	if l.writer.sent.Load() > quiet && (heard > quiet || owed) {
		return nil // one ping at a time
	}
	if !owed {
		l.asked = now
		l.user.pinging()
	}
	l.writer.add(func(buf []byte) []byte { return append(buf, typePingreq<<4, 0) })
	return nil
}

// pingTimeout is how long a broker may take to answer a ping.
func (l *line) pingTimeout() time.Duration { return min(l.keepAlive, 10*time.Second) }
