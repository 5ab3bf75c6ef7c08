package admin

// role is what a caller may do. Each may do what those before it may.
type role int

const (
	anyone        role = iota // probes, without a token
	reader                    // sees connectors, without their secrets and messages
	operator                  // changes connectors
	administrator             // sets their secrets
)
