package console

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
)

// A form has the labels of a connector as name=value, separated by commas.

func writeLabels(all map[string]string) string {
	var texts []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		texts = append(texts, name+"="+all[name])
	}
	return strings.Join(texts, ", ")
}

func readLabels(text string) (json.RawMessage, error) {
	all := map[string]string{}
	for one := range strings.SplitSeq(text, ",") {
		if one = strings.TrimSpace(one); one == "" {
			continue
		}
		name, value, ok := strings.Cut(one, "=")
		if !ok {
			return nil, errors.New("each must be name=value, separated by commas")
		}
		all[strings.TrimSpace(name)] = strings.TrimSpace(value)
	}
	return json.Marshal(all)
}
