package control

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const twoLetters = `{"topic_name":"dead","letters":[
	{"partition":0,"offset":17,"time":"2026-11-25T10:00:00.123Z","reason":"too\nlarge","exception":"X","stage":"KAFKA_PRODUCE","kafka_topic":"t",
	 "key":{"text":"a\u001b[2J","size":5},"value":{"text":"{\"x\":1}","size":9000,"cut":true},"headers":[],"headers_omitted":0,"replayed_time":"2026-11-25T10:00:01.000Z"},
	{"partition":2,"offset":4,"time":"2026-11-25T10:00:02.000Z","reason":"illegal","exception":"X","stage":"KAFKA_PRODUCE","kafka_topic":"u",
	 "key":null,"value":{"base64":"/w==","size":1},"headers":[],"headers_omitted":0,"replayed_time":null}],"next":"newest_0-17_2-4"}`

func TestDeadLettersArePrintedWithTheirPlaces(t *testing.T) {
	noEnvironment(t)
	server := newScripted(t, map[string]http.HandlerFunc{"dead_letters": gives(`{"code":0,"data":` + twoLetters + `,"error":null,"notes":["a note"]}`)})
	list := func(more ...string) (string, string, error) {
		return runMQTT("", append([]string{"--server", server.URL, "connector", "dead-letters", "list"}, more...)...)
	}
	stdout, stderr, err := list("-c", "k 1", "--oldest", "--limit", "2", "--cursor", "oldest_0-1")
	require.NoError(t, err)
	at := func(second, ms int) string {
		return time.Date(2026, 11, 25, 10, 0, second, ms*1e6, time.UTC).Local().Format("2006-01-02 15:04:05.000")
	}
	assert.Equal(t, "0/17  "+at(0, 123)+"  to t  key a?[2J  replayed "+at(1, 0)+"\n  too large\n  {\"x\":1}… (9000 bytes)\n"+
		"2/4  "+at(2, 0)+"  to u\n  illegal\n  base64:/w==\n", stdout)
	assert.Equal(t, "note: a note\nnote: there is more: --cursor newest_0-17_2-4\n", stderr)
	assert.Equal(t, "connector_name=k+1&cursor=oldest_0-1&limit=2&order=oldest&tenant=default", server.asked()[0].query)

	stdout, _, err = list("-c", "k", "--output", "json")
	require.NoError(t, err)
	assert.JSONEq(t, twoLetters, stdout)
	assert.Equal(t, "connector_name=k&tenant=default", server.asked()[1].query)

	server.answers["dead_letters"] = gives(`{"code":0,"data":{"topic_name":"dead","letters":[],"next":null},"error":null}`)
	stdout, stderr, err = list("-c", "k")
	require.NoError(t, err)
	assert.Empty(t, stdout)
	assert.Equal(t, "note: the topic dead has no dead letters of this connector\n", stderr)

	_, _, err = list()
	require.EqualError(t, err, "listing dead letters: name it with --connector-name")
	server.answers["dead_letters"] = replay(t, "detail: unknown name")
	_, _, err = list("-c", "nosuch")
	require.EqualError(t, err, `listing the dead letters of connector "nosuch": Connector nosuch does not exist.`)
}

func TestReplayNamesLettersOrAllAndFailsWhereOneWasNotReplayed(t *testing.T) {
	noEnvironment(t)
	answer := `{"topic_name":"dead","replayed":2,"already_replayed":3,"refused":[],"refused_total":0,"remaining":false}`
	server := newScripted(t, map[string]http.HandlerFunc{"replay": gives(`{"code":0,"data":` + answer + `,"error":null,"notes":["behind others"]}`)})
	again := func(more ...string) (string, string, error) {
		return runMQTT("", append([]string{"--server", server.URL, "connector", "dead-letters", "replay"}, more...)...)
	}
	stdout, stderr, err := again("-c", "k", "--letter", "0/17", "--letter", "2/4")
	require.NoError(t, err)
	assert.Equal(t, "replayed 2 letters; 3 were replayed before\n", stdout)
	assert.Equal(t, "note: behind others\n", stderr)
	place := func(partition, offset float64) any { return map[string]any{"partition": partition, "offset": offset} }
	assert.Equal(t, map[string]any{"tenant": "default", "connector_name": "k", "letters": []any{place(0, 17), place(2, 4)}}, server.body(t))

	server.answers["replay"] = gives(`{"code":0,"data":{"topic_name":"dead","replayed":0,"already_replayed":0,` +
		`"refused":[{"partition":0,"offset":17,"reason":"too\u001blarge"}],"refused_total":1,"remaining":false},"error":null}`)
	stdout, _, err = again("-c", "k", "--all")
	require.EqualError(t, err, `replaying dead letters of connector "k": 1 letters were not replayed`)
	assert.Equal(t, "replayed 0 letters; 0 were replayed before\n0/17: too?large\n", stdout)
	assert.Equal(t, map[string]any{"tenant": "default", "connector_name": "k", "all": true}, server.body(t))

	server.answers["replay"] = gives(`{"code":0,"data":` + answer + `,"error":null}`)
	stdout, _, err = again("-c", "k", "--all", "--output", "json")
	require.NoError(t, err)
	assert.JSONEq(t, answer, stdout)

	calls := len(server.asked())
	for want, flags := range map[string][]string{
		"replaying dead letters: name it with --connector-name":                                                                    nil,
		`replaying dead letters of connector "k": name letters with --letter, or give --all`:                                       {"-c", "k"},
		`replaying dead letters of connector "k": name letters with --letter, or give --all `:                                      {"-c", "k", "--all", "--letter", "0/1"},
		`replaying dead letters of connector "k": reading --letter "17": want PARTITION/OFFSET as list shows it, 0/17 for example`: {"-c", "k", "--letter", "17"},
	} {
		_, _, err := again(flags...)
		require.ErrorContains(t, err, want[:len(want)-1], flags)
	}
	assert.Len(t, server.asked(), calls)
	_, _, err = runMQTT("", "connector", "dead-letters")
	require.ErrorContains(t, err, "mqtt connector dead-letters needs a subcommand: list, replay")
}
