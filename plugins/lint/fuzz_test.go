package lint_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/lint"
)

// A definition from the API is linted in the process that runs the other connectors:
// for any text, lint must return.
func FuzzLint(f *testing.F) {
	for _, text := range lintCases(f) {
		f.Add(text)
	}
	linter := newLinter(f, lint.Options{Deprecated: true, Labels: true, SkipFiles: true, Warnings: true})
	f.Fuzz(func(t *testing.T, text string) { returns(t, linter, text) })
}

// The same without a fuzzer: every case with a line removed, indented, unindented,
// doubled, without its value, or as the last one.
func TestLintReturnsForAnyText(t *testing.T) {
	linter := newLinter(t, lint.Options{Deprecated: true, Labels: true, SkipFiles: true, Warnings: true})
	texts := 0
	for n, text := range lintCases(t) {
		lines := strings.SplitAfter(text, "\n")
		for i, line := range lines {
			name, _, _ := strings.Cut(line, ":")
			mutations := []string{"", "  " + line, strings.TrimPrefix(line, "  "), line + line, name + ":\n", name + ": []\n", name + ": {}\n", name + ": x\n", "- " + line}
			// Each line gets one mutation, in each case another.
			changed := mutations[(n+i)%len(mutations)]
			returns(t, linter, strings.Join(lines[:i], "")+changed+strings.Join(lines[i+1:], ""))
			returns(t, linter, strings.Join(lines[:i], ""))
			texts += 2
		}
	}
	require.Greater(t, texts, 1000)
}

// lintCases returns the pipelines that the command is tested with.
func lintCases(t testing.TB) []string {
	t.Helper()
	var all []string
	for _, file := range []string{"lint_wrong.txt", "lint_right.txt"} {
		text, err := os.ReadFile("../../cmd/robustmq-connect/testdata/" + file)
		require.NoError(t, err)
		cases := strings.Split("\n"+string(text), "\n== ")[1:]
		require.GreaterOrEqual(t, len(cases), 30, "the table has lost its cases")
		for _, c := range cases {
			_, yaml, _ := strings.Cut(c, "\n")
			all = append(all, yaml)
		}
	}
	return all
}

func returns(t *testing.T, linter *lint.Linter, text string) {
	t.Helper()
	for _, finding := range linter.YAML(text, false) {
		if finding.Line < 1 || finding.Column < 1 || finding.Line > strings.Count(text, "\n")+2 || finding.What == "" {
			t.Fatalf("%+v\n%s", finding, text)
		}
	}
}
