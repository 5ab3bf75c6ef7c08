package main

import (
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Every link within the repository leads to an existing file, and to an existing
// heading of it.
func TestLinksOfDocumentsAreValid(t *testing.T) {
	links := 0
	for path, text := range documents(t) {
		for _, target := range linkTargets(text) {
			if strings.HasPrefix(target, "https://") {
				continue
			}
			links++
			file, anchor, _ := strings.Cut(target, "#")
			to := filepath.Join(top, path)
			if file != "" {
				to = filepath.Join(filepath.Dir(to), file)
			}
			_, err := os.Stat(to)
			require.NoError(t, err, "%s: the link %s", path, target)
			if anchor == "" {
				continue
			}
			linked, err := os.ReadFile(to)
			require.NoError(t, err, "%s: the link %s", path, target)
			assert.Contains(t, anchors(string(linked)), anchor, "%s: the link %s", path, target)
		}
	}
	assert.GreaterOrEqual(t, links, 30)
}

func TestAnchorsAreThoseThatGitHubMakes(t *testing.T) {
	assert.Equal(t, []string{"output-robustmq_kafka", "a-b-and-c", "a-b-and-c-1", "expressions-in-a-connector"},
		anchors("# Output `robustmq_kafka`\n## A, b and C\n```sh\n# no heading\n```\n## A, b and C\n### Expressions in a connector\n"))
	assert.Equal(t, []string{"a.md#b", "c"}, linkTargets("[x](a.md#b) `[y](no)` [z\nz](c)\n```\n[n](no)\n```\n"))
}

var codeBlock = regexp.MustCompile("(?ms)^ *```.*?^ *```$")

// linkTargets returns the targets of a document's links, except those in code.
func linkTargets(document string) []string {
	document = regexp.MustCompile("`[^`\n]*`").ReplaceAllString(codeBlock.ReplaceAllString(document, ""), "code")
	var targets []string
	for _, m := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(document, -1) {
		targets = append(targets, m[1])
	}
	return targets
}

// anchors are the names of a document's headings, as GitHub makes them: lower case,
// a dash for a space, and no other marks.
func anchors(document string) []string {
	var names []string
	seen := map[string]int{}
	for _, m := range regexp.MustCompile(`(?m)^#+ +(.*)$`).FindAllStringSubmatch(codeBlock.ReplaceAllString(document, ""), -1) {
		name := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, m[1])
		seen[name]++
		if n := seen[name]; n > 1 {
			name += "-" + string(rune('0'+n-1))
		}
		names = append(names, name)
	}
	return names
}

// A reader goes from architecture.md to the code; a file that was renamed leads
// nowhere.
func TestFilesThatDocumentsNameExist(t *testing.T) {
	named := 0
	for path, text := range documents(t) {
		for _, m := range regexp.MustCompile("`((?:plugins|cmd|templates|tests|config|resources)/[\\w./-]+)`").FindAllStringSubmatch(text, -1) {
			named++
			_, err := os.Stat(filepath.Join(top, m[1]))
			require.NoError(t, err, "%s names %s", path, m[1])
		}
	}
	assert.GreaterOrEqual(t, named, 60)
}

// codeMap are the packages of the code map, by their position in it.
func codeMap(t *testing.T) map[string]int {
	t.Helper()
	text := documents(t)["resources/docs/architecture.md"]
	_, text, _ = strings.Cut(text, "## Code map")
	text, _, _ = strings.Cut(text, "\n## ")
	rows := map[string]int{}
	for i, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(text, -1) {
		rows[m[1]] = i
	}
	return rows
}

// The code map has every package, and imports never go up in it.
func TestTheCodeMapMatchesTheCode(t *testing.T) {
	rows := codeMap(t)
	imports := 0
	for _, folder := range []string{"cmd", "plugins", "templates"} {
		require.NoError(t, filepath.WalkDir(filepath.Join(top, folder), func(path string, _ os.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			within, err := filepath.Rel(top, filepath.Dir(path))
			require.NoError(t, err)
			own, known := rows[filepath.ToSlash(within)]
			require.True(t, known, "the code map of architecture.md has no package %s", within)
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
			require.NoError(t, err)
			for _, one := range file.Imports {
				if name, ours := strings.CutPrefix(strings.Trim(one.Path.Value, `"`), "github.com/robustmq/robustmq-connect/"); ours {
					imports++
					assert.Greater(t, rows[name], own, "%s imports %s, which is above it in the code map", path, name)
				}
			}
			return nil
		}))
	}
	assert.GreaterOrEqual(t, imports, 100)
}
