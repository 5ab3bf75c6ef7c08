// Package plugins registers the components of this distribution.
package plugins

import (
	"errors"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/robustmq/robustmq-connect/plugins/diskbuffer"
	"github.com/robustmq/robustmq-connect/plugins/envelope"
	"github.com/robustmq/robustmq-connect/plugins/kafka"
	"github.com/robustmq/robustmq-connect/plugins/mqtt"
	"github.com/robustmq/robustmq-connect/plugins/tracing"
	"github.com/robustmq/robustmq-connect/templates"
)

// Register adds our components to an environment with upstream's. The input and the
// output mqtt and the output kafka_franz replace upstream's of the same names.
func Register(env *service.Environment) error {
	return errors.Join(
		diskbuffer.Register(env),
		envelope.Register(env),
		kafka.Register(env),
		kafka.RegisterInput(env),
		mqtt.Register(env),
		mqtt.RegisterOutput(env),
		tracing.Register(env),
		templates.Register(env),
	)
}
