package console

import (
	"cmp"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
)

const (
	pathCreate = admin.PathCreate

	rowsPerPage = 50
	// patience is how long a connector may wait before a person should look.
	patience = time.Minute
)

// urgency is how much a connector needs a person.
type urgency int

const (
	urgent urgency = iota // it does not go on, or has waited for long
	unsettled
	well
	resting
)

func (u urgency) String() string { return [...]string{"urgent", "unsettled", "well", "resting"}[u] }

func urgencyOf(s connector.Status, now time.Time) urgency {
	switch s.State {
	case connector.Failed:
		return urgent
	case connector.Waiting:
		for _, w := range s.Waits {
			if w.For == connector.NeedProgress || now.Sub(w.Since) >= patience {
				return urgent
			}
		}
		return unsettled
	case connector.Paused:
		if s.Reason != "" { // it was paused, and has not ended
			return urgent
		}
		return resting
	case connector.Unknown:
		return unsettled
	}
	return well
}

// row is one connector of the overview.
type row struct {
	connector.Sample
	Urgency urgency
	Link    string
	In, Out float64
	Spark   string
}

// overviewBody is the page of all connectors.
type overviewBody struct {
	Rows     []row
	Totals   totals
	Warnings []string
	Wrong    string // with the selector
	Query    overviewQuery
	Sorts    []sortLink
	Found    int
	First    int // of the rows shown, from 1
	Last     int
	Previous string
	Next     string
	Spark    [2]int // wide and high
	Took     time.Time
	Shared   bool // by several workers
}

type totals struct {
	All                                        int
	Urgent                                     int
	States                                     []stateTotal
	In, Out                                    float64
	InFlight, Refused, DeadLettered, Discarded int64
	Oldest                                     time.Duration
	UrgentLink, AllLink                        string
}

type stateTotal struct {
	State connector.State
	N     int
	Link  string
	On    bool
}

// overviewQuery is what is asked for, as it stands in the address.
type overviewQuery struct {
	Text, State, Sort, Selector string
	Down                        bool
	Page                        int
}

func (q overviewQuery) link(change func(*overviewQuery)) string {
	if change != nil {
		change(&q)
	}
	values := url.Values{}
	for name, value := range map[string]string{"q": q.Text, "state": q.State, "sort": q.Sort, "selector": q.Selector} {
		if value != "" {
			values.Set(name, value)
		}
	}
	if q.Down {
		values.Set("dir", "desc")
	}
	if q.Page > 1 {
		values.Set("page", strconv.Itoa(q.Page))
	}
	if len(values) == 0 {
		return root
	}
	return root + "?" + values.Encode()
}

type sortLink struct {
	Name, Title, Link, Order string // Order is of aria-sort
	Number                   bool
}

// columnWorker is shown where several workers share the connectors.
const columnWorker = "worker"

var columns = []struct {
	name, title string
	number      bool
	by          func(a, b row) int
}{
	{"name", "Connector", false, func(a, b row) int { return strings.Compare(a.Name, b.Name) }},
	{"state", "State", false, func(a, b row) int { return cmp.Compare(a.State, b.State) }},
	{columnWorker, "Worker", false, func(a, b row) int { return strings.Compare(a.Worker, b.Worker) }},
	{"in", "In", true, func(a, b row) int { return cmp.Compare(a.In, b.In) }},
	{"out", "Out", true, func(a, b row) int { return cmp.Compare(a.Out, b.Out) }},
	{"oldest", "Oldest unacknowledged", true, func(a, b row) int { return cmp.Compare(a.OldestUnacked, b.OldestUnacked) }},
	{"refused", "Refused", true, func(a, b row) int { return cmp.Compare(a.Failed, b.Failed) }},
	{"dead", "Dead-lettered", true, func(a, b row) int { return cmp.Compare(a.DeadLettered, b.DeadLettered) }},
}

func readOverviewQuery(values url.Values) overviewQuery {
	page, _ := strconv.Atoi(values.Get("page")) // what is no number is the first
	return overviewQuery{
		Text: values.Get("q"), Selector: values.Get("selector"), State: values.Get("state"), Sort: values.Get("sort"),
		Down: values.Get("dir") == "desc", Page: max(1, page),
	}
}

func (c *Console) overview(v *visit) {
	q := readOverviewQuery(v.r.URL.Query())
	body := c.list(q, time.Now())
	// The service's own warnings come with its readiness, also where it is not ready.
	a, err := v.call(c, http.MethodGet, admin.PathReady, nil, nil, "")
	body.Warnings = a.notes
	if err != nil {
		body.Warnings = append(body.Warnings, err.Error())
	}
	v.showPage(c, http.StatusOK, "overview", "Connectors", body)
}

