//go:build race

package expression

// maxWork is larger than without the race detector, which allocates too.
const maxWork = 256 << 20
