package connector

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func labelled(labels string) []byte {
	return fmt.Appendf(nil, `{"connector_name":"c","connector_type":"kafka","topic_name":"a","config":{"bootstrap_servers":"k:1","topic":"t"},"labels":%s}`, labels)
}

func TestLabelsAreNamedAsThoseOfKubernetes(t *testing.T) {
	long := strings.Repeat("a", 63)
	c, err := Parse(labelled(`{"site":"north","example.com/stage":"Test_1.a","empty":"","` + long + `":"` + long + `"}`))
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"site": "north", "example.com/stage": "Test_1.a", "empty": "", long: long}, c.Labels)
	c, err = Parse(labelled(`{}`))
	require.NoError(t, err)
	assert.NotNil(t, c.Labels, "they are given: an update removes all")
	c, err = Parse(labelled(`null`))
	require.NoError(t, err)
	assert.Nil(t, c.Labels, "they are not: an update keeps what there is")
	assert.NotContains(t, string(c.JSON()), "labels")

	var many []string
	for i := range MaxLabels + 1 {
		many = append(many, fmt.Sprintf(`"l%d":""`, i))
	}
	for labels, want := range map[string]string{
		`[]`:                                "labels: a list of 0",
		`{"a":1}`:                           "labels.a: a number: it must be a string",
		`{"a":null}`:                        "labels.a: null: it must be a string",
		`{"a":"1","a":"2"}`:                 `labels: field "a" is given twice`,
		`{"":"1"}`:                          `labels: "" is not the name of a label`,
		`{"-a":"1"}`:                        `labels: "-a" is not the name of a label: it must have 1 to 63 letters`,
		`{"` + long + `a":"1"}`:             `is not the name of a label: it must have 1 to 63 letters`,
		`{"a b":"1"}`:                       `labels: "a b" is not the name of a label`,
		`{"EXAMPLE.com/a":"1"}`:             `labels: "EXAMPLE.com/a" is not the name of a label: the part before the / must be a DNS name of at most 253 characters`,
		`{"/a":"1"}`:                        `labels: "/a" is not the name of a label: the part before the /`,
		`{"a/b/c":"1"}`:                     `labels: "a/b/c" is not the name of a label`,
		`{"a":"b c"}`:                       `labels.a: "b c" is not the value of a label: it must be empty, or have up to 63 letters`,
		`{"a":"` + long + `b"}`:             `is not the value of a label`,
		"{" + strings.Join(many, ",") + "}": "labels: 33 labels: at most 32 are allowed",
	} {
		_, err := Parse(labelled(labels))
		require.ErrorContains(t, err, want, labels)
	}
}

func TestASelectorSelectsAsThatOfKubernetes(t *testing.T) {
	labels := map[string]string{"site": "north", "stage": "", "example.com/team": "a"}
	for text, want := range map[string]bool{
		"site=north": true, "site==north": true, "site=south": false, "site!=south": true, "site!=north": false,
		"nosuch!=x": true, "nosuch=x": false, "nosuch=": false, "stage=": true, "stage": true, "nosuch": false, "!nosuch": true, "!site": false,
		" site = north , !nosuch,example.com/team = a": true, "site=north,stage=x": false,
	} {
		s, err := ParseSelector(text)
		require.NoError(t, err, text)
		assert.Equal(t, want, s.Matches(labels), text)
	}
	assert.True(t, Selector(nil).Matches(nil), "no selector selects all")
	for text, want := range map[string]string{
		"": "it is empty: give labels", " ": "it is empty", "a=b,": `"" is not the name of a label`, "a=b c": `"b c" is not the value of a label`,
		"=b": `"=b" is not a requirement; must be a=b, a!=b, a or !a`, "a!b": `"a!b" is not a requirement`, "!": `"" is not the name of a label`, "!a=b": `"a=b" is not the name`,
		"a in (b)": `"a in (b" is not the name of a label`, "a===b": `"=b" is not the value`,
	} {
		_, err := ParseSelector(text)
		var invalid *InvalidError
		require.ErrorAs(t, err, &invalid, text)
		assert.Equal(t, "selector", invalid.Field)
		if text != "a in (b)" {
			assert.Contains(t, invalid.Why, want, text)
		}
	}
}
