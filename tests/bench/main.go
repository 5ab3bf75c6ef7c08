// Command bench measures robustmq-connect against upstream's components, set up
// as a knowledgeable user would, and against the floor: the same work without
// any framework. The three take turns in one run, and medians are quoted, since
// machines differ and are noisy. make bench starts Kafka and runs it.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

func main() {
	quick := flag.Bool("quick", false, "fewer messages, three rounds and only the main cells")
	out := flag.String("out", "tests/bench/RESULTS.md", "where to write the table; the figures go beside it, as JSON")
	only := flag.String("only", "", "run only the cells whose name this regular expression matches, and keep the rest of an earlier table")
	systems := flag.String("systems", "ours,buffered,stock,floor", "the systems to run, separated by commas")
	flag.Parse()
	if err := run(*quick, *out, *only, strings.Split(*systems, ",")); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// cell is one kind of work.
type cell struct {
	Name    string
	load    load
	Ordered bool // the stock pair is set up to keep the order
	Latency bool // latency is what counts, not the rate
	// Partitions of the Kafka topic.
	Partitions int
	// StockShare is by how much fewer messages the stock pair gets, so that the
	// others run for long enough to be measured, and it does not take all day.
	StockShare int
	Mosquitto  bool // the messages come through a real broker
	Buffered   bool // our pair is compared with itself behind a disk buffer
}

// feed is where the messages of a load come from.
type feed interface {
	url() string
	ready() <-chan struct{}
	flood()
	close()
}

func (c cell) start(l load) (feed, error) {
	if c.Mosquitto {
		return startPublisher(l, os.Getenv("MQTT_URL"))
	}
	return startSource(l)
}

func cells(quick bool) []cell {
	scale := func(n int) int {
		if quick {
			return n / 4
		}
		return n
	}
	flood := func(name string, messages, stockShare, size, topics, window int) cell {
		return cell{
			Name: name, Partitions: 1, StockShare: stockShare,
			load: load{messages: scale(messages), size: size, topics: topics, window: window},
		}
	}
	latency := func(rate int) cell {
		return cell{
			Name: fmt.Sprintf("latency at %d/s", rate), Partitions: 1, Latency: true,
			load: load{messages: scale(10 * rate), size: 64, topics: 100, window: 1000, rate: rate},
		}
	}
	ordered := flood("64 B, window 1000, stock in order", 800_000, 32, 64, 100, 1000)
	ordered.Ordered = true
	mosquitto := flood("64 B, mosquitto, window 20", 100_000, 2, 64, 100, 1000)
	mosquitto.Mosquitto = true
	partitions := flood("64 B, window 4000, 12 partitions", 1_000_000, 8, 64, 100, 4000)
	partitions.Partitions = 12
	all := []cell{
		flood("64 B, window 4000", 1_600_000, 8, 64, 100, 4000),
		flood("1 KB, window 4000", 300_000, 4, 1024, 100, 4000),
		flood("64 B, window 20", 200_000, 4, 64, 100, 20),
		ordered,
		latency(1000),
		latency(10_000),
	}
	all = append(all, bufferCells(flood)...)
	if !quick {
		all = append(all,
			mosquitto,
			flood("16 KB, window 4000", 20_000, 2, 16<<10, 100, 4000),
			flood("64 B, window 100", 400_000, 4, 64, 100, 100),
			flood("64 B, window 4000, 10,000 topics", 1_000_000, 8, 64, 10_000, 4000),
			partitions,
		)
	}
	return all
}

// report is everything that a run found.
type report struct {
	Machine string
	Rounds  int
	Cells   []cellReport
	fleets
}

type cellReport struct {
	Name     string
	Latency  bool
	Buffered bool `json:",omitempty"`
	// Systems holds the median of every figure, by the name of the system.
	Systems map[string]figures
}

func run(quick bool, out, only string, names []string) error {
	brokers := os.Getenv("KAFKA_BROKERS")
	if brokers == "" {
		return errors.New("KAFKA_BROKERS is not set; run make bench, which starts Kafka")
	}
	wanted, err := regexp.Compile(only)
	if err != nil {
		return fmt.Errorf("reading -only: %w", err)
	}
	earlier, err := prepareOut(out)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "robustmq-connect-bench")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // the system empties its temporary folder
	systems, err := buildSystems(dir, names)
	if err != nil {
		return err
	}
	rounds := 5
	if quick {
		rounds = 3
	}
	r := report{Machine: machine(), Rounds: rounds}
	kept := map[string]cellReport{}
	if only != "" && earlier.Machine == r.Machine && earlier.Rounds == rounds {
		r.fleets = earlier.fleets
		for _, c := range earlier.Cells {
			kept[c.Name] = c
		}
	}
	for _, c := range cells(quick) {
		if !wanted.MatchString(c.Name) {
			if before, ok := kept[c.Name]; ok {
				r.Cells = append(r.Cells, before)
			}
			continue
		}
		found := map[string][]figures{}
		for round := range rounds {
			for _, s := range systems {
				if !s.isFor(c) {
					continue
				}
				f, err := measure(s, c, brokers, dir)
				if err != nil {
					return fmt.Errorf("%s, %s, round %d: %w", c.Name, s.name, round+1, err)
				}
				found[s.name] = append(found[s.name], f)
				fmt.Fprintf(os.Stderr, "%-34s %-6s %s\n", c.Name, s.name, f)
			}
		}
		cr := cellReport{Name: c.Name, Latency: c.Latency, Buffered: c.Buffered, Systems: map[string]figures{}}
		for name, all := range found {
			cr.Systems[name] = medians(all)
		}
		r.Cells = append(r.Cells, cr)
	}
	if wanted.MatchString("connectors") && systems[0].name == "ours" {
		if r.fleets, err = measureFleets(systems[0], brokers, dir, quick); err != nil {
			return err
		}
	}
	if len(r.Cells) == 0 && len(r.Connectors) == 0 {
		return fmt.Errorf("no cell is called %q", only)
	}
	return write(r, out)
}

