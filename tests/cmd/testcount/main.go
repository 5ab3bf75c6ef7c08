// Command testcount reads the output of `go test -json` on stdin and prints a summary:
// the result of each package, the output of failed tests, every report of a data race,
// every skipped and every failed test with its reason in a line, and finally the line
// "N passed, N failed, N skipped". It also prints log lines that start with "counted ",
// with which tests report how much they checked.
//
// It exits with 1 when something failed, when a test or package never ended, or when no
// test ran. With -noskip it also fails for a skipped test whose name does not match
// -mayskip: -mayskip is for tests that need what cannot be installed.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
)

// event is one line of `go test -json`; see `go doc test2json`.
type event struct {
	Action, Package, Test, ImportPath, Output string
}

// id identifies a test; a package as a whole has an empty test.
type id struct{ pkg, test string }

func (i id) String() string { return strings.TrimSpace(i.pkg + " " + i.test) }

var (
	counted = regexp.MustCompile(`^ *\S+\.go:\d+: (counted .*)`)
	// Lines that repeat the event's action.
	framing = regexp.MustCompile(`^ *(=== |--- |PASS\n|FAIL\n|\?  )`)
)

type summary struct {
	out                     io.Writer
	verbose                 bool
	passed, failed, skipped int
	maySkip                 *regexp.Regexp // nil for no test
	mustRun                 int            // skipped, and not to be
	notes                   []string
	output                  map[id][]string     // of what is still running
	broken                  map[string]bool     // packages with a failed test
	races                   map[string][]string // by package, the report that is being read
}

// read reads the whole stream; tests still running at its end have failed.
func (s *summary) read(in io.Reader) error {
	s.output, s.broken, s.races = map[id][]string{}, map[string]bool{}, map[string][]string{}
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			s.line(line)
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return fmt.Errorf("reading the output of go test: %w", err)
		}
	}
	for i := range s.output {
		if i.test != "" || !s.broken[i.pkg] {
			s.fail(i, "never ended")
		}
	}
	return nil
}

func (s *summary) line(line string) {
	var e event
	if json.Unmarshal([]byte(line), &e) != nil || e.Action == "" {
		fmt.Fprint(s.out, line) // the go command's own messages
		return
	}
	i := id{e.Package, e.Test}
	switch e.Action {
	case "start", "run":
		s.output[i] = nil
	case "build-output":
		fmt.Fprint(s.out, e.Output)
	case "output":
		s.print(i, e.Output)
	case "pass":
		delete(s.output, i)
		if i.test != "" {
			s.passed++
		}
	case "skip":
		// A package without test files is skipped too; it is not a test.
		if i.test != "" {
			s.skipped++
			if s.maySkip == nil || !s.maySkip.MatchString(i.test) {
				s.mustRun++
			}
			s.note("SKIPPED", i, s.output[i])
		}
		delete(s.output, i)
	case "fail":
		// A package fails with its tests. It counts separately only if it does not
		// build, or ends outside a test.
		if i.test != "" || !s.broken[i.pkg] {
			s.fail(i, "FAILED")
		}
		delete(s.output, i)
	}
}

func (s *summary) print(i id, text string) {
	if m := counted.FindStringSubmatch(text); m != nil {
		s.notes = append(s.notes, i.String()+" "+m[1])
	}
	if inRace := s.race(i.pkg, text); s.verbose || inRace || i.test == "" && !framing.MatchString(text) {
		fmt.Fprint(s.out, text)
	}
	s.output[i] = append(s.output[i], text)
}

// race reports whether a line belongs to the report of a data race. The go command
// attributes the report to any of the tests that run at that time, often to one that
// passes.
func (s *summary) race(pkg, text string) bool {
	line := strings.TrimSpace(text)
	report, begun := s.races[pkg]
	switch {
	case !begun && line != "WARNING: DATA RACE":
		return false
	case begun && strings.Trim(line, "=") == "" && line != "":
		s.note("FAILED", id{pkg: pkg}, report)
		delete(s.races, pkg)
	default:
		s.races[pkg] = append(report, line)
	}
	return true
}

func (s *summary) fail(i id, what string) {
	s.failed++
	s.broken[i.pkg] = true
	fmt.Fprintf(s.out, "%s %s\n", what, i)
	if i.test != "" && !s.verbose {
		fmt.Fprint(s.out, strings.Join(s.output[i], ""))
	}
	s.note("FAILED", i, s.output[i])
}

// longest is the number of characters of a reason that a note has.
const longest = 4000

// note keeps the reason of a test that was skipped or failed: what it logged, in a line.
func (s *summary) note(what string, i id, output []string) {
	var said []string
	for _, line := range output {
		if framing.MatchString(line) {
			continue
		}
		if line = strings.TrimSpace(line); line != "" {
			said = append(said, line)
		}
	}
	reason := strings.Join(said, " ")
	if reason == "" {
		reason = "no reason given"
	}
	s.notes = append(s.notes, fmt.Sprintf("%s %s: %.*s", what, i, longest, reason))
}

func main() {
	s := summary{out: os.Stdout}
	noskip := flag.Bool("noskip", false, "fail when a test was skipped")
	flag.Func("mayskip", "with -noskip, the tests whose names match this `REGEXP` may be skipped", func(text string) (err error) {
		s.maySkip, err = regexp.Compile(text)
		return err
	})
	flag.BoolVar(&s.verbose, "v", false, "print the output of every test")
	flag.Parse()

	if err := s.read(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "testcount:", err)
		os.Exit(1)
	}
	if s.passed+s.failed == 0 {
		fmt.Println("no test ran")
		s.failed++
	}
	for _, note := range s.notes {
		fmt.Println(note)
	}
	fmt.Printf("%d passed, %d failed, %d skipped\n", s.passed, s.failed, s.skipped)
	if s.failed > 0 || *noskip && s.mustRun > 0 {
		os.Exit(1)
	}
}
