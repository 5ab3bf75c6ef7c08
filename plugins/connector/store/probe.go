package store

import (
	"fmt"
	"os"
	"path/filepath"
)

// Probe reports whether the directory can be written: it writes a file there as Put
// does, and removes it.
func (s *Dir) Probe() error {
	file := filepath.Join(s.dir, "probe")
	err := write(file, []byte("This file exists for a moment: it shows whether the disk takes changes.\n"))
	if err == nil {
		err = os.Remove(file)
	}
	if err != nil {
		return fmt.Errorf("writing to the store: %w", err)
	}
	return nil
}
