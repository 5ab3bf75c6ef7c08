package store

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
	"time"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

// What is kept of a connector: the current definition and those before it.
const (
	MaxRevisions = 20
	// maxHistory limits former definitions as Encode writes them.
	maxHistory = 256 << 10

	anyRevision = math.MaxInt
)

// Past are former definitions of a connector, oldest first, without secrets.
type Past struct{ revisions []revisionJSON }

type historyJSON struct {
	Revisions []revisionJSON `json:"revisions"`
}

type revisionJSON struct {
	Revision   int             `json:"revision"`
	Time       time.Time       `json:"time"`
	Actor      string          `json:"actor,omitempty"`
	Definition json.RawMessage `json:"definition"` // secrets as ***
	// Labels are no part of a definition's file. An entry of a program that had none lacks
	// them, as opposed to one of a connector without labels.
	Labels map[string]string `json:"labels"`
}

// ReadPast reads what Encode has written.
func ReadPast(data []byte) (Past, error) {
	var h historyJSON
	err := json.Unmarshal(data, &h)
	return Past{h.Revisions}, err
}

// Before returns those before a revision.
func (p Past) Before(revision int) Past {
	return Past{slices.DeleteFunc(slices.Clone(p.revisions), func(r revisionJSON) bool { return r.Revision >= revision })}
}

// With returns these and one more.
func (p Past) With(d Definition) Past {
	c := connector.Redact(d.Connector)
	at, _ := time.Parse(time.RFC3339Nano, c.UpdateTime) // zero where an earlier program wrote none
	c.Status, c.BrokerID, c.CreateTime, c.UpdateTime = "", "", "", ""
	labels := c.Labels
	if labels == nil {
		labels = map[string]string{}
	}
	return Past{append(slices.Clone(p.revisions), revisionJSON{d.Revision, at, d.Actor, c.JSON(), labels})}
}

// Last returns the number of the latest, 0 if there is none.
func (p Past) Last() int {
	if len(p.revisions) == 0 {
		return 0
	}
	return p.revisions[len(p.revisions)-1].Revision
}

// Revisions returns them, latest first.
func (p Past) Revisions() []connector.Revision {
	all := make([]connector.Revision, 0, len(p.revisions))
	for _, p := range slices.Backward(p.revisions) {
		r := connector.Revision{Number: p.Revision, Time: p.Time, Actor: p.Actor}
		if r.Connector, r.Unreadable = connector.Parse(p.Definition); p.Labels != nil {
			r.Connector.Labels = p.Labels
		}
		all = append(all, r)
	}
	return all
}

// Encode writes the latest of them, one per line: as many as are kept.
func (p Past) Encode() ([]byte, error) {
	const begin, end = "{\"revisions\": [\n", "\n]}\n"
	var lines [][]byte
	size := len(begin) + len(end)
	for _, r := range slices.Backward(p.revisions) {
		line, err := json.Marshal(r)
		if err != nil {
			return nil, err
		}
		if size += len(line) + len(",\n"); size > maxHistory || len(lines) == MaxRevisions-1 {
			break
		}
		lines = append(lines, line)
	}
	slices.Reverse(lines)
	return append(append([]byte(begin), bytes.Join(lines, []byte(",\n"))...), end...), nil
}
