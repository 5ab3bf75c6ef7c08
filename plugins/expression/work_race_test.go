//go:build race

package expression

// maxWork is larger than without the race detector, which allocates as well.
const maxWork = 256 << 20
