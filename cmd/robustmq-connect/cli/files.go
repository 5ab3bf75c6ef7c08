package cli

import (
	"errors"
	"io"
	"os"
	"strings"
)

// MaxSecretFile bounds what is read before it is known to be a secret.
const MaxSecretFile = 64 << 10

// ReadSecretFile gives the one line of a file.
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

// ReadBounded reads a file, or standard input for "-", to one byte over the
// limit at most.
func ReadBounded(stdin io.Reader, path string, limit int64) ([]byte, error) {
	if path == "-" {
		return io.ReadAll(io.LimitReader(stdin, limit+1))
	}
	return readFile(path, limit)
}

// readFile reads to one byte over the limit at most.
func readFile(path string, limit int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, PlainPathError(err)
	}
	defer func() { _ = file.Close() }() // read only: nothing can be lost
	data, err := io.ReadAll(io.LimitReader(file, limit+1))
	return data, PlainPathError(err)
}

// PlainPathError leaves out the path, which the caller names.
func PlainPathError(err error) error {
	var at *os.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}
