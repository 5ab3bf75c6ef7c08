package robustmq_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"github.com/robustmq/robustmq-connect/plugins/robustmq"
	"github.com/robustmq/robustmq-connect/templates"
)

func TestEveryFieldHasOneTypeAndADefaultOfThatType(t *testing.T) {
	require.Len(t, robustmq.Fields, 10)
	for _, f := range robustmq.Fields {
		var v any
		require.NoError(t, json.Unmarshal([]byte(f.Default), &v), f.Name)
		switch {
		case f.MaxLength > 0:
			assert.Empty(t, v, f.Name)
			assert.Empty(t, f.Words, f.Name)
			assert.Zero(t, f.Max, f.Name)
		case len(f.Words) > 0:
			assert.Contains(t, f.Words, v, f.Name)
			assert.Zero(t, f.Max, f.Name)
		default:
			n, isNumber := v.(float64)
			require.True(t, isNumber, f.Name)
			assert.GreaterOrEqual(t, int(n), f.Min, f.Name)
			assert.LessOrEqual(t, int(n), f.Max, f.Name)
			assert.LessOrEqual(t, f.RobustMQMin, f.Min, f.Name)
			assert.Contains(t, f.OutOfRange, f.Name)
		}
		assert.Equal(t, f, robustmq.FieldOf(f.Name))
	}
	assert.PanicsWithValue(t, `RobustMQ's connector has no field "keys"`, func() { robustmq.FieldOf("keys") })
}

// Every field of a connector is a field of the output template.
func TestTheOutputTemplateHasEveryField(t *testing.T) {
	texts, err := templates.YAML()
	require.NoError(t, err)
	var template struct{ Fields []struct{ Name string } }
	require.NoError(t, yaml.Unmarshal([]byte(texts["robustmq_kafka_output.tmpl.yaml"]), &template))
	known := map[string]bool{}
	for _, f := range template.Fields {
		known[f.Name] = true
	}
	for _, f := range robustmq.Fields {
		assert.True(t, known[f.Name], f.Name)
	}
}
