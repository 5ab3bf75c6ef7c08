package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/robustmq/robustmq-connect/plugins/envelope"
)

const (
	// MaxChosen is how many letters can be chosen at once.
	MaxChosen = 1000

	// replayTime is after how long a replay stops and says that there is more.
	replayTime = 45 * time.Second
	// A transaction has so many letters and bytes at most.
	transactionLetters = 100
	transactionBytes   = 1 << 20
	// maxRefused is how many letters that were not replayed are named.
	maxRefused = 100
	// chosenGap is how many letters that were not chosen are read through.
	chosenGap = 100
)

// Replay says which letters to replay: the chosen ones, or all where none are.
type Replay struct{ Chosen []LetterID }

// Replayed tells what a replay has done.
type Replayed struct {
	TopicName string // of the dead letters
	Replayed  int
	Already   int // letters that were replayed before
	// Refused are those that were not replayed, the first of them with the reasons.
	Refused      []RefusedLetter
	RefusedCount int
	// Remaining: there was no time for all. The same call goes on.
	Remaining bool
}

// RefusedLetter is a letter that was not replayed.
type RefusedLetter struct {
	LetterID
	Reason string
}

// Replay writes letters to the topics that they were to be written to, those of a
// partition in their order. Each is replayed once at most, however often and by how many
// it is asked for: what was replayed is remembered in Kafka, in the same transaction.
// Where it returns an error, what was replayed until then is in the result.
func (l *Letters) Replay(ctx context.Context, what Replay) (Replayed, error) {
	topic, err := l.topic()
	if err != nil {
		return Replayed{}, err
	}
	conf := l.conf.forDeadLetters()
	client, err := conf.client()
	if err != nil {
		return Replayed{}, err
	}
	defer client.Close()
	r := &replaying{letters: l, topic: topic, result: Replayed{TopicName: topic}, until: time.Now().Add(replayTime), topics: map[string]error{}}
	if err := conf.reach(ctx, client); err != nil {
		return r.result, err
	}
	var found bool
	if r.bounds, r.id, found, err = conf.bounds(ctx, client, topic); err != nil {
		return r.result, err
	}
	if !found {
		return r.result, letterError("the dead letter topic %q does not exist: it has had no letter yet", topic)
	}
	if err := r.open(ctx); err != nil {
		return r.result, err
	}
	defer func() { r.session.close() }()
	if old := r.session.memory.forgotten(r.bounds); len(old) > 0 {
		if err := r.session.forget(ctx, old); err != nil {
			return r.result, err
		}
	}
	for _, part := range parts(r.bounds, what.Chosen) {
		if r.result.Remaining {
			break
		}
		if err := r.part(ctx, conf, part); err != nil {
			return r.result, err
		}
	}
	return r.result, nil
}

// part is a run of offsets of one partition, and those wanted of it, nil for all.
type part struct {
	partition int32
	span
	wanted map[int64]bool
}

// parts are what has to be read, in the order of partitions and offsets.
func parts(bounds partitions, chosen []LetterID) (all []part) {
	if chosen == nil {
		for _, p := range slices.Sorted(maps.Keys(bounds)) {
			all = append(all, part{partition: p, span: bounds[p]})
		}
		return all
	}
	chosen = slices.Clone(chosen)
	slices.SortFunc(chosen, func(a, b LetterID) int {
		return cmp.Or(cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Offset, b.Offset))
	})
	for _, id := range slices.Compact(chosen) {
		if n := len(all); n > 0 && all[n-1].partition == id.Partition && id.Offset-all[n-1].to < chosenGap {
			all[n-1].to = id.Offset + 1
			all[n-1].wanted[id.Offset] = true
			continue
		}
		all = append(all, part{id.Partition, span{id.Offset, id.Offset + 1}, map[int64]bool{id.Offset: true}})
	}
	return all
}

// replaying is a replay under way.
type replaying struct {
	letters *Letters
	topic   string
	id      kadm.TopicID
	bounds  partitions
	session *replaySession
	topics  map[string]error // why nothing can be written to a topic, nil where it can
	until   time.Time
	result  Replayed

	batch []*kgo.Record
	bytes int
}

// open opens a session, in the place of the one that is over.
func (r *replaying) open(ctx context.Context) error {
	if r.session != nil {
		r.session.close()
	}
	session, err := r.letters.openSession(ctx, r.topic, r.id)
	if err != nil {
		return err
	}
	r.session = session
	return nil
}

