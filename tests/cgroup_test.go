package tests

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/tests/program"
)

// cgroupHierarchy is where a memory limit can be set: the hierarchy of the memory
// controller in version 1, the only hierarchy in version 2.
type cgroupHierarchy struct {
	limitFile string
	root      string // where it is mounted
	own       string // the cgroup of this process in it
}

// memoryHierarchies returns those that are mounted.
func memoryHierarchies(t *testing.T) (all []cgroupHierarchy) {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("this system has no /proc/self/mountinfo, and no cgroups")
	}
	require.NoError(t, err)
	groups, err := os.ReadFile("/proc/self/cgroup")
	require.NoError(t, err)
	own := func(controller string) string {
		for line := range bytes.Lines(groups) {
			// 4:memory:/path in version 1, 0::/path in version 2.
			parts := strings.SplitN(strings.TrimSpace(string(line)), ":", 3)
			if len(parts) == 3 && slices.Contains(strings.Split(parts[1], ","), controller) {
				return parts[2]
			}
		}
		return "/"
	}
	for line := range bytes.Lines(mounts) {
		fields := strings.Fields(string(line))
		end := slices.Index(fields, "-")
		kind, options := fields[end+1], strings.Split(fields[end+3], ",")
		switch {
		case kind == "cgroup2":
			all = append(all, cgroupHierarchy{"memory.max", fields[4], own("")})
		case kind == "cgroup" && slices.Contains(options, "memory"):
			all = append(all, cgroupHierarchy{"memory.limit_in_bytes", fields[4], own("memory")})
		}
	}
	return all
}

// newCgroup creates a cgroup with this memory limit, below that of this process if
// possible, otherwise at the top.
func newCgroup(t *testing.T, limit int64) (path string) {
	t.Helper()
	reasons := []error{errors.New("no hierarchy of cgroups is mounted")}
	for _, hierarchy := range memoryHierarchies(t) {
		for _, above := range []string{hierarchy.own, "/"} {
			path := filepath.Join(hierarchy.root, above, fmt.Sprintf("robustmq-connect-test-%d", os.Getpid()))
			if err := os.Mkdir(path, 0o755); err != nil {
				reasons = append(reasons, err)
				continue
			}
			err := os.WriteFile(filepath.Join(path, hierarchy.limitFile), fmt.Appendf(nil, "%d", limit), 0)
			if err == nil {
				// The kernel refuses to remove it while it has a process. The test's
				// process has ended: its cleanup was registered later and ran first.
				t.Cleanup(func() { assert.NoError(t, os.Remove(path)) })
				return path
			}
			reasons = append(reasons, err, os.Remove(path))
		}
	}
	t.Skipf("this machine does not let this user limit memory by a cgroup: %v", errors.Join(reasons...))
	return ""
}

// The binary reads its own limit, as in a container.
func TestTheMemoryLimitIsNineTenthsOfThatOfARealCgroup(t *testing.T) {
	const limit = 512 << 20
	cgroup := newCgroup(t, limit)
	t.Setenv("GOMEMLIMIT", "")
	for name, test := range map[string]struct {
		flags []string
		want  float64
	}{
		"nine tenths":               {nil, limit * 9 / 10},
		"the flag takes precedence": {[]string{"--memory-limit", "400MiB"}, 400 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			address := program.FreeAddress(t)
			join := `echo $$ >"$0/cgroup.procs" && exec "$@"`
			p := program.StartCommand(t, address, exec.Command("sh", append([]string{
				"-c", join, cgroup, program.Path(t),
				"serve", "--store", t.TempDir(), "--listen", address,
			}, test.flags...)...))
			p.WaitReady()
			_, text := p.Get("/metrics")
			assert.Contains(t, text, fmt.Sprintf("\ngo_gc_gomemlimit_bytes %v\n", float64(int64(test.want))))
			code, _ := p.Stop()
			assert.Zero(t, code)
		})
	}
}
