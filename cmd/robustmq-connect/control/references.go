package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/cli"
	"github.com/robustmq/robustmq-connect/plugins/connector"
)

// A reference ${NAME} in a definition's file stands for a value that the file does not
// hold. What has more braces, ${{NAME}}, is that text with one pair less. An
// interpolation, ${! … }, is neither.
var reference = regexp.MustCompile(`\$(\{+)([A-Za-z_][A-Za-z0-9_]*)(\}+)`)

// references resolves them.
type references struct {
	dir string // --secrets-dir, "" without one
}

// resolve replaces the references in a JSON value that stands at a field.
func (r references) resolve(field string, raw json.RawMessage) (json.RawMessage, error) {
	return connector.MapText(raw, func(path []string, text string) (string, error) {
		var failed error
		text = reference.ReplaceAllStringFunc(text, func(found string) string {
			m := reference.FindStringSubmatch(found)
			open, name, closing := m[1], m[2], m[3]
			switch {
			case len(open) == 1:
				value, err := r.lookUp(name)
				if err != nil && failed == nil {
					failed = fmt.Errorf("%s: %w", strings.Join(append([]string{field}, path...), "."), err)
				}
				return value + closing[1:]
			case len(closing) > 1:
				return "$" + open[1:] + name + closing[1:]
			}
			return found
		})
		return text, failed
	})
}

// escape is the inverse of resolve for a value that holds no references.
func escape(raw json.RawMessage) (json.RawMessage, error) {
	return connector.MapText(raw, func(_ []string, text string) (string, error) {
		return reference.ReplaceAllStringFunc(text, func(found string) string {
			m := reference.FindStringSubmatch(found)
			if len(m[1]) > 1 && len(m[3]) == 1 {
				return found // resolve leaves it alone
			}
			return "${" + m[1] + m[2] + m[3] + "}"
		}), nil
	})
}

// lookUp takes a value from the file of its name, and otherwise from the environment.
func (r references) lookUp(name string) (string, error) {
	if r.dir != "" {
		text, err := cli.ReadBounded(nil, filepath.Join(r.dir, name), cli.MaxSecretFile)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return "", fmt.Errorf("${%s}: reading it from --secrets-dir %s: %w", name, r.dir, err)
		case len(text) > cli.MaxSecretFile:
			return "", fmt.Errorf("${%s}: its file in --secrets-dir %s is over 64 KiB long", name, r.dir)
		default:
			// A private key has several lines; the last of a file ends with a line break.
			return r.notEmpty(name, strings.TrimRight(string(text), "\r\n"))
		}
	}
	if value, ok := os.LookupEnv(name); ok {
		return r.notEmpty(name, value)
	}
	if r.dir == "" {
		return "", fmt.Errorf("${%s}: the environment has no such variable: set it, or give a folder with a file of that name by --secrets-dir", name)
	}
	return "", fmt.Errorf("${%s}: it is neither a file in --secrets-dir %s nor an environment variable", name, r.dir)
}

func (r references) notEmpty(name, value string) (string, error) {
	if value == "" {
		return "", fmt.Errorf("${%s}: it is empty: give it a value", name)
	}
	return value, nil
}
