// Command publish measures the output mqtt against upstream's, both publishing to a sink
// that acknowledges at once, so that no broker is the limit. It prints a table in
// Markdown: the messages a second, and the CPU time a message of the whole program, which
// includes the generating of the messages.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/robustmq/robustmq-connect/tests/sink"
)

// subject is one program with one configuration.
type subject struct {
	name, program string
	messages      int
	batch         int    // messages that the pipeline hands over at once
	output        string // %s is the URL of the sink
}

var subjects = []subject{
	{"ours", "ours", 2_000_000, 100, "mqtt: { urls: [ %q ], client_id: bench, topic: bench/a, qos: 1 }"},
	{"ours, 1 message a batch", "ours", 100_000, 1, "mqtt: { urls: [ %q ], client_id: bench, topic: bench/a, qos: 1 }"},
	{"stock, max_in_flight 1", "stock", 100_000, 100, "mqtt: { urls: [ %q ], client_id: bench, topic: bench/a, qos: 1, max_in_flight: 1 }"},
	{"stock, max_in_flight 1, 1 message a batch", "stock", 100_000, 1, "mqtt: { urls: [ %q ], client_id: bench, topic: bench/a, qos: 1, max_in_flight: 1 }"},
	{"stock, max_in_flight 64 (not in order)", "stock", 200_000, 100, "mqtt: { urls: [ %q ], client_id: bench, topic: bench/a, qos: 1, max_in_flight: 64 }"},
}

func main() {
	rounds := flag.Int("rounds", 5, "the number of rounds, in which the subjects take turns")
	flag.Parse()
	if err := run(*rounds); err != nil {
		fmt.Fprintln(os.Stderr, "bench/publish:", err)
		os.Exit(1)
	}
}

// figures are the results of one subject in one round.
type figures struct{ rate, cpu float64 } // messages a second, µs a message

func run(rounds int) error {
	dir, err := os.MkdirTemp("", "publish")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // the temporary directory may stay
	for name, pkg := range map[string]string{"ours": "./cmd/robustmq-connect", "stock": "./tests/bench/stock"} {
		if out, err := exec.Command("go", "build", "-o", filepath.Join(dir, name), pkg).CombinedOutput(); err != nil {
			return fmt.Errorf("building %s: %w\n%s", pkg, err, out)
		}
	}
	all := make([][]figures, len(subjects))
	for range rounds {
		for i, s := range subjects {
			f, err := s.measure(dir)
			if err != nil {
				return fmt.Errorf("measuring %s: %w", s.name, err)
			}
			all[i] = append(all[i], f)
		}
	}
	fmt.Printf("64 B at QoS 1, in batches of 100 unless said, medians of %d rounds.\n\n| output `mqtt` | messages a second | CPU a message | rate of ours | CPU of ours |\n|---|---|---|---|---|\n", rounds)
	ours := median(all[0])
	for i, s := range subjects {
		f := median(all[i])
		fmt.Printf("| %s | %.0f | %.1f µs | %.1f times | 1/%.1f |\n", s.name, f.rate, f.cpu, ours.rate/f.rate, f.cpu/ours.cpu)
	}
	return nil
}

func median(all []figures) (m figures) {
	of := func(value func(figures) float64) float64 {
		values := make([]float64, len(all))
		for i, f := range all {
			values[i] = value(f)
		}
		slices.Sort(values)
		return values[len(values)/2]
	}
	return figures{of(func(f figures) float64 { return f.rate }), of(func(f figures) float64 { return f.cpu })}
}

// measure runs the program until it has published all messages.
func (s subject) measure(dir string) (f figures, err error) {
	to, err := sink.Listen(sink.Options{})
	if err != nil {
		return f, err
	}
	defer to.Close()
	path := filepath.Join(dir, "pipeline.yaml")
	pipeline := fmt.Sprintf("http: { enabled: false }\nlogger: { level: error }\npipeline: { threads: 1 }\n"+
		"input: { generate: { count: %d, interval: '', batch_size: %d, mapping: 'root = \"%064d\"' } }\noutput: { "+s.output+" }\n", s.messages, s.batch, 0, to.URL())
	if err := os.WriteFile(path, []byte(pipeline), 0o600); err != nil {
		return f, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(dir, s.program), "-c", path)
	cmd.Stderr = os.Stderr
	var first time.Time
	if err := cmd.Start(); err != nil {
		return f, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for first.IsZero() {
		select {
		case err := <-ended:
			return f, fmt.Errorf("it ended before the first message: %w", err)
		case <-time.After(100 * time.Microsecond):
			if to.Count() > 0 {
				first = time.Now()
			}
		}
	}
	for to.Count() < int64(s.messages) {
		select {
		case err := <-ended:
			if to.Count() < int64(s.messages) {
				return f, fmt.Errorf("it ended after %d of %d messages: %w", to.Count(), s.messages, err)
			}
			ended <- err
		case <-time.After(100 * time.Microsecond):
		}
	}
	took := time.Since(first)
	if err := <-ended; err != nil {
		return f, err
	}
	cpu := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return figures{float64(s.messages) / took.Seconds(), float64(cpu.Microseconds()) / float64(s.messages)}, nil
}
