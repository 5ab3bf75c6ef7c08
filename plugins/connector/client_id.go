package connector

import "strings"

// ClientID returns the MQTT client identifier of a connector that names none. It
// differs between tenants and connectors and stays the same after a restart.
func ClientID(prefix, tenant, name string) string {
	parts := []string{prefix}
	for _, part := range []string{tenant, name} {
		plain := Label(part)
		if len(part) < 65 && isPlain(part) {
			plain = part
		}
		parts = append(parts, plain)
	}
	return strings.Join(parts, "_")
}

// isPlain reports whether s is safe for every broker's access rules and logs.
func isPlain(s string) bool {
	for _, r := range s {
		legal := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.'
		if !legal {
			return false
		}
	}
	return s != ""
}
