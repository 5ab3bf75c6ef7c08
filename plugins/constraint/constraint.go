// Package constraint states rules that involve several fields of a component. A
// constraint is stated once. The component's lint rule, its constructor and the lint
// command all use it.
package constraint

import (
	"errors"
	"fmt"
	"strings"

	"github.com/redpanda-data/benthos/v4/public/bloblang"
)

// Constraint is one combination of fields that a component forbids.
type Constraint struct {
	// Field is the field that the error names.
	Field string
	// Broken is a Bloblang query over the component's fields, including those not set.
	// The constraint is broken if the query is true. A query that fails, because a
	// field is missing or has another type, does not break it.
	Broken string
	// What says what is wrong and what is right.
	What string
}

// String is the message of lint and of the constructor.
func (c Constraint) String() string { return c.Field + ": " + c.What }

// Set is the set of constraints of a component.
type Set struct {
	all     []Constraint
	queries []*bloblang.Executor
}

// New compiles constraints. It panics if one of them is not a Bloblang query, because
// they are part of the program.
func New(all ...Constraint) Set {
	s := Set{all: all}
	for _, c := range all {
		query, err := bloblang.NewEnvironment().Parse("root = " + c.Broken)
		if err != nil {
			panic(fmt.Sprintf("constraint of %s: %v", c.Field, err))
		}
		s.queries = append(s.queries, query)
	}
	return s
}

// LintRule returns the constraints as a lint rule for a component's spec.
func (s Set) LintRule() string {
	var b strings.Builder
	b.WriteString("root = [\n")
	for _, c := range s.all {
		fmt.Fprintf(&b, "  if (%s).catch(false) == true { %q },\n", c.Broken, c.String())
	}
	b.WriteString("].filter(message -> message != null)")
	return b.String()
}

// Broken returns the constraints that the fields of a component break.
func (s Set) Broken(fields any) []Constraint {
	var broken []Constraint
	for i, query := range s.queries {
		if v, err := query.Query(fields); err == nil && v == true {
			broken = append(broken, s.all[i])
		}
	}
	return broken
}

// Check returns the broken constraints as an error, for a constructor.
func (s Set) Check(fields any) error {
	var errs []error
	for _, c := range s.Broken(fields) {
		errs = append(errs, fmt.Errorf("field %s", c))
	}
	return errors.Join(errs...)
}
