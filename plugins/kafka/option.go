package kafka

// Option changes what the output does in one environment. A configuration cannot
// change it.
type Option func(*options)

type options struct {
	limited bool
}

// LimitExpressions holds the expressions of configurations that nobody vouches
// for to the limits of the package expression, on the payload that they look into
// and on their results. The environment must be one that limits the rest.
func LimitExpressions() Option { return func(o *options) { o.limited = true } }

func optionsOf(all []Option) (o options) {
	for _, option := range all {
		option(&o)
	}
	return o
}
