package supervisor

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

func TestAPlanSaysWhatWouldChangeAndChangesNothing(t *testing.T) {
	r := newRig(t)
	login := urls(r.broker.URL()) + `,"username":"ada","password":`
	r.create(r.conn("c", "in/#", "t1", login+`"hush-hush"`))
	r.ready("c")
	before, err := os.ReadFile(filepath.Join(r.dir, "connectors", "c.json"))
	require.NoError(t, err)
	plan := func(c connector.Connector) connector.Plan {
		t.Helper()
		p, err := r.Plan(t.Context(), c)
		require.NoError(t, err)
		return p
	}
	for _, password := range []string{`"***"`, `"hush-hush"`} {
		assert.Equal(t, connector.Plan{Exists: true, Revision: 1}, plan(r.conn("c", "in/#", "t1", login+password)), password)
	}
	assert.Equal(t, connector.Plan{Exists: true, Revision: 1, Notes: plan(r.conn("c", "in/#", "t2", login+`"other-one"`)).Notes, Changes: []connector.FieldChange{
		{Field: "config.password", Before: json.RawMessage(`"***"`), After: json.RawMessage(`"***"`), Secret: true},
		{Field: "config.topic", Before: json.RawMessage(`"t1"`), After: json.RawMessage(`"t2"`)},
	}}, plan(r.conn("c", "in/#", "t2", login+`"other-one"`)))
	assert.NotEmpty(t, plan(r.conn("c", "in/#", "t1", login+`"***","clean_session":true`)).Notes)
	created := plan(r.conn("new", "in/#", "t", ""))
	assert.False(t, created.Exists)
	assert.Zero(t, created.Revision)
	assert.NotEmpty(t, created.Changes)

	for field, c := range map[string]connector.Connector{
		"config.password": r.conn("new", "in/#", "t", `,"username":"ada","password":"***"`),
		"config.key":      r.conn("c", "in/#", "t", `,"key":"${! nosuch() }"`),
		"topic_name":      r.conn("c", "in/#/x", "t", ""),
	} {
		_, err := r.Plan(t.Context(), c)
		var invalid *connector.InvalidError
		require.ErrorAs(t, err, &invalid, field)
		assert.Equal(t, field, invalid.Field)
	}
	moved := r.conn("c", "in/#", "t1", urls("tcp://127.0.0.1:1")+`,"username":"ada","password":"***"`)
	_, err = r.Plan(t.Context(), r.conn("a\u202eb", "in/#", "t", ""))
	require.ErrorContains(t, err, "connector_name:")
	_, err = r.Plan(t.Context(), moved)
	require.ErrorContains(t, err, "config.urls changes that")

	after, err := os.ReadFile(filepath.Join(r.dir, "connectors", "c.json"))
	require.NoError(t, err)
	assert.Equal(t, string(before), string(after))
	assert.Len(t, r.List(), 1)
}
