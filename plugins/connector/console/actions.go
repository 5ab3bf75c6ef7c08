package console

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
)

// action is a button of a connector's page. It leads to a page that says what will be
// done, and asks.
type action struct {
	Verb, Title, Link string
	Danger            bool
}

// deed is something that can be done with a connector.
type deed struct {
	verb, title, route string
	danger             bool
	// fits tells whether a connector has a button for it; nil is for none.
	fits func(connector.Status) bool
	// will says what it will do; without it nobody is asked before.
	will []string
	done string // what is said after it
	tab  string // where it leads to
	// guarded: it is for the revision that the page that asks was made of.
	guarded bool
	// request is the body that the route takes, unless it is a connector's name alone.
	request func(name admin.Name, to string, discard bool) any
	// discards is the text of the box that lets it discard what waits, "" if nothing of
	// the connector waits that it could discard.
	discards func(connector.Status) string
	// says what has become of it, in the place of done.
	says func(data json.RawMessage) []message
}

var deeds = []deed{
	{
		verb: "pause", title: "Pause", route: admin.PathPause, done: "is paused",
		fits: func(s connector.Status) bool { return s.State != connector.Paused },
		will: []string{
			"It reads no more messages from the MQTT broker, and waits until Kafka has those that are in flight, for --drain-timeout at most.",
			"What is still in flight then is not acknowledged, and the broker delivers it again later.",
			"The session on the broker stays: messages of QoS 1 and 2 that arrive meanwhile wait there, unless the connector has clean_session.",
			"It stays paused over a restart of the service, until someone resumes it.",
		},
	},
	{
		verb: "resume", title: "Resume", route: admin.PathResume, done: "is resumed",
		fits: func(s connector.Status) bool { return s.State == connector.Paused || s.State == connector.Failed },
		will: []string{
			"It connects to the MQTT broker and to Kafka again, and continues with what waits in its session on the broker.",
			"Where it has failed, it begins anew: if the cause is still there, it fails again.",
		},
	},
	{
		verb: "restart", title: "Restart", route: admin.PathRestart, done: "is restarted",
		fits: func(s connector.Status) bool { return s.State != connector.Paused },
		will: []string{
			"It stops as it would for a pause, and starts again at once with the same definition.",
			"Messages that arrive meanwhile wait in its session on the MQTT broker. What was in flight and not acknowledged may reach Kafka twice.",
		},
	},
	{
		verb: "delete", title: "Delete", route: admin.PathDelete, danger: true, guarded: true, done: "is deleted",
		fits: func(connector.Status) bool { return true },
		will: []string{
			"It stops as it would for a pause.",
			"Its definition is removed, with its history, its figures and its log.",
			"Its session on the MQTT broker is removed: messages that still wait there are discarded.",
			"What waits in its disk buffer, if it has one, is delivered first. If that takes longer than --drain-timeout, nothing is deleted.",
			"Records in Kafka stay, and so do dead letters.",
			"It cannot be undone. The Definition tab has what creates it again.",
		},
		request: func(name admin.Name, _ string, discard bool) any {
			return admin.Deletion{Chosen: admin.Chosen{Tenant: name.Tenant, ConnectorName: name.ConnectorName}, DiscardWaiting: discard}
		},
		discards: discardedByDelete,
	},
	{
		verb: "rollback", title: "Roll back", route: admin.PathRollback, guarded: true, done: "is rolled back",
		will: []string{
			"The connector gets the definition of that revision, as a new revision.",
			"A secret that was replaced since is not in the history: the present one stays where it is sent to the same servers, and otherwise this is refused.",
			"It stops as it would for a pause, and starts again with that definition. Where the change gives up a session on a broker, what waits there is delivered first.",
		},
		request: func(name admin.Name, to string, discard bool) any {
			revision, _ := strconv.Atoi(to) // the API refuses 0
			return admin.Rollback{Tenant: name.Tenant, ConnectorName: name.ConnectorName, Revision: revision, DiscardWaiting: discard}
		},
		discards: func(connector.Status) string { return discardsGivenUp },
	},
	{
		verb: "replay", title: "Replay dead letters", route: admin.PathReplay, tab: "letters",
		will: []string{
			"Each chosen record is written to the topic that it was meant for, with a header that says so, and in their order.",
			"It comes after records that were written later: consumers that count on the order see an old value after a newer one.",
			"Each is replayed once at most, however often it is asked for. What was replayed is remembered in Kafka.",
			"A record that Kafka still refuses stays where it is.",
		},
		request: replayRequest, says: replayed,
	},
	{
		verb: "level", title: "Set the log level", route: admin.PathLogLevel, done: "logs from another level on", tab: "log",
		request: func(name admin.Name, to string, _ bool) any { return admin.Level{Name: name, Level: to} },
	},
}

