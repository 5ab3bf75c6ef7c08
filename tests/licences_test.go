// Package tests checks the repository as a whole.
package tests

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	root     = ".."
	upstream = "github.com/redpanda-data/"
)

// communityLicensed lists by package what is compiled in under the Redpanda Community
// License, and why. resources/docs/fields.md tells users the same.
var communityLicensed = map[string]string{
	"github.com/redpanda-data/connect/v4/internal/serviceaccount": "internal/impl/kafka imports it for the SASL mechanism REDPANDA_CLOUD_SERVICE_ACCOUNT",
}

// goPackage are the parts of `go list -json` that this test reads.
type goPackage struct {
	ImportPath, Dir string
	Module          *struct{ Path, Dir string }

	// The files that the compiler and the assembler read; without cgo there are no
	// others.
	GoFiles, SFiles, HFiles []string

	Imports, TestImports, XTestImports []string
}

func listPackages(t *testing.T, args ...string) []goPackage {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list", "-json"}, args...)...)
	cmd.Dir = root
	// Like the Makefile: cgo would select other files.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, stderr.String())

	var packages []goPackage
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return packages
		}
		require.NoError(t, err)
		packages = append(packages, p)
	}
}

type licence string

const (
	apache    licence = "Apache"
	mit       licence = "MIT"
	community licence = "Redpanda Community License"
	none      licence = ""
)

// licenceOf returns the licence that a text names. The Community License is checked
// first, because its texts mention the Apache License too.
func licenceOf(text string) licence {
	// Comment markers and line breaks may be anywhere in a header.
	words := strings.Join(strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" \t\r\n/*", r) }), " ")
	switch {
	case strings.Contains(words, "Redpanda Community License"), strings.Contains(words, "Redpanda Enterprise file"):
		return community
	case strings.Contains(words, "Apache License"):
		return apache
	case strings.Contains(words, "MIT License"), strings.Contains(words, "Permission is hereby granted, free of charge, to any person obtaining a copy"):
		return mit
	}
	return none
}

var packageClause = regexp.MustCompile(`(?m)^package \w+`)

// fileLicence reads the header of a source file: the text before the package clause in
// Go, the whole file in assembly.
func fileLicence(t *testing.T, name string) licence {
	t.Helper()
	text, err := os.ReadFile(name)
	require.NoError(t, err)
	if at := packageClause.FindIndex(text); at != nil {
		text = text[:at[0]]
	}
	return licenceOf(string(text))
}

// moduleLicence reads the LICENSE of a module, for files without a header.
func moduleLicence(t *testing.T, dir string) licence {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "LICENSE"))
	if errors.Is(err, os.ErrNotExist) {
		return none
	}
	require.NoError(t, err)
	return licenceOf(string(text))
}

func TestLicencesOfCompiledPackages(t *testing.T) {
	files, found := 0, map[string]bool{}
	for _, p := range listPackages(t, "-deps", "./cmd/robustmq-connect") {
		if p.Module == nil || !strings.HasPrefix(p.Module.Path, upstream) {
			continue
		}
		for _, file := range slices.Concat(p.GoFiles, p.SFiles, p.HFiles) {
			files++
			name := filepath.Join(p.Dir, file)
			got := fileLicence(t, name)
			if got == none {
				got = moduleLicence(t, p.Module.Dir)
			}
			switch got {
			case community:
				found[p.ImportPath] = true
				assert.Contains(t, communityLicensed, p.ImportPath, "%s is under the Redpanda Community License", name)
			case none:
				assert.Fail(t, "no known licence", "%s has no known licence, nor has the module", name)
			}
		}
	}
	for path := range communityLicensed {
		assert.Contains(t, found, path, "no longer compiled in, or no longer under the Redpanda Community License: take it off the list and out of resources/docs/fields.md")
	}
	// Fewer files would mean that the list is incomplete, not that upstream shrank.
	assert.Greater(t, files, 400)
	t.Logf("counted %d files of %s* compiled in, %d packages under the Redpanda Community License", files, upstream, len(found))
}

// Packages that others import cannot be avoided; what we import ourselves, also in
// tests, is under a free licence.
func TestNoDirectImportUnderCommunityLicense(t *testing.T) {
	direct := map[string]bool{}
	for _, p := range listPackages(t, "-tags", "integration", "./...") {
		for _, path := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
			if strings.HasPrefix(path, upstream) {
				direct[path] = true
			}
		}
	}
	require.NotEmpty(t, direct)
	var paths []string
	for path := range direct {
		paths = append(paths, path)
	}
	for _, p := range listPackages(t, paths...) {
		for _, file := range slices.Concat(p.GoFiles, p.SFiles, p.HFiles) {
			assert.NotEqual(t, community, fileLicence(t, filepath.Join(p.Dir, file)), "%s, which we import", p.ImportPath)
		}
	}
	t.Logf("counted %d packages of %s* that we import", len(direct), upstream)
}

func TestLicenceOf(t *testing.T) {
	for text, want := range map[string]licence{
		"// Licensed as a Redpanda Enterprise file under the Redpanda Community\n// License (the \"License\")": community,
		"/*\n * Redpanda Community\n * License, not the Apache License */":                                     community,
		"// Licensed under the Apache License,\n// Version 2.0":                                                apache,
		"Permission is hereby granted, free of charge,\nto any person obtaining a copy":                        mit,
		"// Package x does y.": none,
	} {
		assert.Equal(t, want, licenceOf(text), text)
	}
}

// TestTopLevel limits the root of the repository to what a visitor should see.
func TestTopLevel(t *testing.T) {
	allowed := strings.Fields("cmd plugins config templates resources tests go.mod go.sum Makefile README.md LICENSE CHANGELOG.md")
	cmd := exec.CommandContext(t.Context(), "git", "ls-files", "-z")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Skipf("not in a git checkout: git ls-files: %v", err)
	}
	files := 0
	for name := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		files++
		top, _, _ := strings.Cut(name, "/")
		assert.True(t, strings.HasPrefix(top, ".") || slices.Contains(allowed, top), "%s does not belong at the top level", top)
	}
	assert.Positive(t, files)
}
