package kafkastore

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/connector/store"
	"github.com/robustmq/robustmq-connect/plugins/secret"
)

// Format is that of the values that this program writes. A value of a greater one is
// left alone.
const Format = 1

// MaxValue limits a value. It leaves room for the record around it in a topic with the
// default max.message.bytes, 1,048,588.
const MaxValue = 1_000_000

// The keys of records. Those of connectors are TENANT/NAME; the others begin with a
// slash, because no tenant is empty.
const (
	storeKey   = "/store"
	writerKey  = "/writer"
	claimKey   = "/claim"
	answerKey  = "/answer"
	probeKey   = "/probe"
	sessionKey = "/session/"
	asideKey   = "/set_aside/"

	connectorKey = connector.DefaultTenant + "/"
)

// valueJSON is the value of a connector's record: the connector of today if there is
// one, its former definitions, and those whose sessions may remain on brokers.
type valueJSON struct {
	Format int `json:"format"`
	// Revision is that of the connector, also where Connector cannot be read.
	Revision int `json:"revision,omitempty"`
	// Connector is a definition as the file of a directory has it, before_start included,
	// or {"sealed": …}.
	Connector json.RawMessage `json:"connector,omitempty"`
	Removed   []removedJSON   `json:"removed,omitempty"`
	History   json.RawMessage `json:"history,omitempty"`
}

type removedJSON struct {
	ID        string          `json:"id"`
	Connector json.RawMessage `json:"connector"`
}

// smallJSON is the value of all other records.
type smallJSON struct {
	Format   int            `json:"format"`
	Revision int            `json:"revision,omitempty"` // of connectors that are gone
	Session  *store.Session `json:"session,omitempty"`
	// Of a process that has the store, or wants it, or answers.
	Process string `json:"process,omitempty"` // a random name
	Host    string `json:"host,omitempty"`
	To      string `json:"to,omitempty"` // the process that is answered
	// Value is one that could not be read and was set aside.
	Value []byte `json:"value,omitempty"`
}

// entry is what a value says.
type entry struct {
	now     *store.Definition // nil without a connector
	removed []removed
	past    store.Past
}

type removed struct {
	id string
	d  store.Definition
}

func (e entry) clone() entry {
	e.removed = slices.Clone(e.removed)
	return e
}

// encodeEntry returns nil, a tombstone, for one that holds nothing.
func encodeEntry(key string, e entry, keys Keys) ([]byte, error) {
	if e.now == nil && len(e.removed) == 0 {
		return nil, nil
	}
	v := valueJSON{Format: Format}
	var err error
	if e.now != nil {
		v.Revision = e.now.Revision
		if v.Connector, err = encodeDefinition(key, *e.now, keys); err != nil {
			return nil, err
		}
		if v.History, err = e.past.Encode(); err != nil {
			return nil, err
		}
	}
	for _, r := range e.removed {
		one := removedJSON{ID: r.id}
		if one.Connector, err = encodeDefinition(key, r.d, keys); err != nil {
			return nil, err
		}
		v.Removed = append(v.Removed, one)
	}
	return bounded(v)
}

func bounded(v any) ([]byte, error) {
	data, err := json.Marshal(v)
	if err == nil && len(data) > MaxValue {
		err = fmt.Errorf("its record would be %d bytes long, and %d are allowed: it has too many sessions that were given up; wait until they are cleared", len(data), MaxValue)
	}
	return data, err
}

func encodeDefinition(key string, d store.Definition, keys Keys) (json.RawMessage, error) {
	data, err := store.Encode(d)
	if err != nil {
		return nil, err
	}
	fields := secretsOf(d)
	if len(fields) == 0 {
		return data, nil
	}
	if !keys.given() {
		return nil, fmt.Errorf("it has a secret (%s), and a store in Kafka takes one only encrypted: start with --store-key-file", strings.Join(fields, ", "))
	}
	sealed, err := keys.seal(key, data)
	if err != nil {
		return nil, err
	}
	return json.Marshal(map[string]sealedJSON{"sealed": sealed})
}

func secretsOf(d store.Definition) []string {
	fields := secret.Given(d.Connector.Config, "config")
	for _, h := range d.HandOver {
		fields = append(fields, secret.Given(h.From.Config, "config")...)
	}
	slices.Sort(fields)
	return slices.Compact(fields)
}

func decodeDefinition(key string, raw json.RawMessage, keys Keys) (store.Definition, error) {
	var in struct {
		Sealed *sealedJSON `json:"sealed"`
	}
	if json.Unmarshal(raw, &in) == nil && in.Sealed != nil {
		var err error
		if raw, err = keys.open(key, *in.Sealed); err != nil {
			return store.Definition{}, err
		}
	}
	d, err := store.Decode(raw)
	if err == nil && keyOf(d.Connector.Name) != key {
		err = fmt.Errorf("it holds connector %q, which belongs under the key %q", d.Connector.Name, keyOf(d.Connector.Name))
	}
	return d, err
}

// decodeEntry is strict: a value that is not understood must not be changed.
func decodeEntry(key string, data []byte, keys Keys) (entry, error) {
	var v valueJSON
	if err := strictly(data, &v); err != nil {
		return entry{}, err
	}
	var e entry
	if v.Connector != nil {
		d, err := decodeDefinition(key, v.Connector, keys)
		if err != nil {
			return entry{}, err
		}
		if d.Revision != v.Revision || d.Revision < 1 {
			return entry{}, fmt.Errorf("its definition is of revision %d, and its value of %d", d.Revision, v.Revision)
		}
		e.now = &d
	}
	for i, r := range v.Removed {
		d, err := decodeDefinition(key, r.Connector, keys)
		if err != nil {
			return entry{}, fmt.Errorf("removed.%d: %w", i, err)
		}
		e.removed = append(e.removed, removed{r.ID, d})
	}
	var err error
	if v.History != nil {
		e.past, err = store.ReadPast(v.History)
	}
	return e, err
}

// strictly reads a value of the format that this program knows.
func strictly(data []byte, into any) error {
	var head struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return fmt.Errorf("it is not one JSON object: %w", err)
	}
	switch {
	case head.Format > Format:
		return fmt.Errorf("%w: its format is %d, and this one knows %d", store.ErrNewer, head.Format, Format)
	case head.Format < 1:
		return errors.New("it has no format")
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows its JSON object")
	}
	return nil
}

// keyOf returns the key of a connector's record.
func keyOf(name string) string { return connectorKey + name }

func sessionKeyOf(endpoint, clientID string) string {
	return fmt.Sprintf("%s%x", sessionKey, sha256.Sum256([]byte(endpoint+"\x00"+clientID)))
}
