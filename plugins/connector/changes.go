package connector

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/robustmq/robustmq-connect/plugins/secret"
)

// FieldChange is one field in which two definitions differ. A value is JSON, and nil
// where the definition does not have the field; a secret is shown as ***.
type FieldChange struct {
	Field         string // for example config.sasl.0.password
	Before, After json.RawMessage
	Secret        bool
}

// Plan says what an update to a definition would change.
type Plan struct {
	// Exists: the connector is there. Otherwise it would be created.
	Exists   bool
	Revision int // that of the connector, as Status has it
	// Changes are the fields that would change, by name; none where nothing would.
	Changes []FieldChange
	Notes   []string // as those of an update
}

// Changes are the fields in which two definitions of one connector differ. The zero
// Connector has none. How a connector stands, and when it was changed, is none.
func Changes(before, after Connector) []FieldChange {
	was, is := leavesOf(before), leavesOf(after)
	var all []FieldChange
	for field, now := range is {
		if then, ok := was[field]; !ok || then.raw != now.raw {
			all = append(all, FieldChange{Field: field, Before: then.shown, After: now.shown, Secret: now.secret})
		}
	}
	for field, then := range was {
		if _, ok := is[field]; !ok {
			all = append(all, FieldChange{Field: field, Before: then.shown, Secret: then.secret})
		}
	}
	slices.SortFunc(all, func(a, b FieldChange) int { return strings.Compare(a.Field, b.Field) })
	return all
}

type leaf struct {
	raw    string // as it is
	shown  json.RawMessage
	secret bool
}

// leavesOf are the values of a definition by their paths. What is null is not there,
// and an empty list is a value.
func leavesOf(c Connector) map[string]leaf {
	leaves := map[string]leaf{}
	if c.Config == nil {
		return leaves
	}
	c.ClusterName, c.Tenant, c.Status, c.BrokerID, c.CreateTime, c.UpdateTime = "", DefaultTenant, "", "", "", ""
	if c.FailureStrategy == nil {
		c.FailureStrategy = &FailureStrategy{Strategy: "block"}
	}
	definition, _ := readValue(c.JSON()) // it is JSON
	definition.leaves(nil, func(path []string, raw json.RawMessage) {
		if string(raw) == "null" {
			return
		}
		l := leaf{raw: string(raw), shown: raw}
		if path[0] == "config" && secret.Is(path) {
			l.shown, l.secret = json.RawMessage(`"`+secret.Redacted+`"`), true
		}
		leaves[strings.Join(path, ".")] = l
	})
	for label, text := range c.Labels {
		raw, _ := json.Marshal(text) // a string
		leaves["labels."+label] = leaf{raw: string(raw), shown: raw}
	}
	delete(leaves, "connector_name")
	return leaves
}

// leaves calls visit as walk does, also for objects and lists that are empty.
func (v *value) leaves(path []string, visit func(path []string, raw json.RawMessage)) {
	if v.open != 0 && len(v.items) == 0 {
		visit(path, json.RawMessage{v.open, v.open + 2})
		return
	}
	if v.open == 0 {
		visit(path, v.raw)
		return
	}
	for i, item := range v.items {
		item.leaves(append(slices.Clone(path), v.step(i)), visit)
	}
}

// step is the name or the index of an item.
func (v *value) step(i int) string {
	if v.open == '{' {
		return v.names[i]
	}
	return strconv.Itoa(i)
}
