package admin

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

// verb does something to one connector.
type verb func(m connector.Manager, ctx context.Context, name string) (note string, err error)

// atOnce is how many connectors of a selector are worked on at a time.
const atOnce = 16

func (s *Server) delete(ctx context.Context, r *http.Request, body []byte) (reply, error) {
	expected, err := expected(r)
	if err != nil {
		return reply{}, err
	}
	if _, selects := selectorIn(body); selects && expected != nil {
		return reply{}, invalid("If-Match: it is the revision of one connector, and selector selects several: remove one")
	}
	discard, err := discards(body)
	if err != nil {
		return reply{}, err
	}
	return s.naming(func(m connector.Manager, ctx context.Context, name string) (string, error) {
		return m.Delete(ctx, name, connector.DeleteOptions{Expected: expected, DiscardWaiting: discard})
	})(ctx, r, body)
}

// discards reads discard_waiting of the body of delete.
func discards(body []byte) (discard bool, err error) {
	var given map[string]json.RawMessage
	if json.Unmarshal(body, &given) != nil || given["discard_waiting"] == nil {
		return false, nil // whoever reads the rest of the body says what is wrong
	}
	if json.Unmarshal(given["discard_waiting"], &discard) != nil {
		return false, invalid("discard_waiting must be true or false")
	}
	return discard, nil
}

// naming serves a route whose body is Chosen.
func (s *Server) naming(do verb) func(context.Context, *http.Request, []byte) (reply, error) {
	return func(ctx context.Context, r *http.Request, body []byte) (reply, error) {
		if raw, selects := selectorIn(body); selects {
			return s.selecting(ctx, r.URL.Path, do, raw, body)
		}
		name, err := name(body)
		if err != nil {
			return reply{}, err
		}
		note, err := do(s.manager, ctx, name)
		if err != nil {
			return reply{}, failed(name, err)
		}
		answer := reply{data: Success}
		if note != "" {
			answer.notes = []string{note}
		}
		return answer, nil
	}
}

// selectorIn is the selector of a body, which may be bad. RobustMQ's bodies have none.
func selectorIn(body []byte) (raw json.RawMessage, given bool) {
	var all map[string]json.RawMessage
	if json.Unmarshal(body, &all) != nil {
		return nil, false
	}
	raw = all["selector"]
	return raw, raw != nil && string(raw) != "null"
}

// selecting does something to every connector with the labels of a selector. It answers
// code 0 when it could try, whatever became of each.
func (s *Server) selecting(ctx context.Context, path string, do verb, raw json.RawMessage, body []byte) (reply, error) {
	given, err := fields(body)
	if err != nil {
		return reply{}, err
	}
	if err := lacking(body, given, "tenant"); err != nil {
		return reply{}, err
	}
	if named := given["connector_name"]; named != nil && string(named) != "null" {
		return reply{}, invalid("selector: it conflicts with connector_name: remove one")
	}
	var tenant, text string
	if json.Unmarshal(given["tenant"], &tenant) != nil {
		return reply{}, invalid("tenant must be a string")
	}
	if err := knownTenant(tenant); err != nil {
		return reply{}, err
	}
	if json.Unmarshal(raw, &text) != nil {
		return reply{}, invalid("selector must be a string")
	}
	selector, err := connector.ParseSelector(text)
	if err != nil {
		return reply{}, err
	}

	all := []Selected{}
	for _, status := range s.manager.List() {
		if selector.Matches(status.Labels) {
			all = append(all, Selected{ConnectorName: status.Name})
		}
	}
	if len(all) == 0 {
		return reply{data: all, notes: []string{"no connector has the labels " + text}}, nil
	}
	slices.SortFunc(all, func(a, b Selected) int { return strings.Compare(a.ConnectorName, b.ConnectorName) })
	places := make(chan struct{}, atOnce)
	var working sync.WaitGroup
	for i := range all {
		places <- struct{}{}
		working.Go(func() {
			defer func() { <-places }()
			s.doOne(ctx, path, do, &all[i])
		})
	}
	working.Wait()
	return reply{data: all}, nil
}

// doOne sets what becomes of one connector. One that panics fails alone.
func (s *Server) doOne(ctx context.Context, path string, do verb, one *Selected) {
	note, err := "", ctx.Err()
	if err == nil {
		func() {
			defer s.catch(&err, nil, "connector", one.ConnectorName)
			var done bool
			if note, done, err = s.atOwner(ctx, path, one.ConnectorName); !done {
				note, err = do(s.manager, ctx, one.ConnectorName)
			}
		}()
	}
	if err != nil {
		text := withoutUserInfo(failed(one.ConnectorName, err).text)
		one.Error = &text
		return
	}
	if note != "" {
		one.Notes = []string{withoutUserInfo(note)}
	}
}
