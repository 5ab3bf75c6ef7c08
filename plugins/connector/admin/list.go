package admin

import (
	"bytes"
	"cmp"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/robustmq"
)

// defaultLimit is RobustMQ's page size, also for limit=0.
const defaultLimit = 10

// query reads the parameters of a query string, each of which may be given once.
type query struct{ values url.Values }

func parseQuery(raw string, names ...string) (query, error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return query{}, badQuery("%v", err)
	}
	for _, name := range names {
		if len(values[name]) > 1 {
			return query{}, badQuery("duplicate field `%s`", name)
		}
	}
	// RobustMQ expects a list here, which a query string cannot express.
	if values.Has("filter_values") {
		return query{}, badQuery("filter_values is not taken: use connector_name")
	}
	return query{values}, nil
}

// connectorQuery takes the query string of a route that is about one connector, which may
// have the names beside it.
func connectorQuery(r *http.Request, names ...string) (q query, connector string, err error) {
	if q, err = parseQuery(r.URL.RawQuery, append(names, "tenant", "connector_name")...); err != nil {
		return q, "", err
	}
	tenant, err := q.required("tenant")
	if err != nil {
		return q, "", err
	}
	if connector, err = q.required("connector_name"); err != nil {
		return q, "", err
	}
	return q, connector, knownTenant(tenant)
}

// required reads a parameter that must be present; it may be empty.
func (q query) required(name string) (string, error) {
	if !q.values.Has(name) {
		return "", badQuery("missing field `%s`", name)
	}
	return q.values.Get(name), nil
}

// number reads a number of at least 0. Default: 0.
func (q query) number(name string) (int, error) {
	if !q.values.Has(name) {
		return 0, nil
	}
	n, err := strconv.ParseUint(q.values.Get(name), 10, 32)
	if err != nil {
		return 0, badQuery("%s: %q is not a number from 0 to 4294967295", name, q.values.Get(name))
	}
	return int(n), nil
}

// list answers one page of the connectors.
func list(rawQuery string, all []connector.Status) (List, error) {
	q, err := parseQuery(rawQuery, "tenant", "connector_name", "limit", "page", "sort_field", "sort_by", "selector")
	if err != nil {
		return List{}, err
	}
	limit, err := q.number("limit")
	if err != nil {
		return List{}, err
	}
	page, err := q.number("page")
	if err != nil {
		return List{}, err
	}
	if tenant := q.values.Get("tenant"); tenant != "" {
		if err := knownTenant(tenant); err != nil {
			return List{}, err
		}
	}

	var selector connector.Selector
	if q.values.Has("selector") {
		if selector, err = connector.ParseSelector(q.values.Get("selector")); err != nil {
			return List{}, err
		}
	}
	wanted := q.values.Get("connector_name")
	found := make([]connector.Status, 0, len(all))
	for _, s := range all {
		if (wanted == "" || s.Name == wanted) && selector.Matches(s.Labels) {
			found = append(found, s)
		}
	}
	sortConnectors(found, q.values.Get("sort_field"), q.values.Get("sort_by"))

	if limit == 0 {
		limit = defaultLimit
	}
	// The first page is 1; 0 means 1 too. Any 32-bit value is allowed: a limit is
	// reduced before it is multiplied by the page.
	limit = min(limit, len(found))
	from := min(max(page-1, 0)*limit, len(found))
	to := min(from+limit, len(found))
	rows := make([]Row, 0, to-from) // only these: a row is slow to make
	for _, s := range found[from:to] {
		rows = append(rows, row(s))
	}
	return List{Data: rows, TotalCount: len(found)}, nil
}

