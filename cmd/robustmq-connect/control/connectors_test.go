package control

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	ucli "github.com/urfave/cli/v2"

	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/cli"
	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
)

// plans answers plan by the connector's name: unknown ones would be created.
func plans(t *testing.T, byName map[string]string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			Name string `json:"connector_name"`
		}
		text, _ := io.ReadAll(r.Body)
		assert.NoError(t, json.Unmarshal(text, &body))
		answer, ok := byName[body.Name]
		if !ok {
			answer = `{"exists":false,"revision":0,"changes":[{"field":"config.topic","after":"t"}]}`
		} else {
			w.Header().Set("ETag", `"4"`)
		}
		gives(`{"code":0,"data":`+answer+`,"error":null,"notes":["mind `+body.Name+`"]}`)(w, r)
	}
}

// calledFor are the calls of one action.
func (s *scripted) calledFor(action string) []asked {
	var all []asked
	for _, call := range s.asked() {
		if strings.HasSuffix(call.path, "/"+action) {
			all = append(all, call)
		}
	}
	return all
}

const (
	differs = `{"exists":true,"revision":4,"changes":[{"field":"config.topic","before":"a` + "\u202e" + `b","after":"c"},{"field":"config.key","before":"k"},{"field":"config.password","before":"***","after":"***","secret":true}]}`
	equals  = `{"exists":true,"revision":4,"changes":[]}`
)

func TestApplyLeavesAloneWhatSomebodyElseHasChanged(t *testing.T) {
	noEnvironment(t)
	server := newScripted(t, nil)
	server.answers = map[string]http.HandlerFunc{
		"plan":   plans(t, map[string]string{"changed": differs, "same": equals, "raced": differs}),
		"list":   gives(`{"code":0,"data":{"data":[{"connector_name":"gone"},{"connector_name":"same"}],"total_count":2},"error":null}`),
		"detail": tagged(`"9"`, `{"code":0,"data":{"config":"{}"},"error":null}`),
		"create": tagged(`"1"`, `{"code":0,"data":"success","error":null,"notes":["its price"]}`),
		"delete": gives(successAnswer),
		"update": func(w http.ResponseWriter, r *http.Request) {
			if calls := server.asked(); strings.Contains(calls[len(calls)-1].body, `"raced"`) {
				w.WriteHeader(http.StatusPreconditionFailed)
				gives(`{"code":100,"data":"","error":"it is at revision 5"}`)(w, r)
				return
			}
			tagged(`"5"`, successAnswer)(w, r)
		},
	}
	var files []string
	for _, name := range []string{"changed", "new", "raced", "same"} {
		files = append(files, "connector_name: "+name+"\ntopic_name: a\nconfig: {topic: t}\n")
	}
	stdout, stderr, err := runConnectors(strings.Join(files, "---\n"), "apply", "-f", "-", "--prune", "--server", server.URL)
	require.ErrorIs(t, err, cli.ErrReported)
	assert.Equal(t, `~ changed: update revision 4 to standard input, connector 1
    ~ config.topic: "a?b" -> "c"
    - config.key: "k"
    ~ config.password: the secret changes
+ new: create it from standard input, connector 2
    + config.topic: "t"
~ raced: update revision 4 to standard input, connector 3
    ~ config.topic: "a?b" -> "c"
    - config.key: "k"
    ~ config.password: the secret changes
- gone: delete revision 9, no file names it
1 to create, 2 to update, 1 to delete, 1 as they should be
gone: deleted
changed: updated, revision 5
new: created, revision 1
`, stdout)
	assert.Equal(t, "raced: update failed: it is at revision 5\nnote: new: its price\n", stderr)
	for action, match := range map[string]string{"update": `"4"`, "delete": `"9"`, "create": ""} {
		calls := server.calledFor(action)
		require.NotEmpty(t, calls)
		for _, call := range calls {
			assert.Equal(t, match, call.ifMatch, action)
		}
	}
	assert.Len(t, server.calledFor("update"), 2)
	assert.Len(t, server.calledFor("delete"), 1)

	stdout, stderr, err = runConnectors(files[2], "apply", "-f", "-", "-o", "json", "--server", server.URL)
	require.ErrorIs(t, err, cli.ErrReported)
	assert.Empty(t, stderr)
	var all outcome
	require.NoError(t, json.Unmarshal([]byte(stdout), &all))
	require.Len(t, all.Connectors, 1)
	assert.Equal(t, "failed", all.Connectors[0].Result)
	assert.Equal(t, "it is at revision 5", all.Connectors[0].Error)
}

