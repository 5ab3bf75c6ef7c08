package admin

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestVersionIsWhatTheProgramWasBuiltFrom(t *testing.T) {
	built := Build{Version: "v1.2.3", Commit: "abc", Go: "go1.26", Benthos: "v4.1.0", Connect: "v4.2.0"}
	h := newServer(t, newMemory(), Options{Build: built}).Handler()
	w := ask(h, http.MethodGet, PathVersion, "")
	assert.Equal(t, `{"code":0,"data":{"version":"v1.2.3","commit":"abc","go":"go1.26","benthos":"v4.1.0","connect":"v4.2.0"},"error":null}`, w.Body.String())
}
