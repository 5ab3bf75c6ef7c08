package connector

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestANewNameMustNotHaveHiddenCharacters(t *testing.T) {
	for name, hidden := range map[string]string{
		"a\x1b[31m": `"a\x1b[31m" holds U+001B`,
		"x\x00y":    `"x\x00y" holds U+0000`,
		"a\nb":      `"a\nb" holds U+000A`,
		"a\u2028b":  `"a\u2028b" holds U+2028`,
		"a\u0085b":  `"a\u0085b" holds U+0085`,
		"a\u202eb":  `"a\u202eb" holds U+202E`,
		"a\u2066b":  `"a\u2066b" holds U+2066`,
		"a\u200fb":  `"a\u200fb" holds U+200F`,
		"a\u061cb":  `"a\u061cb" holds U+061C`,
		"c\u200b":   `"c\u200b" holds U+200B`,
	} {
		require.EqualError(t, CheckName(name), "connector_name: "+hidden+", which a terminal does not show: remove it")
	}
	for _, name := range []string{"plain-1_x", "with space", "../../etc/passwd", "日本語", "מד־חום", "ü", "\u0645\u06cc\u200c\u062e", "\U0001f469\u200d\U0001f52c"} {
		assert.NoError(t, CheckName(name), name)
	}
}
