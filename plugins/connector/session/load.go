package session

import (
	"fmt"

	"github.com/robustmq/robustmq-connect/plugins/connector/store"
)

// Load reads the contents of a store. Sweep and the streams start after it.
func (o *Owner) Load(all store.Contents) {
	for _, rec := range all.Sessions {
		o.records[ID{rec.Endpoint, rec.ClientID}] = rec
	}
	for _, d := range all.Definitions {
		sides, err := o.SidesOf(d)
		if err != nil {
			o.log.Error("Cannot read the MQTT side of a connector", "connector", d.Connector.Name, "error", err)
			o.unread[d.Connector.Name] = o.mayUse(d.Connector.Name, d.Connector.MQTT.Text("client_id"))
			continue
		}
		if all.Version < 2 {
			o.adopt(d, sides[0], d.Old.ForgetSession)
		}
		o.tellShared(d.Connector.Name, sides[0])
		o.held.set(d.Connector.Name, sides...)
	}
	for _, u := range all.Unreadable {
		o.unread[u.Name] = o.mayUse(u.Name, u.ClientID)
	}
	for _, r := range all.Released {
		m, err := o.newMark(r)
		if err != nil {
			o.log.Error("Cannot remove the sessions of a deleted connector", "connector", r.Connector.Name, "error", err)
			continue
		}
		if r.Old {
			for _, side := range m.left {
				o.adopt(r.Definition, side, false)
			}
		}
		o.remember(m)
	}
	o.tellOrphans(all)
}

// adopt records the sessions of a definition from version 1 of the store, which did not
// record who created them. Those with a client id that we choose count as ours; those
// with a given client id do not.
func (o *Owner) adopt(d store.Definition, side Side, stale bool) {
	if side.Clean {
		return
	}
	made := d.Connector.MQTT.Text("client_id") == ""
	for _, id := range side.IDs() {
		if _, known := o.records[id]; known {
			continue
		}
		rec := store.Session{
			Endpoint: id.Endpoint, ClientID: id.ClientID, Connector: d.Connector.Name,
			Made: made, Stale: stale && made, Filters: append([]string{side.Filter}, d.Old.Unsubscribe...),
		}
		o.records[id] = rec
		if err := o.put(rec); err != nil {
			o.log.Error("Cannot note the session of a connector", "connector", d.Connector.Name, "error", err)
		}
	}
}

// mayUse returns the client ids that a connector with an unreadable definition may use.
func (o *Owner) mayUse(name, given string) []string {
	ids := []string{o.clientIDOf(name)}
	if given != "" {
		ids = append(ids, given)
	}
	for id, rec := range o.records {
		if rec.Connector == name {
			ids = append(ids, id.ClientID)
		}
	}
	return ids
}

func (o *Owner) tellShared(name string, side Side) {
	for _, other := range o.held.overlapping(side) {
		o.log.Error("Two connectors have one MQTT client id and disconnect each other: give one of them another client_id",
			"connector", name, "other", other)
	}
}

// tellOrphans logs sessions that no connector reads from any more, because the service
// uses another broker or a file was removed by hand.
func (o *Owner) tellOrphans(all store.Contents) {
	unread := map[string]bool{}
	for _, u := range all.Unreadable {
		unread[u.Name] = true
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for id, rec := range o.records {
		if o.isHeldLocked(id) || o.markedLocked(id) || unread[rec.Connector] {
			continue
		}
		o.log.Warn(fmt.Sprintf("No connector reads from the session %q at %s any more, and the broker keeps messages in it: remove it there", id.ClientID, id.Endpoint),
			"connector", rec.Connector)
	}
}
