package control

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	ucli "github.com/urfave/cli/v2"

	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/cli"
)

// maxPayload is the largest payload of one MQTT packet, less some room for the topic.
const maxPayload = 256<<20 - 1 - 70_000

func publishCommand() *ucli.Command {
	return &ucli.Command{
		Name:  "publish",
		Usage: "Publish messages to an MQTT broker and wait until it has them",
		Description: `--server is the MQTT broker here, ` + defaultBroker + ` by default:

  robustmq-connect mqtt publish --username "test_user" --password "test_pass" \
    --topic "iot/sensors/temp_001/data" --qos 1 --message '{"temperature": 25.5, "humidity": 60}'
  robustmq-connect mqtt --server ssl://broker:8883 publish -t sensors/1/data -q 1 --file message.json
  robustmq-connect mqtt publish -t sensors/1/data -q 1 --message x --count 1000 --rate 100
  tail -f log | robustmq-connect mqtt publish -t logs -q 1

Without --message and --file each line of standard input is a message. With QoS 1 or 2 a
message is sent when the broker has acknowledged the one before, and the exit code is 0 if
it has acknowledged all; QoS 0 is sent and not acknowledged. Every user of this
machine can read a password on the command line: use --password-file.`,
		Flags: append([]ucli.Flag{
			&ucli.StringFlag{Name: "username", Aliases: []string{"u"}, Usage: "log in as `USER`"},
			&ucli.StringFlag{Name: "password", Aliases: []string{"p"}, Usage: "log in with this `PASSWORD`"},
			&ucli.StringFlag{Name: "password-file", Usage: "log in with the password in this `FILE`"},
			&ucli.StringFlag{Name: "topic", Aliases: []string{"t"}, Usage: "publish to this `TOPIC`"},
			&ucli.StringFlag{Name: "qos", Aliases: []string{"q"}, Value: "0", Usage: "quality of service `0, 1 or 2`"},
			&ucli.BoolFlag{Name: "retained", Usage: "have the broker keep the last message for later subscribers"},
			&ucli.StringFlag{Name: "message", Aliases: []string{"m"}, Usage: "publish this `TEXT`"},
			&ucli.StringFlag{Name: "file", Aliases: []string{"f"}, Usage: "publish the content of this `FILE` as one message, - is standard input"},
			&ucli.StringFlag{Name: "count", Usage: "publish the message this `NUMBER` of times"},
			&ucli.StringFlag{Name: "rate", Usage: "publish up to this `NUMBER` of messages a second; as fast as they are acknowledged otherwise"},
			&ucli.StringFlag{Name: "server", Aliases: []string{"s"}, Usage: "the MQTT broker at `HOST:PORT` or a URL (tcp, ssl, ws, wss); " + defaultBroker + " by default"},
		}, without(adminFlags(), "server", "api-token-file")...),
		Action: func(c *ucli.Context) error {
			o, err := parsePublishOptions(c)
			if err != nil {
				return fmt.Errorf("publishing: %w", err)
			}
			return publishMessages(c, o)
		},
	}
}

func without(flags []ucli.Flag, names ...string) []ucli.Flag {
	var left []ucli.Flag
	for _, flag := range flags {
		keep := true
		for _, name := range names {
			keep = keep && flag.Names()[0] != name
		}
		if keep {
			left = append(left, flag)
		}
	}
	return left
}

type publishOptions struct {
	broker   brokerOptions
	topic    string
	qos      byte
	retained bool
	rate     float64 // messages a second, 0 without a limit
	inJSON   bool
	// next returns the messages one after another, then io.EOF.
	next func() ([]byte, error)
}

func parsePublishOptions(c *ucli.Context) (publishOptions, error) {
	o := publishOptions{topic: c.String("topic"), retained: c.Bool("retained")}
	if err := checkTopicName(o.topic); err != nil {
		return o, err
	}
	qos, err := strconv.ParseUint(c.String("qos"), 10, 8)
	if err != nil || qos > 2 {
		return o, fmt.Errorf("reading --qos %q: want 0, 1 or 2", c.String("qos"))
	}
	o.qos = byte(qos)
	if text := c.String("rate"); text != "" {
		if o.rate, err = strconv.ParseFloat(text, 64); err != nil || !(o.rate > 0 && o.rate <= 1e6) {
			return o, fmt.Errorf("reading --rate %q: want a number of messages a second, up to a million", text)
		}
	}
	if o.inJSON, err = jsonOutput(c); err != nil {
		return o, err
	}
	if o.broker, err = parseBrokerOptions(c); err != nil {
		return o, err
	}
	o.next, err = messageSource(c)
	return o, err
}

