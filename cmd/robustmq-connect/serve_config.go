package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	ucli "github.com/urfave/cli/v2"
	"gopkg.in/yaml.v3"
)

// applyFile sets the flags that neither the command line nor the environment sets from
// the file of --config. Its names are those of the flags, with _ for -.
func applyFile(c *ucli.Context) error {
	path := c.String("config")
	if path == "" {
		return nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("config: %w", err)
	}
	var file map[string]yaml.Node
	if err := yaml.Unmarshal(text, &file); err != nil {
		return fmt.Errorf("config: %s: it must be a YAML mapping of flags: %w", path, err)
	}
	var known []string
	for _, flag := range c.Command.Flags {
		if name := flag.Names()[0]; name != "config" && name != "help" {
			known = append(known, strings.ReplaceAll(name, "-", "_"))
		}
	}
	for name, node := range file {
		if !slices.Contains(known, name) {
			return fmt.Errorf("config: %s(%d): %q is unknown: the names are %s", path, node.Line, name, strings.Join(known, ", "))
		}
		value, err := flagValue(node)
		if err != nil {
			return fmt.Errorf("config: %s(%d): %s: %w", path, node.Line, name, err)
		}
		flag := strings.ReplaceAll(name, "_", "-")
		if c.IsSet(flag) {
			continue
		}
		if err := c.Set(flag, value); err != nil {
			return fmt.Errorf("config: %s(%d): %s: %w", path, node.Line, name, err)
		}
	}
	return nil
}

// flagValue returns a value in the form of the command line: a list is joined by
// commas.
func flagValue(node yaml.Node) (string, error) {
	switch node.Kind {
	case yaml.ScalarNode:
		return node.Value, nil
	case yaml.SequenceNode:
		var all []string
		if err := node.Decode(&all); err != nil {
			return "", err
		}
		return strings.Join(all, ","), nil
	default:
		return "", errors.New("it must be a text, a number or a list of texts")
	}
}