func (r *replaying) part(ctx context.Context, conf *config, p part) error {
	bound := r.bounds[p.partition]
	p.from, p.to = max(p.from, bound.from), min(p.to, bound.to)
	var failed error
	err := conf.scan(ctx, r.topic, partitions{p.partition: p.span}, false, func(letter *kgo.Record) bool {
		if p.wanted != nil && !p.wanted[letter.Offset] {
			return true
		}
		if time.Now().After(r.until) {
			r.result.Remaining = true
			return false
		}
		delete(p.wanted, letter.Offset)
		failed = r.decide(ctx, letter, p.wanted != nil)
		return failed == nil
	})
	if err = cmp.Or(failed, err); err != nil {
		return err
	}
	if err := r.flush(ctx); err != nil {
		return err
	}
	if !r.result.Remaining {
		for _, offset := range slices.Sorted(maps.Keys(p.wanted)) {
			r.refuse(LetterID{p.partition, offset}, "it is not in the topic, or not any more")
		}
	}
	return nil
}

func (r *replaying) refuse(id LetterID, reason string) {
	r.result.RefusedCount++
	if len(r.result.Refused) < maxRefused {
		r.result.Refused = append(r.result.Refused, RefusedLetter{id, reason})
	}
}

// decide skips or refuses a letter, or else keeps it for the next transaction.
func (r *replaying) decide(ctx context.Context, letter *kgo.Record, chosen bool) error {
	id := LetterID{letter.Partition, letter.Offset}
	if !r.letters.isOurs(letter) {
		if chosen {
			r.refuse(id, "it is a letter of another connector")
		}
		return nil
	}
	if _, done := r.session.memory.replayed[id]; done {
		r.result.Already++
		return nil
	}
	target := letterHeader(letter, letterTopic)
	if stage := letterHeader(letter, letterStage); stage != stageProduce {
		again := "its MQTT message"
		if topic := metadataHeader(letter, envelope.MetaTopic); topic != "" {
			again = fmt.Sprintf("its value to the MQTT topic %.200q", topic)
		}
		r.refuse(id, fmt.Sprintf("it never became a record (%s): correct the cause and publish %s again", stage, again))
		return nil
	}
	if err := r.writable(ctx, target); err != nil {
		r.refuse(id, err.Error())
		return nil
	}
	if size := recordSize(letter); len(r.batch) > 0 && (len(r.batch) == transactionLetters || r.bytes+size > transactionBytes) {
		if err := r.flush(ctx); err != nil {
			return err
		}
	}
	r.batch = append(r.batch, letter)
	r.bytes += recordSize(letter)
	return nil
}

// writable tells why nothing can be written to a topic. A topic is asked about once.
func (r *replaying) writable(ctx context.Context, topic string) error {
	if known, asked := r.topics[topic]; asked {
		return known
	}
	err := checkTopic(topic)
	if err == nil {
		details, listErr := kadm.NewClient(r.session.client).ListTopics(ctx, topic)
		if listErr == nil && details[topic].Err != nil {
			err = fmt.Errorf("writing it to topic %q: %w%s", topic, details[topic].Err, letterAdvice(details[topic].Err, nil))
		}
	}
	r.topics[topic] = err
	return err
}

// flush writes what decide has kept, in one transaction. Where Kafka refuses one letter,
// each gets a transaction of its own, in their order.
func (r *replaying) flush(ctx context.Context) error {
	batch := r.batch
	r.batch, r.bytes = nil, 0
	if len(batch) == 0 {
		return nil
	}
	err := r.session.write(ctx, batch, time.Now())
	switch {
	case err == nil:
		r.result.Replayed += len(batch)
		return nil
	case !errors.As(err, new(*refusedLetter)):
		return err
	}
	if err := r.open(ctx); err != nil {
		return err
	}
	if len(batch) == 1 {
		r.refuse(LetterID{batch[0].Partition, batch[0].Offset}, err.Error())
		return nil
	}
	for _, letter := range batch {
		if _, done := r.session.memory.replayed[LetterID{letter.Partition, letter.Offset}]; done {
			r.result.Already++ // by another session, between two of ours
			continue
		}
		r.batch = []*kgo.Record{letter}
		if err := r.flush(ctx); err != nil {
			return err
		}
	}
	return nil
}
