package admin

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

// Revision is a definition that a connector has or had. A history has the latest
// first.
type Revision struct {
	Revision int    `json:"revision"`
	Current  bool   `json:"current"`         // the connector has it now
	Time     string `json:"time"`            // RFC 3339, in UTC; "" where it is not known
	Actor    string `json:"actor,omitempty"` // who made it, where that is known
	// Definition has *** in the place of each secret.
	Definition *Definition `json:"definition,omitempty"`
	// Unreadable says why it has no definition, and cannot be restored.
	Unreadable string `json:"unreadable,omitempty"`
}

// Rollback is the body of rollback.
type Rollback struct {
	Tenant        string `json:"tenant"`
	ConnectorName string `json:"connector_name"`
	Revision      int    `json:"revision"` // one of the history
	// DiscardWaiting is as that of Change.
	DiscardWaiting bool `json:"discard_waiting,omitempty"`
}

func (s *Server) history(_ context.Context, r *http.Request, _ []byte) (reply, error) {
	_, name, err := connectorQuery(r)
	if err != nil {
		return reply{}, err
	}
	status, _, err := s.manager.Detail(name)
	if err != nil {
		return reply{}, failed(name, err)
	}
	found, err := s.manager.History(name)
	if err != nil {
		return reply{}, failed(name, err)
	}
	all := make([]Revision, 0, len(found))
	for _, f := range found {
		one := Revision{Revision: f.Number, Current: f.Number == status.Revision, Actor: f.Actor}
		if !f.Time.IsZero() {
			one.Time = f.Time.UTC().Format(time.RFC3339)
		}
		if f.Unreadable != nil {
			one.Unreadable = f.Unreadable.Error()
		} else {
			one.Definition = describe(f.Connector)
		}
		all = append(all, one)
	}
	return reply{data: all, revision: status.Revision}, nil
}

// describe is the definition of a connector whose config has no secrets.
func describe(c connector.Connector) *Definition {
	// A string and a struct of strings and numbers always marshal.
	config, _ := json.Marshal(withoutUserInfo(givenConfig(c.Config)))
	strategy, _ := json.Marshal(strategyOf(c.FailureStrategy))
	return &Definition{
		ConnectorName: c.Name, ConnectorType: cmp.Or(c.Type, connector.TypeKafka), Config: config, FailureStrategy: strategy,
		Tenant: connector.DefaultTenant, TopicName: c.TopicID, Labels: c.Labels,
	}
}

func (s *Server) rollback(ctx context.Context, r *http.Request, body []byte) (reply, error) {
	name, given, err := nameAnd(body, "revision")
	if err != nil {
		return reply{}, err
	}
	var to int
	var how connector.UpdateOptions
	for field, value := range given {
		switch field {
		case "tenant", "connector_name":
		case "revision":
			if json.Unmarshal(value, &to) != nil || to < 1 {
				return reply{}, invalid("revision must be a whole number from 1, one of the history")
			}
		case "discard_waiting":
			if json.Unmarshal(value, &how.DiscardWaiting) != nil {
				return reply{}, invalid("discard_waiting must be true or false")
			}
		default:
			return reply{}, invalid(fmt.Sprintf("unknown field %q: a rollback has tenant, connector_name, revision and discard_waiting", field))
		}
	}
	if how.Expected, err = expected(r); err != nil {
		return reply{}, err
	}
	result, err := s.manager.Rollback(ctx, name, to, how)
	return changed(name, result, err)
}

// expected reads If-Match: * or a list of revisions in quotes, as an ETag gives them.
// A proxy that compresses answers makes W/"7" of "7"; it is the same revision.
func expected(r *http.Request) (connector.Expected, error) {
	header := strings.Join(r.Header.Values("If-Match"), ",")
	if text := strings.TrimSpace(header); text == "" && r.Header.Values("If-Match") == nil || text == "*" {
		return nil, nil
	}
	var all connector.Expected
	for item := range strings.SplitSeq(header, ",") {
		tag := strings.TrimPrefix(strings.TrimSpace(item), "W/")
		n, err := strconv.Atoi(strings.Trim(tag, `"`))
		if err != nil || n < 1 || tag != etag(n) {
			return nil, invalid(fmt.Sprintf(`If-Match: %q is no revision: give the ETag of detail, "7" with its quotes, or *`, header))
		}
		all = append(all, n)
	}
	return all, nil
}

func etag(revision int) string { return strconv.Quote(strconv.Itoa(revision)) }

func setRevision(w http.ResponseWriter, revision int) {
	if revision > 0 {
		w.Header().Set("ETag", etag(revision))
	}
}