// sortConnectors keeps the order by name for rows with equal fields. As in RobustMQ, an
// unknown field does not sort, and every order except asc means desc.
func sortConnectors(all []connector.Status, field, by string) {
	byName := func(a, b connector.Status) int { return cmp.Compare(a.Name, b.Name) }
	if !slices.IsSortedFunc(all, byName) {
		slices.SortStableFunc(all, byName)
	}
	value := map[string]func(connector.Status) string{
		"tenant":         func(s connector.Status) string { return s.Tenant },
		"connector_name": func(s connector.Status) string { return s.Name },
		"connector_type": func(s connector.Status) string { return s.Type },
		"topic_name":     func(s connector.Status) string { return s.TopicID },
		"status":         connector.Status.Word,
		"state":          func(s connector.Status) string { return string(s.State) },
		"broker_id":      brokerID,
		"worker":         func(s connector.Status) string { return s.Worker },
		"create_time":    func(s connector.Status) string { return localTime(s.CreateTime) },
		"update_time":    func(s connector.Status) string { return localTime(s.UpdateTime) },
	}[field]
	if value == nil {
		return
	}
	slices.SortStableFunc(all, func(a, b connector.Status) int {
		order := cmp.Compare(value(a), value(b))
		if by != "asc" {
			order = -order
		}
		return order
	})
}

// brokerID names the node that runs a connector, as RobustMQ does. This service is one.
func brokerID(s connector.Status) string {
	if s.Word() == connector.WordRunning {
		return "1"
	}
	return "-"
}

func row(s connector.Status) Row {
	return Row{
		Tenant: s.Tenant, ConnectorName: s.Name, ConnectorType: s.Type,
		Config: withoutUserInfo(listedConfig(s)), TopicName: s.TopicID,
		Status: s.Word(), BrokerID: brokerID(s),
		CreateTime: localTime(s.CreateTime), UpdateTime: localTime(s.UpdateTime),
		FailureStrategy: strategyOf(s.FailureStrategy), Labels: s.Labels,
		State: string(s.State), WaitsFor: waitsOf(s.Waits), Buffer: bufferOf(s.Buffer), Reason: withoutUserInfo(s.Reason),
		placement: placementOf(s),
	}
}

// listedConfig writes a config in the form of RobustMQ's list, wrapped and filled with
// defaults, so that readers of RobustMQ's answers can read ours. Settings that RobustMQ
// does not have follow its ten.
//
// Filled-in defaults are ignored when the row is created again: inside the wrapping,
// connector.Parse and connector.Pipeline treat a value equal to RobustMQ's default as
// not given, and our default applies. So a connector created from a row runs like the
// original. As a consequence, a user's own acks "1" looks like a filled-in one; detail
// has the original config, so exact copies start there.
//
// A source, which RobustMQ does not have, is listed as it was given.
func listedConfig(s connector.Status) string {
	if s.Type == connector.TypeKafkaSource {
		return givenConfig(s.Config)
	}
	given, err := kafkaSettings(s.Config)
	if err != nil {
		return string(s.Config) // not ours: nothing that a manager hands out
	}
	given = maps.Clone(given)
	var b bytes.Buffer
	b.WriteString(`{"Kafka":{`)
	add := func(name string, value []byte) {
		if b.Bytes()[b.Len()-1] != '{' {
			b.WriteByte(',')
		}
		b.WriteString(quote(name) + ":")
		_ = json.Compact(&b, value) // it was read as JSON above
	}
	for _, field := range robustmq.Fields {
		value := []byte(field.Default)
		if own, ok := given[field.Name]; ok && string(own) != "null" {
			value = own
		}
		add(field.Name, value)
		delete(given, field.Name)
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		add(name, given[name])
	}
	b.WriteString("}}")
	return b.String()
}

// givenConfig returns a config as it was given, as one line of text.
func givenConfig(config json.RawMessage) string {
	var text string
	if json.Unmarshal(config, &text) == nil {
		return text
	}
	var b bytes.Buffer
	if json.Compact(&b, config) != nil {
		return string(config)
	}
	return b.String()
}

func quote(s string) string {
	b, _ := json.Marshal(s) // a string always marshals
	return string(b)
}
