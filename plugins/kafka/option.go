package kafka

import (
	"io/fs"

	"github.com/robustmq/robustmq-connect/plugins/targets"
)

// Option changes what the output does in one environment. A configuration cannot change
// it.
type Option func(*options)

type options struct {
	limited bool
	targets *targets.Guard
	files   fs.FS    // nil is the machine's
	network DialFunc // nil is TCP
}

// LimitExpressions applies the limits of the package expression to the expressions of
// untrusted configurations: the size of the payload that they read, and of their
// results. The environment must apply the other limits.
func LimitExpressions() Option { return func(o *options) { o.limited = true } }

// OnlyTo restricts the output to the targets that a guard allows: the addresses in its
// configuration, those that brokers advertise, and the Kerberos servers.
func OnlyTo(guard *targets.Guard) Option { return func(o *options) { o.targets = guard } }

// ReadFrom reads the Kerberos files from files.
func ReadFrom(files fs.FS) Option { return func(o *options) { o.files = files } }

// DialBy replaces TCP, for tests that control the clock (testing/synctest) or break the
// network. The rules about targets do not apply.
func DialBy(dial DialFunc) Option { return func(o *options) { o.network = dial } }

func optionsOf(all []Option) (o options) {
	for _, option := range all {
		option(&o)
	}
	return o
}
