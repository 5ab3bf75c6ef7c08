package console

import (
	"strconv"
	"strings"

	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
)

// historyTab shows the definitions that a connector has had, each with what it changed.
type historyTab struct {
	Revisions   []revision
	MayRollback bool
}

type revision struct {
	admin.Revision
	Lines []diffLine // against the one before, or the whole definition where there is none
	First bool       // there is none before it
	Link  string     // to what restores it
}

// diffLine is a line of a definition: Mark says whether it is new (+), gone (-) or in
// both.
type diffLine struct {
	Mark, Text string
}

func (c *Console) historyTab(v *visit, body *connectorBody) error {
	var all []admin.Revision // the latest first
	read, err := v.get(c, admin.PathHistory, body.Name, nil, &all)
	if err != nil {
		return err
	}
	body.History = &historyTab{MayRollback: v.may(c, admin.PathRollback)}
	texts := make([][]string, len(all))
	for i, r := range all {
		if r.Definition == nil {
			continue
		}
		text, err := definitionOfRevision(*r.Definition).yaml()
		if err != nil {
			return err
		}
		texts[i] = strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	}
	for i, r := range all {
		one := revision{Revision: r, First: i == len(all)-1}
		if texts[i] != nil {
			var before []string
			if !one.First {
				before = texts[i+1]
			}
			one.Lines = diff(before, texts[i])
			if !r.Current {
				one.Link = actionLink(body.Name, "rollback") + "&to=" + strconv.Itoa(r.Revision) + "&revision=" + urlEscape(read.revision)
			}
		}
		body.History.Revisions = append(body.History.Revisions, one)
	}
	return nil
}

// diff tells two texts apart line by line, by their longest common lines. A definition
// has a few dozen of them.
func diff(before, after []string) []diffLine {
	common := make([][]int, len(before)+1)
	for i := range common {
		common[i] = make([]int, len(after)+1)
	}
	for i := len(before) - 1; i >= 0; i-- {
		for j := len(after) - 1; j >= 0; j-- {
			if before[i] == after[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	var lines []diffLine
	i, j := 0, 0
	for i < len(before) || j < len(after) {
		switch {
		case i < len(before) && j < len(after) && before[i] == after[j]:
			lines = append(lines, diffLine{" ", after[j]})
			i, j = i+1, j+1
		case j == len(after) || i < len(before) && common[i+1][j] >= common[i][j+1]:
			lines = append(lines, diffLine{"-", before[i]})
			i++
		default:
			lines = append(lines, diffLine{"+", after[j]})
			j++
		}
	}
	return lines
}
