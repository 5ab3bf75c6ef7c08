package demo

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/cli"
)

// demoStart is what a person or a program needs to take part.
type demoStart struct {
	Type      string  `json:"type"`
	MQTT      string  `json:"mqtt"`
	Kafka     string  `json:"kafka"`
	Topic     string  `json:"topic"`
	Pipeline  string  `json:"pipeline"`
	Sensors   int     `json:"sensors"`
	Rate      int     `json:"rate"`
	StartupMS float64 `json:"startup_ms"`
}

// demoReport prints the demo. Only one goroutine calls it.
type demoReport interface {
	period() time.Duration // between two calls of stats
	started(demoStart)
	record(*kgo.Record)
	stats(demoStats)
	totals(demoTotals)
}

func newDemoReport(opts options) demoReport {
	if opts.json {
		return &jsonReport{enc: json.NewEncoder(opts.stdout)}
	}
	return &textReport{out: opts.stdout, tty: cli.IsTerminal(opts.stdout)}
}

// jsonReport prints one object per line, with a "type".
type jsonReport struct{ enc *json.Encoder }

func (*jsonReport) period() time.Duration { return time.Second }
func (*jsonReport) record(*kgo.Record)    {}

func (r *jsonReport) started(s demoStart) {
	s.Type = "started"
	_ = r.enc.Encode(s)
}

func (r *jsonReport) stats(s demoStats)   { _ = r.enc.Encode(s) }
func (r *jsonReport) totals(t demoTotals) { _ = r.enc.Encode(t) }

type textReport struct {
	out   io.Writer
	tty   bool
	shown int  // records
	live  bool // the cursor is at the end of the live line
}

// period is longer if a line cannot be rewritten, as in a log file.
func (r *textReport) period() time.Duration {
	if r.tty {
		return time.Second
	}
	return 5 * time.Second
}

func (r *textReport) started(s demoStart) {
	host, port, _ := strings.Cut(s.MQTT, ":")
	fmt.Fprintf(r.out, "MQTT broker  %s\nKafka        %s\nready in     %.0f ms\n\n", s.MQTT, s.Kafka, s.StartupMS)
	fmt.Fprintf(r.out, "%d sensors publish %d messages/s through this pipeline:\n\n%s\n", s.Sensors, s.Rate, indent(s.Pipeline))
	fmt.Fprintln(r.out, "Join in from another terminal:")
	fmt.Fprintln(r.out)
	fmt.Fprintf(r.out, "    mosquitto_pub -h %s -p %s -q 1 -t sensors/mine/data -m '{\"temperature\":21}'\n", host, port)
	fmt.Fprintf(r.out, "    kcat -b %s -C -t %s -u -q | grep sensors/mine/data\n", s.Kafka, s.Topic)
	fmt.Fprintf(r.out, "    kcat -b %s -C -t %s -c 3\n\n", s.Kafka, s.Topic)
	fmt.Fprintln(r.out, "Run a service beside it, and watch its console at http://127.0.0.1:58080/ in a browser:")
	fmt.Fprintln(r.out)
	fmt.Fprintf(r.out, "    %s serve --mqtt-url tcp://%s --store demo-connectors\n", cli.BinaryName, s.MQTT)
	fmt.Fprintf(r.out, "    %s mqtt connector create -n console -p 'sensors/#' -c '{\"bootstrap_servers\":%q,\"topic\":\"console\"}'\n", cli.BinaryName, s.Kafka)
	fmt.Fprint(r.out, "\nCtrl-C stops the demo and shows the totals.\n\n")
}

func (r *textReport) record(rec *kgo.Record) {
	r.endLine()
	r.shown++
	fmt.Fprintf(r.out, "record %d, partition %d, offset %d, key %s\n", r.shown, rec.Partition, rec.Offset, rec.Key)
	var pretty bytes.Buffer
	if json.Indent(&pretty, rec.Value, "", "  ") != nil {
		pretty.Reset()
		pretty.Write(rec.Value)
	}
	fmt.Fprintln(r.out, indent(pretty.String()))
	var envelope struct {
		Payload []byte `json:"payload"`
	}
	if json.Unmarshal(rec.Value, &envelope) == nil && len(envelope.Payload) > 0 {
		fmt.Fprintf(r.out, "    its payload: %s\n\n", printable(envelope.Payload))
	}
}

func (r *textReport) stats(s demoStats) {
	line := fmt.Sprintf("%4.0f s   in %d   out %d   %.0f records/s   latency p50 %.1f ms, p99 %.1f ms",
		s.ElapsedS, s.Published, s.InKafka, s.Rate, s.P50, s.P99)
	if s.Others > 0 {
		line += fmt.Sprintf("   from others %d", s.Others)
	}
	if !r.tty {
		fmt.Fprintln(r.out, line)
		return
	}
	fmt.Fprint(r.out, "\r\x1b[K"+line)
	r.live = true
}

func (r *textReport) totals(t demoTotals) {
	r.endLine()
	verdict := "every message that was published is in Kafka, in order"
	if err := t.check(); err != nil {
		verdict = "the totals do not add up"
	}
	fmt.Fprintf(r.out, `
published              %d  acknowledged by the broker
in Kafka               %d
missing                %d
duplicates             %d
out of order           %d
dropped by the broker  %d
from others            %d
latency                p50 %.1f ms, p99 %.1f ms, from publishing to consumption
%s
`, t.Published, t.InKafka, t.Missing, t.Duplicates, t.OutOfOrder, t.Dropped, t.Others, t.P50, t.P99, verdict)
}

func (r *textReport) endLine() {
	if r.live {
		fmt.Fprintln(r.out)
		r.live = false
	}
}

func indent(text string) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return "    " + strings.Join(lines, "\n    ") + "\n"
}

// printable quotes what a terminal might interpret as a command.
func printable(payload []byte) string {
	if s := string(payload); strconv.CanBackquote(s) {
		return s
	}
	return strconv.Quote(string(payload))
}
