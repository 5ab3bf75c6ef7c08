//go:build integration

package attack

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
)

func marshal(t *testing.T, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	require.NoError(t, err)
	return data
}

// refusedBody is an attack by a body that create, update, delete and check refuse.
func refusedBody(name string, body []byte) attack {
	return attack{"a body: " + name, func(t *testing.T, s *service) {
		for _, path := range []string{admin.PathCreate, admin.PathUpdate, admin.PathDelete, admin.PathCheck, admin.PathPause, admin.PathResume} {
			status, text, err := s.request(http.MethodPost, path, body, nil)
			if err != nil {
				// The rest of a body over the limit is not read.
				assert.Greater(t, len(body), 1<<20, "%s: %s", path, err)
				continue
			}
			assert.GreaterOrEqual(t, status, 400, "%s: %.300s", path, text)
			assert.Less(t, status, 500, "%s: %.300s", path, text)
			assert.Contains(t, text, `"code":100`, path)
			assert.Less(t, len(text), 4096, "the answer repeats the body")
		}
	}}
}

func nested(opening, closing string, depth int) []byte {
	return []byte(`{"connector_name":"attack","config":` + strings.Repeat(opening, depth) + "1" + strings.Repeat(closing, depth) + `}`)
}

func requestAttacks() (all []attack) {
	for name, body := range map[string][]byte{
		"nothing":                   {},
		"null":                      []byte("null"),
		"a list":                    []byte("[]"),
		"a number of 60,000 digits": []byte(`{"connector_name":` + strings.Repeat("9", 60_000) + `}`),
		"lists, 9,990 deep":         nested("[", "]", 9_990),
		"objects, 9,990 deep":       nested(`{"a":`, "}", 9_990),
		"lists, 30,000 deep":        nested("[", "]", 30_000),
		"60 KB of names":            []byte("{" + strings.TrimSuffix(strings.Repeat(`"a":1,`, 10_000), ",") + "}"),
		"100 MB":                    bytes.Repeat([]byte("a"), 100<<20),
		"100 MB of blanks":          bytes.Repeat([]byte(" "), 100<<20),
		"zero bytes":                make([]byte, 1000),
		"invalid UTF-8":             []byte("{\"connector_name\":\"\xff\xfe\"}"),
		"half a surrogate":          []byte(`{"connector_name":"\ud800"}`),
		"a name twice":              []byte(`{"connector_name":"a","connector_name":"b"}`),
		"two objects":               []byte(`{}{}`),
		"an unknown field":          []byte(`{"connector_name":"a","__proto__":{}}`),
		"a byte order mark":         []byte("\ufeff{}"),
		"YAML":                      []byte("connector_name: a\n"),
		"XML with an entity":        []byte(`<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>`),
		"exponents":                 []byte(`{"connector_name":1e999999999}`),
		"escapes":                   []byte(`{"connector_name":"` + strings.Repeat(`\u0000`, 9_000) + `"}`),
	} {
		all = append(all, refusedBody(name, body))
	}

	for name, header := range map[string]http.Header{
		"no token":              {"Authorization": nil},
		"another token":         {"Authorization": {"Bearer nope"}},
		"the token's beginning": {"Authorization": {"Bearer " + token[:len(token)-1]}},
		"the token and more":    {"Authorization": {"Bearer " + token + "x"}},
		"basic":                 {"Authorization": {"Basic " + token}},
		"a token of 900 KB":     {"Authorization": {"Bearer " + strings.Repeat("a", 900_000)}},
		"two tokens":            {"Authorization": {"Bearer nope", "Bearer " + token}},
		"a forwarded address":   {"Authorization": nil, "X-Forwarded-For": {"127.0.0.1"}, "X-Real-Ip": {"127.0.0.1"}},
	} {
		all = append(all, attack{"login: " + name, func(t *testing.T, s *service) {
			for _, route := range []struct{ method, path string }{
				{"GET", admin.PathList},
				{"GET", admin.PathDetail},
				{"POST", admin.PathCreate},
				{"POST", admin.PathUpdate},
				{"POST", admin.PathDelete},
				{"POST", admin.PathPause},
				{"POST", admin.PathResume},
				{"POST", admin.PathCheck},
				{"GET", admin.PathMetrics},
			} {
				status, text, err := s.request(route.method, route.path, nil, header)
				if err != nil {
					assert.Contains(t, name, "KB", "%s: %s", route.path, err)
					continue
				}
				assert.Contains(t, []int{http.StatusUnauthorized, http.StatusRequestHeaderFieldsTooLarge}, status, "%s: %.200s", route.path, text)
				assert.NotContains(t, text, "healthy")
			}
		}})
	}

	for name, target := range map[string]string{
		"two dots": "/api/cluster/connector/../../../etc/passwd", "two dots in escapes": "/api/cluster/connector/%2e%2e/%2e%2e/etc/passwd",
		"a name of two dots": "/ready/..%2f..%2fstore", "a zero byte": "/ready/%00", "an endless name": "/ready/" + strings.Repeat("a", 60_000), "pprof": "/debug/pprof/heap", "another version": "/api/v2/x",
		"a page of negative size": admin.PathList + "?limit=-1&page=-1", "a page beyond all": admin.PathList + "?limit=9223372036854775807&page=9223372036854775807", "a sort by nothing": admin.PathList + "?sort_field=%00&sort_by=drop",
		"a broken escape": "/ready/%zz", "a thousand queries": admin.PathList + "?" + strings.Repeat("a=1&", 1000),
	} {
		all = append(all, attack{"path: " + name, func(t *testing.T, s *service) {
			text := s.raw(t, "GET "+target+" HTTP/1.1\r\nHost: HERE\r\nAuthorization: Bearer "+token+"\r\nConnection: close\r\n\r\n")
			assert.Regexp(t, `^HTTP/1\.[01] (200|30\d|40\d|414|431) `, text)
			assert.NotContains(t, text, "root:")
			assert.NotContains(t, text, secretValue)
			assert.NotContains(t, text, "goroutine")
		}})
	}
	for name, request := range map[string]string{
		"two lengths":                       "POST " + admin.PathCreate + " HTTP/1.1\r\nHost: HERE\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}x",
		"a length and chunks":               "POST " + admin.PathCreate + " HTTP/1.1\r\nHost: HERE\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"a negative length":                 "POST " + admin.PathCreate + " HTTP/1.1\r\nHost: HERE\r\nContent-Length: -1\r\n\r\n",
		"chunks of 2^64 bytes":              "POST " + admin.PathCreate + " HTTP/1.1\r\nHost: HERE\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff0\r\n",
		"no host":                           "GET " + admin.PathList + " HTTP/1.1\r\n\r\n",
		"a header of 2 MB":                  "GET / HTTP/1.1\r\nHost: HERE\r\nX: " + strings.Repeat("a", 2<<20) + "\r\n\r\n",
		"30,000 headers":                    "GET / HTTP/1.1\r\nHost: HERE\r\n" + strings.Repeat("X: a\r\n", 30_000) + "\r\n",
		"a header with zeros":               "GET / HTTP/1.1\r\nHost: HERE\r\nX: \x00\x00\r\n\r\n",
		"an upgrade to HTTP/2":              "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"a TLS greeting":                    "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + strings.Repeat("\x00", 500) + "\r\n\r\n",
		"an MQTT greeting":                  "\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00\r\n\r\n",
		"a method of 10 KB":                 strings.Repeat("A", 10_000) + " / HTTP/1.1\r\nHost: HERE\r\n\r\n",
		"a connect":                         "CONNECT 169.254.169.254:80 HTTP/1.1\r\nHost: HERE\r\nConnection: close\r\n\r\n",
		"a proxy request":                   "GET http://169.254.169.254/latest HTTP/1.1\r\nHost: 169.254.169.254\r\nConnection: close\r\n\r\n",
		"a delete of the list":              "DELETE " + admin.PathList + " HTTP/1.1\r\nHost: HERE\r\nConnection: close\r\n\r\n",
		"a page of another site":            "POST " + admin.PathDelete + " HTTP/1.1\r\nHost: HERE\r\nOrigin: http://evil.example\r\nSec-Fetch-Site: cross-site\r\nAuthorization: Bearer " + token + "\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
		"a name that was made to lead here": "GET " + admin.PathList + " HTTP/1.1\r\nHost: evil.example\r\nAuthorization: Bearer " + token + "\r\nConnection: close\r\n\r\n",
		"a trace":                           "TRACE / HTTP/1.1\r\nHost: HERE\r\nCookie: secret\r\nConnection: close\r\n\r\n",
		"a request in a request":            "POST " + admin.PathCreate + " HTTP/1.1\r\nHost: HERE\r\nContent-Length: 0\r\n\r\nGET " + admin.PathList + " HTTP/1.1\r\nHost: HERE\r\nConnection: close\r\n\r\n",
	} {
		all = append(all, attack{"request: " + name, func(t *testing.T, s *service) {
			text := s.raw(t, request)
			for line := range strings.Lines(text) {
				if strings.HasPrefix(line, "HTTP/1.") {
					assert.Regexp(t, `^HTTP/1\.[01] (4\d\d|505) `, line)
				}
			}
			assert.NotContains(t, text, "healthy")
			assert.NotContains(t, text, "Cookie")
		}})
	}
	return append(all, floods()...)
}