func (c *Console) list(q overviewQuery, now time.Time) overviewBody {
	all := c.history.now()
	lasts := c.history.lasts()
	body := overviewBody{Query: q, Spark: [2]int{sparkWide, sparkHigh}, Took: now, Shared: c.api.HasWorkers()}
	counts := map[connector.State]int{}
	var rows []row
	selector, err := connector.ParseSelector(q.Selector)
	if strings.TrimSpace(q.Selector) == "" {
		selector, err = nil, nil
	}
	if err != nil {
		body.Wrong = err.Error()
	}
	for _, s := range all {
		last := lasts[s.Name]
		one := row{Sample: s, Urgency: urgencyOf(s.Status, now), In: float64(last.in), Out: float64(last.out)}
		one.Reason = admin.Scrub(one.Reason)
		counts[s.State]++
		body.Totals.add(one)
		if err == nil && q.matches(one) && (selector == nil || selector.Matches(one.Labels)) {
			rows = append(rows, one)
		}
	}
	body.Totals.AllLink = q.link(func(q *overviewQuery) { q.State, q.Page = "", 1 })
	body.Totals.UrgentLink = q.link(func(q *overviewQuery) { q.State, q.Page = urgent.String(), 1 })
	for _, state := range append(states[:len(states):len(states)], connector.Unknown) {
		if state == connector.Unknown && counts[state] == 0 {
			continue // it occurs only among several workers
		}
		body.Totals.States = append(body.Totals.States, stateTotal{
			State: state, N: counts[state], On: q.State == string(state),
			Link: q.link(func(q *overviewQuery) { q.State, q.Page = string(state), 1 }),
		})
	}
	body.Sorts = q.sort(rows, body.Shared)
	body.Found = len(rows)
	from := min((q.Page-1)*rowsPerPage, max(0, (len(rows)-1)/rowsPerPage*rowsPerPage))
	to := min(from+rowsPerPage, len(rows))
	body.First, body.Last = min(from+1, len(rows)), to
	page := from/rowsPerPage + 1
	if from > 0 {
		body.Previous = q.link(func(q *overviewQuery) { q.Page = page - 1 })
	}
	if to < len(rows) {
		body.Next = q.link(func(q *overviewQuery) { q.Page = page + 1 })
	}
	body.Rows = rows[from:to]
	for i := range body.Rows {
		one := &body.Rows[i]
		one.Link = connectorLink(one.Name, "")
		times, points := c.history.recent(one.Name)
		one.Spark = spark(now, times, points)
	}
	return body
}

func (t *totals) add(r row) {
	t.All++
	if r.Urgency == urgent {
		t.Urgent++
	}
	t.In, t.Out = t.In+r.In, t.Out+r.Out
	t.InFlight, t.Refused = t.InFlight+r.InFlight, t.Refused+r.Failed
	t.DeadLettered, t.Discarded = t.DeadLettered+r.DeadLettered, t.Discarded+r.Discarded
	t.Oldest = max(t.Oldest, r.OldestUnacked)
}

func (q overviewQuery) matches(r row) bool {
	switch {
	case q.State == urgent.String() && r.Urgency != urgent:
		return false
	case q.State != "" && q.State != urgent.String() && q.State != string(r.State):
		return false
	}
	text := strings.ToLower(strings.TrimSpace(q.Text))
	if text == "" {
		return true
	}
	return slices.ContainsFunc(append(workersOf(r.Status), r.Name, r.TopicID, r.Reason), func(in string) bool {
		return strings.Contains(strings.ToLower(in), text)
	})
}

// sort orders rows: what needs a person comes first, unless another order is asked for.
func (q overviewQuery) sort(rows []row, shared bool) []sortLink {
	var links []sortLink
	by := func(a, b row) int { return cmp.Compare(a.Urgency, b.Urgency) }
	for _, column := range columns {
		if column.name == columnWorker && !shared {
			continue
		}
		on := q.Sort == column.name
		link := sortLink{Name: column.name, Title: column.title, Number: column.number, Order: "none"}
		// A number is looked for at its greatest, a name from its first letter.
		down := column.number
		if on {
			down = !q.Down
			link.Order = "ascending"
			if by = column.by; q.Down {
				link.Order = "descending"
				by = func(a, b row) int { return column.by(b, a) }
			}
		}
		link.Link = q.link(func(q *overviewQuery) { q.Sort, q.Down, q.Page = column.name, down, 1 })
		links = append(links, link)
	}
	slices.SortStableFunc(rows, by) // they come by name
	return links
}

// probes reads what check has found.
func probes(data json.RawMessage) (all []admin.Probe) {
	_ = json.Unmarshal(data, &all) // the API's own words
	return all
}
