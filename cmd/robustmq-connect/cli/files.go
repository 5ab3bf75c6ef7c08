package cli

import (
	"errors"
	"io"
	"os"
	"strings"
)

// MaxSecretFile limits what is read before it is known to be a secret.
const MaxSecretFile = 64 << 10

// ReadSecretFile returns the only line of a file.
func ReadSecretFile(path string) (string, error) {
	text, err := readFile(path, MaxSecretFile)
	if err != nil {
		return "", err
	}
	secret := strings.TrimRight(string(text), "\r\n")
	switch {
	case len(text) > MaxSecretFile:
		return "", errors.New("over 64 KiB long: it is not a secret of one line")
	case secret == "":
		return "", errors.New("it is empty")
	case strings.ContainsAny(secret, "\r\n"):
		return "", errors.New("it holds more than one line")
	}
	return secret, nil
}

// ReadBounded reads a file, or standard input for "-", but at most one byte more than
// the limit.
func ReadBounded(stdin io.Reader, path string, limit int64) ([]byte, error) {
	if path == "-" {
		return io.ReadAll(io.LimitReader(stdin, limit+1))
	}
	return readFile(path, limit)
}

// readFile reads at most one byte more than the limit.
func readFile(path string, limit int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, PlainPathError(err)
	}
	defer func() { _ = file.Close() }() // read only: nothing can be lost
	data, err := io.ReadAll(io.LimitReader(file, limit+1))
	return data, PlainPathError(err)
}

// PlainPathError removes the path, which the caller names.
func PlainPathError(err error) error {
	var at *os.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}
