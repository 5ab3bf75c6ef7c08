// Package crashes keeps what the integration tests count when something fails on the way of
// the messages: RESULTS.json, and README's table of it.
package crashes

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Way is a column of the table.
type Way string

// The ways that messages take.
const (
	ToKafka  Way = "MQTT to Kafka"
	Buffered Way = "MQTT to Kafka with a disk buffer"
	ToMQTT   Way = "Kafka to MQTT"
)

var ways = []Way{ToKafka, Buffered, ToMQTT}

// Fault is a row of the table.
type Fault string

// What fails.
const (
	Kill           Fault = "`kill -9`"
	Stop           Fault = "clean stop"
	BrokerRestart  Fault = "MQTT broker restarted"
	BrokerCut      Fault = "connection to the MQTT broker cut"
	BrokerHalfOpen Fault = "connection to the MQTT broker half-open"
	KafkaRestart   Fault = "Kafka restarted"
	KafkaFrozen    Fault = "Kafka frozen"
	KafkaCut       Fault = "connection to Kafka cut"
	KafkaHalfOpen  Fault = "connection to Kafka half-open"
	KafkaAway      Fault = "Kafka away"
	Rebalance      Fault = "member joins and leaves the consumer group"
)

var faults = []Fault{
	Kill, Stop, BrokerRestart, BrokerCut, BrokerHalfOpen, KafkaRestart, KafkaFrozen, KafkaCut, KafkaHalfOpen, KafkaAway, Rebalance,
}

// Result is what became of the messages of one load, during which something failed a
// number of times.
type Result struct {
	Fault      Fault `json:"fault"`
	Way        Way   `json:"way"`
	Times      int   `json:"times"`
	Sent       int64 `json:"sent"`
	Missing    int64 `json:"missing"`
	OutOfOrder int64 `json:"out_of_order"` // repeats set aside
	Repeated   int64 `json:"repeated"`
}

func (r Result) String() string {
	return fmt.Sprintf("%s, %s, %d times: %d messages, %d missing, %d out of order, %d repeated",
		r.Way, r.Fault, r.Times, r.Sent, r.Missing, r.OutOfOrder, r.Repeated)
}

// Read returns the results of a file, none if there is no file.
func Read(path string) (all []Result, err error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &all)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the earlier results %s: %w: remove the file to begin anew", path, err)
	}
	return all, nil
}

// Add puts a result into a file. It replaces an earlier one of the same fault and way.
func Add(path string, r Result) error {
	if !slices.Contains(faults, r.Fault) || !slices.Contains(ways, r.Way) {
		return fmt.Errorf("the table has no place for the fault %q on the way %q", r.Fault, r.Way)
	}
	all, err := Read(path)
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(old Result) bool { return old.Fault == r.Fault && old.Way == r.Way })
	all = append(all, r)
	slices.SortFunc(all, func(a, b Result) int {
		return 10*(slices.Index(faults, a.Fault)-slices.Index(faults, b.Fault)) + slices.Index(ways, a.Way) - slices.Index(ways, b.Way)
	})
	text, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

// Table renders results in Markdown, with a row for each fault that has one.
func Table(all []Result) string {
	var b strings.Builder
	b.WriteString("| what fails |")
	for _, way := range ways {
		fmt.Fprintf(&b, " %s |", way)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(ways)) + "\n")
	for _, fault := range faults {
		if !slices.ContainsFunc(all, func(r Result) bool { return r.Fault == fault }) {
			continue
		}
		fmt.Fprintf(&b, "| %s |", fault)
		for _, way := range ways {
			cell := ""
			for _, r := range all {
				if r.Fault == fault && r.Way == way {
					cell = fmt.Sprintf(" %d×: %s / %s / %s / %s", r.Times, thousands(r.Sent), thousands(r.Missing), thousands(r.OutOfOrder), thousands(r.Repeated))
				}
			}
			b.WriteString(cell + " |")
		}
		b.WriteString("\n")
	}
	return b.String()
}

func thousands(n int64) string {
	text := strconv.FormatInt(n, 10)
	for at := len(text) - 3; at > 0; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}
