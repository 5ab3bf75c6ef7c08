package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	ucli "github.com/urfave/cli/v2"

	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/cli"
	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
)

// silentFor is how long a tail may show no sign of life. The server sends one every 15
// seconds.
const silentFor = time.Minute

func tailCommand() *ucli.Command {
	return &ucli.Command{
		Name:  "tail",
		Usage: "Print the messages of a connector as they get through",
		Description: `It prints the last messages that the server has seen since somebody looked, and then those
that come, up to 20 a second, until it is interrupted. Payloads are cut at 4096 bytes:

  robustmq-connect mqtt connector tail --connector-name c1
  robustmq-connect mqtt connector tail --connector-name c1 --last 50 --output json

With --output json each line is a JSON object. What is not shown is counted on standard error.`,
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
	missed := notShown{c: c, told: time.Now()}
	err = client.events(c.Context, admin.PathTail, query, func(event string, data []byte) error {
		return printEvent(c, event, data, inJSON, &missed)
	})
	missed.printCounts()
	if c.Err() != nil {
		return nil // the user has seen enough
	}
	return err
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

func printEvent(c *ucli.Context, event string, data []byte, inJSON bool, missed *notShown) error {
	switch event {
	case admin.EventMessage:
		if inJSON {
			_, err := fmt.Fprintf(c.App.Writer, "%s\n", data)
			return err
		}
		var m admin.TailMessage
		if err := json.Unmarshal(data, &m); err != nil {
			return fmt.Errorf("reading a message of the server: %w", err)
		}
		_, err := fmt.Fprintln(c.App.Writer, cli.OneLine(messageLine(m)))
		return err
	case admin.EventMembers:
		var members admin.TailMembers
		if err := json.Unmarshal(data, &members); err != nil {
			return fmt.Errorf("reading which members the server shows: %w", err)
		}
		printMembers(c, members)
	case admin.EventLeftOut, admin.EventDropped:
		var count admin.TailCount
		if err := json.Unmarshal(data, &count); err != nil {
			return fmt.Errorf("reading a count of the server: %w", err)
		}
		missed.add(event, count.Count)
	case admin.EventEnd:
		var end admin.TailEnd
		if err := json.Unmarshal(data, &end); err != nil {
			return fmt.Errorf("reading the last event of the server: %w", err)
		}
		return &refusedError{reason: cli.OneLine(end.Reason)}
	}
	return nil // of a later version
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

// events gives each server-sent event of a route to got, until got returns an error, the
// context ends or the server does not send any more.
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
