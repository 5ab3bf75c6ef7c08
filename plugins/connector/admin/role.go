package admin

import (
	"fmt"
	"slices"
	"strings"
)

// role is what a caller may do. Each may do what those before it may.
type role int

const (
	anyone        role = iota // probes, without a token
	reader                    // sees connectors, without their secrets and messages
	operator                  // changes connectors
	administrator             // sets their secrets
)

// roleWords are the roles as users write them. Nobody is given the role of anyone.
var roleWords = []string{anyone: "", reader: "read", operator: "operate", administrator: "admin"}

func (r role) String() string { return roleWords[r] }

// orMore names a role and those that may do what it may.
func (r role) orMore() string { return strings.Join(roleWords[r:], " or ") }

func parseRole(word string) (role, error) {
	if at := slices.Index(roleWords, word); at > 0 {
		return role(at), nil
	}
	return anyone, fmt.Errorf("%q is not a role; must be one of %s", word, strings.Join(roleWords[reader:], ", "))
}

// caller is who sends a request.
type caller struct {
	name     string // as the audit log has it; "" is nobody that is known
	role     role
	payloads bool // may see messages
}

// everybody calls an API that asks for no token.
var everybody = caller{name: "anonymous", role: administrator, payloads: true}
