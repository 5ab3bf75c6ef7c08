// Package robustmq has the table of fields of RobustMQ's Kafka connector: the allowed
// values and the default of each, and the texts with which RobustMQ refuses a value.
// The definition of a connector, lint and the admin API use this table.
package robustmq

import (
	"fmt"
	"slices"
)

// Field is one field of the config of a connector.
type Field struct {
	Name string
	// Default is the value that RobustMQ uses if the field is missing, as JSON.
	Default string

	// Required: the text must be given and must not be empty.
	Required bool
	// Interpolated: the text may contain interpolations.
	Interpolated bool
	// MaxLength is the maximum number of characters of a text; 0 for other types.
	MaxLength int
	// Words are the allowed values of a text, if only some words are allowed.
	Words []string

	// Min and Max limit a number, if Max is not 0.
	Min, Max int
	// RobustMQMin is the smallest number that RobustMQ accepts.
	RobustMQMin int
	// OutOfRange is RobustMQ's refusal of a number.
	OutOfRange string
}

// Fields are all fields, in RobustMQ's order.
var Fields = []Field{
	{Name: "bootstrap_servers", Default: `""`, Required: true, MaxLength: 1024},
	{Name: "topic", Default: `""`, Required: true, Interpolated: true, MaxLength: 256},
	{Name: "key", Default: `""`, Interpolated: true, MaxLength: 256},
	{Name: "compression_type", Default: `"none"`, Words: []string{"none", "gzip", "snappy", "lz4", "zstd"}},
	{
		Name: "batch_size", Default: "16384", Min: 1, Max: 1048576, RobustMQMin: 1,
		OutOfRange: "batch_size must be between 1 and 1048576 bytes",
	},
	{Name: "linger_ms", Default: "5", Max: 60000, OutOfRange: "linger_ms cannot exceed 60000 (60 seconds)"},
	{Name: "acks", Default: `"1"`, Words: []string{"0", "1", "all", "-1"}},
	// RobustMQ reads 0 as no retry, which would lose a record.
	{Name: "retries", Default: "3", Min: 1, Max: 100, OutOfRange: "retries cannot exceed 100"},
	{
		Name: "message_timeout_ms", Default: "30000", Min: 1000, Max: 300000, RobustMQMin: 1000,
		OutOfRange: "message_timeout_ms must be between 1000 (1s) and 300000 (5min)",
	},
	{Name: "cleanup_timeout_secs", Default: "10", Max: 300, OutOfRange: "cleanup_timeout_secs cannot exceed 300 seconds"},
}

// FieldOf returns the field with that name, which must be one of Fields.
func FieldOf(name string) Field {
	i := slices.IndexFunc(Fields, func(f Field) bool { return f.Name == name })
	if i < 0 {
		panic(fmt.Sprintf("RobustMQ's connector has no field %q", name))
	}
	return Fields[i]
}

// Strategies are the failure strategies, by their names in a definition.
var Strategies = []string{"block", "discard", "discard_after_retry", "dead_message_queue"}
