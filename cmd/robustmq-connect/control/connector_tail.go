package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	ucli "github.com/urfave/cli/v2"

	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/cli"
	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
)

const (
	// silentFor is how long a tail may show no sign of life. The server sends one every 15
	// seconds.
	silentFor = time.Minute
	// opened is the event of an answer that is a stream, which comes before all others. It is
	// not the server's.
	opened = "open"
)

// tailAgain is how a tail that was lost is tried again: how often, for how long, and how
// long it must last for the next loss to be another one. A worker that ends leaves its
// connectors to others, which takes some seconds.
var tailAgain = struct{ pause, patience, lasting time.Duration }{time.Second, time.Minute, 10 * time.Second}

func tailCommand() *ucli.Command {
	return &ucli.Command{
		Name:  "tail",
		Usage: "Print the messages of a connector as they get through",
		Description: `It prints the last messages that the server has seen since somebody looked, and then those
that come, up to 20 a second, until it is interrupted. Payloads are cut at 4096 bytes:

  robustmq-connect mqtt connector tail --connector-name c1
  robustmq-connect mqtt connector tail --connector-name c1 --last 50 --output json

With --output json each line is a JSON object. What is not shown is counted on standard error.
When the server or the worker that runs the connector ends, the command tries again for a minute.`,
		Flags: append([]ucli.Flag{
			nameFlag("the connector's `NAME`"), tenantFlag(),
			&ucli.StringFlag{Name: "last", Usage: "begin with this `NUMBER` of messages, 10 by default, 50 at most"},
		}, adminFlags()...),
		Action: onConnector("tailing a connector", "tailing connector", printTail),
	}
}

func printTail(c *ucli.Context, name string) error {
	client, inJSON, err := connect(c)
	if err != nil {
		return err
	}
	query := nameQuery(c, name)
	if last := c.String("last"); last != "" {
		query.Set("last", last)
	}
	t := &tailing{c: c, inJSON: inJSON, missed: notShown{c: c, told: time.Now()}}
	err = t.follow(client, query)
	t.missed.printCounts()
	if c.Err() != nil {
		return nil // the user has seen enough
	}
	return err
}

// tailing prints the messages of a connector.
type tailing struct {
	c      *ucli.Context
	inJSON bool
	missed notShown
	shown  []string  // the last messages as they came, which may come again after a loss
	lost   time.Time // when it was lost the last time, or zero
}

// pausedError is the end of a tail that may begin again.
type pausedError struct{ error }

// follow prints messages until the server refuses to send any, or a tail that was lost does
// not begin again in time.
func (t *tailing) follow(client *adminClient, query url.Values) error {
	for {
		var since time.Time
		var ended bool
		err := client.events(t.c.Context, admin.PathTail, query, func(event string, data []byte) error {
			if event == opened {
				if since = time.Now(); !t.lost.IsZero() {
					printNote(t.c, "the messages are shown again")
				}
				return nil
			}
			err := t.print(event, data)
			ended = err != nil && !errors.As(err, new(pausedError))
			return err
		})
		if t.c.Err() != nil || ended || refusedForGood(err) {
			return err
		}
		if !since.IsZero() && (t.lost.IsZero() || time.Since(since) >= tailAgain.lasting) {
			t.lost = time.Now()
			printNote(t.c, "%v: trying again for %s", err, tailAgain.patience)
		}
		if time.Since(t.lost) >= tailAgain.patience { // also where it has never begun
			return err
		}
		if len(t.shown) > 0 {
			query.Set("last", strconv.Itoa(admin.MaxLast)) // some may have come meanwhile
		}
		select {
		case <-time.After(tailAgain.pause):
		case <-t.c.Done():
		}
	}
}

// refusedForGood reports whether an answer is another one than that workers cannot be
// reached at the moment.
func refusedForGood(err error) bool {
	var refused *refusedError
	return errors.As(err, &refused) &&
		!slices.Contains([]int{http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout}, refused.status)
}

// notShown counts the messages that are not shown. It tells of them once a second, since
// the server counts them from message to message.
type notShown struct {
	c                *ucli.Context
	leftOut, dropped int64
	told             time.Time
}

func (n *notShown) add(event string, count int64) {
	if event == admin.EventLeftOut {
		n.leftOut += count
	} else {
		n.dropped += count
	}
	if time.Since(n.told) >= time.Second {
		n.printCounts()
	}
}

func (n *notShown) printCounts() {
	if n.leftOut > 0 {
		printNote(n.c, "%d messages are not shown: there are more than 20 a second", n.leftOut)
	}
	if n.dropped > 0 {
		printNote(n.c, "%d messages are not shown: this program or the network was too slow", n.dropped)
	}
	n.leftOut, n.dropped, n.told = 0, 0, time.Now()
}

