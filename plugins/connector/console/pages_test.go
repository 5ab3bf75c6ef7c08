package console

import (
	"errors"
	"fmt"
	"html"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
)

var rowName = regexp.MustCompile(`<th scope="row"><a [^>]*><bdi>([^<]*)</bdi>`)

func names(body string) (all []string) {
	for _, found := range rowName.FindAllStringSubmatch(body, -1) {
		all = append(all, found[1])
	}
	return all
}

func inState(state connector.State, waits ...connector.Wait) func(*connector.Sample) {
	return func(s *connector.Sample) {
		s.State, s.Waits = state, waits
		if state == connector.Failed || len(waits) > 0 {
			s.Reason = "a reason"
		}
	}
}

func TestWhatNeedsAPersonComesFirst(t *testing.T) {
	r := newRig(t, admin.Options{})
	long := connector.Wait{For: connector.NeedKafka, Since: time.Now().Add(-2 * patience)}
	short := connector.Wait{For: connector.NeedKafka, Since: time.Now()}
	stuck := connector.Wait{For: connector.NeedProgress, Since: time.Now()}
	r.add("a-runs", plainConfig)
	r.add("b-paused", plainConfig, inState(connector.Paused))
	r.add("c-waits", plainConfig, inState(connector.Waiting, short))
	r.add("d-waits-long", plainConfig, inState(connector.Waiting, long))
	r.add("e-failed", plainConfig, inState(connector.Failed))
	r.add("f-stuck", plainConfig, inState(connector.Waiting, stuck))
	r.add("g-not-ended", plainConfig, func(s *connector.Sample) { s.State, s.Reason = connector.Paused, "paused, but not ended" })
	body := r.get(root).Body.String()
	assert.Equal(t, []string{"d-waits-long", "e-failed", "f-stuck", "g-not-ended", "c-waits", "a-runs", "b-paused"}, names(body))
	assert.Equal(t, 4, strings.Count(body, `<tr class="urgent">`))
	assert.Contains(t, body, "a warning of the service")
	assert.Equal(t, []string{"d-waits-long", "e-failed", "f-stuck", "g-not-ended"}, names(r.get(root+"?state=urgent").Body.String()))
	assert.ElementsMatch(t, []string{"c-waits", "d-waits-long", "f-stuck"}, names(r.get(root+"?state=Waiting").Body.String()))
}

func TestTheOverviewIsFilteredSortedAndPaged(t *testing.T) {
	r := newRig(t, admin.Options{})
	for i := range 120 {
		r.add(fmt.Sprintf("c%03d", i), plainConfig, func(s *connector.Sample) {
			s.Failed, s.DeadLettered, s.OldestUnacked = int64(i%7), int64(i), time.Duration(120-i)*time.Second
			s.TopicID = fmt.Sprintf("site/%d/#", i%10)
		})
	}
	first := r.get(root).Body.String()
	assert.Len(t, names(first), rowsPerPage)
	assert.Contains(t, first, "1 to 50 of 120")
	assert.Contains(t, first, `href="/console/?page=2"`)
	assert.NotContains(t, first, "Previous")
	last := r.get(root + "?page=3").Body.String()
	assert.Len(t, names(last), 20)
	assert.Contains(t, last, "101 to 120 of 120")
	assert.NotContains(t, last, ">Next<")
	assert.Contains(t, r.get(root+"?page=99").Body.String(), "101 to 120 of 120", "a page behind the last is the last")

	assert.Equal(t, "c119", names(r.get(root + "?sort=dead&dir=desc").Body.String())[0])
	assert.Equal(t, "c000", names(r.get(root + "?sort=oldest&dir=desc").Body.String())[0])
	assert.Equal(t, "c006", names(r.get(root + "?sort=refused&dir=desc").Body.String())[0])
	assert.Equal(t, "c119", names(r.get(root + "?sort=name&dir=desc").Body.String())[0])
	assert.Contains(t, r.get(root+"?sort=dead&dir=desc").Body.String(), `aria-sort="descending"`)
	assert.Len(t, names(r.get(root+"?q=SITE%2F3%2F").Body.String()), 12)
	assert.Equal(t, []string{"c042"}, names(r.get(root+"?q=c042").Body.String()))
	assert.Contains(t, r.get(root+"?q=nothing").Body.String(), "No connector matches.")
}

