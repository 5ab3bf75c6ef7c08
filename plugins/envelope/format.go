package envelope

import (
	"fmt"

	"github.com/robustmq/robustmq-connect/plugins/constraint"
)

// The formats of a Kafka record's value.
const (
	// FormatJSON is the envelope that RobustMQ documents.
	FormatJSON = "robustmq_json"
	// FormatRecord is RobustMQ's storage record, which its connector writes.
	FormatRecord = "robustmq_record"
	// FormatRaw is the payload alone.
	FormatRaw = "raw"
)

// Formats are all of them.
var Formats = []string{FormatJSON, FormatRecord, FormatRaw}

// onlyJSON are the fields that FormatRecord has no place for.
var onlyJSON = []string{fieldTopic, fieldQoS, fieldUsername, fieldMessageID, fieldTags}

// FormatConstraints say which fields are ignored by a format. The fields are those of
// the component, or of its object of that name.
func FormatConstraints(object string) []constraint.Constraint {
	at, name := "this", func(field string) string { return field }
	if object != "" {
		at, name = "this."+object, func(field string) string { return object + "." + field }
	}
	ignored := func(field, format, why string) constraint.Constraint {
		return constraint.Constraint{
			Field:  name(field),
			Broken: fmt.Sprintf(`this.operator.or("encode") == "encode" && %s.format == %q && %s.exists(%q) && %s.%s != false`, at, format, at, field, at, field),
			What:   fmt.Sprintf("is ignored: %s; remove it, or set format to %s", why, FormatJSON),
		}
	}
	var all []constraint.Constraint
	for _, field := range append([]string{fieldRepeatTimestamp}, onlyJSON...) {
		all = append(all, ignored(field, FormatRecord, "the format robustmq_record does not have it"))
	}
	for _, field := range append([]string{fieldRepeatTimestamp, fieldRetain, fieldClientID, fieldTimestamp, fieldHeader}, onlyJSON...) {
		all = append(all, ignored(field, FormatRaw, "the format raw is the payload alone"))
	}
	return all
}
