package console

import (
	"context"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
	"github.com/robustmq/robustmq-connect/plugins/internal/excerpt"
	"github.com/robustmq/robustmq-connect/plugins/kafka"
)

func (f *fleet) DeadLetters(_ context.Context, _ string, query kafka.LetterQuery) (kafka.LetterPage, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.letterQuery = query
	return f.letters, f.fails
}

func (f *fleet) Replay(_ context.Context, name string, what kafka.Replay) (kafka.Replayed, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.replays = append(f.replays, what)
	return kafka.Replayed{
		TopicName: "letters", Replayed: 2, Already: 1, RefusedCount: 1, Remaining: true,
		Refused: []kafka.RefusedLetter{{LetterID: kafka.LetterID{Partition: 3, Offset: 9}, Reason: "it is too large"}},
	}, f.fails
}

func letter(partition int32, offset int64) kafka.Letter {
	return kafka.Letter{
		LetterID: kafka.LetterID{Partition: partition, Offset: offset}, Time: time.Unix(1e9, 0), Reason: "why <b>not</b>", Topic: "readings",
		Value: excerpt.Excerpt{Data: []byte("<script>alert(1)</script>"), Size: 25},
	}
}

func TestDeadLettersAreShownAndChosenOnesReplayed(t *testing.T) {
	r := newRig(t, admin.Options{})
	r.add("c", plainConfig)
	old := letter(0, 1)
	old.Replayed = time.Unix(2e9, 0)
	r.fleet.letters = kafka.LetterPage{TopicName: "letters", Letters: []kafka.Letter{letter(0, 5), letter(2, 7), old}, Next: "more", Note: "a note"}
	body := r.get(pathConnector + "?tab=letters&name=c").Body.String()
	assert.Equal(t, kafka.LetterQuery{Limit: 20}, r.fleet.letterQuery)
	assert.Contains(t, body, `name="letter" value="0/5"`)
	assert.Contains(t, body, `name="letter" value="2/7"`)
	assert.NotContains(t, body, `value="0/1"`, "it was replayed")
	assert.Contains(t, body, "replayed 2033-05-18")
	assert.Contains(t, body, "why &lt;b&gt;not&lt;/b&gt;")
	assert.NotContains(t, body, "<script>alert")
	assert.Contains(t, body, "a note")
	assert.Contains(t, body, "cursor=more")
	r.get(pathConnector + "?tab=letters&name=c&cursor=more")
	assert.Equal(t, "more", r.fleet.letterQuery.Cursor)

	ask := r.get(pathAction + "?verb=replay&name=c&letter=0%2F5&letter=2%2F7")
	assert.Contains(t, ask.Body.String(), "Chosen: 2.")
	assert.Contains(t, ask.Body.String(), `name="to" value="0/5,2/7"`)
	assert.Empty(t, r.fleet.replays)
	w := r.send(pathAction, url.Values{"verb": {"replay"}, "name": {"c"}, "to": {"0/5,2/7"}})
	assert.Equal(t, http.StatusSeeOther, w.Code)
	require.Len(t, r.fleet.replays, 1)
	assert.Equal(t, []kafka.LetterID{{Partition: 0, Offset: 5}, {Partition: 2, Offset: 7}}, r.fleet.replays[0].Chosen)
	told := r.get(w.Header().Get("Location")).Body.String()
	assert.Contains(t, told, "2 replayed, 1 had been replayed before, 1 refused.")
	assert.Contains(t, told, "Partition 3, offset 9: it is too large")
	assert.Contains(t, told, "replay again to go on")

	assert.Contains(t, r.get(pathAction+"?verb=replay&name=c&all=1&letter=0%2F5").Body.String(), "All that are not replayed yet.")
	r.send(pathAction, url.Values{"verb": {"replay"}, "name": {"c"}, "to": {"all"}})
	require.Len(t, r.fleet.replays, 2)
	assert.Empty(t, r.fleet.replays[1].Chosen)
}

func TestWithoutAChoiceNothingIsReplayed(t *testing.T) {
	r := newRig(t, admin.Options{})
	r.add("c", plainConfig)
	w := r.get(pathAction + "?verb=replay&name=c")
	assert.Equal(t, http.StatusSeeOther, w.Code)
	assert.Contains(t, r.get(w.Header().Get("Location")).Body.String(), "No dead letter is chosen.")
	r.get(pathAction + "?verb=pause&name=c")
	for _, to := range []string{"", "x", "1/", "all,1/2x", "-"} {
		w := r.send(pathAction, url.Values{"verb": {"replay"}, "name": {"c"}, "to": {to}})
		assert.NotContains(t, r.get(w.Header().Get("Location")).Body.String(), "2 replayed", to)
	}
	assert.Empty(t, r.fleet.replays)
}

func TestLabelsAreWrittenAndRemovedByTheForm(t *testing.T) {
	r := newRig(t, admin.Options{})
	r.get(pathEdit)
	form := formOf("c", url.Values{"labels": {"site=berlin, stage=test"}, "do": {"save"}})
	w := r.send(pathEdit, form)
	require.Equal(t, http.StatusSeeOther, w.Code, w.Body)
	assert.Equal(t, map[string]string{"site": "berlin", "stage": "test"}, r.fleet.all["c"].Labels)
	r.add("other", plainConfig)
	assert.Contains(t, r.get(root).Body.String(), "site=berlin, stage=test")
	assert.Equal(t, []string{"c"}, names(r.get(root+"?selector=site%3Dberlin,stage!%3Dlive").Body.String()))
	assert.Equal(t, []string{"other"}, names(r.get(root+"?selector=site!%3Dberlin").Body.String()))
	assert.Contains(t, r.get(root+"?selector=%3D%3D%3D").Body.String(), `<p class="flash bad" role="alert">selector`)

	edit := readForm(r.get(pathEdit + "?name=c").Body.String())
	assert.Equal(t, "site=berlin, stage=test", edit.Get("labels"))
	edit.Set("labels", "")
	edit.Set("do", "save")
	require.Equal(t, http.StatusSeeOther, r.send(pathEdit, edit).Code)
	assert.Empty(t, r.fleet.all["c"].Labels)
}

func TestEveryFieldThatIsWrongSaysSoAtOnce(t *testing.T) {
	r := newRig(t, admin.Options{})
	r.get(pathEdit)
	body := r.send(pathEdit, formOf("", url.Values{
		"do": {"save"}, "config.linger_ms": {"60001"}, "config.retries": {"x"}, "config.acks": {"two"}, "config.topic": {""}, "labels": {"site"},
	})).Body.String()
	for _, field := range []string{"connector_name", "config.linger_ms", "config.retries", "config.acks", "config.topic", "labels"} {
		assert.Contains(t, body, `<div class="field wrong" data-field="`+field+`">`)
	}
	assert.Empty(t, r.fleet.changes())
}
