package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	// connectorsRate is what all connectors together get, in messages a second.
	connectorsRate = 2000
	// watchedConnectors is the size of the service that is also measured while somebody
	// watches it.
	watchedConnectors = 200
)

// fleets are the figures of services of more and more connectors.
type fleets struct {
	Connectors map[int]figures
	Rest       map[int]restFigures `json:",omitempty"`
	Watched    *figures            // of watchedConnectors
	// Before are the figures before connectors shared what they do not need each. Nothing
	// measures them again.
	Before map[int]figures `json:",omitempty"`
}

// restFigures are those of a service to which no messages come, after a start with its
// store.
type restFigures struct {
	Memory   float64 // resident, MB
	CPU      float64 // % of a core
	Ready    float64 // s from the start of the process until all connectors are ready
	ListPage float64 // ms
}

// fleetPlan says how services are measured.
type fleetPlan struct {
	rounds   map[int]int   // by the number of connectors
	flood    time.Duration // how long messages come
	settling time.Duration // until a service is at rest
	rest     time.Duration // how long it is watched then
}

func planOfFleets(quick bool) fleetPlan {
	if quick {
		return fleetPlan{map[int]int{1: 1, watchedConnectors: 1}, 8 * time.Second, 5 * time.Second, 5 * time.Second}
	}
	// The clients to Kafka are closed after 10 s at rest. Up to 40 s after all connectors
	// have started, the service once gives back the memory that the start needed, which
	// takes about a second of a processor for 5,000 connectors. Thousands of connectors
	// take minutes to create and to delete.
	return fleetPlan{map[int]int{1: 3, watchedConnectors: 3, 1000: 1, 5000: 1}, 10 * time.Second, 45 * time.Second, 30 * time.Second}
}

// measureFleets measures services of more and more connectors, and one of them by turns
// with and without somebody who watches it. It keeps the earlier figures that it does not
// measure.
func measureFleets(s system, brokers, dir string, plan fleetPlan, earlier fleets) (fleets, error) {
	found := fleets{Connectors: map[int]figures{}, Rest: map[int]restFigures{}, Before: earlier.Before}
	for _, n := range slices.Sorted(maps.Keys(plan.rounds)) {
		var plain, watched []figures
		for round := range plan.rounds[n] {
			one := fleetRun{binary: s.binary, connectors: n, brokers: brokers, dir: dir, plan: plan, atRest: round == 0}
			f, rest, err := one.measure()
			if err != nil {
				return found, fmt.Errorf("%d connectors: %w", n, err)
			}
			plain = append(plain, f)
			fmt.Fprintf(os.Stderr, "%-34s %-6s %s\n", fmt.Sprintf("%d connectors", n), s.name, f)
			if one.atRest {
				found.Rest[n] = rest
				fmt.Fprintf(os.Stderr, "%-34s %-6s %s\n", fmt.Sprintf("%d connectors at rest", n), s.name, rest)
			}
			if n != watchedConnectors {
				continue
			}
			one.watched, one.atRest = true, false
			if f, _, err = one.measure(); err != nil {
				return found, fmt.Errorf("%d connectors, watched: %w", n, err)
			}
			watched = append(watched, f)
			fmt.Fprintf(os.Stderr, "%-34s %-6s %s\n", fmt.Sprintf("%d connectors, watched", n), s.name, f)
		}
		found.Connectors[n] = medians(plain)
		if len(watched) > 0 {
			middle := medians(watched)
			found.Watched = &middle
		}
	}
	return found, nil
}

// fleetRun is one service, from its creation to its end.
type fleetRun struct {
	binary       string
	connectors   int // which share one rate
	brokers, dir string
	plan         fleetPlan
	watched      bool // the console is open and a tail of one connector runs
	atRest       bool // it is measured at rest too
}

func (r fleetRun) measure() (f figures, rest restFigures, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(r.brokers))
	if err != nil {
		return f, rest, err
	}
	kafka := kadm.NewClient(client)
	defer kafka.Close()
	topic := fmt.Sprintf("bench_connectors_%d_%d", os.Getpid(), topicNumber.Add(1))
	if _, err := kafka.CreateTopic(ctx, 1, 1, nil, topic); err != nil {
		return f, rest, fmt.Errorf("creating a topic: %w", err)
	}
	service, err := newFleet(r.binary, r.dir, os.Getenv("MQTT_URL"), r.brokers, topic)
	if err != nil {
		return f, rest, err
	}
	if err := service.start(ctx); err != nil {
		return f, rest, err
	}
	defer func() { err = errors.Join(err, service.stop()) }()
	defer service.remove(r.connectors)
	if f, err = r.flood(ctx, service, kafka); err == nil && r.atRest {
		rest, err = r.measureRest(ctx, service)
	}
	return f, rest, err
}

