package console

import (
	"encoding/json"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
)

// formOf is what the form of a new connector sends.
func formOf(name string, more url.Values) url.Values {
	form := url.Values{
		"as": {"form"}, "connector_name": {name}, "topic_name": {"a/#"}, "config.bootstrap_servers": {"localhost:9092"},
		"config.topic": {"t"}, "failure_strategy.strategy": {"block"},
	}
	for key, values := range more {
		form[key] = values
	}
	return form
}

func TestAConnectorIsCreatedByTheForm(t *testing.T) {
	r := newRig(t, admin.Options{})
	assert.Equal(t, http.StatusOK, r.get(pathEdit).Code)
	r.fleet.notes = []string{"a note about acks"}
	w := r.send(pathEdit, formOf("c", url.Values{
		"do": {"save"}, "paused": {"true"}, "config.key": {noText}, "config.linger_ms": {"5"}, "config.qos": {"2"},
		"config.urls": {"tcp://a:1883, tcp://b:1883"}, "config.clean_session": {"false"}, "config.sasl": {"- mechanism: PLAIN\n  username: u\n  password: p"},
	}))
	require.Equal(t, http.StatusSeeOther, w.Code, w.Body)
	assert.Equal(t, "/console/connector?name=c", w.Header().Get("Location"))
	assert.JSONEq(t, `{"bootstrap_servers":"localhost:9092","topic":"t","key":"","linger_ms":5,"qos":2,"clean_session":false,
		"urls":["tcp://a:1883","tcp://b:1883"],"sasl":[{"mechanism":"PLAIN","username":"u","password":"***"}]}`, string(r.fleet.all["c"].Config))
	assert.Equal(t, connector.Paused, r.fleet.all["c"].State)
	page := r.get("/console/connector?name=c").Body.String()
	assert.Contains(t, page, "The connector c is created.")
	assert.Contains(t, page, "a note about acks")
	assert.NotContains(t, r.get("/console/connector?name=c").Body.String(), "is created", "it is told once")
}

func TestWhatIsWrongStandsUnderItsField(t *testing.T) {
	r := newRig(t, admin.Options{})
	r.add("taken", plainConfig)
	r.get(pathEdit)
	for name, one := range map[string]struct {
		form         url.Values
		field, error string
	}{
		"a number that is none":    {url.Values{"config.linger_ms": {"soon"}}, "config.linger_ms", "number"},
		"a number out of range":    {url.Values{"config.linger_ms": {"60001"}}, "config.linger_ms", "60000"},
		"a name that is taken":     {url.Values{"connector_name": {"taken"}}, "connector_name", "exists"},
		"no name":                  {url.Values{"connector_name": {""}}, "connector_name", "must be given"},
		"no topic":                 {url.Values{"config.topic": {" "}}, "config.topic", "must be given"},
		"a login in a URL":         {url.Values{"config.urls": {"tcp://u:p@b:1883"}}, "config.urls", "holds a login"},
		"YAML that is none":        {url.Values{"config.sasl": {"{"}}, "config.sasl", "reading it"},
		"a strategy of nobody":     {url.Values{"failure_strategy.strategy": {"hope"}}, "failure_strategy.strategy", "is not one of"},
		"a number of the strategy": {url.Values{"failure_strategy.strategy": {"discard_after_retry"}, "failure_strategy.retry_total_times": {"0"}}, "failure_strategy.retry_total_times", ""},
		"a switch":                 {url.Values{"config.clean_session": {`true,"x":1`}}, "config.clean_session", "must be true or false"},
	} {
		w := r.send(pathValidate, formOf("c", one.form))
		require.Equal(t, http.StatusOK, w.Code, w.Body)
		var found judgement
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &found))
		if assert.Contains(t, found.Fields, one.field, "%s: %s", name, w.Body) {
			assert.Contains(t, found.Fields[one.field], one.error, name)
		}
		form := formOf("c", one.form)
		form.Set("do", "save")
		page := r.send(pathEdit, form)
		assert.Equal(t, http.StatusUnprocessableEntity, page.Code, name)
		assert.Contains(t, page.Body.String(), `<div class="field wrong" data-field="`+one.field+`">`, name)
	}
	assert.Empty(t, r.fleet.changes())

	r.fleet.wrong = &connector.InvalidError{Field: "config.mqtt_tls.root_cas_file", Why: "no such file"}
	var found judgement
	require.NoError(t, json.Unmarshal(r.send(pathValidate, formOf("c", nil)).Body.Bytes(), &found))
	assert.Equal(t, map[string]string{"config.mqtt_tls": "root_cas_file: no such file"}, found.Fields)
}

