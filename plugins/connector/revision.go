package connector

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Revision is a definition that a connector has or had. Pause and resume make none.
type Revision struct {
	Number int
	Time   time.Time
	Actor  string // who made it, "" where that is not known
	// Connector has *** in the place of each secret: a history holds none.
	Connector Connector
	// Unreadable says why it cannot be shown and restored; nil when it can.
	Unreadable error
}

// Result is what a change of a connector has come to.
type Result struct {
	// Revision is that of the definition now.
	Revision int
	// Notes are as Manager says.
	Notes []string
}

// Expected are the revisions of which a change expects to find one; nil takes any.
type Expected []int

// Find returns a *MismatchError unless the connector's revision is an expected one.
// A revision of 0 is that of a definition which cannot be read.
func (e Expected) Find(name string, revision int) error {
	if e == nil || revision > 0 && slices.Contains(e, revision) {
		return nil
	}
	return &MismatchError{Name: name, Expected: e, Revision: revision}
}

// MismatchError says that a connector is not at the revision which a change expects:
// somebody else has changed it meanwhile.
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

// WithActor says who makes the changes that are made with the context.
func WithActor(ctx context.Context, actor string) context.Context {
	return context.WithValue(ctx, actorKey{}, actor)
}

// ActorOf is who makes a change, "" where that is not known.
func ActorOf(ctx context.Context) string {
	actor, _ := ctx.Value(actorKey{}).(string)
	return actor
}
