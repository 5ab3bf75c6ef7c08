package supervisor

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

func (r *rig) labelsOf(name string) map[string]string {
	r.t.Helper()
	status, _, err := r.Detail(name)
	require.NoError(r.t, err)
	return status.Labels
}

func TestLabelsAreKeptUntilAnUpdateHasOthers(t *testing.T) {
	r := newRig(t)
	c := r.conn("c", "in/#", "out", "")
	c.Labels = map[string]string{"site": "north"}
	r.create(c)
	r.ready("c")
	assert.Equal(t, c.Labels, r.labelsOf("c"))

	// They outlive the service, and an earlier program could read the file.
	r.stopService()
	text, err := os.ReadFile(filepath.Join(r.dir, "connectors", "c.json"))
	require.NoError(t, err)
	assert.Contains(t, string(text), "  \"before_start\": {\n")
	r.start()
	r.ready("c")
	assert.Equal(t, c.Labels, r.labelsOf("c"))
	assert.Equal(t, c.Labels, r.List()[0].Labels)

	// An update of another field, a pause and a rollback keep them.
	_, err = r.Update(t.Context(), r.conn("c", "in/#", "out2", ""), connector.UpdateOptions{})
	require.NoError(t, err)
	require.NoError(t, r.Pause(t.Context(), "c"))
	require.NoError(t, r.Resume(t.Context(), "c"))
	_, err = r.Rollback(t.Context(), "c", 1, connector.UpdateOptions{})
	require.NoError(t, err)
	assert.Equal(t, c.Labels, r.labelsOf("c"))
	r.ready("c")

	c = r.conn("c", "in/#", "out", "")
	plan, err := r.Plan(t.Context(), c)
	require.NoError(t, err)
	assert.Empty(t, plan.Changes, "without labels it keeps those that it has")
	c.Labels = map[string]string{"site": "south", "stage": "test"}
	plan, err = r.Plan(t.Context(), c)
	require.NoError(t, err)
	require.Len(t, plan.Changes, 2)
	assert.Equal(t, "labels.site", plan.Changes[0].Field)
	assert.Equal(t, `"north"`, string(plan.Changes[0].Before))
	assert.Equal(t, `"south"`, string(plan.Changes[0].After))
	assert.Equal(t, "labels.stage", plan.Changes[1].Field)
}

func TestAnUpdateOfLabelsAloneDoesNotStopTheConnector(t *testing.T) {
	r := newRig(t)
	c := r.conn("c", "in/#", "out", "")
	r.create(c)
	r.ready("c")
	before, run := r.find("c").stored(r.Supervisor), r.find("c").run
	c.Labels = map[string]string{"site": "north"}
	result, err := r.Update(connector.WithActor(t.Context(), "ada"), c, connector.UpdateOptions{Expected: connector.Expected{before.Revision}})
	require.NoError(t, err)
	assert.Equal(t, before.Revision+1, result.Revision)
	assert.Same(t, run, r.find("c").run)
	assert.Equal(t, c.Labels, r.labelsOf("c"))
	_, err = r.Update(t.Context(), c, connector.UpdateOptions{Expected: connector.Expected{before.Revision}})
	require.Error(t, err, "somebody else has changed it")
	history, err := r.History("c")
	require.NoError(t, err)
	require.Len(t, history, 2)
	assert.Equal(t, "ada", history[0].Actor)

	c.Labels = map[string]string{}
	_, err = r.Update(t.Context(), c, connector.UpdateOptions{})
	require.NoError(t, err)
	assert.Empty(t, r.labelsOf("c"))
	assert.Same(t, run, r.find("c").run)

	// Another field with them is an update like any other.
	c = r.conn("c", "in/#", "out2", "")
	c.Labels = map[string]string{"site": "south"}
	_, err = r.Update(t.Context(), c, connector.UpdateOptions{})
	require.NoError(t, err)
	assert.NotSame(t, run, r.find("c").run)
	r.ready("c")
	r.stopService()
	r.start()
	r.ready("c")
	assert.Equal(t, c.Labels, r.labelsOf("c"))
}
