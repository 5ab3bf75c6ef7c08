package connector

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func buffered(t *testing.T, buffer string) (Connector, error) {
	t.Helper()
	return Parse(fmt.Appendf(nil,
		`{"connector_name":"c","connector_type":"kafka","topic_name":"in/#","config":{"bootstrap_servers":"k:1","topic":"t","disk_buffer":%s}}`, buffer))
}

func TestABufferHasOnlyFieldsThatReachNoOtherFile(t *testing.T) {
	for buffer, want := range map[string]string{
		`{"path":"/etc"}`:           "config.disk_buffer.path: the service chooses the directory",
		`{"input":{"stdin":{}}}`:    "config.disk_buffer.input: is unknown: the fields are max_bytes, max_age, on_full, sync, sync_interval",
		`{"max_batch_messages":1}`:  "config.disk_buffer.max_batch_messages: is unknown",
		`{"Path":"/etc"}`:           "config.disk_buffer.Path: is unknown",
		`{"a\u0000b":1}`:            "is unknown",
		`"/etc"`:                    "config.disk_buffer: it must be an object",
		`true`:                      "config.disk_buffer: it must be an object",
		`[]`:                        "config.disk_buffer: it must be an object",
		`{"max_age":"${HOME}"}`:     "config.disk_buffer.max_age:",
		`{"on_full":{"${X}":1}}`:    "config.disk_buffer.on_full: it must be a text, or a number",
		`{"max_age":1,"max_age":2}`: `field "max_age" is given twice`,
	} {
		_, err := buffered(t, buffer)
		require.ErrorContains(t, err, want, buffer)
	}
	c, err := buffered(t, `null`)
	require.NoError(t, err)
	assert.False(t, c.HasBuffer())
	c, err = buffered(t, `{}`)
	require.NoError(t, err)
	assert.True(t, c.HasBuffer())
	assert.False(t, c.WithoutBuffer().HasBuffer())
}

func TestASourceHasNoBuffer(t *testing.T) {
	_, err := Parse([]byte(`{"connector_name":"c","connector_type":"kafka_source","config":{"bootstrap_servers":"k:1","topic":"t","disk_buffer":{}}}`))
	require.ErrorContains(t, err, `config: unknown field "disk_buffer"`)
}

func TestTheServiceSetsThePathAndTheLargestSizeOfABuffer(t *testing.T) {
	for given, want := range map[string]string{
		`{}`:                                  `{"max_bytes":"1048576","path":"/b/x"}`,
		`{"max_bytes":"2MiB","max_age":"1h"}`: `{"max_age":"1h","max_bytes":"1048576","path":"/b/x"}`,
		`{"max_bytes":"1MiB"}`:                `{"max_bytes":"1MiB","path":"/b/x"}`,
		`{"max_bytes":"much"}`:                `{"max_bytes":"much","path":"/b/x"}`, // lint refuses it
		`{"max_bytes":99999999}`:              `{"max_bytes":"1048576","path":"/b/x"}`,
		`{"max_bytes":1000000,"max_age":0}`:   `{"max_age":"0","max_bytes":"1000000","path":"/b/x"}`, // the buffer takes texts only
		`{"max_bytes":null,"max_age":"1h"}`:   `{"max_age":"1h","max_bytes":"1048576","path":"/b/x"}`,
	} {
		c, err := buffered(t, given)
		require.NoError(t, err)
		assert.JSONEq(t, want, string(c.WithBuffer("/b/x", 1<<20).MQTT.Get("disk_buffer")), given)
	}
	c, err := buffered(t, `{}`)
	require.NoError(t, err)
	assert.Contains(t, string(c.WithBuffer("/b", 1<<40).MQTT.Get("disk_buffer")), `"1073741824"`)
	require.NoError(t, c.CheckBuffer(1<<20))

	for _, size := range []string{`"2MiB"`, `2097152`, `"1EiB"`} {
		c, err = buffered(t, `{"max_bytes":`+size+`}`)
		require.NoError(t, err)
		require.NoError(t, c.CheckBuffer(1<<60))
		require.ErrorContains(t, c.CheckBuffer(1<<20), "config.disk_buffer.max_bytes: ")
		require.ErrorContains(t, c.CheckBuffer(1<<20), "is more than the service's --max-buffer-bytes, 1.0 MiB")
	}
}

func TestAnExportedPipelineHasAPathForItsBuffer(t *testing.T) {
	c, err := buffered(t, `{"max_age":"1h"}`)
	require.NoError(t, err)
	document, _ := Pipeline(c)
	assert.Contains(t, string(document), `path: "${BUFFER_DIR:buffers}/`+BufferName(DefaultTenant, "c")+`"`)
	document, _ = Pipeline(c.WithBuffer("/b/x", 1<<30))
	assert.Contains(t, string(document), "path: /b/x\n")
}

func TestTheDirectoryOfABufferIsAPlainWordForEveryName(t *testing.T) {
	names := []string{
		"..", ".", "/", "/etc/passwd", "../../x", "a/b", `a\b`, "c", "C", "c ", "\x00", "é", "e\u0301", "\u202ea",
		strings.Repeat("n", 128), strings.Repeat("N", 128), strings.Repeat("漢", 128), "nul", "lock", "gone_1", "",
	}
	seen := map[string]string{}
	for _, tenant := range []string{"default", "defaul", ""} {
		for _, name := range names {
			word := BufferName(tenant, name)
			assert.Regexp(t, `^[a-z0-9_]{0,40}_[0-9a-f]{24}$`, word)
			assert.Empty(t, seen[word], "%q of %q", name, tenant)
			seen[word] = tenant + "/" + name
		}
	}
	assert.Equal(t, "c_b2fbcd07833d908dfbe0fd2e", BufferName("default", "c"), "it is the same in every release")
}
