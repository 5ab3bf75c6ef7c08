//go:build !race

package envelope

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// The race detector allocates too, so the count is meaningless with it.
func TestEncodeAllocatesOneBuffer(t *testing.T) {
	e := benchEnvelope()
	assert.LessOrEqual(t, testing.AllocsPerRun(200, func() { AppendEncode(nil, &e, true) }), 1.0)
	e.Topic = strings.Repeat("\"", 100) // twice as long as the buffer expects
	assert.LessOrEqual(t, testing.AllocsPerRun(200, func() { AppendEncode(nil, &e, true) }), 2.0)
}
