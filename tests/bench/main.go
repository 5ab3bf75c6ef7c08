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
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

func main() {
	quick := flag.Bool("quick", false, "fewer messages, three rounds and only the main cells")
	out := flag.String("out", "tests/bench/RESULTS.md", "where to write the table; the figures go beside it, as JSON")
	only := flag.String("only", "", "run only the cells whose name this regular expression matches, and keep the rest of an earlier table")
	systems := flag.String("systems", "ours,buffered,stock,stock64,floor", "the systems to run, separated by commas")
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
	WayBack    bool // from Kafka to MQTT
	// MetricsAt is where a process serves its metrics, "" for nowhere.
	MetricsAt string
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
	all = append(all, wayBackCells(scale)...)
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
	WayBack  bool `json:",omitempty"`
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
	if earlier.Machine == r.Machine {
		r.Before = earlier.Before
	}
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
				f, err := s.measure(c, brokers, dir)
				if err != nil {
					return fmt.Errorf("%s, %s, round %d: %w", c.Name, s.name, round+1, err)
				}
				found[s.name] = append(found[s.name], f)
				fmt.Fprintf(os.Stderr, "%-34s %-8s %s\n", c.Name, s.name, f)
			}
		}
		cr := cellReport{Name: c.Name, Latency: c.Latency, Buffered: c.Buffered, WayBack: c.WayBack, Systems: map[string]figures{}}
		for name, all := range found {
			cr.Systems[name] = medians(all)
		}
		r.Cells = append(r.Cells, cr)
	}
	if wanted.MatchString("connectors") && systems[0].name == ours {
		if r.fleets, err = measureFleets(systems[0], brokers, dir, planOfFleets(quick), r.fleets); err != nil {
			return err
		}
	}
	if len(r.Cells) == 0 && len(r.Connectors) == 0 {
		return fmt.Errorf("no cell is called %q", only)
	}
	return write(r, out)
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
	var withBuffer, wayBack []cellReport
	for _, c := range r.Cells {
		if c.Buffered {
			withBuffer = append(withBuffer, c)
		}
		if c.WayBack {
			wayBack = append(wayBack, c)
		}
		if c.Latency || c.Buffered || c.WayBack {
			continue
		}
		o, s, f := c.Systems[ours], c.Systems[stock], c.Systems["floor"]
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %.1f | %.1f | %.2f | %.2f |\n", c.Name, o, s, f,
			o.Rate/s.Rate, s.CPU/o.CPU, o.CPU/f.CPU, o.Rate/f.Rate)
	}
	b.WriteString("\n| latency, ms | ours p50 / p99 / p99.9 | stock | floor | p50, ours to stock | p99, ours to stock | CPU a message: ours, stock, floor |\n|---|---|---|---|---|---|---|\n")
	for _, c := range r.Cells {
		if !c.Latency {
			continue
		}
		o, s, f := c.Systems[ours], c.Systems[stock], c.Systems["floor"]
		fmt.Fprintf(&b, "| %s | %s | %s | %s | 1/%.1f | 1/%.1f | %.0f µs, %.0f µs, %.0f µs |\n", c.Name, o.latency(), s.latency(), f.latency(),
			s.P50/o.P50, s.P99/o.P99, o.CPU, s.CPU, f.CPU)
	}
	b.WriteString(bufferTable(withBuffer))
	b.WriteString(wayBackTable(wayBack))
	b.WriteString(fleetsTable(r.fleets))
	return b.String()
}
