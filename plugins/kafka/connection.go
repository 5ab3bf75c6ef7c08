package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
	"gopkg.in/yaml.v3"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// ClientOptions returns how a client connects to brokers. text is YAML with the fields
// of this output that say so, such as tls and sasl, except seed_brokers; it may be
// empty. The error names the field.
func ClientOptions(brokers []string, text string) ([]kgo.Opt, error) {
	var given map[string]any
	if err := yaml.Unmarshal([]byte(text), &given); err != nil {
		return nil, fmt.Errorf("it must be a YAML mapping of fields: %w", err)
	}
	known := []string{
		fieldClientID, fieldConnIdleTimeout, fieldMaxKafkaVersion, fieldMetadataMaxAge,
		fieldRequestTimeoutOverhead, fieldSASL, fieldTCP, fieldTLS,
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("field %s is unknown: the fields are %s", name, strings.Join(known, ", "))
		}
	}
	if given == nil {
		given = map[string]any{}
	}
	given[fieldSeedBrokers] = brokers
	whole, err := yaml.Marshal(given)
	if err != nil {
		return nil, err
	}
	spec := service.NewConfigSpec().Fields(connectionFields("")...)
	if err := checkKinds(spec, given); err != nil {
		return nil, err
	}
	conf, err := spec.ParseYAML(string(whole), service.NewEmptyEnvironment())
	if err != nil {
		return nil, err
	}
	c, err := parseClient(conf, "the store", options{})
	if err != nil {
		return nil, err
	}
	return c.connection(), kgo.ValidateOpts(c.connection()...)
}

// checkKinds returns the first fault that the engine's lint finds. Parsing alone ignores
// unknown fields, and takes a tls that is no object for none: the login would go over the
// network in clear text.
func checkKinds(spec *service.ConfigSpec, given map[string]any) error {
	const name = "connection"
	env := service.NewEmptyEnvironment()
	err := env.RegisterOutput(name, spec, func(*service.ParsedConfig, *service.Resources) (service.Output, int, error) {
		return nil, 0, errors.New("it is only linted")
	})
	if err != nil {
		return err
	}
	linter := env.NewComponentConfigLinter().SetEnvVarLookupFunc(func(context.Context, string) (string, bool) { return "", true })
	for _, field := range slices.Sorted(maps.Keys(given)) {
		text, err := yaml.Marshal(map[string]any{name: map[string]any{fieldSeedBrokers: given[fieldSeedBrokers], field: given[field]}})
		if err != nil {
			return err
		}
		lints, err := linter.LintOutputYAML(text)
		if err != nil {
			return err
		}
		for _, l := range lints {
			return fmt.Errorf("field %s: %s", field, l.What)
		}
	}
	return nil
}
