package admin

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestPlanSaysWhatWouldChange(t *testing.T) {
	m := newMemory()
	h := newServer(t, m, Options{}).Handler()
	w := ask(h, http.MethodPost, PathPlan, definitionOf("c", plainConfig))
	created := read[Plan](t, w)
	assert.False(t, created.Exists)
	assert.Contains(t, created.Changes, FieldChange{Field: "config.topic", After: json.RawMessage(`"t"`)})
	assert.Empty(t, w.Header().Get("ETag"))
	assert.Empty(t, m.List())

	read[string](t, ask(h, http.MethodPost, PathCreate, definitionOf("c", plainConfig)))
	w = ask(h, http.MethodPost, PathPlan, definitionOf("c", plainConfig))
	assert.Equal(t, `{"code":0,"data":{"exists":true,"revision":1,"changes":[]},"error":null}`, w.Body.String())
	assert.Equal(t, `"1"`, w.Header().Get("ETag"))
	m.notes = []string{"mind this"}
	w = ask(h, http.MethodPost, PathPlan, definitionOf("c", `{"bootstrap_servers":"localhost:9092","topic":"other","password":"hush"}`))
	assert.Equal(t, `{"code":0,"data":{"exists":true,"revision":1,"changes":[{"field":"config.password","after":"***","secret":true},`+
		`{"field":"config.topic","before":"t","after":"other"}]},"error":null,"notes":["mind this"]}`, w.Body.String())
	assert.Equal(t, "t", topicOf(t, m, "c"))

	w = ask(h, http.MethodPost, PathPlan, `{"paused":true,`+definitionOf("c", plainConfig)[1:])
	assert.Equal(t, http.StatusBadRequest, w.Code)
	assert.Contains(t, refusal(t, w), `unknown field "paused"`)
}
