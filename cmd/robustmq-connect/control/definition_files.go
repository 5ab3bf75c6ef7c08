package control

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/cli"
)

// maxDefinitionFile bounds a file of connectors: four thousand of the longest.
const maxDefinitionFile = 64 << 20

// declared is a connector that a file declares.
type declared struct {
	definition
	from string // the file, and which of several in it
}

// readDeclared reads every connector of files and folders. No name stands twice.
func readDeclared(stdin io.Reader, paths []string, refs references) ([]declared, error) {
	var all []declared
	for _, path := range paths {
		files, err := definitionFiles(path)
		if err != nil {
			return nil, err
		}
		before := len(all)
		for _, file := range files {
			found, err := readDeclaredFile(stdin, file, refs)
			if err != nil {
				return nil, err
			}
			all = append(all, found...)
		}
		if len(all) == before {
			return nil, fmt.Errorf("reading %s: it holds no connector: give a file or a folder with files that end in .yaml, .yml or .json", fileName(path))
		}
	}
	from := map[string]string{}
	for _, d := range all {
		if first, twice := from[d.name()]; twice {
			return nil, fmt.Errorf("reading %s: connector %q stands in %s too: remove one", d.from, d.name(), first)
		}
		from[d.name()] = d.from
	}
	slices.SortFunc(all, func(a, b declared) int { return strings.Compare(a.name(), b.name()) })
	return all, nil
}

// definitionFiles are the files of a folder and of those in it, in the order of their
// names, or the file itself. What begins with a dot is left out, as shells do.
func definitionFiles(path string) ([]string, error) {
	if path == "-" {
		return []string{path}, nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, cli.PlainPathError(err))
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	var files []string
	err = filepath.WalkDir(path, func(at string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case at != path && strings.HasPrefix(entry.Name(), "."):
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		case entry.IsDir():
			return nil
		}
		info, err := os.Stat(at) // through a link, as a volume of Kubernetes has them
		if err != nil {
			return err
		}
		if info.IsDir() {
			return fmt.Errorf("%s is a link to a folder: give that folder by a --file of its own", at)
		}
		if slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(at)) {
			files = append(files, at)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	return files, nil
}

func readDeclaredFile(stdin io.Reader, path string, refs references) ([]declared, error) {
	name := fileName(path)
	data, err := cli.ReadBounded(stdin, path, maxDefinitionFile)
	if err == nil && len(data) > maxDefinitionFile {
		err = fmt.Errorf("over %d MiB long: divide it into several", maxDefinitionFile>>20)
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	documents, err := splitDocuments(path, data)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	all := make([]declared, 0, len(documents))
	for i, document := range documents {
		from := name
		if len(documents) > 1 {
			from = fmt.Sprintf("%s, connector %d", name, i+1)
		}
		d, err := declare(document, refs)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", from, err)
		}
		all = append(all, declared{d, from})
	}
	return all, nil
}

// declare makes a definition as the admin API takes it of one that a file holds.
func declare(document json.RawMessage, refs references) (definition, error) {
	d, err := parseDefinition(document)
	if err != nil {
		return nil, err
	}
	if d.name() == "" {
		return nil, errors.New("connector_name is missing: it distinguishes the connector from others")
	}
	if reference.MatchString(d.name()) {
		return nil, fmt.Errorf("connector_name: %q is a reference: a name stands in the file itself", d.name())
	}
	if _, ok := d["paused"]; ok {
		return nil, errors.New("paused: it is not part of a definition: pause the connector with mqtt connector pause")
	}
	if d.given("config") && d["config"][0] == '"' {
		var text string
		if json.Unmarshal(d["config"], &text) == nil && json.Valid([]byte(text)) {
			d["config"] = json.RawMessage(text)
		}
	}
	for field, value := range d {
		if field == "connector_name" {
			continue
		}
		if d[field], err = refs.resolve(field, value); err != nil {
			return nil, err
		}
	}
	if !d.given("connector_type") {
		d.setText("connector_type", "kafka")
	}
	if !d.given("labels") {
		d["labels"] = json.RawMessage("{}") // without them, an update would keep those that are stored
	}
	d.normalize()
	return d, nil
}

// splitDocuments gives the connectors of a file: those of each document, which is one
// or a list.
func splitDocuments(path string, data []byte) ([]json.RawMessage, error) {
	var documents []json.RawMessage
	var err error
	if filepath.Ext(path) == ".json" {
		documents, err = jsonDocuments(data)
	} else {
		documents, err = yamlDocuments(data)
	}
	if err != nil {
		return nil, err
	}
	var all []json.RawMessage
	for _, document := range documents {
		var list []json.RawMessage
		if document[0] == '[' && json.Unmarshal(document, &list) == nil {
			all = append(all, list...)
			continue
		}
		all = append(all, document)
	}
	return all, nil
}

func jsonDocuments(data []byte) ([]json.RawMessage, error) {
	var all []json.RawMessage
	d := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))))
	for {
		var document json.RawMessage
		err := d.Decode(&document)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("not JSON: %w at byte %d", err, d.InputOffset())
		}
		all = append(all, document)
	}
}

func yamlDocuments(data []byte) ([]json.RawMessage, error) {
	var all []json.RawMessage
	d := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var document yaml.Node
		err := d.Decode(&document)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		var c yamlConversion
		text, err := c.json(&document, 0)
		if err != nil {
			return nil, err
		}
		if string(text) != "null" { // a document of comments
			all = append(all, text)
		}
	}
}