func (t *tailing) print(event string, data []byte) error {
	switch event {
	case admin.EventMessage:
		return t.printMessage(data)
	case admin.EventMembers:
		var members admin.TailMembers
		if err := json.Unmarshal(data, &members); err != nil {
			return fmt.Errorf("reading which members the server shows: %w", err)
		}
		printMembers(t.c, members)
	case admin.EventLeftOut, admin.EventDropped:
		var count admin.TailCount
		if err := json.Unmarshal(data, &count); err != nil {
			return fmt.Errorf("reading a count of the server: %w", err)
		}
		t.missed.add(event, count.Count)
	case admin.EventEnd:
		var end admin.TailEnd
		if err := json.Unmarshal(data, &end); err != nil {
			return fmt.Errorf("reading the last event of the server: %w", err)
		}
		if end.Again {
			return pausedError{errors.New(cli.OneLine(end.Reason))}
		}
		return &refusedError{reason: cli.OneLine(end.Reason)}
	}
	return nil // of a later version
}

func (t *tailing) printMessage(data []byte) error {
	text := string(data)
	if !t.lost.IsZero() && slices.Contains(t.shown, text) {
		return nil
	}
	line := text
	if !t.inJSON {
		var m admin.TailMessage
		if err := json.Unmarshal(data, &m); err != nil {
			return fmt.Errorf("reading a message of the server: %w", err)
		}
		line = cli.OneLine(messageLine(m))
	}
	if t.shown = append(t.shown, text); len(t.shown) > admin.MaxLast {
		t.shown = t.shown[1:]
	}
	_, err := fmt.Fprintln(t.c.App.Writer, line)
	return err
}

// printMembers says of how many members the messages are from here on.
func printMembers(c *ucli.Context, of admin.TailMembers) {
	if of.Shown == of.All {
		printNote(c, "these are the messages of all members again")
		return
	}
	printNote(c, "these are the messages of %d of %d members", of.Shown, of.All)
	for _, one := range of.Missing {
		numbers := make([]string, len(one.Members))
		for i, number := range one.Members {
			numbers[i] = strconv.Itoa(number)
		}
		where := ""
		if one.Worker != "" {
			where = " of the worker " + one.Worker
		}
		printNote(c, "not shown: member %s%s: %s", strings.Join(numbers, ", "), where, one.Reason)
	}
}

// messageLine is a message on one line: when, from where, to where, and the payload. A
// record that a kafka_source has read has no MQTT topic here.
func messageLine(m admin.TailMessage) string {
	to := m.KafkaTopic
	if m.Partition != nil && m.Offset != nil {
		to = fmt.Sprintf("%s/%d@%d", m.KafkaTopic, *m.Partition, *m.Offset)
	}
	if m.Topic == "" {
		return fmt.Sprintf("%s %s: %s", localMillis(m.Time), to, excerptText(m.Value))
	}
	line := fmt.Sprintf("%s %s -> %s", localMillis(m.Time), m.Topic, to)
	if m.Outcome != "sent" {
		line += fmt.Sprintf(" (%s: %s)", strings.ReplaceAll(m.Outcome, "_", "-"), m.Reason)
	}
	return line + ": " + excerptText(m.Payload)
}

// excerptText tells what is no text and what is cut.
func excerptText(e *admin.Excerpt) string {
	if e == nil {
		return "-"
	}
	text := ""
	switch {
	case e.Text != nil:
		text = *e.Text
	case e.Base64 != nil:
		text = "base64:" + *e.Base64
	}
	if e.Cut {
		text += fmt.Sprintf("… (%d bytes)", e.Size)
	}
	return text
}

// events gives each server-sent event of a route to got, and first opened, until got returns
// an error, the context ends or the server does not send any more.
func (a *adminClient) events(ctx context.Context, path string, query url.Values, got func(event string, data []byte) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	request, err := a.request(ctx, http.MethodGet, path+"?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	alive := time.AfterFunc(silentFor, func() {
		cancel(fmt.Errorf("%s has sent nothing for %s: check the network and the server", a.base, silentFor))
	})
	defer alive.Stop()
	endless := *a.http
	endless.Timeout = 0
	response, err := endless.Do(request)
	if err != nil {
		if silent := context.Cause(ctx); silent != nil {
			return silent
		}
		return a.unreachable(err)
	}
	defer func() { _ = response.Body.Close() }()
	if !strings.HasPrefix(response.Header.Get("Content-Type"), "text/event-stream") {
		text, err := a.body(response)
		if err != nil {
			return err
		}
		if _, err := a.answer(ctx, path, response, text, nil); err != nil {
			return err
		}
		return a.noAnswer(response, text)
	}
	if err := got(opened, nil); err != nil {
		return err
	}
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, 1<<20) // of an event of two excerpts of 4 KiB, all of it escaped
	event := ""
	for lines.Scan() {
		alive.Reset(silentFor)
		if name, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
			event = name
		} else if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			if err := got(event, []byte(data)); err != nil {
				return err
			}
		}
	}
	if silent := context.Cause(ctx); silent != nil {
		return silent
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("reading the events of %s: %w", a.base, err)
	}
	return errors.New("the server has ended the answer: look at its log")
}
