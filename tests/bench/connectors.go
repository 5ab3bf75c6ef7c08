package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
)

// connectorsRate is what all connectors together get, in messages a second.
const connectorsRate = 2000

// measureConnectors runs a service of so many connectors, which share one rate. Where
// it is watched, the console is open and a tail of one connector runs.
func measureConnectors(binary string, connectors int, brokers, dir string, seconds int, watched bool) (f figures, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers))
	if err != nil {
		return f, err
	}
	kafka := kadm.NewClient(client)
	defer kafka.Close()
	topic := fmt.Sprintf("bench_connectors_%d_%d", os.Getpid(), topicNumber.Add(1))
	if _, err := kafka.CreateTopic(ctx, 1, 1, nil, topic); err != nil {
		return f, fmt.Errorf("creating a topic: %w", err)
	}

	l := load{messages: connectorsRate * seconds, size: 64, topics: connectors, window: 1000, rate: connectorsRate}
	source, err := startPublisher(l, os.Getenv("MQTT_URL"))
	if err != nil {
		return f, err
	}
	defer source.close()

	listen, err := freeAddress()
	if err != nil {
		return f, err
	}
	var output bytes.Buffer
	cmd := exec.CommandContext(ctx, binary, "serve", "--listen", listen, "--mqtt-url", source.url(),
		"--store", filepath.Join(dir, topic), "--mqtt-client-id-prefix", topic, "--log-level", "warn")
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		return f, err
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		exitErr := <-exited
		if err != nil {
			err = fmt.Errorf("%w (the service: %w)\n%s", err, exitErr, output.String())
		}
	}()
	api := &http.Client{Timeout: 30 * time.Second}
	if err := untilOK(ctx, api, "http://"+listen+admin.PathHealth); err != nil {
		return f, err
	}
	for i, p := range l.packets(4) {
		if err := create(ctx, api, listen, fmt.Sprintf("connector_%d", i), p.topic, brokers, topic); err != nil {
			return f, err
		}
	}
	// The sessions would otherwise gather messages after the measurement.
	defer func() {
		for i := range connectors {
			_ = post(context.Background(), api, "http://"+listen+admin.PathDelete,
				admin.Name{Tenant: "default", ConnectorName: fmt.Sprintf("connector_%d", i)}) // the first error counts
		}
	}()
	if err := untilOK(ctx, api, "http://"+listen+admin.PathReadyConnectors); err != nil {
		return f, err
	}

	if watched {
		w := watch(ctx, listen, "connector_0")
		defer func() {
			if stopErr := w.stop(); err == nil {
				err = stopErr
			}
		}()
	}
	pid := cmd.Process.Pid
	before, err := cpuTime(pid)
	if err != nil {
		return f, err
	}
	began := time.Now()
	source.flood()
	if err := untilArrived(ctx, kafka, topic, int64(l.messages), exited); err != nil {
		return f, err
	}
	f.Rate = float64(l.messages) / time.Since(began).Seconds()
	after, err := cpuTime(pid)
	if err != nil {
		return f, err
	}
	f.CPU = (after - before).Seconds() * 1e6 / float64(l.messages)
	f.Memory, err = peakMemory(pid)
	return f, err
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

func create(ctx context.Context, api *http.Client, listen, name, filter, brokers, topic string) error {
	config, err := json.Marshal(map[string]string{"bootstrap_servers": brokers, "topic": topic})
	if err != nil {
		return err
	}
	return post(ctx, api, "http://"+listen+admin.PathCreate, admin.Definition{
		ConnectorName: name, ConnectorType: "kafka", Tenant: "default", TopicName: filter,
		Config: config, FailureStrategy: json.RawMessage(`{"strategy":"block"}`),
	})
}

func post(ctx context.Context, api *http.Client, url string, body any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(text))
	if err != nil {
		return err
	}
	resp, err := api.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var answer admin.Answer[any]
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return fmt.Errorf("reading the answer of %s: %w", url, err)
	}
	if answer.Error != nil {
		return errors.New(*answer.Error)
	}
	return nil
}

func untilOK(ctx context.Context, api *http.Client, url string) error {
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resp, err := api.Do(req)
		if err == nil {
			_ = resp.Body.Close() // the status is all
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", url, ctx.Err())
		}
	}
}

// fleets are the figures of services of more and more connectors, and of the largest
// while somebody watches it.
type fleets struct {
	Connectors map[int]figures
	Watched    *figures
}

// measureFleets measures the largest service with and without somebody who watches it,
// by turns.
func measureFleets(s system, brokers, dir string, quick bool) (fleets, error) {
	counts, seconds, rounds := []int{1, 10, 100, 200}, 10, 3
	if quick {
		counts, seconds, rounds = []int{1, 100}, 5, 1
	}
	found := fleets{Connectors: map[int]figures{}}
	for i, n := range counts {
		all := map[bool][]figures{}
		ways := []bool{false}
		if i == len(counts)-1 {
			ways = []bool{false, true}
		}
		for range rounds {
			for _, watched := range ways {
				name := fmt.Sprintf("%d connectors", n)
				if watched {
					name += ", watched"
				}
				f, err := measureConnectors(s.binary, n, brokers, dir, seconds, watched)
				if err != nil {
					return found, fmt.Errorf("%s: %w", name, err)
				}
				all[watched] = append(all[watched], f)
				fmt.Fprintf(os.Stderr, "%-34s %-6s %s\n", name, s.name, f)
			}
		}
		found.Connectors[n] = medians(all[false])
		if len(ways) > 1 {
			watched := medians(all[true])
			found.Watched = &watched
		}
	}
	return found, nil
}
