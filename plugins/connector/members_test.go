package connector

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func withParallelism(filter, n string) string {
	return fmt.Sprintf(`{"connector_name":"c","connector_type":"kafka","topic_name":%q,"config":{"bootstrap_servers":"h:1","topic":"t","parallelism":%s}}`, filter, n)
}

func TestAConnectorHasAsManyMembersAsItsParallelism(t *testing.T) {
	for n, want := range map[string]int{"null": 1, "1": 1, "2": 2, "64": 64} {
		c, err := Parse([]byte(withParallelism("a/#", n)))
		require.NoError(t, err, n)
		assert.Equal(t, want, c.Members(), n)
		again, err := Parse(c.JSON())
		require.NoError(t, err)
		assert.Equal(t, c.Members(), again.Members())
	}
	for n, want := range map[string]string{
		"0": "config.parallelism: 0 is out of range: it must be from 1 to 64", "65": "config.parallelism: 65 is out of range",
		"-1": "config.parallelism: -1 is out of range", "2.5": "config.parallelism: 2.5: it must be a whole number from 1 to 64",
		`"2"`: "config.parallelism: a string: it must be a number", "1e99": "config.parallelism: 1e99: it must be a whole number",
		"true": "config.parallelism: a boolean: it must be a number",
	} {
		_, err := Parse([]byte(withParallelism("a/#", n)))
		require.ErrorContains(t, err, want)
	}
	_, err := Parse([]byte(withParallelism("$share/g/a/#", "2")))
	require.ErrorContains(t, err, `config.parallelism: 2 members share a subscription of their own, and topic_name "$share/g/a/#" shares one already: give the filter behind the share name, or remove parallelism`)
	_, err = Parse([]byte(withParallelism("$share/g/a/#", "1")))
	require.NoError(t, err)
	buffered := strings.Replace(withParallelism("a/#", "2"), `"parallelism"`, `"disk_buffer":{},"parallelism"`, 1)
	_, err = Parse([]byte(buffered))
	require.ErrorContains(t, err, "config.parallelism: a disk_buffer keeps the order of one member, and 2 share the messages: remove parallelism or disk_buffer")
	source := strings.Replace(withParallelism("a", "2"), `"connector_type":"kafka"`, `"connector_type":"kafka_source"`, 1)
	_, err = Parse([]byte(source))
	require.ErrorContains(t, err, `unknown field "parallelism"`)
}

func TestMembersDifferInTheirClientIDs(t *testing.T) {
	c, err := Parse([]byte(withParallelism("a/#", "3")))
	require.NoError(t, err)
	c.MQTT = Settings{{Name: "client_id", Value: []byte(`"id"`)}}
	for member, id := range []string{"id", "id_member_1", "id_member_2"} {
		one := c.WithMember(member).Shared("group")
		assert.Equal(t, "$share/group/a/#", one.TopicID)
		assert.Equal(t, id, one.MQTT.Text("client_id"))
		assert.Equal(t, one, one.Shared("group"), "it is one connector")
	}
	assert.Equal(t, "a/#", c.TopicID)
	_, notes := Pipeline(c)
	require.Len(t, notes, 1)
	assert.Equal(t, "not taken over: parallelism 3: start 3 pipelines with the topic_id $share/GROUP/a/#, each with a client_id of its own", notes[0])

	alone := c
	alone.Parallelism = 1
	assert.Equal(t, alone, alone.Shared("group"))
	assert.Equal(t, 1, Connector{}.Members())
}
