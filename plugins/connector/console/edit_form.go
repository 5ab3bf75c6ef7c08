package console

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

// showDefinition shows a definition. What the form has no field for is shown as YAML.
func (b *editBody) showDefinition(text json.RawMessage) {
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
	values, err := fieldsByName(text)
	if err != nil {
		b.Form = false
		b.Errors = append(b.Errors, err.Error())
		return
	}
	for i := range b.Sections {
		for j := range b.Sections[i].Fields {
			f := &b.Sections[i].Fields[j]
			f.setValue(values[f.Name])
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

// fieldsByName is a definition by the names of the form's fields.
func fieldsByName(text json.RawMessage) (map[string]json.RawMessage, error) {
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
