package session

import "slices"

// held are the sides of all connectors. A session has one client id, so that few
// connectors have to be looked at to find who has it.
type held struct {
	sides map[string][]Side              // by connector
	users map[string]map[string]struct{} // the connectors that use a client id
}

func newHeld() held {
	return held{sides: make(map[string][]Side), users: make(map[string]map[string]struct{})}
}

// set replaces the sides of a connector; without any it has none.
func (h held) set(name string, sides ...Side) {
	for _, s := range h.sides[name] {
		users := h.users[s.ClientID]
		if delete(users, name); len(users) == 0 {
			delete(h.users, s.ClientID)
		}
	}
	if delete(h.sides, name); len(sides) > 0 {
		h.sides[name] = slices.Clone(sides)
	}
	for _, s := range sides {
		if h.users[s.ClientID] == nil {
			h.users[s.ClientID] = make(map[string]struct{}, 1)
		}
		h.users[s.ClientID][name] = struct{}{}
	}
}

// overlapping returns the connectors that have a session of the side.
func (h held) overlapping(side Side) (names []string) {
	for name := range h.users[side.ClientID] {
		if slices.ContainsFunc(h.sides[name], side.overlaps) {
			names = append(names, name)
		}
	}
	return names
}

// holder returns the connector that has a session, and the side with that session.
func (h held) holder(id ID) (name string, side Side, ok bool) {
	for name := range h.users[id.ClientID] {
		for _, s := range h.sides[name] {
			if slices.Contains(s.IDs(), id) {
				return name, s, true
			}
		}
	}
	return "", Side{}, false
}

// usedBeside reports whether a connector other than the named one uses a client id.
func (h held) usedBeside(name, clientID string) bool {
	users := h.users[clientID]
	_, own := users[name]
	return len(users) > 1 || len(users) == 1 && !own
}
