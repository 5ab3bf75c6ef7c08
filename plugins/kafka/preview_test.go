package kafka

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redpanda-data/benthos/v4/public/service"
)

func previewerOf(t *testing.T, yaml string) *previewer {
	t.Helper()
	conf, err := Spec().ParseYAML("seed_brokers: [ localhost:1 ]\n"+yaml, nil)
	require.NoError(t, err)
	c, err := parseConfig(conf)
	require.NoError(t, err)
	return &previewer{c}
}

func TestAPreviewHasTheRecordOrTheFieldAtFault(t *testing.T) {
	p := previewerOf(t, "topic: t\nkey: ${! json(\"id\").number() }\n")
	require.NoError(t, p.Connect(t.Context()))
	var made Preview
	require.NoError(t, p.WriteBatch(t.Context(), service.MessageBatch{made.Of(service.NewMessage([]byte(`{"id":7}`)))}))
	require.NoError(t, made.Err)
	assert.Equal(t, "t", made.Record.Topic)
	assert.Equal(t, "7", string(made.Record.Key))
	assert.JSONEq(t, `{"id":7}`, string(made.Record.Value))
	assert.EqualValues(t, -1, made.Record.Partition)

	var failed Preview
	require.NoError(t, p.WriteBatch(t.Context(), service.MessageBatch{failed.Of(service.NewMessage([]byte(`no JSON`)))}))
	var field *FieldError
	require.ErrorAs(t, failed.Err, &field)
	assert.Equal(t, "key", field.Field)
	assert.Contains(t, failed.Err.Error(), "evaluating field key: ")

	require.ErrorIs(t, p.WriteBatch(t.Context(), service.MessageBatch{service.NewMessage(nil)}), errNoPreview)
	require.ErrorIs(t, p.WriteBatch(t.Context(), nil), errNoPreview)
	require.NoError(t, p.Close(t.Context()))
}

// A panic ends the preview, and neither the service nor another preview.
func TestAPanicIsTheErrorOfAPreview(t *testing.T) {
	p := previewerOf(t, "topic: t\n")
	p.conf.records.topic = nil
	var made Preview
	require.NoError(t, p.WriteBatch(t.Context(), service.MessageBatch{made.Of(service.NewMessage(nil))}))
	require.Error(t, made.Err)
	assert.Contains(t, made.Err.Error(), "panic")
}
