//go:build integration

package attack

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/tests/program"
)

// Files that the program and Go's runtime open themselves.
var ownFiles = regexp.MustCompile(`^(` +
	`/sys/fs/cgroup/.*|/sys/kernel/mm/.*|/sys/devices/system/cpu/online|/proc/(self|\d+)/(cgroup|cpuset|mountinfo|maps|auxv|exe|stat|limits|net/netstat|fd)|/proc/stat|/proc/sys/.*|` + // the limits of the machine, and figures of the process
	`/lib/.*\.so\.\d|/etc/ld\.so\.cache|` + // the libraries of the system
	`/etc/(resolv\.conf|hosts|nsswitch\.conf|machine-id|host\.conf|gai\.conf|services|protocols|localtime|mime\.types|apache2?/mime\.types|httpd/conf/mime\.types)|` + // names, times, content types
	`/usr/(local/)?share/(mime|zoneinfo)/.*|/usr/share/lib/zoneinfo/.*|/etc/zoneinfo/.*|/usr/local/go/lib/time/zoneinfo\.zip|` +
	`/etc/ssl/.*|/etc/pki/.*|/usr/share/ca-certificates/.*|/usr/local/share/certs.*|/etc/openssl/certs.*|/etc/certs.*|/system/etc/security/.*` + // the roots of TLS
	`)$`)

var (
	opened    = regexp.MustCompile(`(?:open|openat|openat2|creat)\((?:(?:AT_FDCWD|\d+), )?"((?:[^"\\]|\\.)*)"`)
	connected = regexp.MustCompile(`connect\(\d+, \{sa_family=(AF_\w+), (.*?)\}, `)
	port4     = regexp.MustCompile(`sin_port=htons\((\d+)\), sin_addr=inet_addr\("([^"]+)"\)`)
)

// judgeTrace checks the files and connections that strace recorded.
func (s *service) judgeTrace() {
	t := s.t
	t.Helper()
	data, err := os.ReadFile(s.traced)
	require.NoError(t, err)
	files, connections := map[string]bool{}, map[string]bool{}
	for line := range strings.Lines(string(data)) {
		if m := opened.FindStringSubmatch(line); m != nil {
			files[m[1]] = true
		}
		if m := connected.FindStringSubmatch(line); m != nil {
			connections[m[1]+" "+m[2]] = true
		}
	}
	assert.Greater(t, len(files), 5, "strace saw nothing")
	assert.Greater(t, len(connections), 1, "strace saw nothing")
	for file := range files {
		assert.True(t, s.mayOpen(file), "the service opened %s", file)
	}
	for to := range connections {
		assert.True(t, s.mayConnect(to), "the service connected to %s", to)
	}
}

func (s *service) mayOpen(file string) bool {
	if !filepath.IsAbs(file) {
		// The store is held open as a directory, whose path was checked when it was opened.
		// Its files appear as names relative to it.
		return !strings.Contains(file, "..")
	}
	for _, of := range s.allowed {
		if file == of || strings.HasPrefix(file, of+"/") {
			return true
		}
	}
	return file == program.Path(s.t) || ownFiles.MatchString(file)
}

// mayConnect checks a connect as strace prints it. Names are resolved by DNS.
func (s *service) mayConnect(to string) bool {
	m := port4.FindStringSubmatch(to)
	if m == nil {
		return false
	}
	address := m[2] + ":" + m[1]
	return m[1] == "53" || address == s.broker.Addr() || address == s.kafka.Addr() || m[2] == hostileAddress
}
