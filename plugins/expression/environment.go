package expression

import (
	"errors"
	"fmt"

	"github.com/redpanda-data/benthos/v4/public/bloblang"
)

// Environment returns base reduced to the allowed functions and methods. It cannot
// import anything. Methods whose results may be longer than their inputs are replaced
// by ours: they behave like upstream's, up to MaxValue. The others return at most a
// small multiple of their value and use it only once: they need no limit.
func Environment(base *bloblang.Environment) (*bloblang.Environment, error) {
	var noFunctions, noMethods []string
	base.WalkFunctions(func(name string, _ *bloblang.FunctionView) {
		if _, ok := functions[name]; !ok {
			noFunctions = append(noFunctions, name)
		}
	})
	base.WalkMethods(func(name string, _ *bloblang.MethodView) {
		if _, ok := methods[name]; !ok {
			noMethods = append(noMethods, name)
		}
	})
	env := base.WithoutFunctions(noFunctions...).WithoutMethods(noMethods...).WithDisabledImports()
	var errs []error
	for name, m := range limited {
		errs = append(errs, env.RegisterMethodV2(name, m.spec(), m.constructor(name)))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("limiting the methods of expressions: %w", err)
	}
	return env, nil
}

// limitedMethod replaces a method of upstream's.
type limitedMethod struct {
	params   []bloblang.ParamDefinition
	variadic bool
	make     func(args []any) (bloblang.Method, error)
}

func (m limitedMethod) spec() *bloblang.PluginSpec {
	spec := bloblang.NewPluginSpec().Description("As upstream's, with a limit on its result.")
	if m.variadic {
		return spec.Variadic()
	}
	for _, p := range m.params {
		spec = spec.Param(p)
	}
	return spec
}

func (m limitedMethod) constructor(name string) bloblang.MethodConstructorV2 {
	return func(params *bloblang.ParsedParams) (bloblang.Method, error) {
		do, err := m.make(params.AsSlice())
		if err != nil {
			return nil, err
		}
		return func(v any) (any, error) {
			result, err := do(v)
			if err == nil {
				err = within(result)
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			return result, nil
		}, nil
	}
}

// within applies MaxValue to texts. Lists and objects are at most a small multiple of
// the text that they were parsed from.
func within(v any) error {
	n := 0
	switch v := v.(type) {
	case string:
		n = len(v)
	case []byte:
		n = len(v)
	}
	return withinSize(n)
}

func withinSize(n int) error {
	if n > MaxValue {
		return fmt.Errorf("the result has %d bytes: a value in an expression may have at most %d", n, MaxValue)
	}
	return nil
}
