//go:build !race

package expression

// maxWork is how much one evaluation may allocate in all, of which little is held
// at a time.
const maxWork = 96 << 20
