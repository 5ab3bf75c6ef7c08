package lint_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/lint"
)

func TestFindingsHaveTheirPosition(t *testing.T) {
	linter := newLinter(t, lint.Options{})
	for name, test := range map[string]struct {
		text         string
		line, column int
		path, field  string
	}{
		"a value":              {"input:\n  robustmq_kafka:\n    topic_id: a/#/b\n", 3, 15, "input robustmq_kafka topic_id", "topic_id"},
		"two on one line":      {"input: { robustmq_kafka: { topic_id: a, qos: 3 } }\n", 1, 46, "input robustmq_kafka qos", "qos"},
		"an item":              {"input:\n  robustmq_kafka:\n    topic_id: a\n    urls:\n      - tcp://a:1\n      - b\n", 6, 9, "input robustmq_kafka urls 1", "urls.1"},
		"a missing field":      {"output:\n  robustmq_kafka:\n    topic: t\n", 3, 5, "output robustmq_kafka bootstrap_servers", "bootstrap_servers"},
		"an unknown field":     {"output:\n  robustmq_kafka:\n    bootstrap_servers: a:1\n    topic: t\n    tls:\n      enable: true\n", 6, 7, "output robustmq_kafka tls enable", "tls.enable"},
		"an inner component":   {"output:\n  fallback:\n    - drop: {}\n    - kafka_franz: { seed_brokers: [ a ], topic: a/b }\n", 4, 50, "output fallback 1 kafka_franz topic", "topic"},
		"a processor":          {"pipeline:\n  processors:\n    - robustmq_envelope:\n        operator: encode\n        qos: 7\n", 5, 14, "pipeline processors 0 robustmq_envelope qos", "qos"},
		"an input's processor": {"input:\n  robustmq_kafka:\n    topic_id: a\n  processors:\n    - robustmq_envelope:\n        operator: decode\n        qos: \"1\"\n", 7, 14, "input processors 0 robustmq_envelope qos", "qos"},
		"the pipeline itself":  {"http:\n  address: nope\n", 2, 12, "http address", "http.address"},
		"a component":          {"input:\n  robustmq_kafak: {}\n", 2, 3, "input", ""},
		"behind a variable":    {"input: { robustmq_kafka: { client_id: \"${LINT_TEST_UNSET:é}\", topic_id: \"#/a\" } }\n", 1, 73, "input robustmq_kafka topic_id", "topic_id"},
		"out of a variable":    {"input:\n  robustmq_kafka:\n    topic_id: a\n    urls: ${LINT_TEST_UNSET:[ tcp://b:1, c ]}\n", 4, 11, "input robustmq_kafka urls 1", "urls.1"},
		"behind a long name":   {"input:\n  mqtt:\n    urls: [ tcp://b:1 ]\n    topics: [ a ]\n    user_properties: { " + strings.Repeat("n", 900) + ": v }\n    qos: 3\n", 6, 10, "input mqtt qos", "qos"},
		"behind a text":        {"pipeline:\n  processors:\n    - mapping: |\n        root = this\n\n        root.a = 1\n    - robustmq_envelope: { operator: no }\n", 7, 38, "pipeline processors 1 robustmq_envelope operator", "operator"},
		"in a text":            {"pipeline:\n  processors:\n    - mapping: |\n        root = this\n\n        root.a = (\n", 6, 1, "pipeline processors 0 mapping", ""},
		"with another type":    {"input:\n  type: mqtt\n  mqtt:\n    urls: [ tcp://b:1 ]\n    topics: [ a/#/b ]\n", 5, 15, "input mqtt topics 0", "topics.0"},
	} {
		t.Run(name, func(t *testing.T) {
			findings := linter.YAML(test.text, false)
			require.Len(t, findings, 1, "%v", findings)
			f := findings[0]
			assert.Equal(t, test.line, f.Line)
			assert.Equal(t, test.column, f.Column)
			assert.Equal(t, test.path, strings.Join(f.Path, " "))
			assert.Equal(t, test.field, f.Field)
			assert.NotEmpty(t, f.What)
			assert.NotContains(t, f.What, "\n")
			want := f.What
			if f.Field != "" {
				want = f.Field + ": " + f.What
			}
			assert.Equal(t, want, f.String())
		})
	}
}

// A finding does not cause a second one as its consequence.
func TestOneErrorIsOneFinding(t *testing.T) {
	linter := newLinter(t, lint.Options{})
	for _, text := range []string{
		"input:\n  robustmq_kafka:\n  topic_id: a\n",
		"output:\n  kafka_franz:\n    seed_brokers: a\n    topic: t\n",
		"output:\n  kafka_franz:\n    seed_brokers: [ a ]\n    topic: t\n    max_in_flight: many\n",
		"output:\n  kafka_franz:\n    seed_brokers: [ a ]\n    topic: t\n    tls: true\n",
		"pipeline:\n  threads: many\n",
		"input:\n  label: Not Legal\n  robustmq_kafka: { topic_id: a }\n",
	} {
		findings := linter.YAML(text, false)
		assert.Len(t, findings, 1, "%s\n%v", text, findings)
	}
}

func TestDisabledLintReportsNothing(t *testing.T) {
	assert.Empty(t, newLinter(t, lint.Options{}).YAML("# BENTHOS LINT DISABLE\ninput: { nope: {} }\nhttp: { address: nope }\n", false))
}

// Aliases that multiply must cause a finding, not use up the memory.
func TestAliasesThatMultiplyAreRefused(t *testing.T) {
	var text strings.Builder
	text.WriteString("a: &a [ x, x, x, x, x, x, x, x, x, x ]\n")
	for c := 'b'; c <= 'i'; c++ {
		fmt.Fprintf(&text, "%c: &%c [ %s ]\n", c, c, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*%c, ", c-1), 10), ", "))
	}
	findings := newLinter(t, lint.Options{}).YAML(text.String(), false)
	require.NotEmpty(t, findings)
	assert.Contains(t, findings[0].String()+findings[1].String(), "use fewer aliases")
}
