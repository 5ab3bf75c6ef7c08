// Package robustmq has the fields of RobustMQ's Kafka connector: what each takes, what
// it is where it is not given, and the words in which RobustMQ refuses a value. The
// definition of a connector, lint and the admin API read this one table.
package robustmq

import (
	"fmt"
	"slices"
)

// Field is one field of the config of a connector.
type Field struct {
	Name string
	// Default is what RobustMQ fills in where the field is not given, as JSON.
	Default string

	// Required: a text that must be there and must not be empty.
	Required bool
	// Interpolated: the text may hold interpolations.
	Interpolated bool
	// MaxLength is how many characters a text may have; 0 is for another type.
	MaxLength int
	// Words are what a text may be, where it is one of some words.
	Words []string

	// Min and Max bound a number, where Max is not 0.
	Min, Max int
	// RobustMQMin is the least number that RobustMQ takes.
	RobustMQMin int
	// OutOfRange is how RobustMQ refuses a number.
	OutOfRange string
}

// Fields are all fields, in the order in which RobustMQ lists them.
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
	// RobustMQ takes 0 for no retry, by which a record would be lost.
	{Name: "retries", Default: "3", Min: 1, Max: 100, OutOfRange: "retries cannot exceed 100"},
	{
		Name: "message_timeout_ms", Default: "30000", Min: 1000, Max: 300000, RobustMQMin: 1000,
		OutOfRange: "message_timeout_ms must be between 1000 (1s) and 300000 (5min)",
	},
	{Name: "cleanup_timeout_secs", Default: "10", Max: 300, OutOfRange: "cleanup_timeout_secs cannot exceed 300 seconds"},
}

// FieldOf returns the field of a name, which must be one of Fields.
func FieldOf(name string) Field {
	i := slices.IndexFunc(Fields, func(f Field) bool { return f.Name == name })
	if i < 0 {
		panic(fmt.Sprintf("RobustMQ's connector has no field %q", name))
	}
	return Fields[i]
}

// Strategies are the failure strategies, by the names that a definition has for them.
var Strategies = []string{"block", "discard", "discard_after_retry", "dead_message_queue"}