// checkTopicName reports names that MQTT does not allow for publishing.
func checkTopicName(topic string) error {
	switch {
	case topic == "":
		return errors.New("--topic is missing: name the topic to publish to, sensors/1/data for example")
	case strings.ContainsAny(topic, "+#"):
		return fmt.Errorf("reading --topic %q: + and # are for subscribing; a message goes to one topic", topic)
	case len(topic) > 65535:
		return fmt.Errorf("reading --topic: %d bytes are too long: MQTT allows 65535", len(topic))
	case strings.ContainsRune(topic, 0):
		return errors.New("reading --topic: it holds a null character, which MQTT forbids")
	}
	return nil
}

func messageSource(c *ucli.Context) (func() ([]byte, error), error) {
	count, err := positive(c, "count", 1)
	if err != nil {
		return nil, err
	}
	var payload []byte
	switch path := c.String("file"); {
	case c.IsSet("message") && path != "":
		return nil, errors.New("--message and --file exclude each other")
	case c.IsSet("message"):
		payload = []byte(c.String("message"))
	case path != "":
		if payload, err = cli.ReadBounded(c.App.Reader, path, maxPayload); err != nil {
			return nil, fmt.Errorf("reading %s: %w", fileName(path), err)
		}
	case c.IsSet("count"):
		return nil, errors.New("--count repeats a --message or a --file: give one of them")
	default:
		return lines(c), nil
	}
	if len(payload) > maxPayload {
		return nil, fmt.Errorf("the message is %d bytes long: MQTT allows %d", len(payload), maxPayload)
	}
	return func() ([]byte, error) {
		if count == 0 {
			return nil, io.EOF
		}
		count--
		return payload, nil
	}, nil
}

// lines returns each line of standard input, without its end. An empty line is an empty
// message.
func lines(c *ucli.Context) func() ([]byte, error) {
	if file, ok := c.App.Reader.(*os.File); ok {
		if info, err := file.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			fmt.Fprintln(c.App.ErrWriter, "Each line is a message; Ctrl-D ends.")
		}
	}
	in := bufio.NewReaderSize(c.App.Reader, 64<<10)
	return func() ([]byte, error) {
		var line []byte
		for {
			part, err := in.ReadSlice('\n')
			line = append(line, part...)
			if len(line) > maxPayload {
				return nil, fmt.Errorf("reading standard input: a line is over %d bytes long", maxPayload)
			}
			switch {
			case errors.Is(err, bufio.ErrBufferFull):
				continue
			case errors.Is(err, io.EOF) && len(line) > 0, err == nil:
				return bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r")), nil
			case errors.Is(err, io.EOF):
				return nil, io.EOF
			}
			return nil, fmt.Errorf("reading standard input: %w", err)
		}
	}
}

func publishMessages(c *ucli.Context, o publishOptions) error {
	fail := func(published int, err error) error {
		before := ""
		if published > 0 {
			before = " after " + messages(published)
		}
		return fmt.Errorf("publishing to %q at %s%s: %w", o.topic, o.broker.url.Redacted(), before, err)
	}
	to, err := connectPublisher(c.Context, o.broker)
	if err != nil {
		return fail(0, err)
	}
	defer to.close()
	began := time.Now()
	published, unheard := 0, 0
	for ; ; published++ {
		payload, err := o.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil && o.rate > 0 {
			// The time is calculated from the first message, so that delays do not add
			// up.
			err = waitUntil(c.Context, began.Add(time.Duration(float64(published)/o.rate*float64(time.Second))))
		}
		var heard bool
		if err == nil {
			heard, err = to.publish(c.Context, message{topic: o.topic, qos: o.qos, retained: o.retained, payload: payload})
		}
		if err != nil {
			return fail(published, err)
		}
		if !heard {
			unheard++
		}
	}
	return reportPublished(c, o, published, unheard)
}

func waitUntil(ctx context.Context, moment time.Time) error {
	timer := time.NewTimer(time.Until(moment))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func reportPublished(c *ucli.Context, o publishOptions, published, unheard int) error {
	if o.inJSON {
		return cli.PrintJSON(c.App.Writer, map[string]any{
			"topic": o.topic, "qos": o.qos, "published": published, "acknowledged": o.qos > 0, "without_subscriber": unheard,
		})
	}
	if unheard > 0 {
		printNote(c, "the broker has no subscriber for %s", messages(unheard))
	}
	end := "acknowledged by the broker"
	if o.qos == 0 {
		end = "sent; the broker acknowledges none of QoS 0"
	}
	fmt.Fprintf(c.App.Writer, "Published successfully! %s to %q, %s\n", messages(published), o.topic, end)
	return nil
}

func messages(n int) string {
	if n == 1 {
		return "1 message"
	}
	return strconv.Itoa(n) + " messages"
}
