//go:build !unix

package admin

import (
	"errors"
	"io/fs"
	"net"
)

func listenSocket(string, fs.FileMode) (net.Listener, error) {
	return nil, errors.New("a Unix socket needs a Unix system: give --listen 127.0.0.1:58080")
}
