package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// run passes the real `go test -json` output of a module with one file to testcount's
// reader, so that a change of the go command's format is detected.
func run(t *testing.T, source string) (summary, string) {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module example.test/m\n\ngo 1.26\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "m_test.go"), []byte(source), 0o600))
	cmd := exec.CommandContext(t.Context(), "go", "test", "-json", "./...")
	cmd.Dir = dir
	stream, _ := cmd.Output() // fails by design in most cases
	require.NotEmpty(t, stream)

	var out bytes.Buffer
	s := summary{out: &out}
	require.NoError(t, s.read(bytes.NewReader(stream)))
	return s, out.String()
}

func TestCountsPassedFailedAndSkipped(t *testing.T) {
	s, out := run(t, `package m
import "testing"
func TestGood(t *testing.T)    { t.Log("quiet"); t.Log("counted 7 examples") }
func TestBad(t *testing.T)     { t.Run("sub", func(t *testing.T) { t.Fatal("boom") }) }
func TestAbsent(t *testing.T)  { t.Skip("no broker here") }
func TestSilent(t *testing.T)  { t.SkipNow() }
`)
	assert.Equal(t, []int{1, 2, 2}, []int{s.passed, s.failed, s.skipped})
	assert.Contains(t, out, "FAILED example.test/m TestBad/sub\n")
	assert.Contains(t, out, "boom")
	assert.NotContains(t, out, "quiet")
	require.Len(t, s.notes, 5)
	assert.Equal(t, "example.test/m TestGood counted 7 examples", s.notes[0])
	assert.Regexp(t, `^FAILED example.test/m TestBad/sub: m_test.go:\d+: boom$`, s.notes[1])
	assert.Equal(t, "FAILED example.test/m TestBad: no reason given", s.notes[2])
	assert.Regexp(t, `^SKIPPED example.test/m TestAbsent: m_test.go:\d+: no broker here$`, s.notes[3])
	assert.Equal(t, "SKIPPED example.test/m TestSilent: no reason given", s.notes[4])
}

// The go command attributes the report to one of the tests that run at that time.
func TestADataRaceIsPrintedWhoeverFailsByIt(t *testing.T) {
	var stream strings.Builder
	say := func(test, output string) {
		line, err := json.Marshal(event{Action: "output", Package: "p", Test: test, Output: output})
		require.NoError(t, err)
		stream.Write(append(line, '\n'))
	}
	for _, test := range []string{"TestGood", "TestBad"} {
		stream.WriteString(`{"Action":"run","Package":"p","Test":"` + test + "\"}\n")
	}
	say("TestGood", "a line of a log\n")
	for _, line := range []string{"==================\n", "WARNING: DATA RACE\n", "Read at 0x00c0 by goroutine 7:\n", "  example.read()\n", "\n", "==================\n"} {
		say("TestGood", line)
	}
	say("TestBad", "    testing.go:1712: race detected during execution of test\n")
	stream.WriteString(`{"Action":"pass","Package":"p","Test":"TestGood"}
{"Action":"fail","Package":"p","Test":"TestBad"}
{"Action":"fail","Package":"p"}
`)
	var out bytes.Buffer
	s := summary{out: &out}
	require.NoError(t, s.read(strings.NewReader(stream.String())))
	assert.Contains(t, out.String(), "WARNING: DATA RACE\nRead at 0x00c0 by goroutine 7:\n  example.read()\n\n==================\n")
	assert.NotContains(t, out.String(), "a line of a log")
	assert.Equal(t, []string{
		"FAILED p: WARNING: DATA RACE Read at 0x00c0 by goroutine 7: example.read()",
		"FAILED p TestBad: testing.go:1712: race detected during execution of test",
	}, s.notes)
	assert.Equal(t, 1, s.failed)
}

func TestFailuresOutsideOfATest(t *testing.T) {
	for name, source := range map[string]string{
		"does not build": `package m; import "testing"; func TestA(t *testing.T) { undefined() }`,
		"TestMain fails": `package m
import ("os"; "testing")
func TestA(t *testing.T) {}
func TestMain(m *testing.M) { m.Run(); println("leaked"); os.Exit(1) }`,
		"panics":           `package m; import "testing"; func TestA(t *testing.T) { panic("oh") }`,
		"exits in a test":  `package m; import ("os"; "testing"); func TestA(t *testing.T) { os.Exit(0) }`,
		"fails in Cleanup": `package m; import "testing"; func TestA(t *testing.T) { t.Cleanup(func() { t.Fail() }) }`,
	} {
		t.Run(name, func(t *testing.T) {
			s, out := run(t, source)
			assert.Equal(t, 1, s.failed, out)
			assert.Contains(t, out, "example.test/m")
		})
	}
}

func TestOnlySomeTestsMayBeSkipped(t *testing.T) {
	stream := `{"Action":"run","Package":"p","Test":"TestOne"}
{"Action":"skip","Package":"p","Test":"TestOne"}
{"Action":"run","Package":"p","Test":"TestOther"}
{"Action":"skip","Package":"p","Test":"TestOther"}
`
	for name, mustRun := range map[string]int{"One$": 1, "One|Other": 0, "^$": 2} {
		s := summary{out: new(bytes.Buffer), maySkip: regexp.MustCompile(name)}
		require.NoError(t, s.read(strings.NewReader(stream)))
		assert.Equal(t, []int{2, mustRun}, []int{s.skipped, s.mustRun}, name)
	}
	s := summary{out: new(bytes.Buffer)}
	require.NoError(t, s.read(strings.NewReader(stream)))
	assert.Equal(t, 2, s.mustRun)
}

func TestNothingRan(t *testing.T) {
	s, out := run(t, "package m\n")
	assert.Equal(t, []int{0, 0, 0}, []int{s.passed, s.failed, s.skipped}, out)
}

func TestCutOffStreamFails(t *testing.T) {
	var out bytes.Buffer
	s := summary{out: &out}
	require.NoError(t, s.read(bytes.NewBufferString(`go: not JSON
{"Action":"start","Package":"p"}
{"Action":"run","Package":"p","Test":"TestA"}
`)))
	assert.Positive(t, s.failed)
	assert.Contains(t, out.String(), "go: not JSON\n")
	assert.Contains(t, out.String(), "never ended p")
}
