package store_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector/store"
	"github.com/robustmq/robustmq-connect/plugins/connector/store/storetest"
)

func TestADirectoryIsAStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Rig { return &dirRig{dir: t.TempDir()} })
}

type dirRig struct {
	dir string
	now *store.Dir
}

func (r *dirRig) Open(t *testing.T) store.Store {
	t.Helper()
	if r.now != nil {
		_ = r.now.Close() // it may be closed
	}
	var err error
	r.now, err = store.Open(r.dir)
	require.NoError(t, err)
	t.Cleanup(func() { _ = r.now.Close() })
	return r.now
}

func (r *dirRig) Corrupt(t *testing.T, name string) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(r.dir, "connectors", name+".json"), []byte("{"), 0o600))
}

// Fill takes the directories away, so that no file can be written.
func (r *dirRig) Fill(t *testing.T, full bool) {
	t.Helper()
	for _, sub := range []string{"connectors", "history", "sessions", "released"} {
		from, to := filepath.Join(r.dir, sub), filepath.Join(r.dir, "away-"+sub)
		if !full {
			from, to = to, from
		}
		require.NoError(t, os.Rename(from, to))
	}
	probe := filepath.Join(r.dir, "probe.tmp", "in the way")
	require.NoError(t, os.RemoveAll(filepath.Dir(probe)))
	if full {
		require.NoError(t, os.MkdirAll(probe, 0o700))
	}
}
