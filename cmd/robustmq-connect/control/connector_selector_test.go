package control

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestVerbsBySelectorPrintWhatBecameOfEach(t *testing.T) {
	noEnvironment(t)
	for command, success := range map[string]string{
		"delete": "Deleted successfully!", "pause": "Paused successfully!", "resume": "Resumed successfully!", "restart": "Restarted successfully!",
	} {
		all := `[{"connector_name":"a","error":null,"notes":["goes on"]},{"connector_name":"b","error":"is\u001b[2J paused"}]`
		server := newScripted(t, map[string]http.HandlerFunc{command: gives(`{"code":0,"data":` + all + `,"error":null}`)})
		stdout, stderr, err := runMQTT("", "--server", server.URL, "connector", command, "-l", "site=north")
		require.ErrorContains(t, err, " the connectors site=north: 1 of 2 failed")
		assert.Regexp(t, `\| a +\| `+success+` +\|\n\| b +\| is\?\[2J paused +\|`, stdout)
		assert.Equal(t, "note: a: goes on\n", stderr)
		assert.Equal(t, map[string]any{"tenant": "default", "selector": "site=north"}, server.body(t))

		stdout, _, err = runMQTT("", "--server", server.URL, "connector", command, "--selector", "site=north", "--output", "json")
		require.Error(t, err, "one has failed")
		assert.JSONEq(t, all, stdout)

		server.answers[command] = gives(`{"code":0,"data":[],"error":null,"notes":["no connector has the labels site=east"]}`)
		stdout, stderr, err = runMQTT("", "--server", server.URL, "connector", command, "--selector", "site=east")
		require.NoError(t, err)
		assert.Empty(t, stdout)
		assert.Equal(t, "note: no connector has the labels site=east\n", stderr)
		calls := len(server.asked())
		_, _, err = runMQTT("", "--server", server.URL, "connector", command, "--selector", "a", "-c", "x")
		require.ErrorContains(t, err, "--connector-name and --selector exclude each other: give one")
		assert.Len(t, server.asked(), calls)
	}
}

func TestListSendsASelector(t *testing.T) {
	noEnvironment(t)
	server := newScripted(t, map[string]http.HandlerFunc{"list": gives(`{"code":0,"data":{"data":[],"total_count":0},"error":null}`)})
	_, _, err := runMQTT("", "--server", server.URL, "connector", "list", "--selector", "site=north,!stage")
	require.NoError(t, err)
	assert.Equal(t, "limit=100&page=1&selector=site%3Dnorth%2C%21stage", server.asked()[0].query)
}

func TestLabelsAreGivenByAFlag(t *testing.T) {
	noEnvironment(t)
	server := newScripted(t, map[string]http.HandlerFunc{
		"create": gives(successAnswer), "update": gives(successAnswer),
		"detail": gives(`{"code":0,"data":{"connector_type":"kafka","config":"{}","topic_name":"a/#","failure_strategy":{"strategy":"block"},"labels":{"site":"north"}},"error":null}`),
	})
	create := []string{"--server", server.URL, "connector", "create", "-n", "c", "--config", `{}`, "--topic-id", "a", "--labels"}
	_, _, err := runMQTT("", append(create, "site=north, stage=")...)
	require.NoError(t, err)
	assert.Equal(t, map[string]any{"site": "north", "stage": ""}, server.body(t)["labels"])
	for labels, want := range map[string]string{
		"site":    `reading --labels "site": want NAME=VALUE, several with commas between them`,
		"a=1,a=2": `reading --labels "a=1,a=2": the label a is given twice`,
		"a=1,":    "want NAME=VALUE",
	} {
		_, _, err := runMQTT("", append(create, labels)...)
		require.ErrorContains(t, err, want)
	}

	_, _, err = runMQTT("", "--server", server.URL, "connector", "update", "-n", "c", "--topic-id", "b")
	require.NoError(t, err)
	assert.NotContains(t, server.body(t), "labels", "the server keeps them")
	_, _, err = runMQTT("", "--server", server.URL, "connector", "update", "-n", "c", "--labels", "")
	require.NoError(t, err)
	assert.Equal(t, map[string]any{}, server.body(t)["labels"], "it has none any more")
}
