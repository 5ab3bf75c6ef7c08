// Package templates holds the templates: robustmq_kafka for both ends of the way from
// MQTT to Kafka, robustmq_kafka_source and robustmq_mqtt for the way back.
package templates

import (
	"embed"
	"fmt"
	"io/fs"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/robustmq/robustmq-connect/plugins/mapping"
)

//go:embed *.tmpl.yaml
var files embed.FS

// YAML returns the embedded templates by file name.
func YAML() (map[string]string, error) {
	names, err := fs.Glob(files, "*.tmpl.yaml")
	if err != nil {
		return nil, err
	}
	out := make(map[string]string, len(names))
	for _, name := range names {
		text, err := files.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("reading template %s: %w", name, err)
		}
		out[name] = string(text)
	}
	return out, nil
}

// Register adds the templates to an environment, under the names that users type. The
// first call registers the Bloblang methods of their mappings globally. The components
// that the templates use (mqtt, kafka_franz, kafka_ordered, robustmq_envelope) must be registered
// before a pipeline is built.
func Register(env *service.Environment) error {
	if err := mapping.Register(); err != nil {
		return fmt.Errorf("registering the templates' methods: %w", err)
	}
	texts, err := YAML()
	if err != nil {
		return err
	}
	for name, text := range texts {
		if err := env.RegisterTemplateYAML(text); err != nil {
			return fmt.Errorf("registering template %s: %w", name, err)
		}
	}
	return nil
}
