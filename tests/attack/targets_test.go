//go:build integration

package attack

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
)

// refusedTarget is the error of a connector that may not connect.
const refusedTarget = "is not a target of this service's connectors"

// targetAttacks create connectors to addresses that are not allowed. Creation succeeds,
// because names are resolved only when they are dialled, but they never connect.
func targetAttacks(s *service) (all []attack) {
	_, port, _ := net.SplitHostPort(s.trap.address)
	hosts := map[string]string{
		"the metadata address":             "169.254.169.254:80",
		"the metadata address, as IPv6":    "[::ffff:169.254.169.254]:80",
		"the metadata address of AWS":      "[fd00:ec2::254]:80",
		"the metadata address behind NAT":  "[64:ff9b::169.254.169.254]:80",
		"another address of this machine":  s.trap.address,
		"the same as IPv6":                 "[::ffff:127.0.0.2]:" + port,
		"another port of the broker":       "127.0.0.1:1",
		"the admin API":                    s.HTTP,
		"any address":                      "0.0.0.0:" + port,
		"any IPv6 address":                 "[::]:" + port,
		"the loopback of IPv6":             "[::1]:" + port,
		"a name of this machine":           "localhost:" + port,
		"a link-local address with a zone": "[fe80::1%25lo]:" + port,
	}
	n := 0
	for name, host := range hosts {
		for way, definition := range map[string]func(name string) admin.Definition{
			"MQTT": func(name string) admin.Definition {
				return s.definition(name, "attack/#", "out", fmt.Sprintf(`,"urls":["tcp://%s"],"connect_timeout":"1s"`, host))
			},
			"Kafka": func(name string) admin.Definition {
				return s.definitionTo(name, "attack/"+name, fmt.Sprintf(`{"bootstrap_servers":%q,"topic":"out"}`, strings.ReplaceAll(host, "%25", "%")))
			},
		} {
			n++
			connector := fmt.Sprintf("target%d", n)
			all = append(all, attack{way + " to " + name, func(t *testing.T, s *service) {
				d := definition(connector)
				if wrong := s.call(t, admin.PathCreate, d); wrong != "" {
					// Invalid forms of addresses are refused at once.
					assert.Regexp(t, `config\.(urls|bootstrap_servers)`, wrong)
					return
				}
				defer func() {
					assert.Empty(t, s.call(t, admin.PathDelete, admin.Name{Tenant: "default", ConnectorName: connector}))
				}()
				s.until(t, connector, "refusal", func(d admin.Detail) bool { return strings.Contains(d.Reason, refusedTarget) })
			}})
		}
	}
	// Decimal, octal and hexadecimal forms are names for Go, which the system's
	// resolver must not resolve to an address.
	for _, host := range []string{"2130706434", "0x7f000002", "0177.0.0.2", "127.2", "127.0.0.2.", "①②⑦.0.0.2"} {
		n++
		connector := fmt.Sprintf("target%d", n)
		all = append(all, attack{"MQTT to " + host, func(t *testing.T, s *service) {
			d := s.definition(connector, "attack/#", "out", fmt.Sprintf(`,"urls":["tcp://%s:%s"],"connect_timeout":"1s"`, host, port))
			if s.call(t, admin.PathCreate, d) != "" {
				return
			}
			defer func() {
				assert.Empty(t, s.call(t, admin.PathDelete, admin.Name{Tenant: "default", ConnectorName: connector}))
			}()
			s.until(t, connector, "failure", func(d admin.Detail) bool { return d.State == "Waiting" && d.Reason != "" })
		}})
	}
	for scheme, path := range map[string]string{"ssl": "", "mqtts": "", "ws": "/mqtt", "wss": "/mqtt"} {
		n++
		connector := fmt.Sprintf("target%d", n)
		all = append(all, attack{scheme + " to another address", func(t *testing.T, s *service) {
			s.with(t, s.definition(connector, "attack/#", "out", fmt.Sprintf(`,"urls":["%s://%s%s"],"connect_timeout":"1s"`, scheme, s.trap.address, path)))
			s.until(t, connector, "refusal", func(d admin.Detail) bool { return strings.Contains(d.Reason, refusedTarget) })
		}})
	}
	all = append(all,
		attack{"dead letters at another address", func(t *testing.T, s *service) {
			d := s.definitionTo("deadletters", "attack/dead", fmt.Sprintf(`{"bootstrap_servers":%q,"topic":"${! content() }"}`, s.kafka.Addr()))
			d.FailureStrategy = fmt.Appendf(nil, `{"strategy":"dead_message_queue","topic_name":"dead","retry_total_times":1,"wait_time_ms":0,"bootstrap_servers":%q}`, s.trap.address)
			s.with(t, d)
			s.until(t, "deadletters", "connection", func(d admin.Detail) bool { return d.State == "Running" })
			s.publisher(t).Publish("attack/dead", 1, false, "no topic of Kafka")
			s.until(t, "deadletters", "refusal", func(d admin.Detail) bool { return strings.Contains(d.Reason, refusedTarget) })
		}},
		attack{"a check of another address", func(t *testing.T, s *service) {
			d := s.definition("checked", "attack/#", "out", fmt.Sprintf(`,"urls":["tcp://%s"],"connect_timeout":"1s"`, s.trap.address))
			_, text, err := s.request("POST", admin.PathCheck, marshal(t, d), nil)
			require.NoError(t, err)
			assert.Contains(t, text, refusedTarget)
		}},
		attack{"a healthy connector moved to another address", func(t *testing.T, s *service) {
			s.with(t, s.definition("moved", "attack/moved", "out", ""))
			d := s.definition("moved", "attack/moved", "out", fmt.Sprintf(`,"urls":["tcp://%s"],"connect_timeout":"1s"`, s.trap.address))
			assert.Empty(t, s.call(t, admin.PathUpdate, d))
			s.until(t, "moved", "refusal", func(d admin.Detail) bool { return strings.Contains(d.Reason, refusedTarget) })
		}},
	)
	return all
}
