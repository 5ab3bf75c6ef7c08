package main

import (
	"crypto/x509"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/robustmq/robustmq-connect/plugins/mqtt"
)

// A message is quoted in the first cell of a row. "…" stands for the parts that vary.
var quotedMessage = regexp.MustCompile("(?m)^\\| `(.+?)` \\|")

// A user who searches for a printed message must find it in troubleshooting.md, so each
// quoted message must still be in the code.
func TestQuotedMessagesAreInTheCode(t *testing.T) {
	rows := quotedMessage.FindAllStringSubmatch(documents(t)["resources/docs/troubleshooting.md"], -1)
	assert.GreaterOrEqual(t, len(rows), 50)
	texts := printedTexts(t)
	for _, row := range rows {
		words := 0
		for _, part := range strings.Split(row[1], "…") {
			part = strings.Trim(part, ` :;,."()`)
			if part == "" {
				continue
			}
			words += len(strings.Fields(part))
			assert.True(t, prints(texts, part), "no text of the code has %q, of the message %q", part, row[1])
		}
		assert.GreaterOrEqual(t, words, 2, "%q is too short to be searched for", row[1])
	}
}

func TestAQuoteIsMatchedWithWhatTheProgramFillsIn(t *testing.T) {
	texts := []string{`connecting to %s: %w`, `Connector [` + filled + `] already exist`}
	assert.True(t, prints(texts, "connecting to"))
	assert.True(t, prints(texts, "Connector [x] already exist"))
	assert.False(t, prints(texts, "connecting from"))
	assert.False(t, prints(texts, "Connector x already exist"))
}

// filled represents a value in a text that is concatenated with +.
const filled = "\x00"

// prints reports whether one of the texts contains the part, where a value in the text
// may be the x of the part.
func prints(texts []string, part string) bool {
	for _, text := range texts {
		if strings.Contains(text, part) || strings.Contains(strings.ReplaceAll(text, filled, "x"), part) {
			return true
		}
	}
	return false
}

// printedTexts returns all texts in code that is not a test, and the texts of the
// system and the libraries that are printed with them.
func printedTexts(t *testing.T) []string {
	t.Helper()
	texts := []string{syscall.ECONNREFUSED.Error(), syscall.EADDRINUSE.Error(), x509.UnknownAuthorityError{}.Error()}
	for _, err := range []error{kerr.SaslAuthenticationFailed, kerr.UnknownTopicOrPartition, kerr.TopicAuthorizationFailed, kerr.ClusterAuthorizationFailed, kerr.MessageTooLarge} {
		texts = append(texts, err.Error())
	}
	for code := range 0x100 {
		texts = append(texts, mqtt.ReasonError(byte(code), "").Error(), mqtt.ConnectError(byte(code), "").Error())
	}
	ours := len(texts)
	for _, folder := range []string{"cmd", "plugins", "templates"} {
		require.NoError(t, filepath.WalkDir(filepath.Join(top, folder), func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if e, ok := n.(ast.Expr); ok {
					if text := joined(e); text != filled {
						texts = append(texts, text)
						return false
					}
				}
				return true
			})
			return nil
		}))
	}
	require.Greater(t, len(texts), ours+1000)
	return texts
}

// joined returns a text and those that are added to it; a value among them becomes
// filled.
func joined(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		if text, err := strconv.Unquote(e.Value); err == nil && e.Kind == token.STRING {
			return text
		}
	case *ast.BinaryExpr:
		if text := joined(e.X) + joined(e.Y); e.Op == token.ADD && strings.Trim(text, filled) != "" {
			return text
		}
	}
	return filled
}
