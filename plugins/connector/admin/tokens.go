package admin

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// A token of --api-tokens-file is a prefix, by which scanners for secrets find it, and
// 256 random bits. The file holds its hash alone. A hash of that many random bits can
// not be tried out, so that it is neither slow nor salted; of a short token it can.
const (
	tokenPrefix = "rmqc_"
	tokenBytes  = 32
	leastToken  = len(tokenPrefix) + (tokenBytes*8+5)/6
	hashPrefix  = "sha256:"
)

const (
	maxTokensFile = 1 << 20
	maxTokens     = 1000
)

// singleName is the caller of the token of --api-token-file.
const singleName = "api-token-file"

var tokenName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$`)

// knownToken is one that is accepted.
type knownToken struct {
	caller
	sum    [sha256.Size]byte
	chosen bool // by a person, who may choose a short one
}

// findToken gives the caller of a token. Sums are of one length, so that comparing
// them takes the same time for every guess.
func findToken(all []knownToken, text string) (found knownToken, ok bool) {
	sum := sha256.Sum256([]byte(text))
	for _, t := range all {
		if subtle.ConstantTimeCompare(sum[:], t.sum[:]) == 1 {
			found, ok = t, true
		}
	}
	return found, ok
}

// NewToken makes a token and the entry of --api-tokens-file that lets it in.
func NewToken(name, roleWord string, payloads bool) (text, entry string, err error) {
	if err := checkTokenName(name); err != nil {
		return "", "", err
	}
	r, err := parseRole(roleWord)
	if err != nil {
		return "", "", fmt.Errorf("role: %w", err)
	}
	random := make([]byte, tokenBytes)
	_, _ = rand.Read(random) // it never fails: the process would have ended
	text = tokenPrefix + base64.RawURLEncoding.EncodeToString(random)
	sum := sha256.Sum256([]byte(text))
	entry = fmt.Sprintf("- name: %q\n  role: %s\n  payloads: %t\n  hash: %s%x\n", name, r, payloads, hashPrefix, sum)
	return text, entry, nil
}

func checkTokenName(name string) error {
	switch {
	case !tokenName.MatchString(name):
		return fmt.Errorf("name: %q is not a name: it must have 1 to 64 letters, digits and . _ @ -, and begin with a letter or a digit", name)
	case name == singleName || name == everybody.name:
		return fmt.Errorf("name: %q stands for another caller in the audit log: choose another", name)
	}
	return nil
}

// watchTokens gives the tokens of both files, nil where no token is asked for.
func (o Options) watchTokens(log *slog.Logger) (*watched[[]knownToken], error) {
	var paths []string
	for _, path := range []string{o.TokenFile, o.TokensFile} {
		if path != "" {
			paths = append(paths, path)
		}
	}
	if paths == nil {
		return nil, nil
	}
	return watch("The list of tokens", paths, log, o.readTokens)
}

func (o Options) readTokens() (all []knownToken, err error) {
	if o.TokenFile != "" {
		single, err := readSingleToken(o.TokenFile)
		if err != nil {
			return nil, fmt.Errorf("reading api-token-file: %w", err)
		}
		all = append(all, single)
	}
	if o.TokensFile != "" {
		data, err := readGuarded(o.TokensFile)
		if err != nil {
			return nil, fmt.Errorf("reading api-tokens-file: %w", err)
		}
		entries, err := parseTokens(data)
		if err != nil {
			return nil, fmt.Errorf("reading api-tokens-file: %s: %w", o.TokensFile, err)
		}
		all = append(all, entries...)
	}
	return all, nil
}

func readSingleToken(path string) (knownToken, error) {
	data, err := readGuarded(path)
	if err != nil {
		return knownToken{}, err
	}
	text := strings.TrimSpace(string(data))
	switch {
	case text == "":
		return knownToken{}, fmt.Errorf("%s is empty: write a token into it", path)
	case strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		return knownToken{}, fmt.Errorf("%s must hold one word of printable ASCII", path)
	}
	return knownToken{
		caller: caller{name: singleName, role: administrator, payloads: true},
		sum:    sha256.Sum256([]byte(text)), chosen: true,
	}, nil
}

// readGuarded reads a file of tokens. One that every user of the machine may write
// guards nothing.
func readGuarded(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // read only: nothing can be lost
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o002 != 0 {
		return nil, fmt.Errorf("every user of this machine can write to %s: remove that permission with chmod o-w", path)
	}
	data, err := io.ReadAll(io.LimitReader(file, maxTokensFile+1))
	if err == nil && len(data) > maxTokensFile {
		err = fmt.Errorf("%s is over 1 MiB long: it is not a file of tokens", path)
	}
	return data, err
}

// parseTokens reads the list of --api-tokens-file. What is not understood is an error,
// since an entry that is passed over is a token that somebody counts on. An empty
// list lets nobody in; an empty file is one that is being written.
func parseTokens(data []byte) ([]knownToken, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(data, &document); err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if len(document.Content) == 0 {
		return nil, errors.New("it is empty: make an entry with robustmq-connect token, or write [] to let nobody in")
	}
	list := document.Content[0]
	if list.Kind != yaml.SequenceNode {
		return nil, fmt.Errorf("line %d: it must be a list of entries, - name: …", list.Line)
	}
	if len(list.Content) > maxTokens {
		return nil, fmt.Errorf("line %d: %d tokens are too many: at most %d are allowed", list.Content[maxTokens].Line, len(list.Content), maxTokens)
	}
	all := make([]knownToken, 0, len(list.Content))
	names, sums := map[string]int{}, map[[sha256.Size]byte]int{}
	for _, node := range list.Content {
		t, err := parseToken(node)
		if err != nil {
			return nil, err
		}
		if at, twice := names[t.name]; twice {
			return nil, fmt.Errorf("line %d: name: %q is that of line %d too: give each token its own", node.Line, t.name, at)
		}
		if at, twice := sums[t.sum]; twice {
			return nil, fmt.Errorf("line %d: hash: it is that of line %d too: make a token for each entry", node.Line, at)
		}
		names[t.name], sums[t.sum] = node.Line, node.Line
		all = append(all, t)
	}
	return all, nil
}

var tokenFields = []string{"name", "role", "payloads", "hash"}

func parseToken(node *yaml.Node) (knownToken, error) {
	if node.Kind != yaml.MappingNode {
		return knownToken{}, fmt.Errorf("line %d: an entry must have the fields %s", node.Line, strings.Join(tokenFields, ", "))
	}
	var t knownToken
	given := map[string]bool{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		name, value := node.Content[i], node.Content[i+1]
		switch {
		case !slices.Contains(tokenFields, name.Value):
			return knownToken{}, fmt.Errorf("line %d: %q is unknown: the fields are %s", name.Line, name.Value, strings.Join(tokenFields, ", "))
		case given[name.Value]:
			return knownToken{}, fmt.Errorf("line %d: %s is given twice: remove one", name.Line, name.Value)
		case value.Kind != yaml.ScalarNode:
			return knownToken{}, fmt.Errorf("line %d: %s: it must be one value", value.Line, name.Value)
		}
		given[name.Value] = true
		if err := t.set(name.Value, value.Value); err != nil {
			return knownToken{}, fmt.Errorf("line %d: %w", value.Line, err)
		}
	}
	for _, name := range tokenFields {
		if !given[name] && name != "payloads" {
			return knownToken{}, fmt.Errorf("line %d: %s is missing: it must be given", node.Line, name)
		}
	}
	return t, nil
}

func (t *knownToken) set(field, value string) (err error) {
	switch field {
	case "name":
		t.name = value
		return checkTokenName(value)
	case "role":
		if t.role, err = parseRole(value); err != nil {
			return fmt.Errorf("role: %w", err)
		}
	case "payloads":
		if value != "true" && value != "false" {
			return fmt.Errorf("payloads: %s must be true or false", strconv.Quote(value))
		}
		t.payloads = value == "true"
	case "hash":
		// It is not quoted: a token may stand there by mistake.
		digits, ok := strings.CutPrefix(value, hashPrefix)
		sum, err := hex.DecodeString(digits)
		if !ok || err != nil || len(sum) != sha256.Size {
			return fmt.Errorf("hash: it must be %s and 64 hexadecimal digits, as robustmq-connect token prints them", hashPrefix)
		}
		t.sum = [sha256.Size]byte(sum)
	}
	return nil
}
