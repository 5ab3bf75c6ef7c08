package control

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func documentsOf(t *testing.T, yaml string) []string {
	t.Helper()
	found, err := splitDocuments("x.yaml", []byte(yaml))
	require.NoError(t, err)
	all := make([]string, len(found))
	for i, d := range found {
		all[i] = string(d)
	}
	return all
}

func TestYAMLBecomesTheJSONThatItMeans(t *testing.T) {
	for yaml, want := range map[string][]string{
		"b: 1\na: [x, 'true', true, ~]\n":                             {`{"b":1,"a":["x","true",true,null]}`},
		"n: [1.50, 1e3, 0x1F, 1_000, .5, -0]\n":                       {`{"n":[1.50,1e3,31,1000,0.5,-0]}`},
		"at: 2026-11-25\non: yes\nt: |\n  two\n  lines\n":             {`{"at":"2026-11-25","on":"yes","t":"two\nlines\n"}`},
		"a: 1\n---\n# nothing\n---\n- b: 2\n- c: <&>\n":               {`{"a":1}`, `{"b":2}`, `{"c":"<&>"}`},
		"- &one {x: {y: 1}, z: 2}\n- {<<: *one, z: 3}\n- {w: *one}\n": {`{"x":{"y":1},"z":2}`, `{"z":3,"x":{"y":1}}`, `{"w":{"x":{"y":1},"z":2}}`},
		"- &a {x: 1}\n- &b {x: 2, y: 2}\n- {<<: [*a, *b], v: 0}\n":    {`{"x":1}`, `{"x":2,"y":2}`, `{"v":0,"x":1,"y":2}`},
		"":              {},
		"# only this\n": {},
		"1: a\n":        {`{"1":"a"}`},
	} {
		assert.Equal(t, want, documentsOf(t, yaml), yaml)
	}
}

func TestYAMLThatIsNoDefinitionIsRefused(t *testing.T) {
	var bomb strings.Builder
	bomb.WriteString("- &a [x,x,x,x,x,x,x,x,x,x]\n")
	for i := range 8 {
		bomb.WriteString("- &" + string(rune('b'+i)) + " [" + strings.Repeat("*"+string(rune('a'+i))+",", 10) + "]\n")
	}
	for yaml, want := range map[string]string{
		"a: 1\na: 2\n":           `line 2: field "a" is given twice: remove one`,
		"a: .nan\n":              `line 1: ".nan" is not a JSON value: give a number`,
		"a: !!binary aGk=\n":     `line 1: "aGk=" is not a JSON value: remove its tag !!binary`,
		"a: !mine x\n":           "remove its tag !mine",
		"[a]: 1\n":               "line 1: the name of a field must be text",
		"a: *b\n":                "unknown anchor 'b' referenced",
		"\ta: 1\n":               "cannot start any token",
		"<<: 1\n":                "line 1: << merges a mapping: give it an alias of one",
		bomb.String():            "nested too deeply, or its aliases expand to too much",
		strings.Repeat("[", 100): "did not find expected",
		"a: " + strings.Repeat("[", 70) + strings.Repeat("]", 70): "nested too deep",
		"&a [*a]\n": "nested too deeply, or its aliases",
	} {
		_, err := splitDocuments("x.yaml", []byte(yaml))
		require.ErrorContains(t, err, want, "%.40s", yaml)
	}
}

func TestAFolderIsReadWithAllThatIsInIt(t *testing.T) {
	dir := t.TempDir()
	elsewhere := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "sub", ".git"), 0o700))
	one := func(name string) string { return "connector_name: " + name + "\nconfig: {topic: t}\ntopic_name: a\n" }
	writeFile(t, dir, "b.yml", one("b"))
	writeFile(t, dir, "sub/a.json", `{"connector_name":"a","config":"{\"topic\":\"t\"}","topic_id":"x"} {"connector_name":"d"}`)
	writeFile(t, dir, "sub/.git/x.yaml", "not: [this")
	writeFile(t, dir, ".x.yaml", "not: [this")
	writeFile(t, dir, "notes.txt", "not this")
	writeFile(t, elsewhere, "c.yaml", one("c"))
	require.NoError(t, os.Symlink(filepath.Join(elsewhere, "c.yaml"), filepath.Join(dir, "linked.yaml")))
	all, err := readDeclared(nil, []string{dir}, references{})
	require.NoError(t, err)
	var found []string
	for _, d := range all {
		found = append(found, d.name()+" "+strings.TrimPrefix(d.from, dir))
		assert.JSONEq(t, `"default"`, string(d.definition["tenant"]))
		assert.JSONEq(t, `{"strategy":"block"}`, string(d.definition["failure_strategy"]))
		assert.JSONEq(t, `{}`, string(d.definition["labels"]), "what a file does not name is removed")
		assert.JSONEq(t, `"kafka"`, string(d.definition["connector_type"]))
	}
	assert.Equal(t, []string{"a /sub/a.json, connector 1", "b /b.yml", "c /linked.yaml", "d /sub/a.json, connector 2"}, found)
	assert.Equal(t, `"{\"topic\":\"t\"}"`, string(all[0].definition["config"]), "as RobustMQ takes it")
	assert.Equal(t, `"x"`, string(all[0].definition["topic_name"]))

	require.NoError(t, os.Symlink(elsewhere, filepath.Join(dir, "folder")))
	_, err = readDeclared(nil, []string{dir}, references{})
	require.ErrorContains(t, err, filepath.Join(dir, "folder")+" is a link to a folder: give that folder by a --file of its own")
}

func TestFilesThatDeclareNothingAreRefused(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string { return writeFile(t, dir, name, text) }
	empty := t.TempDir()
	for want, paths := range map[string][]string{
		"reading " + filepath.Join(dir, "none") + ": no such file or directory":                              {filepath.Join(dir, "none")},
		"reading " + empty + ": it holds no connector: give a file or a folder with files that end in .yaml": {empty},
		"empty.yaml: it holds no connector":                                                                  {file("empty.yaml", "# nothing\n")},
		"n.yaml: connector_name is missing: it distinguishes":                                                {file("n.yaml", "config: {}\n")},
		`r.yaml: connector_name: "${A}" is a reference: a name stands in the file itself`:                    {file("r.yaml", "connector_name: ${A}\n")},
		"p.yaml: paused: it is not part of a definition: pause the connector with":                           {file("p.yaml", "connector_name: a\npaused: true\n")},
		"two.yaml, connector 2: connector_name is missing":                                                   {file("two.yaml", "connector_name: a\n---\nx: 1\n")},
		"text.yaml: a string is not a JSON object":                                                           {file("text.yaml", "hello\n")},
		"bad.json: not JSON: invalid character 'x'":                                                          {file("bad.json", "{x}")},
		`connector "same" stands in `:                                                                        {file("1.yaml", "connector_name: same\n"), file("2.yaml", "connector_name: same\n")},
	} {
		_, err := readDeclared(nil, paths, references{})
		require.ErrorContains(t, err, want)
	}
	all, err := readDeclared(strings.NewReader("connector_name: a\n"), []string{"-"}, references{})
	require.NoError(t, err)
	assert.Equal(t, "standard input", all[0].from)
}