func TestADryRunAsksAndChangesNothing(t *testing.T) {
	noEnvironment(t)
	server := newScripted(t, map[string]http.HandlerFunc{"plan": plans(t, map[string]string{"c": equals, "d": differs})})
	stdout, stderr, err := runConnectors("connector_name: d\n", "apply", "-f", "-", "--dry-run", "--server", server.URL)
	require.ErrorIs(t, err, cli.ErrPending)
	assert.Contains(t, stdout, "0 to create, 1 to update, 0 to delete, 0 as they should be\n")
	assert.Equal(t, "note: d: mind d\n", stderr)
	stdout, stderr, err = runConnectors("connector_name: c\n", "apply", "-f", "-", "--dry-run", "--server", server.URL)
	require.NoError(t, err)
	assert.Equal(t, "0 to create, 0 to update, 0 to delete, 1 as they should be\n", stdout)
	assert.Empty(t, stderr)
	for _, call := range server.asked() {
		assert.Equal(t, admin.PathPlan, call.path)
	}
}

func TestApplySaysWhatItLacks(t *testing.T) {
	noEnvironment(t)
	server := newScripted(t, nil)
	for want, args := range map[string][]string{
		"applying connectors: name the files by --file connectors.yaml, or a folder of them": {"apply"},
		`applying connectors: reading --output "yaml": want text or json`:                    {"apply", "-f", "-", "-o", "yaml"},
		"reading \"connectors.yaml\": apply takes flags only":                                {"apply", "connectors.yaml"},
		"its admin API, if it is one, does not have this command":                            {"apply", "-f", "-"},
		`reading the connectors: reading --output "table": want yaml or json`:                {"get", "-o", "table"},
		"robustmq-connect connectors needs a subcommand: apply, get, backup, restore":        nil,
	} {
		if args != nil {
			args = append(args[:1:1], append([]string{"--server", server.URL}, args[1:]...)...)
		}
		_, _, err := runConnectors("connector_name: c\n", args...)
		require.ErrorContains(t, err, want)
	}
}

func TestATerminalGetsColours(t *testing.T) {
	var out bytes.Buffer
	c := ucli.NewContext(&ucli.App{Writer: &out, ErrWriter: &out}, nil, nil)
	plan := []planned{{Name: "c\x1b[2J", Action: toDelete}, {Name: "d", Action: toCreate, Changes: []admin.FieldChange{{Field: "topic_name", After: json.RawMessage(`"a"`)}}}}
	applyPrinter{c: c, color: true}.plan(plan)
	assert.Contains(t, out.String(), "\x1b[31m- c?[2J: delete revision 0, no file names it\x1b[0m\n")
	assert.Contains(t, out.String(), "\x1b[32m    + topic_name: \"a\"\x1b[0m\n")
	assert.False(t, colored(&out))
}

func TestGetTakesNamesBeforeAndBehindItsFlags(t *testing.T) {
	noEnvironment(t)
	detail := `{"code":0,"data":{"last_send_time":1,"connector_name":"a b","connector_type":"kafka","tenant":"default","topic_name":"x/#",
		"config":"{\"topic\":\"${T}\",\"z\":[1.50,{}],\"a\":\"true\"}","failure_strategy":{"strategy":"block"},"labels":{"site":"north"}},"error":null}`
	server := newScripted(t, map[string]http.HandlerFunc{"detail": tagged(`"9"`, detail)})
	for _, args := range [][]string{{"a b", "-o", "json", "--server", server.URL}, {"--server", server.URL, "-o=json", "a b"}, {"--server", server.URL, "a b", "--output=json"}} {
		stdout, _, err := runConnectors("", append([]string{"get"}, args...)...)
		require.NoError(t, err, "%v", args)
		assert.JSONEq(t, `[{"connector_name":"a b","connector_type":"kafka","tenant":"default","topic_name":"x/#","labels":{"site":"north"},
			"config":{"topic":"${{T}}","z":[1.50,{}],"a":"true"},"failure_strategy":{"strategy":"block"}}]`, stdout)
		calls := server.asked()
		assert.Equal(t, "connector_name=a+b&tenant=default", calls[len(calls)-1].query)
	}
	stdout, _, err := runConnectors("", "get", "a b", "c", "--server", server.URL)
	require.NoError(t, err)
	one := `connector_name: a b
connector_type: kafka
tenant: default
topic_name: x/#
labels:
  site: north
config:
  topic: "${{T}}"
  z:
    - 1.50
    - {}
  a: "true"
failure_strategy:
  strategy: block
`
	assert.Equal(t, one+"---\n"+one, stdout)
	_, _, err = runConnectors("", "get", "c", "--nope", "--server", server.URL)
	require.ErrorContains(t, err, "reading the flags of get: flag provided but not defined: -nope")
}
