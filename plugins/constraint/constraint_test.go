package constraint_test

import (
	"testing"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/constraint"
)

func set() constraint.Set {
	return constraint.New(
		constraint.Constraint{Field: "a", Broken: `this.a.or(1) > 1 && this.b.or("") == ""`, What: `needs b: "x"`},
		constraint.Constraint{Field: "b", Broken: `this.exists("b") && this.c`, What: "conflicts with c"},
	)
}

func TestBrokenConstraintsAreNamed(t *testing.T) {
	require.Empty(t, set().Broken(map[string]any{}))
	require.Empty(t, set().Broken(map[string]any{"a": 1, "c": true}))
	broken := set().Broken(map[string]any{"a": 2})
	require.Len(t, broken, 1)
	require.Equal(t, "a", broken[0].Field)
	require.Equal(t, `needs b: "x"`, broken[0].What)
	require.EqualError(t, set().Check(map[string]any{"a": 1, "b": "x", "c": true}), "field b: conflicts with c")
	require.NoError(t, set().Check(map[string]any{"a": 3, "b": "x", "c": false}))
}

func TestConstraintWhoseQueryFailsIsNotBroken(t *testing.T) {
	require.Empty(t, set().Broken(map[string]any{"a": "many", "b": "x", "c": "yes"}))
}

func TestLintRuleReportsTheSame(t *testing.T) {
	env := service.NewEnvironment()
	spec := service.NewConfigSpec().LintRule(set().LintRule()).
		Fields(service.NewIntField("a").Optional(), service.NewStringField("b").Optional(), service.NewBoolField("c").Optional())
	require.NoError(t, env.RegisterOutput("constrained", spec, nil))
	lints, err := env.NewComponentConfigLinter().LintOutputYAML([]byte("constrained: { a: 2, c: true }"))
	require.NoError(t, err)
	require.Len(t, lints, 1)
	require.Equal(t, `a: needs b: "x"`, lints[0].What)
	lints, err = env.NewComponentConfigLinter().LintOutputYAML([]byte("constrained: { a: 1, b: x }"))
	require.NoError(t, err)
	require.Empty(t, lints)
}
