package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// figures are what one run of one system gives.
type figures struct {
	Rate   float64 // messages a second
	CPU    float64 // µs of CPU a message
	Memory float64 // peak resident memory, MB
	// P50, P99 and P999 are milliseconds from the source to a consumer.
	P50, P99, P999 float64
}

func (f figures) String() string {
	return fmt.Sprintf("%.0f/s, %.1f µs, %.0f MB", f.Rate, f.CPU, f.Memory)
}

func (f figures) latency() string { return fmt.Sprintf("%.1f / %.1f / %.1f", f.P50, f.P99, f.P999) }

func medians(all []figures) figures {
	middle := func(of func(figures) float64) float64 {
		values := make([]float64, len(all))
		for i, f := range all {
			values[i] = of(f)
		}
		return median(values)
	}
	return figures{
		Rate:   middle(func(f figures) float64 { return f.Rate }),
		CPU:    middle(func(f figures) float64 { return f.CPU }),
		Memory: middle(func(f figures) float64 { return f.Memory }),
		P50:    middle(func(f figures) float64 { return f.P50 }),
		P99:    middle(func(f figures) float64 { return f.P99 }),
		P999:   middle(func(f figures) float64 { return f.P999 }),
	}
}

// median sorts the values.
func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

var topicNumber atomic.Int64

// measure lets a system move one load into a Kafka topic of its own. The clock
// runs from the first message to the last record in Kafka.
func measure(s system, c cell, brokers, dir string) (figures, error) {
	if c.load.size < 16 {
		return figures{}, errTooSmall
	}
	load := c.load
	if s.name == stock && c.StockShare > 1 {
		load.messages /= c.StockShare
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers))
	if err != nil {
		return figures{}, err
	}
	admin := kadm.NewClient(client)
	defer admin.Close()
	topic := fmt.Sprintf("bench_%d_%d", os.Getpid(), topicNumber.Add(1))
	if _, err := admin.CreateTopic(ctx, int32(c.Partitions), 1, nil, topic); err != nil {
		return figures{}, fmt.Errorf("creating a topic: %w", err)
	}
	defer func() { _, _ = admin.DeleteTopics(context.Background(), topic) }() // the server's data is thrown away anyhow

	src, err := c.start(load)
	if err != nil {
		return figures{}, err
	}
	defer src.close()
	p, err := s.start(ctx, c, src.url(), brokers, topic, dir)
	if err != nil {
		return figures{}, err
	}
	defer p.kill()
	select {
	case <-src.ready():
	case err := <-p.exited:
		p.exited <- err
		return figures{}, fmt.Errorf("it ended before it subscribed: %w\n%s", err, p.output.String())
	case <-ctx.Done():
		return figures{}, errors.New("it did not subscribe in time")
	}
	time.Sleep(500 * time.Millisecond) // until it has connected to Kafka too

	var consumer *latencies
	if c.Latency {
		if consumer, err = startLatencies(ctx, brokers, topic, load.messages); err != nil {
			return figures{}, err
		}
		defer consumer.close()
	}
	pid := p.pid()
	before, err := cpuTime(pid)
	if err != nil {
		return figures{}, err
	}
	began := time.Now()
	src.flood()
	if err := untilArrived(ctx, admin, topic, int64(load.messages), p.exited); err != nil {
		return figures{}, fmt.Errorf("%w\n%s", err, p.output.String())
	}
	took := time.Since(began)
	after, err := cpuTime(pid)
	if err != nil {
		return figures{}, err
	}
	f := figures{
		Rate: float64(load.messages) / took.Seconds(),
		CPU:  (after - before).Seconds() * 1e6 / float64(load.messages),
	}
	if f.Memory, err = peakMemory(pid); err != nil {
		return figures{}, err
	}
	if consumer != nil {
		if f.P50, f.P99, f.P999, err = consumer.quantiles(); err != nil {
			return figures{}, err
		}
	}
	return f, nil
}

func untilArrived(ctx context.Context, admin *kadm.Client, topic string, wanted int64, exited chan error) error {
	var have int64
	for {
		offsets, err := admin.ListEndOffsets(ctx, topic)
		if err != nil {
			return fmt.Errorf("waiting for %d records, of which %d are there: %w", wanted, have, err)
		}
		have = 0
		offsets.Each(func(o kadm.ListedOffset) { have += o.Offset })
		if have >= wanted {
			return nil
		}
		select {
		case err := <-exited:
			exited <- err
			return fmt.Errorf("it ended after %d of %d records: %w", have, wanted, err)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// cpuTime reads the user and system time of a process (proc(5), stat).
func cpuTime(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The name, in parentheses, may hold spaces.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	const ticksPerSecond = 100
	var ticks int64
	for _, field := range fields[11:13] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / ticksPerSecond, nil
}

func peakMemory(pid int) (float64, error) { return memory(pid, "VmHWM:") }

// memory reads a size of a process in MB (proc(5), status).
func memory(pid int, name string) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name); ok {
			kb, err := strconv.ParseFloat(strings.Fields(value)[0], 64)
			return kb / 1000, err
		}
	}
	return 0, fmt.Errorf("reading the memory of a process: no %s", name)
}

// latencies consumes a topic and notes how old each record's payload is.
type latencies struct {
	client *kgo.Client
	ended  chan struct{}
	ages   []float64
	err    error
}

func startLatencies(ctx context.Context, brokers, topic string, messages int) (*latencies, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers), kgo.ConsumeTopics(topic), kgo.FetchMaxWait(100*time.Millisecond),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return nil, err
	}
	l := &latencies{client: client, ended: make(chan struct{})}
	go func() {
		defer close(l.ended)
		for len(l.ages) < messages && l.err == nil {
			fetches := client.PollFetches(ctx)
			now := time.Now().UnixNano()
			if l.err = fetches.Err0(); l.err != nil {
				return
			}
			fetches.EachRecord(func(r *kgo.Record) {
				var e struct{ Payload string }
				err := json.Unmarshal(r.Value, &e)
				payload, decodeErr := base64.StdEncoding.DecodeString(e.Payload)
				if l.err = errors.Join(err, decodeErr); l.err == nil {
					sent := int64(binary.BigEndian.Uint64(payload[len(payload)-8:]))
					l.ages = append(l.ages, float64(now-sent)/1e6)
				}
			})
		}
	}()
	return l, nil
}

func (l *latencies) quantiles() (p50, p99, p999 float64, err error) {
	<-l.ended
	if l.err != nil {
		return 0, 0, 0, fmt.Errorf("consuming: %w", l.err)
	}
	slices.Sort(l.ages)
	at := func(q float64) float64 { return l.ages[int(q*float64(len(l.ages)-1))] }
	return at(0.5), at(0.99), at(0.999), nil
}

func (l *latencies) close() { l.client.Close() }

// machine describes what a run was made on.
func machine() string {
	cpu := "unknown processor"
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if name, ok := strings.CutPrefix(line, "model name"); ok {
				cpu = strings.Trim(name, " \t:\n")
				break
			}
		}
	}
	return fmt.Sprintf("%d cores of %s, %s, %s/%s, everything on the one machine.", runtime.NumCPU(), cpu, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