func TestFiveThousandConnectorsAreOnePageOfFifty(t *testing.T) {
	r := newRig(t, admin.Options{})
	c, err := connector.Parse([]byte(definitionText("c", plainConfig)))
	require.NoError(t, err)
	for i := range 5000 {
		c.Name = fmt.Sprintf("c%04d", i)
		r.fleet.put(c, connector.Running)
	}
	now := time.Now()
	for i := range 360 {
		r.console.history.addPoints(now.Add(time.Duration(i-360) * leastStep))
	}
	w := r.get(root)
	assert.Len(t, names(w.Body.String()), rowsPerPage)
	assert.Less(t, w.Body.Len(), 100_000)
}

// hostile are texts from outside that a page must show as they are.
var hostile = []string{
	`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `'-alert(1)-'`, `javascript:alert(1)`, `{{.}}`, `</textarea><script>`,
	"\u202egpj.exe", "\u2066\u2069", `&lt;b&gt;`, `${! env("HOME") }`, `../../etc/passwd`, `a b%2F?name=other&verb=delete#x`,
}

var values = regexp.MustCompile(`(?s) value="[^"]*"|<textarea.*?</textarea>`)

func TestHostileTextsAreInertOnEveryPage(t *testing.T) {
	for _, text := range append(hostile, strings.Repeat("x<", 32<<10)) {
		r := newRig(t, admin.Options{})
		name := text
		if len(name) > connector.MaxName {
			name = name[:connector.MaxName]
		}
		r.add(name, plainConfig, func(s *connector.Sample) {
			s.TopicID, s.Reason, s.LastError, s.State = text, text, text, connector.Failed
		})
		r.fleet.notes = []string{text}
		r.fleet.wrong = &connector.InvalidError{Field: "config.topic", Why: text}
		asked := url.Values{"name": {name}}
		for page, w := range map[string]*httptest.ResponseRecorder{
			"overview":    r.get(root + "?q=" + url.QueryEscape(text)),
			"all":         r.get(root),
			"figures":     r.get(pathConnector + "?" + asked.Encode()),
			"definition":  r.get(pathConnector + "?tab=definition&" + asked.Encode()),
			"log":         r.get(pathConnector + "?tab=log&" + asked.Encode()),
			"history":     r.get(pathConnector + "?tab=history&" + asked.Encode()),
			"confirm":     r.get(pathAction + "?verb=delete&" + asked.Encode()),
			"edit":        r.get(pathEdit + "?" + asked.Encode()),
			"login":       r.get(pathLogin + "?to=" + url.QueryEscape(text)),
			"not there":   r.get(pathConnector + "?name=none" + url.QueryEscape(text)),
			"as YAML":     r.send(pathEdit, url.Values{"as": {"yaml"}, "yaml": {text}, "do": {"save"}}),
			"as a form":   r.send(pathEdit, url.Values{"connector_name": {text}, "config.topic": {text}, "config.sasl": {text}, "do": {"save"}}),
			"action":      r.send(pathAction, url.Values{"name": {name}, "verb": {"level"}, "to": {text}}),
			"after it":    r.get(root),
			"no action":   r.get(pathAction + "?verb=" + url.QueryEscape(text) + "&" + asked.Encode()),
			"no such tab": r.get(pathConnector + "?tab=" + url.QueryEscape(text) + "&" + asked.Encode()),
		} {
			body := w.Body.String()
			about := fmt.Sprintf("%s of %.40q", page, text)
			assert.Less(t, w.Code, 500, about)
			assert.NotContains(t, body, "<script>alert", about)
			assert.NotContains(t, body, "<img", about)
			// A field that is edited holds what it is about, and keeps it to itself.
			shown := values.ReplaceAllString(body, "")
			assert.NotContains(t, shown, "\u202e", about)
			assert.NotContains(t, shown, "\u2066", about)
			assert.Equal(t, strings.Count(body, "<script"), strings.Count(body, `<script src="/console/static/console.js`), about)
			assert.NotRegexp(t, ` on[a-z]+="`, body, about)
			assert.NotRegexp(t, `(href|action|src)="(?:javascript|https?|//)`, body, about)
			assert.NotContains(t, body, "style=", about)
		}
		// The links of a name lead to that connector alone.
		link := regexp.MustCompile(`<a class="button danger" href="([^"]+)"`).FindStringSubmatch(r.get(pathConnector + "?" + asked.Encode()).Body.String())
		require.NotNil(t, link, text)
		to, err := url.Parse(html.UnescapeString(link[1]))
		require.NoError(t, err)
		assert.Equal(t, name, to.Query().Get("name"))
		assert.Equal(t, pathAction, to.Path)
	}
}

