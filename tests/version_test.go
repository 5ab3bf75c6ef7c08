package tests

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
	"github.com/robustmq/robustmq-connect/tests/program"
)

func TestAServiceAnswersWhatVersionPrints(t *testing.T) {
	address := program.FreeAddress(t)
	p := program.Start(t, address, "serve", "--store", t.TempDir(), "--listen", address)
	p.WaitReady()
	code, body := p.Get(admin.PathVersion)
	require.Equal(t, http.StatusOK, code)
	var answer admin.Answer[admin.Build]
	require.NoError(t, json.Unmarshal([]byte(body), &answer), body)
	b := answer.Data
	assert.NotEmpty(t, b.Commit)
	assert.Equal(t,
		fmt.Sprintf("robustmq-connect %s\ncommit:  %s\ngo:      %s\nbenthos: %s\nconnect: %s\n", b.Version, b.Commit, b.Go, b.Benthos, b.Connect),
		program.Call(t, "", nil, program.Path(t), "--version").Stdout)
}
