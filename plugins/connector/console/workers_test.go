package console

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
	"github.com/robustmq/robustmq-connect/plugins/connector/cluster"
)

// neighbours are workers that only tell about themselves.
type neighbours struct {
	admin.Workers
	told []cluster.Told
	err  error
}

func (n *neighbours) Told(context.Context) ([]cluster.Told, error) { return n.told, n.err }
func (n *neighbours) Knows(string) bool                            { return false }

func TestTheWorkersHaveAPage(t *testing.T) {
	n := &neighbours{told: []cluster.Told{
		{URL: "http://a:1", Self: true, Connectors: 7, Membership: connector.Membership{
			Partitions: 32, Writer: true, Confirmed: true, Rebalances: 3, LastRebalance: time.Now(), Took: 1500 * time.Millisecond,
		}},
		{URL: "http://b:1", Silent: true},
		{URL: "http://<c>:1", Connectors: 2, Membership: connector.Membership{Partitions: 31}},
	}}
	r := newRig(t, admin.Options{Workers: n})
	body := r.get(pathWorkers).Body.String()
	for _, text := range []string{
		`<a href="/console/workers">Workers</a>`, "http://a:1", "this worker", "32 of 64", ">7<", ">yes<", ">3<", "1.5s", "Does not answer",
		"http://&lt;c&gt;:1", "The coordinator does not answer it", "31 of 64",
	} {
		assert.Contains(t, body, text)
	}
	n.told, n.err = n.told[:1], errors.New("no coordinator")
	assert.Contains(t, r.get(pathWorkers).Body.String(), "the other workers are not known: no coordinator")
}

func TestAServiceAloneHasNoPageOfWorkers(t *testing.T) {
	r := newRig(t, admin.Options{})
	assert.NotContains(t, r.get(root).Body.String(), pathWorkers)
	w := r.get(pathWorkers)
	assert.Equal(t, http.StatusOK, w.Code)
	assert.Contains(t, w.Body.String(), "shares its connectors with no other one")
}