// raw sends bytes with the service's address in place of HERE. It returns the response
// until the connection ends, or for at most two seconds.
func (s *service) raw(t *testing.T, request string) string {
	t.Helper()
	conn, err := net.Dial("tcp", s.HTTP)
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(2*time.Second)))
	request = strings.ReplaceAll(request, "HERE", s.HTTP)
	go func() { _, _ = io.WriteString(conn, request) }() // the service may close early
	text, _ := io.ReadAll(io.LimitReader(conn, 1<<20))   // a reset is an end too
	return string(text)
}

func floods() []attack {
	return []attack{
		{"500 connections that say nothing", func(t *testing.T, s *service) {
			for range 500 {
				conn, err := net.Dial("tcp", s.HTTP)
				require.NoError(t, err)
				defer conn.Close()
			}
			code, _ := s.Ready()
			assert.Equal(t, 200, code)
		}},
		{"300 requests, one byte at a time", func(t *testing.T, s *service) {
			var open sync.WaitGroup
			for range 300 {
				open.Go(func() {
					conn, err := net.Dial("tcp", s.HTTP)
					if err != nil {
						t.Error(err)
						return
					}
					defer conn.Close()
					for _, b := range []byte("POST / HTTP/1.1\r\nHost: HERE\r\nX-A: ") {
						if _, err := conn.Write([]byte{b}); err != nil {
							return // the service closes connections that are too slow
						}
						time.Sleep(20 * time.Millisecond)
					}
				})
			}
			code, _ := s.Ready()
			assert.Equal(t, 200, code)
			open.Wait()
		}},
		{"chunks without an end", func(t *testing.T, s *service) {
			conn, err := net.Dial("tcp", s.HTTP)
			require.NoError(t, err)
			defer conn.Close()
			require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
			_, err = io.WriteString(conn, "POST "+admin.PathCreate+" HTTP/1.1\r\nHost: "+s.HTTP+"\r\nAuthorization: Bearer "+token+"\r\nTransfer-Encoding: chunked\r\n\r\n")
			require.NoError(t, err)
			go func() {
				for chunk := "8000\r\n" + strings.Repeat("a", 0x8000) + "\r\n"; ; {
					if _, err := io.WriteString(conn, chunk); err != nil {
						return // it is answered and closed
					}
				}
			}()
			answer, err := bufio.NewReader(conn).ReadString('\n')
			require.NoError(t, err)
			assert.Equal(t, "HTTP/1.1 413 Request Entity Too Large\r\n", answer)
		}},
		{"2,000 lists from 50 clients", func(t *testing.T, s *service) {
			s.flood(t, 50, 40, func(int) (string, string, []byte) { return "GET", admin.PathList + "?limit=100", nil })
		}},
		{"1,000 scrapes of the metrics", func(t *testing.T, s *service) {
			s.flood(t, 20, 50, func(int) (string, string, []byte) { return "GET", admin.PathMetrics, nil })
		}},
		{"64 deep bodies at once", func(t *testing.T, s *service) {
			body := nested("[", "]", 9_990)
			s.flood(t, 64, 4, func(int) (string, string, []byte) { return "POST", admin.PathCreate, body })
		}},
		{"300 creations of one name", func(t *testing.T, s *service) {
			body := marshal(t, s.definition("contested", "attack/contested", "out", ""))
			s.flood(t, 30, 10, func(int) (string, string, []byte) { return "POST", admin.PathCreate, body })
			assert.Empty(t, s.call(t, admin.PathDelete, admin.Name{Tenant: "default", ConnectorName: "contested"}))
		}},
		{"a connector that is created and deleted 40 times", func(t *testing.T, s *service) {
			d := s.definition("restless", "attack/restless", "out", "")
			for range 40 {
				require.Empty(t, s.call(t, admin.PathCreate, d))
				require.Empty(t, s.call(t, admin.PathDelete, admin.Name{Tenant: "default", ConnectorName: "restless"}))
			}
		}},
		{"100 connectors to a port that nobody has", func(t *testing.T, s *service) {
			for i := range 100 {
				d := s.definition(fmt.Sprintf("crowd%d", i), "attack/#", "out", `,"urls":["tcp://127.0.0.3:1"]`)
				require.Empty(t, s.call(t, admin.PathCreate, d))
			}
			for i := range 100 {
				require.Empty(t, s.call(t, admin.PathDelete, admin.Name{Tenant: "default", ConnectorName: fmt.Sprintf("crowd%d", i)}))
			}
		}},
	}
}

// flood sends requests from several clients concurrently. Each must be answered.
func (s *service) flood(t *testing.T, clients, each int, request func(i int) (method, path string, body []byte)) {
	t.Helper()
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			for i := range each {
				method, path, body := request(i)
				status, text, err := s.request(method, path, body, nil)
				if err != nil {
					t.Error(err)
					return
				}
				assert.Less(t, status, 500, "%.200s", text)
			}
		})
	}
	all.Wait()
}
