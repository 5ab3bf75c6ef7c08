package tests

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/robustmq/robustmq-connect/tests/program"
)

// The user's own settings are kept, for a service and for a pipeline.
func TestTheProgramTunesTheCollectorUnlessTheUserDoes(t *testing.T) {
	const percent, limit = "go_gc_gogc_percent ", "go_gc_gomemlimit_bytes "
	// It follows the live heap, which is about 8 MB after a start; the maximum is 400.
	const tuned = percent + "[2-4][0-9][0-9]"
	pipeline := program.WriteFile(t, "input: { generate: { mapping: 'root = {}', interval: 1h } }\noutput: { drop: {} }\nmetrics: { prometheus: { add_go_metrics: true } }\n")
	for name, test := range map[string]struct {
		environment map[string]string
		service     bool
		flags       []string
		want        []string
	}{
		"a service":                  {service: true, want: []string{tuned}},
		"a pipeline":                 {want: []string{tuned}},
		"a service of a user's":      {environment: map[string]string{"GOGC": "70", "GOMEMLIMIT": "1GiB"}, service: true, want: []string{percent + "70", limit + "1.073741824e\\+09"}},
		"a pipeline of a user's":     {environment: map[string]string{"GOGC": "70", "GOMEMLIMIT": "1GiB"}, want: []string{percent + "70", limit + "1.073741824e\\+09"}},
		"the flag takes precedence":  {environment: map[string]string{"GOMEMLIMIT": "1GiB"}, service: true, flags: []string{"--memory-limit", "512MiB"}, want: []string{limit + "5.36870912e\\+08"}},
		"the collector switched off": {environment: map[string]string{"GOGC": "off"}, service: true, want: []string{percent + "1.8446744073709552e\\+19"}},
	} {
		t.Run(name, func(t *testing.T) {
			for variable, value := range test.environment {
				t.Setenv(variable, value)
			}
			var p *program.Process
			if test.service {
				address := program.FreeAddress(t)
				p = program.Start(t, address, append([]string{"serve", "--store", t.TempDir(), "--listen", address}, test.flags...)...)
			} else {
				p = program.StartPipeline(t, "run", pipeline)
			}
			p.WaitReady()
			_, text := p.Get("/metrics")
			var lines []string
			for line := range strings.Lines(text) {
				if strings.HasPrefix(line, "go_gc_") {
					lines = append(lines, strings.TrimSpace(line))
				}
			}
			for _, line := range test.want {
				assert.Regexp(t, "(?m)^"+line+"$", strings.Join(lines, "\n"))
			}
		})
	}
}
