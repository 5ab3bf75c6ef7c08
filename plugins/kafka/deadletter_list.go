package kafka

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	// MaxLetters is how many letters a page has at most.
	MaxLetters = 100

	// listTime and listRecords bound what is read for a page. Others may have most of the
	// topic, and then a page may be short.
	listTime    = 15 * time.Second
	listRecords = 20000
)

// LetterQuery says which letters to list.
type LetterQuery struct {
	Limit  int    // of a page, 20 unless set
	Oldest bool   // the oldest come first
	Cursor string // Next of the page before
}

// LetterPage are some letters of a connector.
type LetterPage struct {
	TopicName string
	Letters   []Letter
	// Next is the cursor of the next page, "" where there is none. A page may be short, or
	// empty, and have a next one: so much of the topic belongs to others.
	Next string
	// Note tells what could not be found out, "" without it.
	Note string
}

// CursorError is a cursor that is none.
type CursorError struct{ why string }

func (e *CursorError) Error() string {
	return e.why + ": take the member next of the page before, with the same order"
}

// List reads a page of letters. In a partition they are in its order; those of several
// are put together by their times.
func (l *Letters) List(ctx context.Context, q LetterQuery) (LetterPage, error) {
	topic, err := l.topic()
	if err != nil {
		return LetterPage{}, err
	}
	page := LetterPage{TopicName: topic, Letters: []Letter{}}
	limit := min(cmp.Or(max(0, q.Limit), 20), MaxLetters)
	after, err := parseCursor(q.Cursor, q.Oldest)
	if err != nil {
		return page, err
	}
	conf := l.conf.forDeadLetters()
	client, err := conf.client()
	if err != nil {
		return page, err
	}
	defer client.Close()
	if err := conf.reach(ctx, client); err != nil {
		return page, err
	}
	bounds, id, found, err := conf.bounds(ctx, client, topic)
	if err != nil || !found {
		return page, err
	}
	r := &letterReader{letters: l, conf: conf, topic: topic, oldest: q.Oldest, window: int64(max(200, 2*limit))}
	for p, s := range bounds {
		if at, given := after[p]; given && q.Oldest {
			s.from = max(s.from, at)
		} else if given {
			s.to = min(s.to, at)
		}
		r.rests = append(r.rests, &rest{partition: p, left: s})
	}
	if page.Letters, err = r.read(ctx, limit); err != nil {
		return page, err
	}
	page.Next = r.cursor()
	if err := l.markReplayed(ctx, topic, id, page.Letters); err != nil {
		page.Note = fmt.Sprintf("it is not known which of them were replayed: %s", err)
	}
	return page, nil
}

// letterReader reads the letters of all partitions window by window.
type letterReader struct {
	letters *Letters
	conf    *config
	topic   string
	oldest  bool
	window  int64
	rests   []*rest
	scanned int64
}

// rest is what is left of a partition: letters that were read, and offsets that were not.
type rest struct {
	partition int32
	read      []Letter // the next one first
	left      span
}

func (r *letterReader) read(ctx context.Context, limit int) ([]Letter, error) {
	letters := []Letter{}
	began := time.Now()
	for len(letters) < limit {
		if r.needsRead() {
			if r.scanned >= listRecords || time.Since(began) > listTime {
				return letters, nil
			}
			if err := r.fill(ctx, began.Add(2*listTime)); err != nil {
				if len(letters) > 0 {
					return letters, nil // the next page tells
				}
				return nil, err
			}
			continue
		}
		next := r.next()
		if next == nil {
			return letters, nil
		}
		letters = append(letters, next.read[0])
		next.read = next.read[1:]
	}
	return letters, nil
}

// needsRead says whether there is a partition of which the next letter is not known.
func (r *letterReader) needsRead() bool {
	return slices.ContainsFunc(r.rests, func(p *rest) bool { return len(p.read) == 0 && p.left.from < p.left.to })
}

// fill reads the next window of each of those partitions.
func (r *letterReader) fill(ctx context.Context, until time.Time) error {
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	windows, byPartition := partitions{}, map[int32]*rest{}
	for _, p := range r.rests {
		if len(p.read) > 0 || p.left.from >= p.left.to {
			continue
		}
		w := span{p.left.from, min(p.left.to, p.left.from+r.window)}
		if !r.oldest {
			w = span{max(p.left.from, p.left.to-r.window), p.left.to}
		}
		windows[p.partition], byPartition[p.partition] = w, p
		r.scanned += w.to - w.from
	}
	found := map[int32][]Letter{}
	err := r.conf.scan(ctx, r.topic, windows, false, func(record *kgo.Record) bool {
		if r.letters.isOurs(record) {
			found[record.Partition] = append(found[record.Partition], letterOf(record))
		}
		return true
	})
	if err != nil {
		return err
	}
	for partition, w := range windows {
		p := byPartition[partition]
		p.read = found[partition]
		if r.oldest {
			p.left.from = w.to
		} else {
			p.left.to = w.from
			slices.Reverse(p.read)
		}
	}
	return nil
}

// next is the partition whose letter comes next, nil without one.
func (r *letterReader) next() (best *rest) {
	for _, p := range r.rests {
		if len(p.read) == 0 {
			continue
		}
		if best == nil {
			best = p
			continue
		}
		order := cmp.Or(p.read[0].Time.Compare(best.read[0].Time), cmp.Compare(p.partition, best.partition))
		if r.oldest == (order < 0) {
			best = p
		}
	}
	return best
}

// cursor is where the next page begins: by partition, the next offset of the oldest
// first, else the one after it.
func (r *letterReader) cursor() string {
	more := false
	at := map[int32]int64{}
	for _, p := range r.rests {
		switch {
		case len(p.read) > 0 && r.oldest:
			at[p.partition] = p.read[0].Offset
		case len(p.read) > 0:
			at[p.partition] = p.read[0].Offset + 1
		case r.oldest:
			at[p.partition] = p.left.from
		default:
			at[p.partition] = p.left.to
		}
		more = more || len(p.read) > 0 || p.left.from < p.left.to
	}
	if !more {
		return ""
	}
	words := []string{orderWord(r.oldest)}
	for _, p := range slices.Sorted(maps.Keys(at)) {
		words = append(words, fmt.Sprintf("%d-%d", p, at[p]))
	}
	return strings.Join(words, "_")
}

func orderWord(oldest bool) string {
	if oldest {
		return "oldest"
	}
	return "newest"
}

func parseCursor(text string, oldest bool) (map[int32]int64, error) {
	if text == "" {
		return nil, nil
	}
	order, rest, _ := strings.Cut(text, "_")
	if order != orderWord(oldest) {
		return nil, &CursorError{fmt.Sprintf("%q does not begin with %s", text, orderWord(oldest))}
	}
	at := map[int32]int64{}
	for word := range strings.SplitSeq(rest, "_") {
		partition, offset, _ := strings.Cut(word, "-")
		p, err := strconv.ParseInt(partition, 10, 32)
		o, offsetErr := strconv.ParseInt(offset, 10, 64)
		if err != nil || offsetErr != nil || p < 0 || o < 0 {
			return nil, &CursorError{fmt.Sprintf("%q is not a partition and an offset", word)}
		}
		at[int32(p)] = o
	}
	return at, nil
}
