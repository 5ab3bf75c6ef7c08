package connector

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestKeepSecretsRestoresRedactedSecrets(t *testing.T) {
	stored := parsed(t, withKafka(withSecrets))
	shown := stored
	shown.Config = RedactConfig(stored.Config)
	for _, form := range []json.RawMessage{shown.Config, json.RawMessage(`{"Kafka":` + string(shown.Config) + `}`)} {
		given := shown
		given.Config = form
		again := parsed(t, string(given.JSON()))
		kept, err := KeepSecrets(again, stored)
		require.NoError(t, err)
		assert.Equal(t, stored.MQTT, kept.MQTT)
		assert.Equal(t, stored.Kafka.More, kept.Kafka.More)
	}
}

func TestKeepSecretsRefusesASecretThatIsNotStored(t *testing.T) {
	given := parsed(t, withKafka(`"username":"ada","password":"***"`))
	for _, stored := range []Connector{{}, parsed(t, withKafka(""))} {
		_, err := KeepSecrets(given, stored)
		var invalid *InvalidError
		require.ErrorAs(t, err, &invalid)
		assert.Equal(t, "config.password", invalid.Field)
	}
	// A Kafka key *** is not a secret.
	_, err := KeepSecrets(parsed(t, withKafka(`"key":"***"`)), Connector{})
	assert.NoError(t, err)
}

// A user who may update a connector must not learn its passwords: *** keeps the secret
// only if it is sent to the same servers in the same way.
func TestKeepSecretsRefusesToSendASecretElsewhere(t *testing.T) {
	const (
		mqtt  = `"urls":["ssl://a:8883","ssl://b:8883"],"username":"ada","password":"mqtt-pw","mqtt_tls":{"enabled":true}`
		kafka = `"tls":{"enabled":true,"root_cas":"ca"},"sasl":[{"mechanism":"SCRAM-SHA-256","username":"bob","password":"sasl-pw"}]`
		dead  = `{"strategy":"dead_message_queue","topic_name":"dead","bootstrap_servers":"dead:9092"}`
	)
	described := func(change ...string) Connector {
		text := strings.TrimSuffix(withConfig(`{"bootstrap_servers":"k1:9092,k2:9092","topic":"t",`+mqtt+","+kafka+`}`), "}") + `,"failure_strategy":` + dead + `}`
		return parsed(t, strings.NewReplacer(change...).Replace(text))
	}
	stored := described()
	for _, c := range []struct{ name, from, to, field, changed string }{
		{"another broker", `"ssl://b:8883"`, `"ssl://evil:8883"`, "password", "config.urls"},
		{"one broker more", `"ssl://b:8883"`, `"ssl://b:8883,ssl://evil:8883"`, "password", "config.urls"},
		{"another port", `"ssl://b:8883"`, `"ssl://b:8884"`, "password", "config.urls"},
		{"without encryption", `"ssl://b:8883"`, `"tcp://b:8883"`, "password", "config.urls"},
		{"to the service's own broker", `"urls":["ssl://a:8883","ssl://b:8883"],`, ``, "password", "config.urls"},
		{"another user", `"username":"ada"`, `"username":"eve"`, "password", "config.username"},
		{"without a user", `"username":"ada",`, ``, "password", "config.username"},
		{"trusting anybody", `"mqtt_tls":{"enabled":true}`, `"mqtt_tls":{"enabled":true,"skip_cert_verify":true}`, "password", "config.mqtt_tls"},
		{"without TLS", `,"mqtt_tls":{"enabled":true}`, ``, "password", "config.mqtt_tls"},
		{"another seed broker", `k2:9092`, `evil:9092`, "sasl.0.password", "config.bootstrap_servers"},
		{"one seed broker more", `k2:9092`, `k2:9092,evil:9092`, "sasl.0.password", "config.bootstrap_servers"},
		{"dead letters elsewhere", `dead:9092`, `evil:9092`, "sasl.0.password", "failure_strategy.bootstrap_servers"},
		{"another authority", `"root_cas":"ca"`, `"root_cas":"mine"`, "sasl.0.password", "config.tls"},
		{"a mechanism that sends it in clear", `SCRAM-SHA-256`, `PLAIN`, "sasl.0.password", "config.sasl.0"},
		{"another Kafka user", `"username":"bob"`, `"username":"eve"`, "sasl.0.password", "config.sasl.0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			given := described(c.from, c.to, "mqtt-pw", "***", "sasl-pw", "***")
			require.NotEqual(t, described("mqtt-pw", "***", "sasl-pw", "***"), given)
			_, err := KeepSecrets(given, stored)
			var invalid *InvalidError
			require.ErrorAs(t, err, &invalid)
			assert.Equal(t, &InvalidError{
				Field: "config." + c.field,
				Why:   "*** keeps the stored secret only while it is sent to the same servers with the same login, and " + c.changed + " changes that: give the secret itself",
			}, invalid)
		})
	}
}

// Changes that do not redirect the secret keep it: fewer servers, another client
// certificate, a changed topic.
func TestKeepSecretsAllowsOtherChanges(t *testing.T) {
	const config = `{"bootstrap_servers":"k1:9092,k2:9092","topic":"t","urls":["ssl://a:8883, ssl://b:8883"],"username":"ada","password":"mqtt-pw",` +
		`"mqtt_tls":{"enabled":true,"client_certs":[{"cert":"c","key":"mqtt-key"}]},"sasl":[{"mechanism":"PLAIN","username":"bob","password":"sasl-pw"}]}`
	stored := parsed(t, withConfig(config))
	for _, change := range [][]string{
		{"k1:9092,k2:9092", "K2:9092"},
		{"ssl://a:8883, ssl://b:8883", "ssl://b:8883"},
		{`"topic":"t"`, `"topic":"other","client_id":"mine"`},
		{`"cert":"c","key":"mqtt-key"`, `"cert":"c2","key":"key2"`},
	} {
		kept, err := KeepSecrets(parsed(t, withConfig(strings.NewReplacer(append(change, "mqtt-pw", "***", "sasl-pw", "***")...).Replace(config))), stored)
		require.NoError(t, err)
		assert.Equal(t, parsed(t, withConfig(strings.NewReplacer(change...).Replace(config))), kept)
	}
	// A private key is never sent.
	moved := strings.NewReplacer("ssl://a:8883", "ssl://new:8883", "mqtt-key", "***").Replace(config)
	kept, err := KeepSecrets(parsed(t, withConfig(moved)), stored)
	require.NoError(t, err)
	assert.Contains(t, string(kept.Config), `"key":"mqtt-key"`)
}
