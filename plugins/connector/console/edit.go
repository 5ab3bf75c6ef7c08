package console

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
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
	body.fill(text)
	c.offer(v, body)
	v.show(c, http.StatusOK, "edit", body.title(), body)
}

func (b *editBody) title() string {
	if b.Name == "" {
		return "New connector"
	}
	return "Edit " + b.Name
}

// fill shows a definition. What the form has no field for is shown as YAML.
func (b *editBody) fill(text json.RawMessage) {
	var err error
	if b.YAML, err = toYAML(text); err != nil {
		b.YAML = string(text)
	}
	b.Sections = formSections()
	if b.Name != "" {
		b.Sections[0].Fields[0].ReadOnly = true
	}
	if !b.Form {
		return
	}
	values, err := flat(text)
	if err != nil {
		b.Form = false
		b.Errors = append(b.Errors, err.Error())
		return
	}
	for i := range b.Sections {
		for j := range b.Sections[i].Fields {
			f := &b.Sections[i].Fields[j]
			f.show(values[f.Name])
			delete(values, f.Name)
		}
	}
	for _, known := range []string{"connector_type", "tenant"} {
		delete(values, known)
	}
	for name := range values {
		b.Form = false
		b.Errors = append(b.Errors, name+" has no field in the form: change the definition as YAML")
	}
	slices.Sort(b.Errors)
}

// flat is a definition by the names of the form's fields.
func flat(text json.RawMessage) (map[string]json.RawMessage, error) {
	var all, config, strategy map[string]json.RawMessage
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, fmt.Errorf("reading the definition: %w", err)
	}
	raw := all["config"]
	var quoted string
	if json.Unmarshal(raw, &quoted) == nil {
		raw = json.RawMessage(quoted)
	}
	if err := json.Unmarshal(raw, &config); err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	if raw := all["failure_strategy"]; len(raw) > 0 {
		if err := json.Unmarshal(raw, &strategy); err != nil {
			return nil, errors.New("failure_strategy: it must be an object with strategy")
		}
	}
	delete(all, "config")
	delete(all, "failure_strategy")
	for name, value := range config {
		all["config."+name] = value
	}
	for name, value := range strategy {
		all["failure_strategy."+name] = value
	}
	return all, nil
}

// read takes what was sent, and gives the definition that it means.
func (b *editBody) read(form url.Values) (json.RawMessage, error) {
	b.Name, b.Revision = form.Get("name"), form.Get("revision")
	b.Form = form.Get("as") != "yaml"
	b.Paused, b.DiscardWaiting = form.Get("paused") != "", form.Get("discard_waiting") != ""
	b.Back = root
	if b.Name != "" {
		b.Back = connectorLink(b.Name, "definition")
	}
	b.Sections = formSections()
	if b.Name != "" {
		b.Sections[0].Fields[0].ReadOnly = true
	}
	if !b.Form {
		b.YAML = strings.ReplaceAll(form.Get("yaml"), "\r\n", "\n")
		return fromYAML(b.YAML)
	}
	var wrong error
	for i := range b.Sections {
		for j := range b.Sections[i].Fields {
			f := &b.Sections[i].Fields[j]
			f.Value = strings.ReplaceAll(form.Get(f.Name), "\r\n", "\n")
			// Blanks may belong to a password, and the last line break to a text in YAML.
			if trimmed := strings.TrimSpace(f.Value); trimmed == "" || f.Kind != secret && f.Kind != object {
				f.Value = trimmed
			}
			if f.ReadOnly {
				f.Value = b.Name
			}
			if f.Value == "" && f.Required {
				f.Error = "must be given"
			}
			if f.Value != "" {
				if _, err := f.value(); err != nil {
					f.Error = err.Error()
				}
			}
			if f.Error != "" {
				wrong = errors.New(f.Name + ": " + f.Error)
			}
		}
	}
	return b.compose(), wrong
}

