package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/redpanda-data/benthos/v4/public/bloblang"
	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins"
	"github.com/robustmq/robustmq-connect/plugins/expression"
)

// A function or method of a new upstream version is refused until somebody decides
// about it; this test fails until then.
func TestEveryFunctionAndMethodOfThisBinaryIsAllowedOrRefusedByName(t *testing.T) {
	require.NoError(t, plugins.Register(service.GlobalEnvironment()))
	env := bloblang.GlobalEnvironment()
	seen := map[string]bool{}
	judge := func(kind expression.Kind, allowed map[string]string, name string) {
		seen[kind.String()+" "+name] = true
		_, isAllowed := allowed[name]
		_, isRefused := expression.Refused(kind, name)
		assert.NotEqual(t, isAllowed, isRefused, "the %s %s must be in one list of the package expression: does its result, its time or its memory grow faster than its input, does it keep state, does it reach out?", kind, name)
	}
	env.WalkFunctions(func(name string, _ *bloblang.FunctionView) { judge(expression.Function, expression.Functions(), name) })
	env.WalkMethods(func(name string, _ *bloblang.MethodView) { judge(expression.Method, expression.Methods(), name) })
	assert.Greater(t, len(seen), 200)
	for name := range expression.Functions() {
		assert.True(t, seen["function "+name], "upstream has no function %s", name)
	}
	for name := range expression.Methods() {
		assert.True(t, seen["method "+name], "upstream has no method %s", name)
	}
}

// expressionTables returns the allowed functions and methods as
// resources/docs/fields.md lists them.
func expressionTables() string {
	var b strings.Builder
	for _, table := range []struct {
		title string
		names map[string]string
	}{{"function", expression.Functions()}, {"method", expression.Methods()}} {
		fmt.Fprintf(&b, "| %s | what it gives |\n|---|---|\n", table.title)
		for _, name := range slices.Sorted(maps.Keys(table.names)) {
			fmt.Fprintf(&b, "| `%s` | %s |\n", name, strings.ReplaceAll(table.names[name], "|", `\|`))
		}
		b.WriteString("\n")
	}
	return strings.TrimSuffix(b.String(), "\n")
}
