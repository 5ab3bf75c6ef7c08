//go:build !race

package envelope

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// The race detector allocates as well, so that there is nothing to count there.
func TestEncodeAllocatesOneBuffer(t *testing.T) {
	e := benchEnvelope()
	assert.LessOrEqual(t, testing.AllocsPerRun(200, func() { AppendEncode(nil, &e, true) }), 1.0)
	e.Topic = strings.Repeat("\"", 100) // twice as long as the buffer expects
	assert.LessOrEqual(t, testing.AllocsPerRun(200, func() { AppendEncode(nil, &e, true) }), 2.0)
}
