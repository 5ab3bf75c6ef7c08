//go:build unix

package admin

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// listenSocket listens on a Unix socket at path. It is made beside it, given its mode,
// and moved there: nobody finds it open before. One that nobody listens on any more is
// replaced, as a crash leaves it.
func listenSocket(path string, mode fs.FileMode) (net.Listener, error) {
	unlock, err := lockDirectory(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := checkSocket(path); err != nil {
		return nil, err
	}
	made := filepath.Join(filepath.Dir(path), fmt.Sprintf(".%d.sock", os.Getpid()))
	if err := os.Remove(made); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	address := &net.UnixAddr{Name: made, Net: "unix"}
	listener, err := net.ListenUnix("unix", address)
	if err != nil {
		return nil, err
	}
	listener.SetUnlinkOnClose(false) // it is elsewhere then
	fail := func(err error) (net.Listener, error) {
		return nil, errors.Join(err, listener.Close(), os.Remove(made))
	}
	if err := os.Chmod(made, mode); err != nil {
		return fail(err)
	}
	info, err := os.Lstat(made)
	if err != nil {
		return fail(err)
	}
	if err := os.Rename(made, path); err != nil {
		return fail(err)
	}
	return &socketListener{UnixListener: listener, path: path, info: info}, nil
}

// checkSocket tells what must not be replaced.
func checkSocket(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%s exists and is not a socket: name another path, or remove it", path)
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		return errors.Join(fmt.Errorf("%s is in use: another process listens there", path), conn.Close())
	}
	if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return fmt.Errorf("finding out whether somebody listens at %s: %w", path, err)
}

// lockDirectory keeps other services from looking and moving at the same time.
func lockDirectory(dir string) (unlock func(), err error) {
	file, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("locking %s: %w", dir, err), file.Close())
	}
	return func() { _ = file.Close() }, nil // and with it the lock is gone
}

// socketListener removes its socket when it is closed, unless another one is there.
type socketListener struct {
	*net.UnixListener
	path string
	info fs.FileInfo
}

func (l *socketListener) Close() error {
	if there, err := os.Lstat(l.path); err == nil && os.SameFile(there, l.info) {
		_ = os.Remove(l.path) // the next service replaces it
	}
	return l.UnixListener.Close()
}

// Addr is where it was moved to.
func (l *socketListener) Addr() net.Addr { return &net.UnixAddr{Name: l.path, Net: "unix"} }
