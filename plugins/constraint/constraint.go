// Package constraint states what several fields of a component must have in
// common. A constraint is stated once, and read by the component's lint rule, its
// constructor and the lint command.
package constraint

import (
	"errors"
	"fmt"
	"strings"

	"github.com/redpanda-data/benthos/v4/public/bloblang"
)

// Constraint is one thing that the fields of a component must not say together.
type Constraint struct {
	// Field is the one to blame.
	Field string
	// Broken is a Bloblang query over the component's fields, those left out
	// included, that is true where the constraint is broken. Where it fails, for
	// want of a field or because of the type of one, it is not.
	Broken string
	// What says what is wrong and what would be right.
	What string
}

// String is what lint and the constructor say.
func (c Constraint) String() string { return c.Field + ": " + c.What }

// Set are the constraints of a component.
type Set struct {
	all     []Constraint
	queries []*bloblang.Executor
}

// New compiles constraints. It panics if one of them is not a Bloblang query,
// since they are a part of the program.
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

// LintRule returns the constraints as the lint rule of a component's spec.
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

// Check is Broken as an error, for a constructor.
func (s Set) Check(fields any) error {
	var errs []error
	for _, c := range s.Broken(fields) {
		errs = append(errs, fmt.Errorf("field %s", c))
	}
	return errors.Join(errs...)
}