// compose is the definition that the fields mean. Those with an error are left out, or
// replaced where there is no definition without them.
func (b *editBody) compose() json.RawMessage {
	all, config, strategy := newObject(), newObject(), newObject()
	for _, s := range b.Sections {
		for _, f := range s.Fields {
			value, err := f.value()
			switch {
			case (f.Error != "" || err != nil) && f.Required:
				value, _ = json.Marshal(stand[f.Name]) // a string
			case f.Error != "" || err != nil:
				continue
			case f.Value == "" && f.Kind == labels && b.Name != "":
				value = json.RawMessage("{}") // an update without them would keep the old ones
			case f.Value == "":
				continue
			}
			switch where, name, nested := strings.Cut(f.Name, "."); {
			case !nested:
				all.add(where, value)
			case where == "config":
				config.add(name, value)
			default:
				strategy.add(name, value)
			}
		}
	}
	all.add("connector_type", json.RawMessage(`"kafka"`))
	all.add("tenant", json.RawMessage(`"`+connector.DefaultTenant+`"`))
	all.add("config", config.text())
	all.add("failure_strategy", strategy.text())
	return all.text()
}

// stand are values that nothing is wrong with.
var stand = map[string]string{
	"connector_name": "any", "topic_name": "any", "config.bootstrap_servers": "localhost:9092", "config.topic": "any",
	"failure_strategy.strategy": "block",
}

// newObject is a JSON object that is written member by member.
func newObject() *ordered { return &ordered{} }

type ordered struct{ b strings.Builder }

func (o *ordered) add(name string, value json.RawMessage) {
	if o.b.Len() > 0 {
		o.b.WriteByte(',')
	}
	quoted, _ := json.Marshal(name) // a string
	o.b.Write(quoted)
	o.b.WriteByte(':')
	o.b.Write(value)
}

func (o *ordered) text() json.RawMessage { return json.RawMessage("{" + o.b.String() + "}") }

// judge asks the API what is wrong with a definition.
func (c *Console) judge(v *visit, b *editBody, definition json.RawMessage) {
	if b.Name == "" && !(b.Form && b.Sections[0].Fields[0].Error != "") {
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

// errors counts what is wrong.
func (b *editBody) errors() int {
	n := len(b.Errors)
	for _, s := range b.Sections {
		for _, f := range s.Fields {
			if f.Error != "" {
				n++
			}
		}
	}
	return n
}

// blame puts an error under its field. A field within one of the form's, or in the
// wrapping of RobustMQ's list, is that field's.
func (b *editBody) blame(name, text string) {
	short := strings.TrimPrefix(name, "config.Kafka.")
	if short != name {
		short = "config." + short
	}
	if short == "topic_id" {
		short = "topic_name"
	}
	if short == "failure_strategy" {
		short = "failure_strategy.strategy"
	}
	if b.Form {
		for i := range b.Sections {
			for j := range b.Sections[i].Fields {
				f := &b.Sections[i].Fields[j]
				if short == f.Name || strings.HasPrefix(short, f.Name+".") {
					if inner := strings.TrimPrefix(short, f.Name); inner != "" {
						text = inner[1:] + ": " + text
					}
					f.Error = text
					return
				}
			}
		}
	}
	if name != "" {
		text = name + ": " + text
	}
	b.Errors = append(b.Errors, text)
}

// blameText puts an error of another route under the field that it begins with.
func (b *editBody) blameText(text string) {
	field, rest, ok := strings.Cut(strings.TrimPrefix(text, "Parameter validation failed: "), ": ")
	if ok && !strings.Contains(field, " ") {
		b.blame(field, rest)
		return
	}
	b.Errors = append(b.Errors, text)
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
	case do == "yaml" || do == "form":
		b.Form = do == "form"
		b.fill(definition)
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
	v.show(c, status, "edit", b.title(), b)
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
	c.sessions.tell(v.session, message{Text: "The connector " + given.Name + " " + done + "."})
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
