// Package demo is the demo command: it moves the messages of a few simulated sensors
// from MQTT to Kafka, all in this process.
package demo

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	ucli "github.com/urfave/cli/v2"

	"github.com/robustmq/robustmq-connect/plugins/embedded"
)

const (
	demoFilter  = "sensors/+/data"
	demoTopic   = "mqtt_messages"
	demoSensors = 10
	demoRecords = 3 // how many are shown in full

	demoStartTimeout = 15 * time.Second // for the pipeline to subscribe
	demoDrainTimeout = 5 * time.Second  // for published messages to reach Kafka
	demoStopTimeout  = 5 * time.Second  // for the pipeline to stop
	demoTrimPeriod   = time.Minute
)

// demoPipeline is the pipeline that the demo prints and runs, as a user would write it.
const demoPipeline = `input:
  robustmq_kafka:
    topic_id: ` + demoFilter + `
    urls: [%s]
output:
  robustmq_kafka:
    bootstrap_servers: %s
    topic: ` + demoTopic + `
    key: sensor_data
`

type options struct {
	duration  time.Duration // 0 runs until the context ends
	rate      int           // messages a second, of the whole fleet
	mqttPort  int
	kafkaPort int
	json      bool
	stdout    io.Writer
	stderr    io.Writer
}

// Command starts the demo.
func Command() *ucli.Command {
	return &ucli.Command{
		Name:  "demo",
		Usage: "Watch MQTT messages arrive in Kafka, with nothing to install",
		Description: "Starts an MQTT broker and a Kafka inside this process, a few simulated sensors and\n" +
			"the pipeline between them. Other programs on this machine can connect to both while\n" +
			"it runs. Ctrl-C stops it; the exit code is 0 if every message that was published is\n" +
			"in Kafka, in order.",
		Flags: []ucli.Flag{
			&ucli.DurationFlag{Name: "duration", Usage: "stop after this `TIME`, 10s for example; 0 runs until Ctrl-C"},
			&ucli.IntFlag{Name: "rate", Value: 200, Usage: "publish this many `MESSAGES` a second in all"},
			&ucli.IntFlag{Name: "mqtt-port", Usage: "listen for MQTT on this `PORT` of 127.0.0.1; 0 takes a free one"},
			&ucli.IntFlag{Name: "kafka-port", Usage: "listen for Kafka on this `PORT` of 127.0.0.1; 0 takes a free one"},
			&ucli.StringFlag{Name: "output", Value: "text", Usage: "`FORMAT` of what is printed: text, or json for one object a line"},
		},
		Action: func(c *ucli.Context) error {
			opts, err := parseOptions(c)
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(c.Context, os.Interrupt, syscall.SIGTERM)
			defer stop()
			// A second signal ends the process at once.
			defer context.AfterFunc(ctx, stop)()
			return runDemo(ctx, opts)
		},
	}
}

func parseOptions(c *ucli.Context) (options, error) {
	opts := options{
		duration:  c.Duration("duration"),
		rate:      c.Int("rate"),
		mqttPort:  c.Int("mqtt-port"),
		kafkaPort: c.Int("kafka-port"),
		stdout:    c.App.Writer,
		stderr:    c.App.ErrWriter,
	}
	switch output := c.String("output"); output {
	case "text":
	case "json":
		opts.json = true
	default:
		return opts, fmt.Errorf("reading --output %q: want text or json", output)
	}
	if c.Args().Present() {
		return opts, fmt.Errorf("reading argument %q: demo takes flags only, see demo --help", c.Args().First())
	}
	if opts.duration < 0 {
		return opts, fmt.Errorf("reading --duration %v: want 0 or more", opts.duration)
	}
	if opts.rate < 1 || opts.rate > 100_000 {
		return opts, fmt.Errorf("reading --rate %d: want 1 to 100000 messages a second", opts.rate)
	}
	for flag, port := range map[string]int{"mqtt-port": opts.mqttPort, "kafka-port": opts.kafkaPort} {
		if port < 0 || port > 65535 {
			return opts, fmt.Errorf("reading --%s %d: want a port of 1 to 65535, or 0 for a free one", flag, port)
		}
	}
	return opts, nil
}

// runDemo runs until the context ends, the duration is over or something fails, and
// then waits for the messages in flight. It returns an error unless the totals are
// correct.
func runDemo(ctx context.Context, opts options) error {
	began := time.Now()
	broker, err := embedded.StartBroker(loopback(opts.mqttPort))
	if err != nil {
		return fmt.Errorf("setting up --mqtt-port %d: %w", opts.mqttPort, err)
	}
	defer broker.Close()
	kafka, err := embedded.StartKafka(loopback(opts.kafkaPort), demoTopic)
	if err != nil {
		return fmt.Errorf("setting up --kafka-port %d: %w", opts.kafkaPort, err)
	}
	defer kafka.Close()

	pipeline := fmt.Sprintf(demoPipeline, broker.URL(), kafka.Addr())
	running, err := startPipeline(pipeline, opts.stderr)
	if err != nil {
		return err
	}
	defer running.stop()
	if err := running.waitLive(broker); err != nil {
		return err
	}
	tally := newTally()
	watch, err := startWatcher(kafka.Addr(), tally)
	if err != nil {
		return err
	}
	defer watch.stop()
	fleet, err := startFleet(broker.URL(), opts.rate, tally)
	if err != nil {
		return err
	}
	defer fleet.stop()

	report := newDemoReport(opts)
	report.started(demoStart{
		MQTT: broker.Addr(), Kafka: kafka.Addr(), Topic: demoTopic, Pipeline: pipeline,
		Sensors: demoSensors, Rate: opts.rate, StartupMS: milliseconds(time.Since(began)),
	})

	d := &demo{broker: broker, kafka: kafka, pipeline: running, tally: tally, watch: watch, fleet: fleet, report: report}
	failed := d.run(ctx, opts.duration)
	d.finish()
	totals := tally.totals(broker.Dropped())
	report.totals(totals)
	if failed != nil {
		return failed
	}
	return totals.check()
}

// demo is the state of a run, from start to totals.
type demo struct {
	broker   *embedded.Broker
	kafka    *embedded.Kafka
	pipeline *pipelineRun
	tally    *demoTally
	watch    *watcher
	fleet    *sensorFleet
	report   demoReport
}

// run reports until it is time to stop. Only this goroutine prints.
func (d *demo) run(ctx context.Context, duration time.Duration) error {
	if duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, duration)
		defer cancel()
	}
	stats := time.NewTicker(d.report.period())
	defer stats.Stop()
	trim := time.NewTicker(demoTrimPeriod)
	defer trim.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-d.fleet.failed:
			return err
		case <-d.pipeline.done:
			return fmt.Errorf("running the pipeline: it ended before the demo: %w", d.pipeline.err)
		case r := <-d.watch.first:
			d.report.record(r)
		case <-stats.C:
			d.report.stats(d.tally.interval())
		case <-trim.C:
			d.kafka.Trim()
		}
	}
}

// finish stops publishing first and counting last, so that the totals include every
// published message.
func (d *demo) finish() {
	d.fleet.stop()
	d.tally.waitArrived(demoDrainTimeout)
	d.pipeline.stop()
	d.watch.finish()
	for {
		select {
		case r := <-d.watch.first:
			d.report.record(r)
		default:
			return
		}
	}
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
