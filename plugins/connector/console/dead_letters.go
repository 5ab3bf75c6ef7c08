package console

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
)

// lettersTab shows dead letters, of which some can be chosen.
type lettersTab struct {
	admin.DeadLetters
	MayReplay bool
	NextLink  string
	FirstLink string // of the newest ones, "" where they are shown
	Error     string // why they cannot be read
	Notes     []string
}

// allLetters stands for every one, where some are chosen.
const allLetters = "all"

func (c *Console) lettersTab(v *visit, body *connectorBody) error {
	query := v.r.URL.Query()
	t := &lettersTab{MayReplay: v.may(c, admin.PathReplay)}
	body.Letters = t
	more := url.Values{"limit": {"20"}, "order": {"newest"}}
	if cursor := query.Get("cursor"); cursor != "" {
		more.Set("cursor", cursor)
		t.FirstLink = connectorLink(body.Name, "letters")
	}
	a, err := v.get(c, admin.PathDeadLetters, body.Name, more, &t.DeadLetters)
	if err != nil {
		t.Error = err.Error() // Kafka may be away, and the other tabs are there
		return nil
	}
	t.Notes = a.notes
	if t.Next != nil {
		t.NextLink = connectorLink(body.Name, "letters") + "&cursor=" + urlEscape(*t.Next)
	}
	return nil
}

// place names a letter in a form.
func place(d admin.DeadLetter) string { return fmt.Sprintf("%d/%d", d.Partition, d.Offset) }

// replayRequest asks for the letters that a form has chosen.
func replayRequest(name admin.Name, to string, _ bool) any {
	if to == allLetters {
		return admin.ReplayRequest{Name: name, All: true}
	}
	request := admin.ReplayRequest{Name: name, Letters: []admin.LetterPlace{}}
	for one := range strings.SplitSeq(to, ",") {
		partition, offset, _ := strings.Cut(one, "/")
		p, wrong := strconv.ParseInt(partition, 10, 32)
		o, alsoWrong := strconv.ParseInt(offset, 10, 64)
		if wrong == nil && alsoWrong == nil {
			request.Letters = append(request.Letters, admin.LetterPlace{Partition: int32(p), Offset: o})
		}
	}
	return request
}

// chosenLetters are those of a query, for a form that asks whether to replay them.
func chosenLetters(query url.Values) string {
	if query.Has(allLetters) {
		return allLetters
	}
	return strings.Join(slices.Compact(query["letter"]), ",")
}

// replayed says what has become of a replay.
func replayed(data json.RawMessage) []message {
	var r admin.ReplayResult
	if err := json.Unmarshal(data, &r); err != nil {
		return []message{{Bad: true, Text: "reading the answer of the replay: " + err.Error()}}
	}
	all := []message{{Text: fmt.Sprintf("%d replayed, %d had been replayed before, %d refused.", r.Replayed, r.AlreadyReplayed, r.RefusedTotal)}}
	for _, one := range r.Refused[:min(5, len(r.Refused))] {
		all = append(all, message{Bad: true, Text: fmt.Sprintf("Partition %d, offset %d: %s", one.Partition, one.Offset, one.Reason)})
	}
	if r.Remaining {
		all = append(all, message{Text: "There was no time for all of them: replay again to go on."})
	}
	return all
}