func TestActionsSayWhatTheyWillDoAndThenDoIt(t *testing.T) {
	r := newRig(t, admin.Options{})
	for _, verb := range []string{"pause", "restart", "resume", "delete"} {
		r.add("c", plainConfig)
		if verb == "resume" {
			r.add("c", plainConfig, inState(connector.Paused))
		}
		page := r.get(pathConnector + "?name=c").Body.String()
		assert.Contains(t, page, "verb="+verb, verb)
		ask := r.get(pathAction + "?verb=" + verb + "&name=c")
		require.Equal(t, http.StatusOK, ask.Code)
		assert.GreaterOrEqual(t, strings.Count(ask.Body.String(), "<li>"), 2, verb)
		before := len(r.fleet.changes())
		w := r.send(pathAction, url.Values{"verb": {verb}, "name": {"c"}})
		assert.Equal(t, http.StatusSeeOther, w.Code)
		assert.Equal(t, []string{verb + " c"}, r.fleet.changes()[before:])
		assert.Contains(t, r.get(w.Header().Get("Location")).Body.String(), "The connector c is "+strings.TrimSuffix(verb, "e")+"ed", verb)
	}
	r.add("c", plainConfig)
	r.fleet.fails = errors.New("the disk is full")
	w := r.send(pathAction, url.Values{"verb": {"pause"}, "name": {"c"}})
	assert.Contains(t, r.get(w.Header().Get("Location")).Body.String(), "the disk is full")
}

func TestADeletionIsForTheRevisionThatThePageShowed(t *testing.T) {
	r := newRig(t, admin.Options{})
	r.add("c", plainConfig)
	r.get(pathAction + "?verb=delete&name=c")
	revision := regexp.MustCompile(`name="revision" value="([^"]*)"`).FindStringSubmatch(r.get(pathAction + "?verb=delete&name=c").Body.String())
	require.NotNil(t, revision)
	assert.Equal(t, `"1"`, html.UnescapeString(revision[1]))
	r.add("c", plainConfig) // revision 2
	w := r.send(pathAction, url.Values{"verb": {"delete"}, "name": {"c"}, "revision": {`"1"`}})
	assert.Contains(t, r.get(w.Header().Get("Location")).Body.String(), "revision 2")
	assert.Contains(t, r.fleet.all, "c")
	r.send(pathAction, url.Values{"verb": {"delete"}, "name": {"c"}, "revision": {`"2"`}})
	assert.NotContains(t, r.fleet.all, "c")
}

const discardBox = `type="checkbox" name="discard_waiting" value="true">`

func TestWhatWaitsIsDiscardedOnlyWhereSomebodyTicksTheBox(t *testing.T) {
	for _, ticked := range []bool{false, true} {
		r := newRig(t, admin.Options{})
		values, said := url.Values{}, ""
		if ticked {
			values, said = url.Values{"discard_waiting": {"true"}}, ", discarding what waits"
		}
		with := func(more url.Values) url.Values { maps.Copy(more, values); return more }
		r.add("c", plainConfig, func(s *connector.Sample) { s.Buffer = &connector.Buffer{Messages: 12} })
		assert.Contains(t, r.get(pathAction+"?verb=rollback&name=c&to=1").Body.String(), discardBox+" Discard what waits in a session")
		r.send(pathAction, with(url.Values{"verb": {"rollback"}, "name": {"c"}, "to": {"1"}, "revision": {`"1"`}}))
		form := readForm(r.get(pathEdit + "?name=c").Body.String())
		form.Set("do", "save")
		r.send(pathEdit, with(form))
		r.add("c", plainConfig, func(s *connector.Sample) { s.Buffer = &connector.Buffer{Messages: 12} })
		assert.Contains(t, r.get(pathAction+"?verb=delete&name=c").Body.String(), discardBox+" Discard the 12 messages that wait in its disk buffer")
		r.send(pathAction, with(url.Values{"verb": {"delete"}, "name": {"c"}}))
		assert.Equal(t, []string{"rollback 1" + said + " c", "update" + said + " c", "delete" + said + " c"}, r.fleet.changes())
	}
}

