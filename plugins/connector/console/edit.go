package console

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
)

// editBody is the page that creates or changes a connector, as a form or as YAML.
type editBody struct {
	Name      string // of the connector that is changed, "" for a new one
	Back      string
	FormToken string
	Revision  string // that was read, as an ETag

	Form     bool
	Sections []section
	YAML     string

	Paused, DiscardWaiting bool

	Errors   []string // of no field of the form
	Warnings []string
	Probes   []admin.Probe
	Conflict string // somebody else has changed it
	Right    bool   // it was judged, and nothing is wrong

	MayPreview bool
	Stream     string // of live messages to preview, "" without
	Sample     sample
	Preview    *admin.Preview
}

// sample is a message to try a definition on.
type sample struct {
	Topic, Payload string
	Open           bool
}

// offer sets what the page offers beside the definition.
func (c *Console) offer(v *visit, b *editBody) {
	b.MayPreview = v.may(c, admin.PathPreview)
	if b.Name != "" && v.may(c, admin.PathTail) {
		b.Stream = tailLink(b.Name, 1)
	}
	form := v.r.PostForm
	b.Sample.Topic, b.Sample.Payload = "sensors/1/data", `{"temperature": 21.5}`
	if form.Has("sample_topic") {
		b.Sample = sample{Topic: form.Get("sample_topic"), Payload: strings.ReplaceAll(form.Get("sample_payload"), "\r\n", "\n")}
	}
}

// preview asks what would become of the sample.
func (c *Console) preview(v *visit, b *editBody, definition json.RawMessage) {
	b.Sample.Open = true
	message, _ := json.Marshal(admin.SampleMessage{Topic: b.Sample.Topic, Payload: b.Sample.Payload}) // texts
	a, err := v.call(c, http.MethodPost, admin.PathPreview, nil, withMember(definition, "message", message), "")
	if err != nil {
		b.blameText(err.Error())
		return
	}
	b.Preview = &admin.Preview{}
	if err := json.Unmarshal(a.data, b.Preview); err != nil {
		b.Errors = append(b.Errors, "reading the preview: "+err.Error())
	}
	b.Warnings = append(b.Warnings, a.notes...)
}

// withMember is a JSON object with one more member.
func withMember(object json.RawMessage, name string, value json.RawMessage) json.RawMessage {
	return json.RawMessage(strings.TrimSuffix(strings.TrimSpace(string(object)), "}") + `,"` + name + `":` + string(value) + "}")
}

func editLink(name string) string {
	if name == "" {
		return pathEdit
	}
	return pathEdit + "?name=" + urlEscape(name)
}

// starting is what the form of a new connector holds.
var starting = json.RawMessage(`{"connector_name":"","connector_type":"kafka","topic_name":"","tenant":"default",
	"config":{"bootstrap_servers":"localhost:9092","topic":""},"failure_strategy":{"strategy":"block"}}`)

func (c *Console) edit(v *visit) {
	name := v.r.URL.Query().Get("name")
	body := &editBody{Name: name, Form: true, FormToken: v.session.formToken, Back: root}
	text := starting
	if name != "" {
		body.Back = connectorLink(name, "definition")
		var d admin.Detail
		a, err := v.get(c, admin.PathDetail, name, nil, &d)
		if err != nil {
			v.oops(c, err)
			return
		}
		body.Revision = a.revision
		if text, err = definitionOf(d).json(); err != nil {
			v.oops(c, err)
			return
		}
	}
	body.Form = isFormType(text)
	body.showDefinition(text)
	c.offer(v, body)
	v.showPage(c, http.StatusOK, "edit", body.title(), body)
}

// isFormType reports whether the form has the fields of a definition. Those of other
// types are edited as YAML.
func isFormType(definition json.RawMessage) bool {
	var given struct {
		Type string `json:"connector_type"`
	}
	_ = json.Unmarshal(definition, &given) // the API says what is wrong with it
	return !strings.EqualFold(given.Type, connector.TypeKafkaSource)
}

// Discards is the text of the box that lets a change discard what waits.
func (b *editBody) Discards() string { return discardsGivenUp }

func (b *editBody) title() string {
	if b.Name == "" {
		return "New connector"
	}
	return "Edit " + b.Name
}

// judge asks the API what is wrong with a definition.
func (c *Console) judge(v *visit, b *editBody, definition json.RawMessage) {
	if named := !b.Form || b.Sections[0].Fields[0].Error == ""; b.Name == "" && named {
		var given struct {
			Name string `json:"connector_name"`
		}
		_ = json.Unmarshal(definition, &given) // the API says what is wrong with it
		if slices.ContainsFunc(c.history.now(), func(s connector.Sample) bool { return s.Name == given.Name }) {
			b.blame("connector_name", "a connector of this name exists: choose another, or edit that one")
		}
	}
	// The API tells the first error. Of a form it is asked again without the fields that
	// are known to be wrong, so that each says what is wrong with it.
	for range mostRounds {
		before := b.errors()
		if b.Form && before > 0 {
			definition = b.compose()
		}
		if !c.findings(v, b, definition) || !b.Form || b.errors() == before {
			break
		}
	}
	b.Right = b.errors() == 0
}

