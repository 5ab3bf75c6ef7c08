package admin

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/internal/excerpt"
	"github.com/robustmq/robustmq-connect/plugins/kafka"
)

const deadC = PathDeadLetters + "?tenant=default&connector_name=c"

func withC() *memory {
	m := newMemory()
	m.all["c"] = connector.Status{Name: "c", State: connector.Running}
	return m
}

func TestDeadLettersAreListed(t *testing.T) {
	m := withC()
	h := newServer(t, m, Options{}).Handler()
	at := time.Date(2026, 11, 23, 2, 52, 14, 123e6, time.UTC)
	m.letters = kafka.LetterPage{
		TopicName: "dead", Next: "newest_0-7", Note: "it is not known which of them were replayed: away",
		Letters: []kafka.Letter{
			{
				LetterID: kafka.LetterID{Partition: 2, Offset: 7}, Time: at, Reason: "too large", Class: "X", Stage: "KAFKA_PRODUCE", Topic: "t",
				Key: excerpt.Of([]byte("k")), Value: excerpt.Of([]byte{0xff}), Replayed: at.Add(time.Hour), Omitted: 3,
				Headers: []kafka.LetterHeader{{Key: "a", Value: excerpt.Short([]byte("<b>"))}},
			},
			{LetterID: kafka.LetterID{Partition: 0, Offset: 1}, Time: at},
		},
	}
	w := ask(h, http.MethodGet, deadC, "")
	assert.Equal(t, `{"code":0,"data":{"topic_name":"dead","letters":[`+
		`{"partition":2,"offset":7,"time":"2026-11-23T02:52:14.123Z","reason":"too large","exception":"X","stage":"KAFKA_PRODUCE","kafka_topic":"t",`+
		`"key":{"text":"k","size":1},"value":{"base64":"/w==","size":1},"headers":[{"key":"a","value":{"text":"<b>","size":3}}],"headers_omitted":3,`+
		`"replayed_time":"2026-11-23T03:52:14.123Z"},`+
		`{"partition":0,"offset":1,"time":"2026-11-23T02:52:14.123Z","reason":"","exception":"","stage":"","kafka_topic":"","key":null,"value":null,`+
		`"headers":[],"headers_omitted":0,"replayed_time":null}],"next":"newest_0-7"},"error":null,"notes":["it is not known which of them were replayed: away"]}`,
		w.Body.String())
	assert.Equal(t, kafka.LetterQuery{}, m.letterQuery)
	m.letters = kafka.LetterPage{TopicName: "dead"}
	w = ask(h, http.MethodGet, deadC+"&limit=100&order=oldest&cursor=oldest_0-7", "")
	assert.Equal(t, `{"code":0,"data":{"topic_name":"dead","letters":[],"next":null},"error":null}`, w.Body.String())
	assert.Equal(t, kafka.LetterQuery{Limit: 100, Oldest: true, Cursor: "oldest_0-7"}, m.letterQuery)
}

func TestDeadLettersThatCannotBeListedAreRefused(t *testing.T) {
	m := withC()
	h := newServer(t, m, Options{}).Handler()
	for target, want := range map[string]string{
		deadC + "&limit=101":                                    "limit: 101 is too many: a page has 100 letters at most",
		deadC + "&order=up":                                     `order: "up" is unknown: it is newest or oldest`,
		deadC + "&limit=x":                                      `limit: "x" is not a number`,
		PathDeadLetters + "?tenant=default":                     "missing field `connector_name`",
		PathDeadLetters + "?tenant=default&connector_name=gone": "Connector gone does not exist.",
	} {
		assert.Contains(t, ask(h, http.MethodGet, target, "").Body.String(), want, target)
	}
	m.err = fmt.Errorf("reading the dead letters of c: %w", &kafka.LetterError{Err: errors.New("its failure_strategy is block")})
	w := ask(h, http.MethodGet, deadC, "")
	assert.Equal(t, http.StatusOK, w.Code, "it is no fault of the service")
	assert.Contains(t, refusal(t, w), "reading the dead letters of c: its failure_strategy is block")
	m.err = errors.New("broken")
	assert.Equal(t, http.StatusInternalServerError, ask(h, http.MethodGet, deadC, "").Code)
	m.err = &kafka.CursorError{}
	w = ask(h, http.MethodGet, deadC, "")
	assert.Equal(t, http.StatusBadRequest, w.Code)
	assert.Contains(t, w.Body.String(), "cursor: ")
}

