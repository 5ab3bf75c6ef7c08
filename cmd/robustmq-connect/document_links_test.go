package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Every link within the repository leads to a file that exists, and to a heading
// that the file has.
func TestLinksOfDocumentsLeadSomewhere(t *testing.T) {
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

// linkTargets are where the links of a document lead, those in code excepted.
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