func TestOnlyWhatMayHaveADiskBufferIsAskedWhetherToDiscardIt(t *testing.T) {
	r := newRig(t, admin.Options{})
	for name, change := range map[string]func(*connector.Sample){
		"none":       func(*connector.Sample) {},
		"empty":      func(s *connector.Sample) { s.Buffer = &connector.Buffer{} },
		"unreadable": func(s *connector.Sample) { s.Revision = 0 },
	} {
		r.add(name, plainConfig, change)
		page := r.get(pathAction + "?verb=delete&name=" + name).Body.String()
		assert.Equal(t, name != "none", strings.Contains(page, discardBox+" Discard what waits in its disk buffer"), name)
	}
	r.add("c", plainConfig)
	for _, verb := range []string{"pause", "restart", "resume"} {
		assert.NotContains(t, r.get(pathAction+"?verb="+verb+"&name=c").Body.String(), "discard_waiting", verb)
	}
}

func TestTheHistoryShowsWhatChangedAndRollsBack(t *testing.T) {
	r := newRig(t, admin.Options{})
	r.add("c", plainConfig)
	r.add("c", plainConfig) // revision 2, as the fleet's history has it
	body := r.get(pathConnector + "?tab=history&name=c").Body.String()
	assert.Contains(t, body, "Revision 2, the present one")
	assert.Contains(t, body, "by ada")
	assert.Contains(t, body, `<span class="new">&#43;   topic: new`)
	assert.Contains(t, body, `<span class="gone">-   topic: old`)
	link := regexp.MustCompile(`href="([^"]+)">Roll back to revision 1<`).FindStringSubmatch(body)
	require.NotNil(t, link)
	ask := r.get(html.UnescapeString(link[1]))
	assert.Equal(t, http.StatusOK, ask.Code)
	assert.Contains(t, ask.Body.String(), `name="to" value="1"`)
	r.send(pathAction, url.Values{"verb": {"rollback"}, "name": {"c"}, "to": {"1"}, "revision": {`"1"`}})
	assert.Equal(t, []string{"rollback 1 c"}, r.fleet.changes())
}

func TestWhatARoleMayNotDoIsNotShownAndRefused(t *testing.T) {
	token, entry, err := admin.NewToken("reader", "read", false)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "tokens.yaml")
	require.NoError(t, os.WriteFile(path, []byte(entry), 0o600))
	r := newRig(t, admin.Options{TokensFile: path})
	require.Equal(t, http.StatusSeeOther, r.login(token).Code)
	r.add("c", plainConfig)
	body := r.get(pathConnector + "?name=c").Body.String()
	assert.Contains(t, body, `reader <span class="dim">(read)</span>`)
	for _, hidden := range []string{"verb=", "New connector", "tab=log", pathEdit} {
		assert.NotContains(t, body, hidden)
	}
	w := r.send(pathAction, url.Values{"verb": {"delete"}, "name": {"c"}})
	assert.Contains(t, r.get(w.Header().Get("Location")).Body.String(), "needs the role operate or admin")
	w = r.send(pathEdit, formOf("d", url.Values{"do": {"save"}}))
	assert.Contains(t, w.Body.String(), "needs the role operate or admin")
	assert.Empty(t, r.fleet.changes())
	log := r.ask(http.MethodGet, pathAPI+"mqtt/connector/logs?tenant=default&connector_name=c", "")
	assert.Equal(t, http.StatusForbidden, log.Code)
}
