package admin

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// holders are callers of every kind, each by the token that it sends.
type holders struct {
	file   string
	tokens map[string]string // by name
}

func newHolders(t *testing.T) holders {
	h := holders{tokens: map[string]string{}}
	var entries strings.Builder
	for _, r := range []role{reader, operator, administrator} {
		for _, payloads := range []bool{false, true} {
			name := r.String()
			if payloads {
				name += "-payloads"
			}
			text, entry, err := NewToken(name, r.String(), payloads)
			require.NoError(t, err)
			h.tokens[name] = text
			entries.WriteString(entry)
		}
	}
	h.file = tokenFile(t, entries.String())
	return h
}

func (h holders) as(name string) func(*http.Request) { return bearer("Bearer " + h.tokens[name]) }

// openRoutes lets every route of a server answer at once, so that what refuses a call is
// the guard alone. Two are added: the table may have none that shows messages yet.
func openRoutes(s *Server) {
	s.paths["/messages"] = route{method: http.MethodGet, path: "/messages", role: reader, payloads: true}
	s.paths["/messages/send"] = route{method: http.MethodPost, path: "/messages/send", role: operator, payloads: true}
	for path, r := range s.paths {
		r.serve = nil
		r.handle = func(context.Context, *http.Request, []byte) (reply, error) {
			return reply{data: Success, notes: []string{openRouteNote}}, nil
		}
		s.paths[path] = r
	}
}

func TestEveryRouteRefusesWhoHasNotItsRole(t *testing.T) {
	all := newHolders(t)
	s := newServer(t, newMemory(), Options{TokensFile: all.file})
	openRoutes(s)
	h := s.Handler()
	refused, admitted := 0, 0
	for path, route := range s.paths {
		body := ""
		if route.method != http.MethodGet {
			body = nameOf("c")
		}
		for name, as := range map[string]func(*http.Request){
			"": bearer(""), "unknown": bearer("Bearer rmqc_" + strings.Repeat("A", 43)), "cut": bearer("Bearer " + all.tokens["admin"][:40]),
			"basic": bearer("Basic " + all.tokens["admin"]),
		} {
			w := ask(h, route.method, path, body, as)
			if route.role == anyone {
				assert.Equal(t, http.StatusOK, w.Code, "%s by %q", path, name)
				continue
			}
			refused++
			assert.Equal(t, http.StatusUnauthorized, w.Code, "%s by %q", path, name)
			assert.Contains(t, refusal(t, w), "this needs the header Authorization: Bearer TOKEN")
		}
		for _, r := range []role{reader, operator, administrator} {
			for name, payloads := range map[string]bool{r.String(): false, r.String() + "-payloads": true} {
				w := ask(h, route.method, path, body, all.as(name))
				switch {
				case r < route.role:
					refused++
					require.Equal(t, http.StatusForbidden, w.Code, "%s by %s", path, name)
					assert.Equal(t, path+" needs the role "+route.role.orMore()+`, and "`+name+`" has the role `+r.String(), refusal(t, w))
				case route.payloads && !payloads:
					refused++
					require.Equal(t, http.StatusForbidden, w.Code, "%s by %s", path, name)
					assert.Equal(t, path+` shows messages, and "`+name+`" may not see them: that needs payloads: true in the file of --api-tokens-file`, refusal(t, w))
				default:
					admitted++
					assert.Equal(t, http.StatusOK, w.Code, "%s by %s", path, name)
				}
			}
		}
	}
	assert.GreaterOrEqual(t, refused, 40)
	assert.GreaterOrEqual(t, admitted, 40)
	assert.Equal(t, "operate or admin", operator.orMore())
	assert.Equal(t, "admin", administrator.orMore())
}