// stock is the name of upstream's pair.
const stock = "stock"

// system is one of the programs that are compared.
type system struct {
	name, binary string
	args         func(c cell, mqtt, brokers, topic, dir string) ([]string, error)
}

func buildSystems(dir string, names []string) ([]system, error) {
	build := func(name, pkg string) (string, error) {
		path := filepath.Join(dir, name)
		if out, err := exec.Command("go", "build", "-o", path, pkg).CombinedOutput(); err != nil {
			return "", fmt.Errorf("building %s: %w\n%s", pkg, err, out)
		}
		return path, nil
	}
	inFile := func(text func(c cell, mqtt, brokers, topic, dir string) string) func(c cell, mqtt, brokers, topic, dir string) ([]string, error) {
		return func(c cell, mqtt, brokers, topic, dir string) ([]string, error) {
			path := filepath.Join(dir, topic+".yaml")
			return []string{"-c", path}, os.WriteFile(path, []byte(text(c, mqtt, brokers, topic, dir)), 0o600)
		}
	}
	pipeline := func(text func(c cell, mqtt, brokers, topic string) string) func(c cell, mqtt, brokers, topic, dir string) ([]string, error) {
		return inFile(func(c cell, mqtt, brokers, topic, _ string) string { return text(c, mqtt, brokers, topic) })
	}
	var systems []system
	for _, s := range []struct {
		name, pkg string
		args      func(c cell, mqtt, brokers, topic, dir string) ([]string, error)
	}{
		{"ours", "./cmd/robustmq-connect", pipeline(ourPipeline)},
		{buffered, "./cmd/robustmq-connect", inFile(bufferedPipeline)},
		{stock, "./tests/bench/stock", pipeline(stockPipeline)},
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

func jsonPath(out string) string { return strings.TrimSuffix(out, ".md") + ".json" }

// prepareOut makes the folder of the table, before anything is measured, and reads what
// an earlier run left in it. Without an earlier run the report is empty.
func prepareOut(out string) (r report, err error) {
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return r, fmt.Errorf("making the folder of -out: %w", err)
	}
	text, err := os.ReadFile(jsonPath(out))
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err != nil {
		return r, fmt.Errorf("reading the earlier results %s: %w: remove the file to begin anew", jsonPath(out), err)
	}
	return r, nil
}

func write(r report, out string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(jsonPath(out), append(text, '\n'), 0o644); err != nil {
		return err
	}
	return os.WriteFile(out, []byte(table(r)), 0o644)
}

func table(r report) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Benchmark\n\n%s\n\nMedians of %d rounds, in which the systems take turns; the stock pair, being slower, gets fewer messages. Written by `make bench`.\n", r.Machine, r.Rounds)
	b.WriteString("\n| work | ours | stock | floor | rate, ours to stock | CPU, stock to ours | CPU, ours to floor | rate, ours to floor |\n|---|---|---|---|---|---|---|---|\n")
	var withBuffer []cellReport
	for _, c := range r.Cells {
		if c.Buffered {
			withBuffer = append(withBuffer, c)
		}
		if c.Latency || c.Buffered {
			continue
		}
		o, s, f := c.Systems["ours"], c.Systems[stock], c.Systems["floor"]
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %.1f | %.1f | %.2f | %.2f |\n", c.Name, o, s, f,
			o.Rate/s.Rate, s.CPU/o.CPU, o.CPU/f.CPU, o.Rate/f.Rate)
	}
	b.WriteString("\n| latency, ms | ours p50 / p99 / p99.9 | stock | floor | p50, ours to stock | p99, ours to stock | CPU a message: ours, stock, floor |\n|---|---|---|---|---|---|---|\n")
	for _, c := range r.Cells {
		if !c.Latency {
			continue
		}
		o, s, f := c.Systems["ours"], c.Systems[stock], c.Systems["floor"]
		fmt.Fprintf(&b, "| %s | %s | %s | %s | 1/%.1f | 1/%.1f | %.0f µs, %.0f µs, %.0f µs |\n", c.Name, o.latency(), s.latency(), f.latency(),
			s.P50/o.P50, s.P99/o.P99, o.CPU, s.CPU, f.CPU)
	}
	b.WriteString(bufferTable(withBuffer))
	if len(r.Connectors) > 0 {
		fmt.Fprintf(&b, "\nA service of so many connectors, which get %d messages a second together, through mosquitto:\n\n| connectors | CPU a message | peak memory |\n|---|---|---|\n", connectorsRate)
	}
	for _, n := range slices.Sorted(maps.Keys(r.Connectors)) {
		fmt.Fprintf(&b, "| %d | %.0f µs | %.0f MB |\n", n, r.Connectors[n].CPU, r.Connectors[n].Memory)
	}
	if w := r.Watched; w != nil {
		fmt.Fprintf(&b, "| as many, with the console open and a tail running | %.0f µs | %.0f MB |\n", w.CPU, w.Memory)
	}
	return b.String()
}
