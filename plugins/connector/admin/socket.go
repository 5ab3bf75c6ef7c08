package admin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
)

// SocketPrefix begins the address of a Unix socket.
const SocketPrefix = "unix:"

// defaultSocketMode lets the service's user and group connect.
const defaultSocketMode = 0o660

// maxSocketPath is what every system takes.
const maxSocketPath = 103

// overflowUID is what Linux tells of a user of another namespace, who may be anybody.
const overflowUID = 65534

// socketPath is the path of the Unix socket that is listened on, or "".
func (o Options) socketPath() string {
	path, _ := strings.CutPrefix(o.Listen, SocketPrefix)
	if path == o.Listen {
		return ""
	}
	return path
}

// validateSocket judges the options of a Unix socket.
func (o Options) validateSocket() error {
	if !strings.HasPrefix(o.Listen, SocketPrefix) {
		switch {
		case o.SocketMode != "":
			return errors.New("socket-mode applies to a Unix socket only: give --listen unix:PATH, or remove it")
		case o.SocketRole != "":
			return errors.New("socket-role applies to a Unix socket only: give --listen unix:PATH, or remove it")
		}
		return nil
	}
	path := o.socketPath()
	switch {
	case path == "":
		return fmt.Errorf("listen: %q lacks the path of the socket: give e.g. unix:/run/robustmq-connect/api.sock", o.Listen)
	case len(path) > maxSocketPath:
		return fmt.Errorf("listen: the path of the socket is %d bytes long: at most %d are allowed", len(path), maxSocketPath)
	case o.TLSCertFile != "" || o.TLSKeyFile != "":
		return errors.New("tls-cert-file: a Unix socket does not leave the machine, and is served without TLS: remove it")
	case o.InsecureNoAuth:
		return errors.New("insecure-no-auth does not apply to a Unix socket: set by --socket-role what a peer may do without a token")
	}
	if _, err := o.socketMode(); err != nil {
		return err
	}
	_, err := o.socketRole()
	return err
}

func (o Options) socketMode() (fs.FileMode, error) {
	if o.SocketMode == "" {
		return defaultSocketMode, nil
	}
	mode, err := strconv.ParseUint(o.SocketMode, 8, 32)
	if err != nil || mode > 0o777 {
		return 0, fmt.Errorf("socket-mode: %q is not a file mode; must be octal digits, 0660 for example", o.SocketMode)
	}
	return fs.FileMode(mode), nil
}

func (o Options) socketRole() (role, error) {
	if o.SocketRole == "" {
		return anyone, nil
	}
	r, err := parseRole(o.SocketRole)
	if err != nil {
		return anyone, fmt.Errorf("socket-role: %w", err)
	}
	return r, nil
}

// peer is the process at the other end of a Unix socket.
type peer struct {
	uid   int
	known bool // the system tells its uid
}

func (p peer) String() string {
	if !p.known {
		return "uid:unknown"
	}
	return "uid:" + strconv.Itoa(p.uid)
}

type peerKey struct{}

// withPeer puts the peer of a Unix socket into the context of its requests.
func withPeer(ctx context.Context, conn net.Conn) context.Context {
	unix, ok := conn.(*net.UnixConn)
	if !ok {
		return ctx
	}
	uid, err := peerUID(unix)
	return context.WithValue(ctx, peerKey{}, peer{uid: uid, known: err == nil})
}

// identifyPeer tells who is at the other end of a Unix socket and sends no token. Root
// and the service's own user may do everything: they may read its files and its memory
// anyway. What others may do is said by --socket-role, and none of them sees messages
// but in the role admin.
func (g *guard) identifyPeer(r *http.Request) (caller, *failure) {
	p, _ := r.Context().Value(peerKey{}).(peer)
	who := caller{name: p.String()}
	switch {
	case p.known && (p.uid == 0 || p.uid == os.Getuid() && p.uid != overflowUID):
		who.role = administrator
	default:
		who.role = g.socketRole
	}
	who.payloads = who.role == administrator
	if who.role != anyone {
		return who, nil
	}
	if !p.known {
		return who, unauthorized("the system does not tell who is at the other end of the socket: send the header Authorization: Bearer TOKEN")
	}
	return who, unauthorized("%s may not use this socket without a token: send the header Authorization: Bearer TOKEN, or start the service with --socket-role", who.name)
}

// addressOf is where a request comes from, for the audit log.
func addressOf(r *http.Request) string {
	if _, ok := r.Context().Value(peerKey{}).(peer); ok {
		return "unix"
	}
	return r.RemoteAddr
}
