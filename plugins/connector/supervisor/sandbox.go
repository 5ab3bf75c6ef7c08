package supervisor

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/redpanda-data/benthos/v4/public/bloblang"
	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/connector/session"
	"github.com/robustmq/robustmq-connect/plugins/expression"
	"github.com/robustmq/robustmq-connect/plugins/kafka"
	"github.com/robustmq/robustmq-connect/plugins/targets"
)

// A definition may come from anybody who can reach the API. Its contents are evaluated
// in an environment that can access neither the process nor the host's files, except
// those of one directory.

// sandbox returns env for untrusted definitions: their expressions are limited, their
// files come from one directory, and their connections to Kafka go only to targets that
// the guard allows. It does not have the input yet. In previews, the output connects to
// nothing.
func sandbox(env *service.Environment, files *secretFiles, expressions *bloblang.Environment, options []kafka.Option) (safe, previews *service.Environment, err error) {
	made := map[*service.Environment]func(*service.Environment, ...kafka.Option) error{}
	safe, previews = env.Clone(), env.Clone()
	made[safe], made[previews] = kafka.Register, kafka.RegisterPreview
	for env, register := range made {
		env.UseFS(service.NewFS(files))
		// After UseFS, which lets mappings import files.
		env.UseBloblangEnvironment(expressions)
		if err := errors.Join(register(env, options...), kafka.RegisterInput(env, options...)); err != nil {
			return nil, nil, err
		}
	}
	return safe, previews, nil
}

// guardOf returns the guard of the service. The service's own MQTT broker is always
// allowed, and its sockets are the only allowed ones.
func guardOf(opts Options) (*targets.Guard, error) {
	rules := targets.Rules{Allow: opts.AllowTargets, Deny: opts.DenyTargets}
	for _, u := range slices.Concat(urlsOf(opts.MQTT)...) {
		if u.Scheme == "unix" {
			rules.Sockets = append(rules.Sockets, cmp.Or(u.Host, u.Path))
			continue
		}
		host, _, _ := strings.Cut(u.Hostname(), "%") // the zone of an address
		port := cmp.Or(u.Port(), map[string]string{"ws": "80", "wss": "443"}[u.Scheme])
		if host != "" && port != "" {
			rules.Own = append(rules.Own, net.JoinHostPort(host, port))
		}
	}
	return targets.New(rules)
}

// urlsOf returns the brokers of an MQTT side, as the input reads them, by list item.
func urlsOf(settings connector.Settings) (all [][]*url.URL) {
	var items []string
	if json.Unmarshal(settings.Get("urls"), &items) != nil {
		return nil // lint refuses it
	}
	for _, item := range items {
		all = append(all, session.ParseURLs([]string{item}))
	}
	return all
}

// expressionField is a field of a definition that may have expressions.
type expressionField struct{ name, text string }

func expressionsOf(c connector.Connector) []expressionField {
	if c.IsSource() {
		return []expressionField{{"topic_name", c.TopicID}}
	}
	all := []expressionField{{"config.topic", c.Kafka.Topic}}
	if c.Kafka.Key != nil {
		all = append([]expressionField{{"config.key", *c.Kafka.Key}}, all...)
	}
	return all
}

// checkExpressions checks the fields that may have expressions. It must run before
// anything parses them, because Bloblang evaluates constants while it parses.
func checkExpressions(c connector.Connector) error {
	for _, f := range expressionsOf(c) {
		if err := expression.Check(f.text); err != nil {
			return &connector.InvalidError{Field: f.name, Why: err.Error()}
		}
	}
	return nil
}

var (
	errNoSecretsDir = errors.New("files are read only from the service's --secrets-dir, which is not set: put the content into the field, or start the service with --secrets-dir")
	errReadOnly     = errors.New("the secrets directory is read only")
)

// secretFiles reads the files of one directory. It implements every file system method
// of the engine: the engine would use the host's for missing ones.
type secretFiles struct {
	dir  string
	root *os.Root // nil without a directory
}

func openSecretFiles(dir string) (*secretFiles, error) {
	if dir == "" {
		return &secretFiles{}, nil
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the secrets directory: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the secrets directory: %w", err)
	}
	return &secretFiles{dir: dir, root: root}, nil
}

func (f *secretFiles) Close() error {
	if f.root == nil {
		return nil
	}
	return f.root.Close()
}

// nameInside returns the name of a file in the directory, given with or without its path. A
// name outside gets the same error whether or not the file exists.
func (f *secretFiles) nameInside(op, name string) (string, error) {
	if f.root == nil {
		return "", &fs.PathError{Op: op, Path: name, Err: errNoSecretsDir}
	}
	inside := name
	if filepath.IsAbs(name) {
		rel, err := filepath.Rel(f.dir, name)
		if err != nil {
			rel = ".."
		}
		inside = rel
	}
	if !filepath.IsLocal(inside) {
		return "", &fs.PathError{Op: op, Path: name, Err: fmt.Errorf("files are read only from the service's --secrets-dir, %s", f.dir)}
	}
	return inside, nil
}

func (f *secretFiles) Open(name string) (fs.File, error) {
	inside, err := f.nameInside("open", name)
	if err != nil {
		return nil, err
	}
	file, err := f.root.Open(inside)
	if err != nil {
		return nil, err
	}
	return file, nil
}

func (f *secretFiles) OpenFile(name string, flag int, _ fs.FileMode) (fs.File, error) {
	if flag != os.O_RDONLY {
		return nil, &fs.PathError{Op: "open", Path: name, Err: errReadOnly}
	}
	return f.Open(name)
}

func (f *secretFiles) Stat(name string) (fs.FileInfo, error) {
	inside, err := f.nameInside("stat", name)
	if err != nil {
		return nil, err
	}
	return f.root.Stat(inside)
}

func (f *secretFiles) Remove(name string) error {
	return &fs.PathError{Op: "remove", Path: name, Err: errReadOnly}
}

func (f *secretFiles) MkdirAll(name string, _ fs.FileMode) error {
	return &fs.PathError{Op: "mkdir", Path: name, Err: errReadOnly}
}
