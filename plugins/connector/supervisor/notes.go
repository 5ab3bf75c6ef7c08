package supervisor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/connector/session"
	"github.com/robustmq/robustmq-connect/plugins/connector/store"
)

// stillGivenUp returns the sessions that earlier updates gave up and that the
// connector's new sides do not have.
func stillGivenUp(all []store.HandOver, sides []session.Side, sideOf func(connector.Connector) (session.Side, error)) []store.HandOver {
	var ids []session.ID
	for _, side := range sides {
		if !side.Clean {
			ids = append(ids, side.IDs()...)
		}
	}
	var still []store.HandOver
	for _, h := range all {
		old, err := sideOf(h.From)
		if err != nil {
			continue // it was read before
		}
		endpoints := slices.DeleteFunc(slices.Clone(h.Endpoints), func(endpoint string) bool {
			return slices.Contains(ids, session.ID{Endpoint: endpoint, ClientID: old.ClientID})
		})
		if len(endpoints) > 0 {
			still = append(still, store.HandOver{From: h.From, Endpoints: endpoints})
		}
	}
	return still
}

// filterNote says what happens to sessions whose filter an update changes.
func filterNote(side session.Side, endpoints []string, paused bool) string {
	when := ""
	if paused {
		when = "when the connector is resumed, "
	}
	return fmt.Sprintf("the filter of the session %q at %s changes: %sthe messages that wait in it are delivered before the update takes effect; update with discard_waiting to discard them",
		side.ClientID, strings.Join(endpoints, ", "), when)
}

// givenUpNote says what happens to sessions that an update gave up.
func givenUpNote(was, is session.Side, given []string, paused, discard bool) string {
	note := "sessions that earlier updates gave up are not delivered"
	if len(given) > 0 {
		note = fmt.Sprintf("the session %q at %s is given up", was.ClientID, strings.Join(given, ", "))
	}
	switch {
	case discard:
		note += ": the messages that wait in it are discarded, because of discard_waiting"
	case paused:
		note += ": when the connector is resumed, the messages that wait in it are delivered before the update takes effect; update with discard_waiting to discard them"
	default:
		note += ": the messages that wait in it are delivered before the update takes effect; update with discard_waiting to discard them"
	}
	if len(given) > 0 && was.ClientID == is.ClientID && !is.Clean {
		note += "; the session stays there and keeps messages that arrive until the connector is deleted, because the connector continues under its client id"
	}
	return note
}

// wedgedNote says that a connector has changed but its stream continues; "" if the
// stream has ended.
func wedgedNote(done string, wedged error) string {
	if wedged == nil {
		return ""
	}
	return fmt.Sprintf("the connector is %s, but %v: it may use memory and processor time until the service is restarted", done, wedged)
}

// remainsNotes say which sessions of a deleted connector remain.
func remainsNotes(r session.Remains) []string {
	var notes []string
	if len(r.Later) > 0 {
		notes = append(notes, fmt.Sprintf("the connector is deleted, but its session remains on the MQTT broker and keeps messages for it: %s; "+
			"its removal is retried until it succeeds, even after a restart of the service", strings.Join(r.Later, "; ")))
	}
	for _, id := range r.Foreign {
		notes = append(notes, fmt.Sprintf("the session %q at %s stays: it existed before the connector, or the store does not say who created it; remove it on the broker if nobody uses it", id.ClientID, id.Endpoint))
	}
	return notes
}

// storeError is an error of the disk, and not of a broker.
type storeError struct{ error }

func (e *storeError) Unwrap() error { return e.error }
