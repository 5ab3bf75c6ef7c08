// Package components gives tests the environment of a distribution.
package components

import (
	"sync"

	"github.com/redpanda-data/benthos/v4/public/service"

	// The components of a distribution.
	_ "github.com/redpanda-data/connect/v4/public/components/io"
	_ "github.com/redpanda-data/connect/v4/public/components/kafka"
	_ "github.com/redpanda-data/connect/v4/public/components/mqtt"
	_ "github.com/redpanda-data/connect/v4/public/components/pure"
	_ "github.com/redpanda-data/connect/v4/public/components/pure/extended"

	"github.com/robustmq/robustmq-connect/plugins"
)

// Environment returns the global environment with the components of this program.
var Environment = sync.OnceValues(func() (*service.Environment, error) {
	env := service.GlobalEnvironment()
	return env, plugins.Register(env)
})
