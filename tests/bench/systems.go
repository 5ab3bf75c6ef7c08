package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"
)

const (
	ours = "ours"
	// stock is upstream's pair.
	stock = "stock"
)

// system is one of the programs that are compared.
type system struct {
	name, binary string
	args         func(c cell, mqtt, brokers, topic, dir string) ([]string, error)
}

// isFor tells whether a system takes part in a cell.
func (s system) isFor(c cell) bool {
	switch s.name {
	case ours:
		return true
	case buffered:
		return c.Buffered
	case stock64:
		return c.WayBack
	case stock:
		return !c.Buffered
	}
	return !c.Buffered && !c.WayBack
}

// measure lets a system do the work of a cell once.
func (s system) measure(c cell, brokers, dir string) (figures, error) {
	if c.WayBack {
		return measureWayBack(s, c, brokers, dir)
	}
	return measure(s, c, brokers, dir)
}

func buildSystems(dir string, names []string) ([]system, error) {
	build := func(name, pkg string) (string, error) {
		path := filepath.Join(dir, name)
		if out, err := exec.Command("go", "build", "-o", path, pkg).CombinedOutput(); err != nil {
			return "", fmt.Errorf("building %s: %w\n%s", pkg, err, out)
		}
		return path, nil
	}
	var systems []system
	for _, s := range []struct {
		name, pkg string
		args      func(c cell, mqtt, brokers, topic, dir string) ([]string, error)
	}{
		{ours, "./cmd/robustmq-connect", inFile(func(c cell, mqtt, brokers, topic, _ string) string {
			if c.WayBack {
				return ourWayBack(c, mqtt, brokers, topic)
			}
			return ourPipeline(c, mqtt, brokers, topic)
		})},
		{buffered, "./cmd/robustmq-connect", inFile(bufferedPipeline)},
		{stock, "./tests/bench/stock", inFile(func(c cell, mqtt, brokers, topic, _ string) string {
			if c.WayBack {
				return stockWayBack(c, mqtt, brokers, topic, 1)
			}
			return stockPipeline(c, mqtt, brokers, topic)
		})},
		{stock64, "./tests/bench/stock", inFile(func(c cell, mqtt, brokers, topic, _ string) string {
			return stockWayBack(c, mqtt, brokers, topic, 64)
		})},
		{"floor", "./tests/bench/floor", func(_ cell, mqtt, brokers, topic, _ string) ([]string, error) {
			return []string{"-mqtt", mqtt, "-kafka", brokers, "-topic", topic}, nil
		}},
	} {
		if !slices.Contains(names, s.name) {
			continue
		}
		path, err := build(s.name, s.pkg)
		if err != nil {
			return nil, err
		}
		systems = append(systems, system{s.name, path, s.args})
	}
	return systems, nil
}

// inFile gives a program its pipeline in a file.
func inFile(pipeline func(c cell, mqtt, brokers, topic, dir string) string) func(c cell, mqtt, brokers, topic, dir string) ([]string, error) {
	return func(c cell, mqtt, brokers, topic, dir string) ([]string, error) {
		path := filepath.Join(dir, topic+".yaml")
		return []string{"-c", path}, os.WriteFile(path, []byte(pipeline(c, mqtt, brokers, topic, dir)), 0o600)
	}
}

// ourPipeline keeps no session on a real broker, which would gather the messages
// of the others' turns.
func ourPipeline(c cell, mqtt, brokers, topic string) string {
	return fmt.Sprintf(`
http: { enabled: false }
logger: { level: WARN }
input:
  robustmq_kafka: { topic_id: '#', urls: [ %q ], client_id: bench, clean_session: %t }
output:
  robustmq_kafka: { bootstrap_servers: %q, topic: %s }
`, mqtt, c.Mosquitto, brokers, topic)
}

// stockPipeline is the stock pair at its best: batched, and with the envelope
// made by Bloblang.
func stockPipeline(c cell, mqtt, brokers, topic string) string {
	threads, inFlight := -1, 10
	if c.Ordered {
		threads, inFlight = 1, 1
	}
	return fmt.Sprintf(`
http: { enabled: false }
logger: { level: WARN }
input:
  mqtt: { urls: [ %q ], topics: [ '#' ], client_id: bench }
pipeline:
  threads: %d
  processors:
    - mapping: |
        let payload = content().encode("base64")
        root.topic = @mqtt_topic
        root.qos = @mqtt_qos
        root.retain = @mqtt_retained
        root.payload = $payload
        root.client_id = ""
        root.username = ""
        root.timestamp = timestamp_unix()
        root.message_id = @mqtt_message_id
        root.header = []
        root.key = @mqtt_topic
        root.data = $payload
        root.tags = @mqtt_topic.split("/")
        root.crc_num = content().hash("crc32").encode("hex")
output:
  kafka_franz:
    seed_brokers: [ %q ]
    topic: %s
    key: ${! @mqtt_topic }
    compression: none
    max_in_flight: %d
    batching: { count: 1000, period: 5ms }
`, mqtt, threads, brokers, topic, inFlight)
}

// process is a system that runs.
type process struct {
	cmd    *exec.Cmd
	output bytes.Buffer
	exited chan error // it has one slot, which is never empty after the end
}

func (s system) start(ctx context.Context, c cell, mqtt, brokers, topic, dir string) (*process, error) {
	args, err := s.args(c, mqtt, brokers, topic, dir)
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.CommandContext(ctx, s.binary, args...), exited: make(chan error, 1)}
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { p.exited <- p.cmd.Wait() }()
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// kill ends the process, which has nothing more to do.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.exited
}

// until waits for a condition, which a process that has ended does not meet any more.
func (p *process) until(ctx context.Context, met func() bool) error {
	for !met() {
		select {
		case err := <-p.exited:
			p.exited <- err
			return fmt.Errorf("it has ended: %w\n%s", err, p.output.String())
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(200 * time.Microsecond):
		}
	}
	return nil
}
