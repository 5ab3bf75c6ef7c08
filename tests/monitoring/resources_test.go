// Package monitoring tests what resources/grafana and resources/prometheus offer.
package monitoring

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"
)

var resources = filepath.Join("..", "..", "resources")

// query is one that somebody's Prometheus is asked.
type query struct {
	where string // a panel, a variable or a rule
	expr  string
	label string // of a variable: the values of this label are wanted, and expr is a selector
}

// panel is as much of a panel as its queries need.
type panel struct {
	ID          int    `json:"id"`
	Type        string `json:"type"`
	Title       string `json:"title"`
	Description string `json:"description"`
	Datasource  struct {
		UID string `json:"uid"`
	} `json:"datasource"`
	Targets []struct {
		Expr string `json:"expr"`
	} `json:"targets"`
	FieldConfig struct {
		Defaults struct {
			Unit string `json:"unit"`
		} `json:"defaults"`
	} `json:"fieldConfig"`
}

type board struct {
	file   string
	UID    string  `json:"uid"`
	Panels []panel `json:"panels"`
	Links  []struct {
		URL string `json:"url"`
	} `json:"links"`
	Templating struct {
		List []struct {
			Name       string `json:"name"`
			Type       string `json:"type"`
			Definition string `json:"definition"`
		} `json:"list"`
	} `json:"templating"`
}

func boards(t *testing.T) (all []board) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(resources, "grafana", "*.json"))
	require.NoError(t, err)
	require.Len(t, files, 2)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		b := board{file: filepath.Base(file)}
		require.NoError(t, json.Unmarshal(text, &b), file)
		all = append(all, b)
	}
	return all
}

var labelValues = regexp.MustCompile(`^label_values\((.*), (\w+)\)$`)

// dashboardQueries are those of every panel and every variable.
func dashboardQueries(t *testing.T) (all []query) {
	t.Helper()
	for _, b := range boards(t) {
		for _, p := range b.Panels {
			for _, target := range p.Targets {
				all = append(all, query{where: b.file + ": " + p.Title, expr: target.Expr})
			}
		}
		for _, v := range b.Templating.List {
			if v.Type != "query" {
				continue
			}
			m := labelValues.FindStringSubmatch(v.Definition)
			require.NotNil(t, m, "%s: the variable %s asks for no values of a label: %s", b.file, v.Name, v.Definition)
			all = append(all, query{where: b.file + ": the variable " + v.Name, expr: m[1], label: m[2]})
		}
	}
	return all
}

type rule struct {
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

func rules(t *testing.T) (all []rule) {
	t.Helper()
	var file struct {
		Groups []struct {
			Rules []rule `yaml:"rules"`
		} `yaml:"groups"`
	}
	readYAML(t, "rules.yaml", &file)
	for _, group := range file.Groups {
		all = append(all, group.Rules...)
	}
	require.Greater(t, len(all), 10)
	return all
}

func readYAML(t *testing.T, name string, into any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(resources, "prometheus", name))
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(text, into), name)
}

// Grafana's own types take the dashboards, with nothing unknown in them.
func TestDashboardsAreThoseOfGrafana(t *testing.T) {
	plugins.RegisterDefaultPlugins()
	for _, b := range boards(t) {
		text, err := os.ReadFile(filepath.Join(resources, "grafana", b.file))
		require.NoError(t, err)
		var d dashboard.Dashboard //nolint:staticcheck // dashboards of this version are what every Grafana imports; the newer ones need Grafana 12
		assert.Empty(t, problems(d.UnmarshalJSONStrict(text)), b.file)
		assert.Empty(t, problems(d.Validate()), b.file)
		broken := strings.Replace(string(text), `"gridPos"`, `"gridPosition"`, 1)
		assert.NotEmpty(t, problems(d.UnmarshalJSONStrict([]byte(broken))), "an unknown field is found")
	}
}

// problems is the text of an error. Grafana's types return a list also where it is empty,
// which is no nil.
func problems(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestDashboardsSayWhatTheyShow(t *testing.T) {
	uids := map[string]bool{}
	for _, b := range boards(t) {
		uids[b.UID] = true
	}
	for _, b := range boards(t) {
		ids, titles := map[int]bool{}, map[string]bool{}
		for _, p := range b.Panels {
			assert.False(t, ids[p.ID], "%s: %q has the id of another panel", b.file, p.Title)
			assert.False(t, titles[p.Title], "%s: there are two panels %q", b.file, p.Title)
			ids[p.ID], titles[p.Title] = true, true
			if p.Type == "row" {
				continue
			}
			assert.NotEmpty(t, p.Description, "%s: %q has no description", b.file, p.Title)
			assert.NotEmpty(t, p.FieldConfig.Defaults.Unit, "%s: %q has no unit", b.file, p.Title)
			assert.Equal(t, "${datasource}", p.Datasource.UID, "%s: %q", b.file, p.Title)
			require.NotEmpty(t, p.Targets, "%s: %q asks nothing", b.file, p.Title)
			for _, target := range p.Targets {
				assert.Contains(t, target.Expr, `job=~"$job", instance=~"$instance"`, "%s: %q shows other services too", b.file, p.Title)
				if b.UID == "robustmq-connect-connector" {
					assert.Contains(t, target.Expr, `connector=~"$connector"`, "%s: %q shows other connectors too", b.file, p.Title)
				}
			}
		}
		require.NotEmpty(t, b.Links)
		for _, link := range b.Links {
			uid, _, _ := strings.Cut(strings.TrimPrefix(link.URL, "/d/"), "?")
			assert.True(t, uids[uid], "%s: there is no dashboard %s", b.file, link.URL)
		}
	}
}

func TestAlertsSayWhatToDo(t *testing.T) {
	for _, r := range rules(t) {
		assert.True(t, strings.HasPrefix(r.Alert, "RobustMQConnect"), r.Alert)
		assert.Contains(t, []string{"warning", "critical"}, r.Labels["severity"], r.Alert)
		for _, name := range []string{"summary", "description"} {
			assert.Regexp(t, `\.$`, r.Annotations[name], "%s: %s is a sentence", r.Alert, name)
		}
	}
}

func TestAlertsAreInTheDocumentation(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(resources, "docs", "operations.md"))
	require.NoError(t, err)
	for _, r := range rules(t) {
		assert.Contains(t, string(text), "`"+strings.TrimPrefix(r.Alert, "RobustMQConnect")+"`")
	}
}

// rules_test.yaml has each alert firing once, and silent though something like it happens.
func TestEveryAlertIsTestedFiringAndSilent(t *testing.T) {
	var file struct {
		Tests []struct {
			Name  string `yaml:"name"`
			Exprs []struct {
				Expr    string `yaml:"expr"`
				Samples []any  `yaml:"exp_samples"`
			} `yaml:"promql_expr_test"`
		} `yaml:"tests"`
	}
	readYAML(t, "rules_test.yaml", &file)
	firing, silent := map[string]bool{}, map[string]bool{}
	for _, test := range file.Tests {
		for _, e := range test.Exprs {
			if len(e.Samples) > 0 {
				firing[e.Expr] = true
			} else {
				silent[e.Expr] = true
			}
		}
	}
	for _, r := range rules(t) {
		expr := `ALERTS{alertname="` + r.Alert + `", alertstate="firing"}`
		assert.True(t, firing[expr], "%s does not fire in rules_test.yaml", r.Alert)
		assert.True(t, silent[expr], "%s is not silent in rules_test.yaml", r.Alert)
	}
	assert.Len(t, firing, len(rules(t)), "rules_test.yaml tests alerts that do not exist")
}
