package console

import (
	"bytes"
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

// connectorBody is the page of one connector. What belongs to a tab is nil on others.
type connectorBody struct {
	Name, Tab string
	Tabs      []tab
	Actions   []action
	FormToken string

	Sample  connector.Sample
	Urgency urgency
	In, Out float64
	Took    time.Time

	Figures    *figuresTab
	Definition *definitionTab
	Log        *logTab
	Live       *liveTab
	Letters    *lettersTab
	History    *historyTab
}

type tab struct {
	Name, Title, Link string
	On                bool
}

type figuresTab struct {
	Charts    []chart
	Stays     []stay // the oldest first
	Latest    []stay // the newest first, those that fit a page
	High      int
	Wide      int
	States    []connector.State
	DeadTopic string
}

type definitionTab struct {
	Text     string // YAML
	Created  string
	Updated  string
	MayEdit  bool
	EditLink string
}

type logTab struct {
	admin.Logs
	Error     string
	MayChange bool
	Levels    []string
}

// liveTab is a page that the script fills.
type liveTab struct {
	Stream string // where the events are
}

func (c *Console) liveTab(_ *visit, body *connectorBody) error {
	body.Live = &liveTab{Stream: tailLink(body.Name, 20)}
	return nil
}

// tailLink is where a page gets the messages of a connector, beginning with some of
// those that were seen before.
func tailLink(name string, last int) string {
	return pathAPI + strings.TrimPrefix(admin.PathTail, "/api/") + "?" + url.Values{
		"tenant": {connector.DefaultTenant}, "connector_name": {name}, "last": {strconv.Itoa(last)},
	}.Encode()
}

func connectorLink(name, tab string) string {
	link := pathConnector + "?name=" + urlEscape(name)
	if tab != "" {
		link += "&tab=" + tab
	}
	return link
}

// tabs of the page, each with what serves it and the route that it needs.
var tabs = []struct {
	name, title, route string
	fill               func(*Console, *visit, *connectorBody) error
}{
	{"", "Figures", admin.PathDetail, (*Console).figuresTab},
	{"definition", "Definition", admin.PathDetail, (*Console).definitionTab},
	{"log", "Log", admin.PathLogs, (*Console).logTab},
	{"live", "Live", admin.PathTail, (*Console).liveTab},
	{"letters", "Dead letters", admin.PathDeadLetters, (*Console).lettersTab},
	{"history", "History", admin.PathHistory, (*Console).historyTab},
}

func (c *Console) connector(v *visit) {
	query := v.r.URL.Query()
	name := query.Get("name")
	body := &connectorBody{Name: name, Tab: query.Get("tab"), Took: time.Now(), FormToken: v.session.formToken}
	if !c.fillHead(body) {
		c.noConnector(v, name)
		return
	}
	var fill func(*Console, *visit, *connectorBody) error
	for _, t := range tabs {
		if !v.may(c, t.route) {
			continue
		}
		on := t.name == body.Tab
		body.Tabs = append(body.Tabs, tab{Name: t.name, Title: t.title, Link: connectorLink(name, t.name), On: on})
		if on {
			fill = t.fill
		}
	}
	if fill == nil {
		redirect(v.w, v.r, connectorLink(name, ""))
		return
	}
	for _, d := range deeds {
		if d.fits != nil && v.may(c, d.route) && d.fits(body.Sample.Status) {
			body.Actions = append(body.Actions, action{Verb: d.verb, Title: d.title, Link: actionLink(name, d.verb), Danger: d.danger})
		}
	}
	if err := fill(c, v, body); err != nil {
		v.oops(c, err)
		return
	}
	v.showPage(c, http.StatusOK, "connector", name, body)
}

// fillHead takes how a connector stands, and is false where there is none of that name.
func (c *Console) fillHead(body *connectorBody) bool {
	all := c.history.now()
	at := slices.IndexFunc(all, func(s connector.Sample) bool { return s.Name == body.Name })
	if at < 0 {
		// It may be newer than what all share.
		c.history.forget()
		all = c.history.now()
		if at = slices.IndexFunc(all, func(s connector.Sample) bool { return s.Name == body.Name }); at < 0 {
			return false
		}
	}
	body.Sample = all[at]
	body.Sample.Reason, body.Sample.LastError = admin.Scrub(body.Sample.Reason), admin.Scrub(body.Sample.LastError)
	body.Urgency = urgencyOf(body.Sample.Status, body.Took)
	return true
}

func (c *Console) figuresTab(_ *visit, body *connectorBody) error {
	times, points := c.history.recent(body.Name)
	if n := len(points); n > 0 {
		body.In, body.Out = float64(points[n-1].in), float64(points[n-1].out)
	}
	all := stays(body.Took, times, points)
	latest := slices.Clone(all)
	slices.Reverse(latest)
	body.Figures = &figuresTab{
		Charts: charts(body.Took, times, points), Stays: all, Latest: latest[:min(len(latest), 20)],
		Wide: chartWide, High: chartHigh, States: states,
	}
	if f := body.Sample.FailureStrategy; f != nil {
		body.Figures.DeadTopic = f.TopicName
	}
	return nil
}

func (c *Console) definitionTab(v *visit, body *connectorBody) error {
	var d admin.Detail
	if _, err := v.get(c, admin.PathDetail, body.Name, nil, &d); err != nil {
		return err
	}
	text, err := definitionOf(d).yaml()
	if err != nil {
		return err
	}
	body.Definition = &definitionTab{
		Text: text, Created: clock(body.Sample.CreateTime), Updated: clock(body.Sample.UpdateTime),
		MayEdit: v.may(c, admin.PathUpdate), EditLink: editLink(body.Name),
	}
	return nil
}

func (c *Console) logTab(v *visit, body *connectorBody) error {
	body.Log = &logTab{MayChange: v.may(c, admin.PathLogLevel), Levels: []string{"", "debug", "info", "warn", "error"}}
	_, err := v.get(c, admin.PathLogs, body.Name, url.Values{"limit": {"200"}}, &body.Log.Logs)
	slices.Reverse(body.Log.Lines) // the newest is what people look for
	return err
}

// definition is what create and update take, in the order in which people read it.
type definition struct {
	ConnectorName   string            `json:"connector_name"`
	ConnectorType   string            `json:"connector_type"`
	TopicName       string            `json:"topic_name"`
	Labels          map[string]string `json:"labels,omitempty"`
	Tenant          string            `json:"tenant"`
	Config          json.RawMessage   `json:"config"`
	FailureStrategy json.RawMessage   `json:"failure_strategy"`
}

func definitionOfRevision(d admin.Definition) definition {
	var text string
	config := d.Config
	if json.Unmarshal(config, &text) == nil {
		config = json.RawMessage(text)
	}
	return definition{
		ConnectorName: d.ConnectorName, ConnectorType: d.ConnectorType, TopicName: d.TopicName, Tenant: d.Tenant,
		Labels: d.Labels, Config: config, FailureStrategy: d.FailureStrategy,
	}
}

func definitionOf(d admin.Detail) definition {
	strategy, _ := json.Marshal(d.FailureStrategy) // strings and numbers
	return definition{
		ConnectorName: d.ConnectorName, ConnectorType: d.ConnectorType, TopicName: d.TopicName, Tenant: d.Tenant,
		Labels: d.Labels, Config: json.RawMessage(d.Config), FailureStrategy: strategy,
	}
}

// json is a definition as one object, nothing of it escaped for HTML.
func (d definition) json() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(d)
	return b.Bytes(), err
}

func (d definition) yaml() (string, error) {
	text, err := d.json()
	if err != nil {
		return "", err
	}
	return toYAML(text)
}
