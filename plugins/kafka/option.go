package kafka

import (
	"io/fs"

	"github.com/robustmq/robustmq-connect/plugins/targets"
)

// Option changes what the output does in one environment. A configuration cannot
// change it.
type Option func(*options)

type options struct {
	limited bool
	targets *targets.Guard
	files   fs.FS // nil is the machine's
}

// LimitExpressions holds the expressions of configurations that nobody vouches
// for to the limits of the package expression, on the payload that they look into
// and on their results. The environment must be one that limits the rest.
func LimitExpressions() Option { return func(o *options) { o.limited = true } }

// OnlyTo keeps the output to the targets that a guard lets pass: the addresses in
// its configuration, those that brokers advertise, and the servers of Kerberos.
func OnlyTo(guard *targets.Guard) Option { return func(o *options) { o.targets = guard } }

// ReadFrom takes the files of Kerberos from there.
func ReadFrom(files fs.FS) Option { return func(o *options) { o.files = files } }

func optionsOf(all []Option) (o options) {
	for _, option := range all {
		option(&o)
	}
	return o
}
