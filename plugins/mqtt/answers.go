package mqtt

import "net"

// AnswersOnly returns a connection from which only the answers of a broker can be read.
// Messages are skipped, and an answer of more than 1 MiB is an error.
//
// It is for client libraries that subscribe to nothing. They allocate at once as much
// memory as the header of a packet announces, which may be 256 MB.
func AnswersOnly(conn net.Conn) net.Conn { return &answers{Conn: conn, in: newFrames(conn)} }

type answers struct {
	net.Conn
	in   *frames
	rest []byte // of the current answer
}

func (a *answers) Read(p []byte) (int, error) {
	for len(a.rest) == 0 {
		if err := a.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, a.rest)
	a.rest = a.rest[n:]
	return n, nil
}

// next reads the next packet. It leaves rest empty if that is a message.
func (a *answers) next() error {
	first, length, err := a.in.header()
	if err != nil {
		return err
	}
	if first>>4 == typePublish {
		return a.in.skip(length)
	}
	body, shared, err := a.in.body(length)
	if err != nil {
		return err
	}
	a.rest = append(appendVarint([]byte{first}, length), body...)
	if shared {
		a.in.done(body)
	}
	return nil
}