// discardsGivenUp is the text of the box of what changes a definition.
const discardsGivenUp = "Discard what waits in a session that the change gives up. Otherwise it is delivered first."

// discardedByDelete has a text for a connector with a disk buffer, and for one whose
// definition cannot be read, so that nobody knows.
func discardedByDelete(s connector.Status) string {
	switch {
	case s.Buffer != nil && s.Buffer.Messages > 0:
		return fmt.Sprintf("Discard the %d messages that wait in its disk buffer, without delivering them.", s.Buffer.Messages)
	case s.Buffer != nil || s.Revision == 0:
		return "Discard what waits in its disk buffer, without delivering it."
	}
	return ""
}

func deedOf(verb string) (deed, bool) {
	at := slices.IndexFunc(deeds, func(d deed) bool { return d.verb == verb })
	if at < 0 {
		return deed{}, false
	}
	return deeds[at], true
}

func actionLink(name, verb string) string {
	return pathAction + "?verb=" + verb + "&name=" + urlEscape(name)
}

// confirmBody is the page that asks before something is done.
type confirmBody struct {
	Name, Title, Verb, Back, FormToken string
	Revision, To, About, Discards      string
	Danger                             bool
	Will                               []string
	Sample                             connector.Sample
	Urgency                            urgency
}

func (c *Console) confirm(v *visit) {
	query := v.r.URL.Query()
	head := &connectorBody{Name: query.Get("name")}
	if !c.fillHead(head) {
		c.noConnector(v, head.Name)
		return
	}
	d, ok := deedOf(query.Get("verb"))
	if !ok || d.will == nil {
		c.fail(v.w, v.r, http.StatusNotFound, "there is no such action")
		return
	}
	body := confirmBody{
		Name: head.Name, Title: d.title, Verb: d.verb, Back: connectorLink(head.Name, ""), FormToken: v.session.formToken,
		To: query.Get("to"), Danger: d.danger, Will: d.will, Sample: head.Sample, Urgency: head.Urgency,
	}
	if d.verb == "replay" {
		if body.To = chosenLetters(query); body.To == "" {
			c.sessions.addFlash(v.session, message{Bad: true, Text: "No dead letter is chosen."})
			redirect(v.w, v.r, connectorLink(head.Name, d.tab))
			return
		}
		body.About = "All that are not replayed yet."
		if body.To != allLetters {
			body.About = fmt.Sprintf("Chosen: %d.", 1+strings.Count(body.To, ","))
		}
		body.Back = connectorLink(head.Name, d.tab)
	}
	if d.discards != nil {
		body.Discards = d.discards(head.Sample.Status)
	}
	if d.guarded {
		if body.Revision = query.Get("revision"); body.Revision == "" && head.Sample.Revision > 0 {
			body.Revision = strconv.Quote(strconv.Itoa(head.Sample.Revision))
		}
	}
	v.showPage(c, http.StatusOK, "confirm", d.title+" "+head.Name, body)
}

func (c *Console) act(v *visit) {
	if !v.readForm(c) {
		return
	}
	form := v.r.PostForm
	d, ok := deedOf(form.Get("verb"))
	if !ok {
		c.fail(v.w, v.r, http.StatusNotFound, "there is no such action")
		return
	}
	name := admin.Name{Tenant: connector.DefaultTenant, ConnectorName: form.Get("name")}
	var request any = name
	if d.request != nil {
		request = d.request(name, form.Get("to"), form.Get("discard_waiting") == "true")
	}
	back := connectorLink(name.ConnectorName, d.tab)
	done, err := v.call(c, http.MethodPost, d.route, url.Values{}, request, form.Get("revision"))
	c.history.forget()
	if err != nil {
		c.sessions.addFlash(v.session, message{Bad: true, Text: err.Error()})
		redirect(v.w, v.r, back)
		return
	}
	if d.says != nil {
		c.sessions.addFlash(v.session, d.says(done.data)...)
	} else {
		c.sessions.addFlash(v.session, message{Text: "The connector " + name.ConnectorName + " " + d.done + "."})
	}
	c.tellNotes(v, done.notes)
	if d.route == admin.PathDelete {
		back = root
	}
	redirect(v.w, v.r, back)
}

func (c *Console) noConnector(v *visit, name string) {
	c.fail(v.w, v.r, http.StatusNotFound, "there is no connector "+short(connector.MaxName, name))
}

func (c *Console) tellNotes(v *visit, notes []string) {
	for _, note := range notes {
		c.sessions.addFlash(v.session, message{Text: note})
	}
}
