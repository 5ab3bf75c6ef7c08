package connector

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Limits of labels. Names and values have those of Kubernetes.
const (
	MaxLabels      = 32
	maxLabelPart   = 63
	maxLabelPrefix = 253
)

var (
	labelPart   = regexp.MustCompile(`^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$`)
	labelPrefix = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)
)

func checkLabelName(name string) error {
	prefix, part, prefixed := strings.Cut(name, "/")
	if !prefixed {
		prefix, part = "", name
	}
	if prefixed && (len(prefix) > maxLabelPrefix || !labelPrefix.MatchString(prefix)) {
		return fmt.Errorf("%q is not the name of a label: the part before the / must be a DNS name of at most %d characters, example.com for example", name, maxLabelPrefix)
	}
	if len(part) > maxLabelPart || !labelPart.MatchString(part) {
		return fmt.Errorf("%q is not the name of a label: it must have 1 to %d letters, digits, -, _ and ., and begin and end with a letter or digit", name, maxLabelPart)
	}
	return nil
}

func checkLabelValue(value string) error {
	if value != "" && (len(value) > maxLabelPart || !labelPart.MatchString(value)) {
		return fmt.Errorf("%q is not the value of a label: it must be empty, or have up to %d letters, digits, -, _ and ., and begin and end with a letter or digit", value, maxLabelPart)
	}
	return nil
}

// labels reads an object of texts. It returns nil if the field is missing.
func (r *reader) labels(name string) map[string]string {
	raw := r.raw(name)
	if raw == nil {
		return nil
	}
	fields, err := object(raw)
	if err != nil {
		r.fail(name, "%s", err)
		return nil
	}
	if len(fields) > MaxLabels {
		r.fail(name, "%d labels: at most %d are allowed", len(fields), MaxLabels)
		return nil
	}
	labels := make(map[string]string, len(fields))
	for _, label := range slices.Sorted(maps.Keys(fields)) {
		if err := checkLabelName(label); err != nil {
			r.fail(name, "%s", err)
			return nil
		}
		var value string
		if err := json.Unmarshal(fields[label], &value); err != nil || string(fields[label]) == "null" {
			r.fail(name+"."+label, "%s: it must be a string", kind(fields[label]))
			return nil
		}
		if err := checkLabelValue(value); err != nil {
			r.fail(name+"."+label, "%s", err)
			return nil
		}
		labels[label] = value
	}
	return labels
}

// Selector selects connectors by their labels.
type Selector []requirement

// requirement is one of a selector; a connector must meet all.
type requirement struct {
	label, value string
	anyValue     bool // the label is there, whatever its value
	not          bool
}

// ParseSelector reads requirements separated by commas, as Kubernetes writes them: a=b
// (or a==b), a!=b, a (there is such a label) and !a (there is none). The error is an
// *InvalidError.
func ParseSelector(text string) (Selector, error) {
	fail := func(why string) (Selector, error) { return nil, &InvalidError{Field: "selector", Why: why} }
	if strings.TrimSpace(text) == "" {
		return fail("it is empty: give labels, for example site=north,stage!=test")
	}
	var all Selector
	for item := range strings.SplitSeq(text, ",") {
		r := requirement{label: strings.TrimSpace(item), anyValue: true}
		if at := strings.IndexAny(r.label, "=!"); at > 0 {
			operator := r.label[at:]
			r.label, r.anyValue, r.not = strings.TrimSpace(r.label[:at]), false, operator[0] == '!'
			operator, found := strings.CutPrefix(strings.TrimPrefix(operator, "!"), "=")
			if !found {
				return fail(fmt.Sprintf("%q is not a requirement; must be a=b, a!=b, a or !a", strings.TrimSpace(item)))
			}
			if !r.not {
				operator = strings.TrimPrefix(operator, "=")
			}
			r.value = strings.TrimSpace(operator)
		} else if at == 0 {
			r.label, r.not = strings.TrimSpace(r.label[1:]), r.label[0] == '!'
			if !r.not {
				return fail(fmt.Sprintf("%q is not a requirement; must be a=b, a!=b, a or !a", strings.TrimSpace(item)))
			}
		}
		if err := checkLabelName(r.label); err != nil {
			return fail(err.Error())
		}
		if err := checkLabelValue(r.value); err != nil {
			return fail(err.Error())
		}
		all = append(all, r)
	}
	return all, nil
}

// Matches reports whether labels meet all requirements. As in Kubernetes, a!=b is met
// where there is no a.
func (s Selector) Matches(labels map[string]string) bool {
	for _, r := range s {
		value, found := labels[r.label]
		if met := found && (r.anyValue || value == r.value); met == r.not {
			return false
		}
	}
	return true
}
