package kafka

import (
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
	conf, err := service.NewConfigSpec().Fields(connectionFields("")...).ParseYAML(string(whole), service.NewEmptyEnvironment())
	if err != nil {
		return nil, err
	}
	c, err := parseClient(conf, "the store", options{})
	if err != nil {
		return nil, err
	}
	return c.connection(), kgo.ValidateOpts(c.connection()...)
}
