package excerpt_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/robustmq/robustmq-connect/plugins/internal/excerpt"
)

func TestAnExcerptIsTextOrBase64WithTheTrueSize(t *testing.T) {
	for name, test := range map[string]struct {
		data   []byte
		text   string
		isText bool
		cut    bool
	}{
		"text":                           {[]byte("21.5 °C"), "21.5 °C", true, false},
		"empty":                          {[]byte{}, "", true, false},
		"bytes":                          {[]byte{0xff, 0}, "/wA=", false, false},
		"the most":                       {bytes.Repeat([]byte("a"), excerpt.Max), strings.Repeat("a", excerpt.Max), true, false},
		"one more":                       {bytes.Repeat([]byte("a"), excerpt.Max+1), strings.Repeat("a", excerpt.Max), true, true},
		"a character at the cut":         {[]byte(strings.Repeat("a", excerpt.Max-1) + "é"), strings.Repeat("a", excerpt.Max-1), true, true},
		"one of four bytes":              {[]byte(strings.Repeat("a", excerpt.Max-3) + "😀"), strings.Repeat("a", excerpt.Max-3), true, true},
		"one that just fits":             {[]byte(strings.Repeat("a", excerpt.Max-4) + "😀b"), strings.Repeat("a", excerpt.Max-4) + "😀", true, true},
		"bytes that are text at the cut": {append(bytes.Repeat([]byte("a"), excerpt.Max), 0xff), strings.Repeat("a", excerpt.Max), true, true},
	} {
		e := excerpt.Of(test.data)
		text, isText := e.Text()
		assert.Equal(t, test.text, text, name)
		assert.Equal(t, test.isText, isText, name)
		assert.Equal(t, test.cut, e.Cut(), name)
		assert.Equal(t, len(test.data), e.Size, name)
	}
	assert.Equal(t, excerpt.Excerpt{}, excerpt.Of(nil), "no key is not an empty one")
	assert.NotNil(t, excerpt.Of([]byte{}).Data)
}

func TestAnExcerptIsACopy(t *testing.T) {
	data := []byte("before")
	e := excerpt.Of(data)
	copy(data, "after!")
	assert.Equal(t, "before", string(e.Data))
}

func TestALongLineIsCutBetweenTwoCharacters(t *testing.T) {
	assert.Equal(t, "a/b", excerpt.Line("a/b"))
	assert.Equal(t, strings.Repeat("a", 1023)+"…", excerpt.Line(strings.Repeat("a", 1023)+"éé"))
	assert.Equal(t, strings.Repeat("é", 512), excerpt.Line(strings.Repeat("é", 512)))
}