func TestADefinitionGoesFromTheFormToYAMLAndBackUnchanged(t *testing.T) {
	r := newRig(t, admin.Options{})
	config := `{"bootstrap_servers":"localhost:9092","topic":"${! @mqtt_topic }","key":"","acks":"1","batch_size":16384,"retries":3,
		"urls":["ssl://a:8883"],"username":"u","password":"secret","qos":0,"clean_session":true,"keepalive":0,"connect_timeout":"5s",
		"mqtt_tls":{"enabled":true,"root_cas":"-----BEGIN\nX\n"},"format":"raw","idempotent_write":false,"disk_buffer":{},
		"sasl":[{"mechanism":"PLAIN","password":"123","username":"007"}]}`
	r.add("c", config)
	form := readForm(r.get(pathEdit + "?name=c").Body.String())
	assert.Equal(t, "***", form.Get("config.password"))
	assert.Equal(t, noText, form.Get("config.key"))
	form.Set("do", "yaml")
	yamlForm := readForm(r.send(pathEdit, form).Body.String())
	assert.Equal(t, "yaml", yamlForm.Get("as"))
	assert.Contains(t, yamlForm.Get("yaml"), `username: "007"`)
	yamlForm.Set("do", "form")
	again := readForm(r.send(pathEdit, yamlForm).Body.String())
	form.Del("do")
	assert.Equal(t, form, again)

	again.Set("do", "save")
	w := r.send(pathEdit, again)
	require.Equal(t, http.StatusSeeOther, w.Code, w.Body)
	assert.JSONEq(t, string(connector.RedactConfig(json.RawMessage(config))), string(r.fleet.all["c"].Config))
}

// readForm takes what a browser would send of the form of a page.
func readForm(page string) url.Values {
	form := url.Values{}
	_, page, _ = strings.Cut(page, `id="edit"`)
	for _, in := range regexp.MustCompile(`<input [^>]*>`).FindAllString(page, -1) {
		name := regexp.MustCompile(` name="([^"]*)"`).FindStringSubmatch(in)
		value := regexp.MustCompile(` value="([^"]*)"`).FindStringSubmatch(in)
		if name != nil && value != nil && !strings.Contains(in, "checkbox") {
			form.Set(name[1], html.UnescapeString(value[1]))
		}
	}
	for _, area := range regexp.MustCompile(`(?s)<textarea [^>]*name="([^"]*)"[^>]*>(.*?)</textarea>`).FindAllStringSubmatch(page, -1) {
		form.Set(area[1], html.UnescapeString(area[2]))
	}
	for _, choice := range regexp.MustCompile(`(?s)<select [^>]*name="([^"]*)"[^>]*>(.*?)</select>`).FindAllStringSubmatch(page, -1) {
		value := ""
		if on := regexp.MustCompile(` selected>([^<]*)<`).FindStringSubmatch(choice[2]); on != nil {
			value = html.UnescapeString(on[1])
		}
		form.Set(choice[1], value)
	}
	return form
}

func TestAChangeOfAnOlderRevisionIsAConflictThatLosesNothing(t *testing.T) {
	r := newRig(t, admin.Options{})
	r.add("c", plainConfig)
	form := readForm(r.get(pathEdit + "?name=c").Body.String())
	assert.Equal(t, `"1"`, form.Get("revision"))
	r.add("c", plainConfig) // somebody else
	form.Set("config.topic", "mine")
	form.Set("do", "save")
	w := r.send(pathEdit, form)
	assert.Equal(t, http.StatusUnprocessableEntity, w.Code)
	assert.Contains(t, w.Body.String(), "Somebody else has changed this connector.")
	assert.Equal(t, "mine", readForm(w.Body.String()).Get("config.topic"))
	assert.Equal(t, 2, r.fleet.all["c"].Revision)
}

func TestCheckTriesBothEndsAndShowsWhatItFound(t *testing.T) {
	r := newRig(t, admin.Options{})
	r.get(pathEdit)
	body := r.send(pathEdit, formOf("c", url.Values{"do": {"check"}})).Body.String()
	assert.Contains(t, body, "<strong>mqtt</strong>: reached")
	assert.Contains(t, body, "<strong>kafka</strong>: dial tcp: connection refused")
	assert.Empty(t, r.fleet.changes())
}

func TestEveryFieldOfADefinitionIsInTheFormAndDescribed(t *testing.T) {
	fields := map[string]field{}
	for _, s := range formSections() {
		for _, f := range s.Fields {
			assert.NotEmpty(t, f.Help, f.Name)
			assert.NotContains(t, fields, f.Name)
			fields[f.Name] = f
		}
	}
	for _, name := range connector.ConfigFields() {
		assert.Contains(t, fields, "config."+name)
	}
	assert.GreaterOrEqual(t, len(fields), 30)
}