// A route that changes something, or that uses stored secrets, is not for readers.
func TestOnlyReadingIsForTheRoleRead(t *testing.T) {
	for _, route := range newServer(t, newMemory(), Options{}).routes() {
		if route.method != http.MethodGet {
			assert.GreaterOrEqual(t, route.role, operator, route.path)
		}
		if route.role == anyone {
			assert.Contains(t, []string{PathHealth, PathReady, PathReadyConnectors}, route.path)
		}
	}
}

func TestSecretsAreSetByTheRoleAdminAlone(t *testing.T) {
	all := newHolders(t)
	m := newMemory()
	s := newServer(t, m, Options{TokensFile: all.file})
	h := s.Handler()
	literal := definitionOf("c", `{"bootstrap_servers":"h:1","topic":"t","sasl":[{"mechanism":"PLAIN","username":"u","password":"hush-hush"}]}`)
	object := strings.Replace(definitionOf("c", "CONFIG"), `"CONFIG"`, `{"Kafka":{"bootstrap_servers":"h:1","topic":"t","password":4711}}`, 1)
	twice := strings.Replace(object, `"config"`, `"config":{"password":"***"},"Config"`, 1)
	key := definitionOf("c", `{"bootstrap_servers":"h:1","topic":"t","mqtt_tls":{"client_certs":[{"cert":"-----BEGIN PRIVATE KEY-----"}]}}`)
	inList := `{"connectors":[` + literal + `]}`
	posts := 0
	for _, route := range s.routes() {
		if route.method == http.MethodGet || route.role > operator {
			continue
		}
		posts++
		for body, field := range map[string]string{
			literal: "config.sasl.0.password", object: "config.Kafka.password", twice: "config.Kafka.password",
			key: "config.mqtt_tls.client_certs.0.cert", inList: "config.sasl.0.password",
		} {
			w := ask(h, route.method, route.path, body, all.as("operate-payloads"))
			require.Equal(t, http.StatusForbidden, w.Code, route.path)
			assert.Equal(t, field+`: secrets are set by the role admin, and "operate-payloads" has the role operate: send *** to keep the stored secret`, refusal(t, w))
		}
	}
	assert.GreaterOrEqual(t, posts, 6)
	assert.Empty(t, m.all)

	read[string](t, ask(h, http.MethodPost, PathCreate, literal, all.as("admin")))
	kept := strings.Replace(literal, "hush-hush", "***", 1)
	for _, path := range []string{PathUpdate, PathCheck} {
		assert.Equal(t, http.StatusOK, ask(h, http.MethodPost, path, kept, all.as("operate")).Code, path)
	}
	assert.NotContains(t, ask(h, http.MethodGet, PathDetail+"?tenant=default&connector_name=c", "", all.as("read")).Body.String(), "hush-hush")
}

func TestASampleMessageMayLookLikeASecret(t *testing.T) {
	who := caller{name: "o", role: operator}
	payload, err := json.Marshal(`{"password":"x","config":{"password":"y"}}`)
	require.NoError(t, err)
	assert.Nil(t, checkSecrets([]byte(`{"password":"x","config":{"topic":"t"},"payload":`+string(payload)+`}`), who))
	for _, body := range []string{"", "{", `{"a"`, `{"a":`, `["config"`, `"config"`, "7", `{"config":{"password":`} {
		assert.Nil(t, checkSecrets([]byte(body), who), body)
	}
	assert.NotNil(t, checkSecrets([]byte(` [ {"a":[{"config":{"password":"x"}}]} ]`), who))
}

func TestAProbeTellsReasonsToWhoeverHasAToken(t *testing.T) {
	all := newHolders(t)
	m := newMemory()
	m.storeErr = context.DeadlineExceeded
	h := newServer(t, m, Options{TokensFile: all.file}).Handler()
	assert.Contains(t, refusal(t, ask(h, http.MethodGet, PathReady, "", all.as("read"))), "deadline exceeded")
	for _, as := range []func(*http.Request){bearer(""), bearer("Bearer x")} {
		assert.Equal(t, "not ready: send the token to learn why", refusal(t, ask(h, http.MethodGet, PathReady, "", as)))
	}
}