// flood creates the connectors and measures them while messages come.
func (r fleetRun) flood(ctx context.Context, service *fleet, kafka *kadm.Client) (f figures, err error) {
	l := load{
		messages: connectorsRate * int(r.plan.flood.Seconds()), size: 64, topics: r.connectors, window: 1000, rate: connectorsRate,
	}
	if err := service.create(ctx, l.packets(4)); err != nil {
		return f, err
	}
	// The first message of a connector opens its client to Kafka.
	first := l
	first.messages = r.connectors
	if err := service.publish(ctx, first, kafka, 0); err != nil {
		return f, fmt.Errorf("the first message of each connector: %w", err)
	}
	if r.watched {
		w := watch(ctx, service.listen, connectorName(0))
		defer func() {
			if stopErr := w.stop(); err == nil {
				err = stopErr
			}
		}()
	}
	before, err := cpuTime(service.pid())
	if err != nil {
		return f, err
	}
	began := time.Now()
	if err := service.publish(ctx, l, kafka, first.messages); err != nil {
		return f, err
	}
	f.Rate = float64(l.messages) / time.Since(began).Seconds()
	after, err := cpuTime(service.pid())
	if err != nil {
		return f, err
	}
	f.CPU = (after - before).Seconds() * 1e6 / float64(l.messages)
	f.Memory, err = peakMemory(service.pid())
	return f, err
}

// publish sends a load and waits until Kafka has it, beside the records that it has.
func (f *fleet) publish(ctx context.Context, l load, kafka *kadm.Client, have int) error {
	source, err := startPublisher(l, f.mqtt)
	if err != nil {
		return err
	}
	defer source.close()
	source.flood()
	return untilArrived(ctx, kafka, f.topic, int64(have+l.messages), f.exited)
}

// measureRest starts the service again, and measures it when it has come to rest.
func (r fleetRun) measureRest(ctx context.Context, service *fleet) (rest restFigures, err error) {
	if err := service.stop(); err != nil {
		return rest, err
	}
	began := time.Now()
	if err := service.start(ctx); err != nil {
		return rest, err
	}
	if err := service.untilReady(ctx); err != nil {
		return rest, err
	}
	rest.Ready = time.Since(began).Seconds()
	time.Sleep(r.plan.settling)
	before, err := cpuTime(service.pid())
	if err != nil {
		return rest, err
	}
	time.Sleep(r.plan.rest)
	after, err := cpuTime(service.pid())
	if err != nil {
		return rest, err
	}
	rest.CPU = 100 * (after - before).Seconds() / r.plan.rest.Seconds()
	if rest.Memory, err = memory(service.pid(), "VmRSS:"); err != nil {
		return rest, err
	}
	var pages []float64
	for range 20 {
		took, err := service.listPage(ctx)
		if err != nil {
			return rest, err
		}
		pages = append(pages, took.Seconds()*1000)
	}
	rest.ListPage = median(pages)
	return rest, nil
}

func (r restFigures) String() string {
	return fmt.Sprintf("%.0f MB, %.1f %% of a core, ready after %.1f s, a page of the list in %.1f ms", r.Memory, r.CPU, r.Ready, r.ListPage)
}

// fleetsTable is empty where no services were measured.
func fleetsTable(f fleets) string {
	if len(f.Connectors) == 0 {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\nA service of so many connectors, which get %d messages a second together, through mosquitto. Before is before many connectors were made cheaper.\n\n"+
		"| connectors | CPU a message | peak memory | before |\n|---|---|---|---|\n", connectorsRate)
	row := func(name string, now figures, before string) {
		fmt.Fprintf(&b, "| %s | %.0f µs | %.0f MB | %s |\n", name, now.CPU, now.Memory, before)
	}
	for _, n := range slices.Sorted(maps.Keys(f.Connectors)) {
		before := ""
		if one, ok := f.Before[n]; ok {
			before = fmt.Sprintf("%.0f µs, %.0f MB", one.CPU, one.Memory)
		}
		row(strconv.Itoa(n), f.Connectors[n], before)
	}
	if f.Watched != nil {
		row(fmt.Sprintf("%d, with the console open and a tail running", watchedConnectors), *f.Watched, "")
	}
	if len(f.Rest) == 0 {
		return b.String()
	}
	b.WriteString("\nThe same at rest, after a start with its store:\n\n" +
		"| connectors | resident memory | CPU, of one core | all ready after | a page of the list |\n|---|---|---|---|---|\n")
	for _, n := range slices.Sorted(maps.Keys(f.Rest)) {
		r := f.Rest[n]
		fmt.Fprintf(&b, "| %d | %.0f MB | %.1f %% | %.1f s | %.1f ms |\n", n, r.Memory, r.CPU, r.Ready, r.ListPage)
	}
	return b.String()
}
