package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/robustmq/robustmq-connect/plugins/kafka"
)

// The routes of dead letters. Both need a token that may see payloads.
const (
	// GET, query: tenant, connector_name, limit, order, cursor; data: DeadLetters
	PathDeadLetters = "/api/mqtt/connector/dead_letters"
	// POST ReplayRequest; data: ReplayResult
	PathReplay = "/api/mqtt/connector/dead_letters/replay"
)

// DeadLetters are some records that Kafka has refused a connector.
type DeadLetters struct {
	TopicName string       `json:"topic_name"` // the dead letter topic
	Letters   []DeadLetter `json:"letters"`
	Next      *string      `json:"next"` // the cursor of the next page, null where there is none
}

// DeadLetter is one of them.
type DeadLetter struct {
	Partition      int32              `json:"partition"` // of the dead letter topic
	Offset         int64              `json:"offset"`
	Time           string             `json:"time"`        // of the record, as 2026-11-23T02:52:14.123Z
	Reason         string             `json:"reason"`      // why Kafka refused it
	Exception      string             `json:"exception"`   // what Kafka's own clients call that
	Stage          string             `json:"stage"`       // KAFKA_PRODUCE, or where it failed before
	KafkaTopic     string             `json:"kafka_topic"` // that it was meant for
	Key            *Excerpt           `json:"key"`         // null without one
	Value          *Excerpt           `json:"value"`
	Headers        []DeadLetterHeader `json:"headers"`         // those that the record had
	HeadersOmitted int                `json:"headers_omitted"` // headers that are too many to show
	ReplayedTime   *string            `json:"replayed_time"`   // null unless it was replayed
}

// DeadLetterHeader is a header of a record.
type DeadLetterHeader struct {
	Key   string   `json:"key"`
	Value *Excerpt `json:"value"`
}

// ReplayRequest is the body of a replay: the letters that are chosen, or all.
type ReplayRequest struct {
	Name
	Letters []LetterPlace `json:"letters,omitempty"` // 1000 at most
	All     bool          `json:"all,omitempty"`
}

// LetterPlace is where a letter is in the dead letter topic.
type LetterPlace struct {
	Partition int32 `json:"partition"`
	Offset    int64 `json:"offset"`
}

// ReplayResult is what a replay has done.
type ReplayResult struct {
	TopicName       string          `json:"topic_name"` // of the dead letters
	Replayed        int             `json:"replayed"`
	AlreadyReplayed int             `json:"already_replayed"` // before, and not again
	Refused         []RefusedLetter `json:"refused"`          // the first 100 that were not replayed
	RefusedTotal    int             `json:"refused_total"`
	Remaining       bool            `json:"remaining"` // there was no time for all: the same call goes on
}

// RefusedLetter is a letter that was not replayed.
type RefusedLetter struct {
	LetterPlace
	Reason string `json:"reason"`
}

// listLettersTime is less than the server's time for an answer.
const listLettersTime = 45 * time.Second

const behindNote = "replayed records stand behind records that were written after them: whoever reads the topic sees them late, with the header " + kafka.ReplayedHeader

func (s *Server) deadLetters(ctx context.Context, r *http.Request, _ []byte) (reply, error) {
	q, name, err := connectorQuery(r, "limit", "order", "cursor")
	if err != nil {
		return reply{}, err
	}
	which := kafka.LetterQuery{Cursor: q.values.Get("cursor")}
	if which.Limit, err = q.number("limit"); err != nil {
		return reply{}, err
	}
	if which.Limit > kafka.MaxLetters {
		return reply{}, badQuery("limit: %d is too many: a page has %d letters at most", which.Limit, kafka.MaxLetters)
	}
	switch order := q.values.Get("order"); order {
	case "", "newest":
	case "oldest":
		which.Oldest = true
	default:
		return reply{}, badQuery("order: %q is unknown: it is newest or oldest", order)
	}
	ctx, cancel := context.WithTimeout(ctx, listLettersTime)
	defer cancel()
	page, err := s.manager.DeadLetters(ctx, name, which)
	if err != nil {
		return reply{}, letterFailure(name, err)
	}
	answer := reply{data: deadLetters(page)}
	if page.Note != "" {
		answer.notes = []string{page.Note}
	}
	return answer, nil
}