// mostRounds bounds how often a form is judged again.
const mostRounds = 8

// findings takes what the API finds wrong with a definition. It is false where the API
// could not be asked.
func (c *Console) findings(v *visit, b *editBody, definition json.RawMessage) bool {
	a, err := v.call(c, http.MethodPost, admin.PathValidate, nil, definition, "")
	if err != nil {
		b.blameText(err.Error())
		return false
	}
	var found []admin.Finding
	if err := json.Unmarshal(a.data, &found); err != nil {
		b.Errors = append(b.Errors, "reading the findings: "+err.Error())
		return false
	}
	b.Warnings = nil
	for _, f := range found {
		if f.Warning {
			b.Warnings = append(b.Warnings, f.Text)
			continue
		}
		b.blame(f.Field, f.Text)
	}
	return true
}

// save is what the buttons of the page do: see it the other way, check, or save.
func (c *Console) save(v *visit) {
	if !v.readForm(c) {
		return
	}
	b := &editBody{FormToken: v.session.formToken}
	definition, err := b.read(v.r.PostForm)
	c.offer(v, b)
	switch do := v.r.PostForm.Get("do"); {
	case err != nil && b.Form:
		c.judge(v, b, definition) // what else is wrong
	case err != nil:
		b.Errors = append(b.Errors, err.Error())
	case do == "form" && !isFormType(definition):
		b.Errors = append(b.Errors, "the form is for connectors of type kafka; edit this one as YAML")
	case do == "yaml" || do == "form":
		b.Form = do == "form"
		b.showDefinition(definition)
	case do == "check":
		if c.judge(v, b, definition); b.Right {
			a, err := v.call(c, http.MethodPost, admin.PathCheck, nil, definition, "")
			if err != nil {
				b.blameText(err.Error())
			}
			b.Probes = probes(a.data)
		}
	case do == "preview":
		c.preview(v, b, definition)
	case do == "save":
		if c.store(v, b, definition) {
			return
		}
	default:
		c.judge(v, b, definition)
	}
	status := http.StatusOK
	if b.errors() > 0 || b.Conflict != "" {
		status = http.StatusUnprocessableEntity
	}
	v.showPage(c, status, "edit", b.title(), b)
}

// store creates or changes the connector, and leads to its page where that worked.
func (c *Console) store(v *visit, b *editBody, definition json.RawMessage) bool {
	if c.judge(v, b, definition); !b.Right {
		return false
	}
	var given struct {
		Name string `json:"connector_name"`
	}
	if err := json.Unmarshal(definition, &given); err != nil {
		b.Errors = append(b.Errors, err.Error())
		return false
	}
	path, option, on, done := admin.PathCreate, "paused", b.Paused, "is created"
	if b.Name != "" {
		path, option, on, done = admin.PathUpdate, "discard_waiting", b.DiscardWaiting, "is changed"
		if given.Name != b.Name {
			b.blame("connector_name", "a connector keeps its name: create another one, and delete this one")
			return false
		}
	}
	if on {
		definition = withMember(definition, option, json.RawMessage("true"))
	}
	a, err := v.call(c, http.MethodPost, path, nil, definition, b.Revision)
	c.history.forget()
	if err != nil {
		var why *refusal
		if errors.As(err, &why) && why.status == http.StatusPreconditionFailed {
			b.Conflict = why.text
			return false
		}
		b.blameText(err.Error())
		return false
	}
	c.sessions.addFlash(v.session, message{Text: "The connector " + given.Name + " " + done + "."})
	c.tellNotes(v, a.notes)
	redirect(v.w, v.r, connectorLink(given.Name, ""))
	return true
}

// judgement is what the page asks for as one types.
type judgement struct {
	Fields   map[string]string `json:"fields"` // errors, by the field's name in the form
	Errors   []string          `json:"errors"`
	Warnings []string          `json:"warnings"`
}

func (c *Console) validate(v *visit) {
	if !v.readForm(c) {
		return
	}
	b := &editBody{}
	definition, err := b.read(v.r.PostForm)
	if err != nil && !b.Form {
		b.Errors = append(b.Errors, err.Error())
	} else {
		c.judge(v, b, definition)
	}
	j := judgement{Fields: map[string]string{}, Errors: b.Errors, Warnings: b.Warnings}
	for _, s := range b.Sections {
		for _, f := range s.Fields {
			if f.Error != "" {
				j.Fields[f.Name] = f.Error
			}
		}
	}
	v.w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(v.w).Encode(j) // strings; and if the client is gone, nobody is left to tell
}
