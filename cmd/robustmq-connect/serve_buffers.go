package main

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/dustin/go-humanize"
	ucli "github.com/urfave/cli/v2"

	"github.com/robustmq/robustmq-connect/plugins/connector/store/kafkastore"
)

// minBuffer is the smallest disk buffer.
const minBuffer = 1 << 20

// bufferSettings returns the directory of the disk buffers, "" where there are none, and
// the largest size of each in bytes.
func bufferSettings(c *ucli.Context) (dir string, most uint64, err error) {
	text := c.String("max-buffer-bytes")
	if most, err = humanize.ParseBytes(text); err != nil || most < minBuffer {
		return "", 0, fmt.Errorf("max-buffer-bytes: %q is not a size of at least 1MiB: write for example 10GiB", text)
	}
	dir = c.String("buffer-dir")
	switch store := c.String("store"); {
	case kafkastore.Is(store) && dir != "":
		// Another service may go on with the connectors, and would overtake what is here.
		return "", 0, errors.New("buffer-dir: connectors of a store in Kafka have no disk buffers, because another machine may go on with them: remove it, or keep the connectors in a directory")
	case kafkastore.Is(store) || dir != "":
		return dir, most, nil
	default:
		return filepath.Join(store, "buffers"), most, nil
	}
}
