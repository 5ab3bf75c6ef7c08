package supervisor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/connector/session"
	"github.com/robustmq/robustmq-connect/plugins/connector/store"
)

// stillGivenUp are the sessions that earlier updates gave up and that a connector
// does not have again with its new side.
func stillGivenUp(all []store.HandOver, side session.Side, sideOf func(connector.Connector) (session.Side, error)) []store.HandOver {
	ids := side.IDs()
	var still []store.HandOver
	for _, h := range all {
		old, err := sideOf(h.From)
		if err != nil {
			continue // it was read before
		}
		endpoints := slices.DeleteFunc(slices.Clone(h.Endpoints), func(endpoint string) bool {
			return !side.Clean && slices.Contains(ids, session.ID{Endpoint: endpoint, ClientID: old.ClientID})
		})
		if len(endpoints) > 0 {
			still = append(still, store.HandOver{From: h.From, Endpoints: endpoints})
		}
	}
	return still
}

// filterNote says what becomes of sessions whose filter an update changes.
func filterNote(side session.Side, endpoints []string, paused bool) string {
	when := ""
	if paused {
		when = "when the connector is resumed, "
	}
	return fmt.Sprintf("the filter of the session %q at %s changes: %swhat waits in it is delivered before the update takes effect; update with discard_waiting to discard it",
		side.ClientID, strings.Join(endpoints, ", "), when)
}

// givenUpNote says what becomes of sessions that an update gave up.
func givenUpNote(was, is session.Side, given []string, paused, discard bool) string {
	note := "sessions that earlier updates gave up are not delivered"
	if len(given) > 0 {
		note = fmt.Sprintf("the session %q at %s is given up", was.ClientID, strings.Join(given, ", "))
	}
	switch {
	case discard:
		note += ": what waits in it is discarded, as discard_waiting says"
	case paused:
		note += ": when the connector is resumed, what waits in it is delivered before the update takes effect; update with discard_waiting to discard it"
	default:
		note += ": what waits in it is delivered before the update takes effect; update with discard_waiting to discard it"
	}
	if len(given) > 0 && was.ClientID == is.ClientID && !is.Clean {
		note += "; the session stays there and keeps what arrives until the connector is deleted, because the connector continues under its client id"
	}
	return note
}

// wedgedNote says that a connector has changed while its stream goes on; "" where it
// has ended.
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
			"its removal is tried again until it is done, also after a restart of the service", strings.Join(r.Later, "; ")))
	}
	for _, id := range r.Foreign {
		notes = append(notes, fmt.Sprintf("the session %q at %s stays: it was there before the connector, or the store does not say who made it; remove it on the broker if nobody uses it", id.ClientID, id.Endpoint))
	}
	return notes
}

// storeError is a fault of the disk, which no broker can be blamed for.
type storeError struct{ error }

func (e *storeError) Unwrap() error { return e.error }