func TestAReplayOfChosenLettersOrOfAllIsCounted(t *testing.T) {
	m := withC()
	h := newServer(t, m, Options{}).Handler()
	m.replayed = kafka.Replayed{
		TopicName: "dead", Replayed: 2, Already: 3, RefusedCount: 1, Remaining: true,
		Refused: []kafka.RefusedLetter{{LetterID: kafka.LetterID{Partition: 1, Offset: 4}, Reason: "too large"}},
	}
	body := `{"tenant":"default","connector_name":"c",%s}`
	w := ask(h, http.MethodPost, PathReplay, fmt.Sprintf(body, `"letters":[{"partition":1,"offset":4},{"partition":0,"offset":9}]`))
	assert.Equal(t, `{"code":0,"data":{"topic_name":"dead","replayed":2,"already_replayed":3,"refused":[{"partition":1,"offset":4,"reason":"too large"}],`+
		`"refused_total":1,"remaining":true},"error":null,"notes":["replayed records stand behind records that were written after them: `+
		`whoever reads the topic sees them late, with the header robustmq_replayed","there was no time for all: the same call goes on with the rest"]}`, w.Body.String())
	assert.Equal(t, kafka.Replay{Chosen: []kafka.LetterID{{Partition: 1, Offset: 4}, {Partition: 0, Offset: 9}}}, m.replay)
	m.replayed = kafka.Replayed{TopicName: "dead"}
	w = ask(h, http.MethodPost, PathReplay, fmt.Sprintf(body, `"all":true`))
	assert.Equal(t, `{"code":0,"data":{"topic_name":"dead","replayed":0,"already_replayed":0,"refused":[],"refused_total":0,"remaining":false},"error":null}`, w.Body.String())
	assert.Nil(t, m.replay.Chosen)

	m.replay = kafka.Replay{Chosen: []kafka.LetterID{}}
	many := strings.TrimSuffix(strings.Repeat(`{"partition":0,"offset":1},`, kafka.MaxChosen+1), ",")
	for given, want := range map[string]string{
		`"all":false`: "give letters, the places of those to replay, or all: true",
		`"all":true,"letters":[{"partition":0,"offset":1}]`: "give letters, the places of those to replay, or all: true",
		`"all":"yes"`:                              "all must be true or false",
		`"letters":[]`:                             "letters: 0 are given: 1 to 1000 can be chosen at once",
		`"letters":[` + many + `]`:                 "letters: 1001 are given: 1 to 1000 can be chosen at once",
		`"letters":{}`:                             `letters must be a list of places, such as [{"partition":0,"offset":17}]`,
		`"letters":[{"partition":0}]`:              "letters[0]: give partition and offset, each a number from 0",
		`"letters":[{"partition":0,"offset":-1}]`:  "letters[0]: give partition and offset, each a number from 0",
		`"letters":[{"partition":0,"offset":1.5}]`: "letters must be a list of places",
	} {
		w := ask(h, http.MethodPost, PathReplay, fmt.Sprintf(body, given))
		assert.Equal(t, http.StatusBadRequest, w.Code, given)
		assert.Contains(t, refusal(t, w), want, given)
	}
	assert.Equal(t, kafka.Replay{Chosen: []kafka.LetterID{}}, m.replay, "none of them was tried")
	assert.Contains(t, refusal(t, ask(h, http.MethodPost, PathReplay, strings.ReplaceAll(fmt.Sprintf(body, `"all":true`), `"c"`, `"gone"`))), "Connector gone does not exist.")
}
