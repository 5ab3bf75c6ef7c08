package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"github.com/robustmq/robustmq-connect/plugins/lint"
)

// requiredValues are values for required fields, by field or by component and field.
// Fields with an example keep it.
var requiredValues = map[string]string{
	"addresses": "[ localhost:9092 ]", "algorithm": "gzip", "bootstrap_servers": "localhost:9092", "cache": "c",
	"cases": "[ { output: { drop: {} } } ]", "channel": "c", "channels": "[ c ]", "child": "{ stdin: {} }", "codec": "json",
	"crash": "over", "duration": "1s", "expressions": "[ '%{WORD:a}' ]", "group_by": "[ { check: 'true' } ]", "input": "{ stdin: {} }",
	"inputs": "[ { stdin: {} } ]", "key": "k", "mapping": "root = this", "message": "m", "mutation": "root = this", "name": "n",
	"network": "tcp", "output": "{ drop: {} }", "outputs": "[ { drop: {} } ]", "paths": "[ ./a ]", "processors": "[ { noop: {} } ]",
	"program": "'{ print }'", "query": "a", "reject_errored": "{ drop: {} }", "resource": "r", "seed_brokers": "[ localhost:9092 ]",
	"stream": "s", "streams": "[ s ]", "subject": "s", "switch": "[ { processors: [ { noop: {} } ] } ]", "target": "r", "topic": "t",
	"topic_id": "a/+", "group_id": "g", "consumer_group": "g", "topics": "[ a ]", "url": "http://localhost:8081", "urls": "[ tcp://localhost:1883 ]",

	"archive.format": "lines", "unarchive.format": "lines", "parse_log.format": "syslog_rfc5424",
	"avro.operator": "to_json", "cache.operator": "get", "msgpack.operator": "to_json", "parquet.operator": "to_json",
	"protobuf.operator": "to_json", "robustmq_envelope.operator": "encode", "xml.operator": "to_json", "metric.type": "counter",
}

// alternatives are fields that a component needs although create does not mark them as
// required, because others would do as well.
var alternatives = map[string]map[string]string{
	"inputs kafka":                 {"consumer_group": "g"},
	"inputs kafka_ordered":         {"topics": "[ a ]", "consumer_group": "g"},
	"inputs kafka_franz":           {"topics": "[ a ]", "consumer_group": "g"},
	"inputs robustmq_kafka_source": {"topic": "a"},
	"inputs redpanda":              {"topics": "[ a ]", "consumer_group": "g", "seed_brokers": "[ localhost:9092 ]"},
	"processors redis":             {"command": "get", "args_mapping": "root = [ this.key ]"},
	"processors xml":               {"operator": "to_json"},
	"processors parquet_encode":    {"schema": "[ { name: a, type: UTF8 } ]"},
}

// fillRequired sets the required fields, as create asks its reader to do.
func fillRequired(t *testing.T, text string) string {
	t.Helper()
	var root yaml.Node
	require.NoError(t, yaml.Unmarshal([]byte(text), &root))
	var fill func(node *yaml.Node, kind, holder string)
	fill = func(node *yaml.Node, kind, holder string) {
		if node.Kind != yaml.MappingNode {
			for _, child := range node.Content {
				fill(child, kind, holder)
			}
			return
		}
		if kinds := strings.TrimSuffix(holder, "s") + "s"; slices.Contains([]string{"inputs", "processors", "outputs"}, kinds) {
			kind = kinds
		}
		for i := 0; i < len(node.Content); i += 2 {
			field, child := node.Content[i].Value, node.Content[i+1]
			fill(child, kind, field)
			isExample := child.Kind == yaml.ScalarNode && child.ShortTag() != "!!null" && child.Value != ""
			if isExample || !strings.Contains(child.LineComment, "(required)") {
				continue
			}
			value, known := requiredValues[holder+"."+field]
			if !known {
				value, known = requiredValues[field]
			}
			require.True(t, known, "%s.%s is required; add a value for it to this test", holder, field)
			require.NoError(t, yaml.Unmarshal([]byte(value), child))
			*child = *child.Content[0]
		}
		for field, value := range alternatives[kind+" "+holder] {
			var pair yaml.Node
			require.NoError(t, yaml.Unmarshal([]byte(field+": "+value), &pair))
			at := slices.IndexFunc(node.Content, func(n *yaml.Node) bool { return n.Value == field })
			if at < 0 {
				node.Content = append(node.Content, pair.Content[0].Content...)
			} else {
				node.Content[at+1] = pair.Content[0].Content[1]
			}
		}
	}
	fill(&root, "", "")
	filled, err := yaml.Marshal(&root)
	require.NoError(t, err)
	return string(filled)
}

func TestAFilledPipelineOfCreateLints(t *testing.T) {
	env, err := lint.StandIns(service.GlobalEnvironment())
	require.NoError(t, err)
	linter := testLinter(t, lint.Options{})
	tried := 0
	try := func(expression string) {
		for _, small := range []bool{false, true} {
			tried++
			text, err := createPipeline(env, expression, small)
			require.NoError(t, err, expression)
			filled := fillRequired(t, text)
			assert.Empty(t, linter.yaml(filled, false), "create %s (small: %v), filled:\n%s", expression, small, filled)
		}
	}
	kinds, err := componentsByKind(componentLists(env), []string{"inputs", "processors", "outputs"}, "")
	require.NoError(t, err)
	for _, kind := range kinds {
		require.GreaterOrEqual(t, len(kind.components), 25, "list has lost its %s", kind.kind)
		for _, c := range kind.components {
			try(map[string]string{
				"inputs": c.name + "//drop", "processors": "stdin/" + c.name + "/drop", "outputs": "stdin//" + c.name,
			}[kind.kind])
		}
	}
	for _, input := range []string{"robustmq_kafka", "mqtt", "kafka_franz"} {
		for _, output := range []string{"robustmq_kafka", "kafka_franz", "mqtt", "robustmq_kafka,kafka_franz"} {
			try(input + "/robustmq_envelope,mapping/" + output)
			try(input + ",generate//" + output)
		}
	}
	t.Logf("counted %d pipelines of create linted", tried)
}
