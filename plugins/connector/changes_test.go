package connector

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestChangesAreTheFieldsThatDiffer(t *testing.T) {
	const secrets = `"sasl":[{"mechanism":"PLAIN","password":"one"}],"password":"mqtt-one","urls":["tcp://a:1","tcp://b:1"],"mqtt_tls":{}`
	before := parsed(t, withKafka(secrets))
	for name, test := range map[string]struct {
		from, to string
		want     []FieldChange
	}{
		"nothing":        {"topic", "topic", nil},
		"another order":  {`"sasl":[{"mechanism":"PLAIN","password":"one"}],"password":"mqtt-one"`, `"password":"mqtt-one","sasl":[{"password":"one","mechanism":"PLAIN"}]`, nil},
		"null is absent": {`"password":"mqtt-one"`, `"password":"mqtt-one","key":null`, nil},
		"a secret":       {"mqtt-one", "mqtt-two", []FieldChange{{"config.password", raw(`"***"`), raw(`"***"`), true}}},
		"a secret of a list": {`"password":"one"`, `"password":"two"`, []FieldChange{
			{"config.sasl.0.password", raw(`"***"`), raw(`"***"`), true},
		}},
		"one item less":   {`,"tcp://b:1"`, ``, []FieldChange{{"config.urls.1", raw(`"tcp://b:1"`), nil, false}}},
		"one field more":  {`"mqtt_tls":{}`, `"mqtt_tls":{"enabled":true}`, []FieldChange{{"config.mqtt_tls", raw(`{}`), nil, false}, {"config.mqtt_tls.enabled", nil, raw(`true`), false}}},
		"the filter":      {`"topic_name":"a/b"`, `"topic_name":"b"`, []FieldChange{{"topic_name", raw(`"a/b"`), raw(`"b"`), false}}},
		"a number's type": {`"mqtt_tls":{}`, `"mqtt_tls":{},"retries":3`, []FieldChange{{"config.retries", nil, raw(`3`), false}}},
	} {
		text := compactJSON(t, string(before.JSON()))
		assert.Contains(t, text, test.from, name)
		after := parsed(t, strings.Replace(text, test.from, test.to, 1))
		assert.Equal(t, test.want, Changes(before, after), name)
	}
}

func TestOfANewConnectorEveryFieldChanges(t *testing.T) {
	c := parsed(t, withKafka(`"password":"hush"`))
	all := Changes(Connector{}, c)
	var fields []string
	for _, f := range all {
		assert.Nil(t, f.Before)
		assert.NotContains(t, string(f.After), "hush")
		fields = append(fields, f.Field)
	}
	assert.Subset(t, fields, []string{"config.bootstrap_servers", "config.password", "config.topic", "connector_type", "failure_strategy.strategy", "topic_name"})
	assert.NotContains(t, fields, "connector_name")
	assert.NotContains(t, fields, "create_time")

	// How it stands and who has it is no difference.
	stored := c
	stored.Status, stored.CreateTime, stored.UpdateTime, stored.Tenant = "Stop", "a", "b", "default"
	stored.FailureStrategy = &FailureStrategy{Strategy: "block"}
	assert.Empty(t, Changes(stored, c))
}

func raw(text string) json.RawMessage { return json.RawMessage(text) }

func compactJSON(t *testing.T, text string) string {
	t.Helper()
	v, err := readValue(json.RawMessage(text))
	require.NoError(t, err)
	out, err := v.MarshalJSON()
	require.NoError(t, err)
	return string(out)
}
