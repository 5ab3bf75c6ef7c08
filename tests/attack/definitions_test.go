//go:build integration

package attack

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
)

// victim is a running connector that refused definitions try to change.
const victim = "victim"

// refusedDefinition is an attack by a definition that check, create and update must
// refuse, with the field in the error.
func refusedDefinition(name, want string, d admin.Definition) attack {
	return attack{name, func(t *testing.T, s *service) {
		for _, path := range []string{admin.PathCreate, admin.PathCheck} {
			assert.Contains(t, s.call(t, path, d), want, path)
		}
		// A definition that is refused for a new connector is also refused as an
		// update.
		if d.ConnectorName == "attack" {
			d.ConnectorName = victim
			assert.Contains(t, s.call(t, admin.PathUpdate, d), want, "update")
		}
		_, list, err := s.request("GET", admin.PathList+"?limit=1000", nil, nil)
		require.NoError(t, err)
		assert.NotContains(t, list, `"connector_name":"attack"`)
		if strings.Contains(list, `"connector_name":"attack"`) { // the next one is to be judged by itself
			s.call(t, admin.PathDelete, admin.Name{Tenant: "default", ConnectorName: "attack"})
		}
		assert.Equal(t, s.victim, s.detail(t, victim).Config)
	}}
}

func definitionAttacks(s *service) (all []attack) {
	// Expressions that read the host, end the process, use up a core or fill the
	// memory, in both fields that allow one.
	for name, expression := range map[string]string{
		"the environment":              `env("ROBUSTMQ_TEST_SECRET")`,
		"a file":                       `file("/etc/passwd")`,
		"a relative file":              `file_rel("../outside.pem")`,
		"a file as a method":           `"/etc/passwd".file()`,
		"an import":                    `import "/etc/passwd"`,
		"the host name":                `hostname()`,
		"bloblang in bloblang":         `"x".bloblang("root = env(\"ROBUSTMQ_TEST_SECRET\")")`,
		"a schema from a file":         `json().json_schema("{\"$ref\":\"file:///etc/passwd\"}")`,
		"a schema from the network":    `json().json_schema("{\"$ref\":\"http://` + s.trap.address + `/\"}")`,
		"an endless range":             `range(0,1000000000000).length()`,
		"a large range":                `range(0,100000000).length()`,
		"an endless text":              `"a".repeat(300000000000000)`,
		"deep msgpack":                 `content().parse_msgpack()`,
		"deep XML":                     `content().parse_xml()`,
		"a gzip bomb":                  `content().decompress("gzip")`,
		"a zstd bomb":                  `content().decompress("zstd")`,
		"nested maps":                  `json("l").map_each(json("l").map_each(json("l")))`,
		"a fold":                       `json("l").fold(0, tally -> tally + 1)`,
		"a chain of lambdas":           `content().(c -> c + c).(c -> c + c).(c -> c + c)`,
		"the whole message":            `this.string()`,
		"a list":                       `[content(), content()].string()`,
		"a regular expression":         `content().re_match("((((a{1,100}){1,100}){1,100}){1,100})")`,
		"a regular expression by data": `"a".re_match(content())`,
		"a sleep":                      `"x".catch(sleep("1h"))`,
		"a counter":                    `counter(min:0,max:9223372036854775807)`,
		"a random text":                `random_int(min:0,max:9)`,
		"a fake":                       `fake("name")`,
		"an unknown function":          `nosuch()`,
		"an open bracket":              `(((((((`,
		"fifteen brackets":             strings.Repeat("(", 15) + "1" + strings.Repeat(")", 15),
		"an assignment":                `root = content()`,
		"a variable":                   `$x`,
		"another message's metadata":   `metadata().from_all()`,
		"deletion":                     `deleted()`,
	} {
		text, _ := json.Marshal("${! " + expression + " }")
		all = append(all,
			refusedDefinition("key: "+name, "config.key", s.definition("attack", "attack/#", "out", fmt.Sprintf(`,"key":%s`, text))),
			refusedDefinition("topic: "+name, "config.topic", s.definitionTo("attack", "attack/#", fmt.Sprintf(`{"bootstrap_servers":"%s","topic":%s}`, s.kafka.Addr(), text))))
	}

	long := `,"key":"` + strings.Repeat("a", 257) + `"`
	all = append(all, refusedDefinition("a key of 257 characters", "key length", s.definition("attack", "attack/#", "out", long)))

	// References to the environment, in fields of every kind.
	for field, value := range map[string]string{
		"key": "${ROBUSTMQ_TEST_SECRET}", "client_id": "${ROBUSTMQ_TEST_SECRET:x}", "username": "a${X:${ROBUSTMQ_TEST_SECRET}}",
		"password": "${{ROBUSTMQ_TEST_SECRET}}", "format": "${ROBUSTMQ_TEST_SECRET}",
	} {
		all = append(all, refusedDefinition("a reference to the environment in "+field, "config."+field,
			s.definition("attack", "attack/#", "out", fmt.Sprintf(`,%q:%q`, field, value))))
	}

	// Files, by every path to the host's files.
	for name, file := range map[string]string{
		"of the machine": "/etc/passwd", "beside the secrets": s.outside, "by two dots": "../outside.pem", "behind a link": "link.pem",
		"by two dots and a path": filepath.Join(s.secrets, "x") + "/../../outside.pem", "of the process": "/proc/self/environ", "of a device": "/dev/zero",
	} {
		for field, config := range map[string]string{
			"config.tls.root_cas_file":                `,"tls":{"enabled":true,"root_cas_file":%q}`,
			"config.tls.client_certs.0.key_file":      `,"tls":{"enabled":true,"client_certs":[{"cert":"c","key_file":%q}]}`,
			"config.mqtt_tls.client_certs.0.key_file": `,"urls":["ssl://h:1"],"mqtt_tls":{"enabled":true,"client_certs":[{"cert":"c","key_file":%q}]}`,
			"config.sasl": `,"sasl":[{"mechanism":"GSSAPI","username":"u",` +
				`"kerberos":{"realm":"R","service_name":"kafka","keytab_file":%q}}]`,
		} {
			all = append(all, refusedDefinition("a file "+name+" in "+field, field, s.definition("attack", "attack/#", "out", fmt.Sprintf(config, file))))
		}
	}

	// Sockets, and schemes that no broker has.
	for _, u := range []string{
		"unix:///run/x.sock", " unix:///run/x.sock", "UNIX:///run/x.sock", "tcp://127.0.0.1:1,unix:///run/x.sock", "file:///etc/passwd", "tcp://", "://", "http://h:1",
		"tcp://h:99999999", "tcp://[::1", "tcp://h:1\u0000", "unix:relative.sock", "tcp:unix:///x",
	} {
		text, _ := json.Marshal(u)
		all = append(all, refusedDefinition("url "+fmt.Sprintf("%q", u), "config.urls", s.definition("attack", "attack/#", "out", `,"urls":[`+string(text)+`]`)))
	}

	// Numbers and types that a field does not allow.
	for field, values := range map[string][]string{
		"linger_ms":            {"-1", "1e99", "1.5", `"5; drop"`, "[]", "99999999999999999999"},
		"retries":              {"-1", "18446744073709551616", "{}", "true"},
		"batch_size":           {"0", "-5", "1e308", `""`},
		"acks":                 {"7", `"most"`, "[1]"},
		"qos":                  {"3", "-1", `"two"`, "1.1"},
		"keepalive":            {"-1", "99999999999", `{"a":1}`},
		"connect_timeout":      {`"-5s"`, `"1e9h"`, "{}", `"soon"`},
		"urls":                 {"{}", "[[]]", "7"},
		"compression_type":     {`"rar"`, "1"},
		"message_timeout_ms":   {"-1", "1e30"},
		"cleanup_timeout_secs": {"-1", "1e30"},
		"nosuch":               {"1"},
		"sasl":                 {`{"mechanism":"none"}`, `[{"mechanism":"MAGIC"}]`},
		"tls":                  {"true", `{"enabled":"yes"}`, `{"nosuch":1}`},
	} {
		for _, value := range values {
			all = append(all, refusedDefinition(field+" "+value, field, s.definition("attack", "attack/#", "out", fmt.Sprintf(`,%q:%s`, field, value))))
		}
	}

	// Names and filters.
	for name, connectorName := range map[string]string{
		"control characters": "a\u0000b", "a bidi mark": "a\u202eb", "an isolate": "a\u2066b", "a line end": "a\nb", "129 characters": strings.Repeat("n", 129), "nothing": "",
		"an escape": "a\u001b[2Jb",
	} {
		all = append(all, refusedDefinition("a name of "+name, "name", s.definition(connectorName, "attack/#", "out", "")))
	}
	for _, filter := range []string{"", "a/#/b", "a#", "+a/b", strings.Repeat("a", 257), "$share/g", "$share//x", "$share/g+/x", "a\u0000b", "${ROBUSTMQ_TEST_SECRET}"} {
		d := s.definition("attack", filter, "out", "")
		all = append(all, attack{fmt.Sprintf("filter %.20q", filter), func(t *testing.T, s *service) {
			assert.NotEmpty(t, s.call(t, admin.PathCreate, d))
			s.call(t, admin.PathDelete, admin.Name{Tenant: "default", ConnectorName: "attack"})
		}})
	}
	for name, member := range map[string]func(*admin.Definition){
		"another tenant":     func(d *admin.Definition) { d.Tenant = "../default" },
		"another type":       func(d *admin.Definition) { d.ConnectorType = "file" },
		"a config of 5 KB":   func(d *admin.Definition) { d.Config = fmt.Appendf(nil, "%q", strings.Repeat(" ", 5000)) },
		"a config in a list": func(d *admin.Definition) { d.Config = json.RawMessage(`[{}]`) },
		"an endless wait": func(d *admin.Definition) {
			d.FailureStrategy = json.RawMessage(`{"strategy":"discard_after_retry","retry_total_times":-1,"wait_time_ms":1}`)
		},
		"a strategy of none": func(d *admin.Definition) { d.FailureStrategy = json.RawMessage(`{"strategy":"explode"}`) },
		"a dead letter by expression": func(d *admin.Definition) {
			d.FailureStrategy = json.RawMessage(`{"strategy":"dead_message_queue","topic_name":"${! file(\"/etc/passwd\") }"}`)
		},
		"a private-use character as a value": func(d *admin.Definition) {
			d.Config = fmt.Appendf(nil, "%q", fmt.Sprintf(`{"bootstrap_servers":%q,"topic":"t","keepalive":"\uf8ff"}`, s.kafka.Addr()))
		},
	} {
		d := s.definition("attack", "attack/#", "out", "")
		member(&d)
		all = append(all, attack{"a definition with " + name, func(t *testing.T, s *service) {
			assert.NotEmpty(t, s.call(t, admin.PathCreate, d))
		}})
	}
	// The client id of a healthy connector, at the same broker by other names.
	_, port, _ := strings.Cut(s.broker.Addr(), ":")
	for _, u := range []string{s.broker.URL(), "mqtt://" + s.broker.Addr(), "tcp://localhost:" + port, "tcp://[::1]:" + port, "tcp://other:1,tcp://127.0.0.1:" + port} {
		urls, _ := json.Marshal(strings.Split(u, ","))
		d := s.definition("attack", "attack/#", "out", fmt.Sprintf(`,"urls":%s,"client_id":"robustmq_connect_default_%s"`, urls, healthyName(1)))
		all = append(all, attack{"the session of another connector by " + u, func(t *testing.T, s *service) {
			assert.Contains(t, s.call(t, admin.PathCreate, d), healthyName(1))
		}})
	}
	return all
}