// letterFailure answers what Kafka, or a definition, does not let a request do: it is no
// fault of the service.
func letterFailure(name string, err error) *failure {
	var cursor *kafka.CursorError
	switch {
	case errors.As(err, &cursor):
		return badQuery("cursor: %v", cursor)
	case errors.As(err, new(*kafka.LetterError)):
		return applied(err.Error())
	}
	return failed(name, err)
}

func deadLetters(page kafka.LetterPage) DeadLetters {
	all := DeadLetters{TopicName: page.TopicName, Letters: make([]DeadLetter, 0, len(page.Letters))}
	if page.Next != "" {
		all.Next = &page.Next
	}
	for _, l := range page.Letters {
		letter := DeadLetter{
			Partition: l.Partition, Offset: l.Offset, Time: millisecondTime(l.Time), Reason: withoutUserInfo(l.Reason), Exception: l.Class,
			Stage: l.Stage, KafkaTopic: l.Topic, Key: excerptOf(l.Key), Value: excerptOf(l.Value),
			Headers: make([]DeadLetterHeader, 0, len(l.Headers)), HeadersOmitted: l.Omitted,
		}
		for _, h := range l.Headers {
			letter.Headers = append(letter.Headers, DeadLetterHeader{h.Key, excerptOf(h.Value)})
		}
		if !l.Replayed.IsZero() {
			at := millisecondTime(l.Replayed)
			letter.ReplayedTime = &at
		}
		all.Letters = append(all.Letters, letter)
	}
	return all
}

func millisecondTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

func (s *Server) replay(ctx context.Context, _ *http.Request, body []byte) (reply, error) {
	name, err := name(body)
	if err != nil {
		return reply{}, err
	}
	what, err := replayOf(body)
	if err != nil {
		return reply{}, err
	}
	done, err := s.manager.Replay(ctx, name, what)
	if err != nil {
		return reply{}, letterFailure(name, err)
	}
	result := ReplayResult{
		TopicName: done.TopicName, Replayed: done.Replayed, AlreadyReplayed: done.Already,
		Refused: make([]RefusedLetter, 0, len(done.Refused)), RefusedTotal: done.RefusedCount, Remaining: done.Remaining,
	}
	for _, l := range done.Refused {
		result.Refused = append(result.Refused, RefusedLetter{LetterPlace{l.Partition, l.Offset}, withoutUserInfo(l.Reason)})
	}
	answer := reply{data: result}
	if done.Replayed > 0 {
		answer.notes = append(answer.notes, behindNote)
	}
	if done.Remaining {
		answer.notes = append(answer.notes, "there was no time for all: the same call goes on with the rest")
	}
	return answer, nil
}

// replayOf reads which letters are meant. A call that forgets to say so must not mean all.
func replayOf(body []byte) (kafka.Replay, error) {
	given, err := fields(body)
	if err != nil {
		return kafka.Replay{}, err
	}
	all := false
	if text, ok := given["all"]; ok && json.Unmarshal(text, &all) != nil {
		return kafka.Replay{}, invalid("all must be true or false")
	}
	var places []struct {
		Partition *int32
		Offset    *int64
	}
	text, chosen := given["letters"]
	if chosen && json.Unmarshal(text, &places) != nil {
		return kafka.Replay{}, invalid(`letters must be a list of places, such as [{"partition":0,"offset":17}]`)
	}
	switch {
	case all == chosen:
		return kafka.Replay{}, invalid("give letters, the places of those to replay, or all: true")
	case all:
		return kafka.Replay{}, nil
	case len(places) == 0 || len(places) > kafka.MaxChosen:
		return kafka.Replay{}, invalid(fmt.Sprintf("letters: %d are given: 1 to %d can be chosen at once", len(places), kafka.MaxChosen))
	}
	what := kafka.Replay{Chosen: make([]kafka.LetterID, 0, len(places))}
	for i, p := range places {
		if p.Partition == nil || p.Offset == nil || *p.Partition < 0 || *p.Offset < 0 {
			return kafka.Replay{}, invalid(fmt.Sprintf("letters[%d]: give partition and offset, each a number from 0", i))
		}
		what.Chosen = append(what.Chosen, kafka.LetterID{Partition: *p.Partition, Offset: *p.Offset})
	}
	return what, nil
}
