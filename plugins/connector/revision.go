package connector

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Revision is a current or former definition of a connector. Pause and resume create
// none.
type Revision struct {
	Number int
	Time   time.Time
	Actor  string // who made it, "" where that is not known
	// Connector has *** in place of each secret: a history has no secrets.
	Connector Connector
	// Unreadable says why the revision cannot be shown and restored; nil if it can.
	Unreadable error
}

// Result is the result of a change of a connector.
type Result struct {
	// Revision is that of the new definition.
	Revision int
	// Notes are as Manager says.
	Notes []string
}

// Expected are the revisions that a change expects, any of which is accepted; nil
// accepts every revision.
type Expected []int

// Find returns a *MismatchError unless the connector's revision is an expected one.
// Revision 0 is that of a definition that cannot be read.
func (e Expected) Find(name string, revision int) error {
	if e == nil || revision > 0 && slices.Contains(e, revision) {
		return nil
	}
	return &MismatchError{Name: name, Expected: e, Revision: revision}
}

// MismatchError means that a connector is not at the revision that a change expects:
// somebody else has changed it in the meantime.
type MismatchError struct {
	Name     string
	Expected Expected
	Revision int
}

func (e *MismatchError) Error() string {
	is := "is at revision " + strconv.Itoa(e.Revision)
	if e.Revision == 0 {
		is = "has no revision, because its definition cannot be read"
	}
	expected := make([]string, len(e.Expected))
	for i, n := range e.Expected {
		expected[i] = strconv.Itoa(n)
	}
	return fmt.Sprintf("connector %q %s, and this change expects revision %s: read it again and repeat the change",
		e.Name, is, strings.Join(expected, " or "))
}

type actorKey struct{}

// WithActor sets who makes the changes with the context.
func WithActor(ctx context.Context, actor string) context.Context {
	return context.WithValue(ctx, actorKey{}, actor)
}

// ActorOf returns who makes a change, "" if that is not known.
func ActorOf(ctx context.Context) string {
	actor, _ := ctx.Value(actorKey{}).(string)
	return actor
}
