package supervisor

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

func TestLogsHoldNoSecretOfWhateverType(t *testing.T) {
	r := newRig(t)
	c := r.conn("c", "a", "t", `,"username":"ada","password":12345678,"sasl":[{"mechanism":"OAUTHBEARER","token":"tok-1","extensions":{"cluster":"lkc-9"}}]`)
	log := r.logger(&entry{lastError: &lastError{}}, c)
	log.Error("Logging in with 12345678", "error", errors.New("lkc-9 refused"), "token", "tok-1", "user", "ada")
	text := r.logs.String()
	assert.Contains(t, text, "Logging in with ***")
	assert.Contains(t, text, "*** refused")
	assert.Contains(t, text, "ada")
	for _, hidden := range []string{"12345678", "lkc-9", "tok-1"} {
		assert.NotContains(t, text, hidden)
	}
	assert.Equal(t, "***", hiding(connector.Settings{{Name: "password", Value: json.RawMessage(`77.50`)}}).Replace("77.50"))
}
