//go:build !race

package expression

// maxWork limits the total that one evaluation may allocate; little of it is held at a
// time.
const maxWork = 96 << 20
