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

func TestThePagesSayWhichWorkerRunsAConnector(t *testing.T) {
	place := func(s *connector.Sample) {
		s.Worker, s.Parallelism = "http://<a>:1", 4
		s.SetMembers([]connector.MemberStatus{
			{State: connector.Running, Worker: "http://<a>:1"},
			{Member: 1, State: connector.Running, Worker: "http://b:1"},
			{Member: 2, State: connector.Running, Worker: "http://b:1"},
			{Member: 3, State: connector.Unknown, Worker: connector.UnknownWorker},
		})
	}
	r := newRig(t, admin.Options{Workers: &neighbours{}})
	r.add("many", plainConfig, place)
	r.add("one", plainConfig, func(s *connector.Sample) { s.Worker = "http://b:1" })
	r.add("paused", plainConfig, inState(connector.Paused))
	body := r.get(root + "?sort=name").Body.String()
	const begin, end = `<td class="at" data-label="Worker">`, `</td>`
	assert.Contains(t, body, begin+`<bdi>http://&lt;a&gt;:1</bdi><span class="topic dim">and 2 more</span>`+end)
	assert.Contains(t, body, begin+`<bdi>http://b:1</bdi>`+end)
	assert.Contains(t, body, begin+`–`+end)
	assert.Equal(t, []string{"paused", "many", "one"}, names(r.get(root+"?sort=worker").Body.String()))
	assert.ElementsMatch(t, []string{"many", "one"}, names(r.get(root+"?q=B%3A1").Body.String()))

	body = r.get(pathConnector + "?name=many").Body.String()
	assert.Contains(t, body, `Workers: <bdi>http://&lt;a&gt;:1</bdi>, <bdi>http://b:1</bdi>, <bdi>unknown</bdi></span>`)
	assert.Contains(t, body, `<tr><td>4</td><td>Unknown</td><td class="at"><bdi>unknown</bdi></td></tr>`)
	body = r.get(pathConnector + "?name=one").Body.String()
	assert.Contains(t, body, `Worker: <bdi>http://b:1</bdi></span>`)
	assert.NotContains(t, body, "<h2>Members</h2>")
	assert.NotContains(t, r.get(pathConnector+"?name=paused").Body.String(), `class="at"`)

	alone := newRig(t, admin.Options{})
	alone.add("many", plainConfig, place, func(s *connector.Sample) {
		s.Worker = ""
		for i := range s.Members {
			s.Members[i].Worker = ""
		}
	})
	for _, path := range []string{root, pathConnector + "?name=many"} {
		body = alone.get(path).Body.String()
		assert.NotContains(t, body, "orker", path)
		assert.NotContains(t, body, "<h2>Members</h2>", path)
	}
}

func TestAServiceAloneHasNoPageOfWorkers(t *testing.T) {
	r := newRig(t, admin.Options{})
	assert.NotContains(t, r.get(root).Body.String(), pathWorkers)
	w := r.get(pathWorkers)
	assert.Equal(t, http.StatusOK, w.Code)
	assert.Contains(t, w.Body.String(), "shares its connectors with no other one")
}
