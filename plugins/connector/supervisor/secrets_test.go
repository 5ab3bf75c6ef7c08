package supervisor

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

// A user of the API does not learn the password of a connector by an update or a check
// that sends it to their own server.
func TestAStoredSecretIsNotSentToAnotherServer(t *testing.T) {
	r := newRig(t)
	r.create(r.conn("c", "in/#", "out", urls(r.broker.URL())+`,"username":"ada","password":"hush-hush"`))
	r.ready("c")
	before := r.List()

	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	var reached atomic.Bool
	go func() {
		if conn, err := ln.Accept(); err == nil {
			reached.Store(true)
			conn.Close()
		}
	}()
	moved := r.conn("c", "in/#", "out", urls("tcp://"+ln.Addr().String())+`,"username":"ada","password":"***"`)
	_, updating := r.Update(t.Context(), moved, connector.UpdateOptions{})
	_, checking := r.Check(t.Context(), moved)
	for _, err := range []error{updating, checking} {
		var invalid *connector.InvalidError
		require.ErrorAs(t, err, &invalid)
		assert.Equal(t, "config.password", invalid.Field)
		assert.True(t, strings.HasSuffix(invalid.Why, "and config.urls changes that: give the secret itself"), invalid.Why)
	}
	assert.False(t, reached.Load())
	assert.Equal(t, before, r.List(), "it runs as before")

	r.update(r.conn("c", "in/#", "out2", urls(r.broker.URL())+`,"username":"ada","password":"***"`), connector.UpdateOptions{})
	r.ready("c")
	assert.Equal(t, "hush-hush", r.find("c").stored(r.Supervisor).Connector.MQTT.Text("password"))
}

// The engine would not start the stream, so the definition is not accepted.
func TestASecretThatIsANumberIsAcceptedOnlyWhereItIsRead(t *testing.T) {
	r := newRig(t)
	for more, field := range map[string]string{
		`,"sasl":[{"mechanism":"PLAIN","username":"u","password":345678}]`:                  "config.sasl.0.password",
		`,"sasl":[{"mechanism":"OAUTHBEARER","token":345678}]`:                              "config.sasl.0.token",
		`,"sasl":[{"mechanism":"OAUTHBEARER","token":"t","extensions":{"c":345678}}]`:       "config.sasl.0.extensions.c",
		`,"tls":{"enabled":true,"client_certs":[{"cert":"c","key":"k","password":345678}]}`: "config.tls.client_certs.0.password",
		`,"urls":["ssl://localhost:8883"],"mqtt_tls":{"enabled":true,"root_cas":345678}`:    "config.mqtt_tls.root_cas",
		`,"sasl":[{"mechanism":"SCRAM-SHA-256","username":345678,"password":"p"}]`:          "config.sasl.0.username",
	} {
		_, err := r.Create(t.Context(), r.conn("c", "in/#", "out", more), connector.CreateOptions{})
		require.Equal(t, &connector.InvalidError{Field: field, Why: "must be text; put it in quotes"}, err)
	}
	r.create(r.conn("c", "in/#", "out", `,"username":"u","password":345678`))
	r.ready("c")
}

func TestUpdateKeepsSecretsThatComeBackRedacted(t *testing.T) {
	r := newRig(t)
	r.create(r.conn("c", "in/#", "out", `,"username":"u","password":"hush-hush"`))
	r.ready("c")
	shown := r.List()[0]
	assert.Contains(t, string(shown.Config), `"password":"***"`)
	_, err := r.Update(t.Context(), r.parse("c", "in/#", string(shown.Config), `{"strategy":"discard"}`), connector.UpdateOptions{})
	require.NoError(t, err)
	text, err := os.ReadFile(filepath.Join(r.dir, "connectors", "c.json"))
	require.NoError(t, err)
	assert.Contains(t, string(text), "hush-hush")
	assert.Contains(t, string(text), `"strategy": "discard"`)

	_, err = r.Create(t.Context(), r.parse("d", "in/#", string(shown.Config), `{"strategy":"discard"}`), connector.CreateOptions{})
	var invalid *connector.InvalidError
	require.ErrorAs(t, err, &invalid)
	assert.Equal(t, "config.password", invalid.Field)
	assert.NotContains(t, r.logs.String(), "hush-hush")
}
