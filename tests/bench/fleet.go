package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
)

// fleet is a service of many connectors, which all write into one topic.
type fleet struct {
	binary, listen, store, mqtt, brokers, topic string

	api    *http.Client
	cmd    *exec.Cmd
	output bytes.Buffer // of the last start
	exited chan error
}

func newFleet(binary, dir, mqtt, brokers, topic string) (*fleet, error) {
	listen, err := freeAddress()
	return &fleet{
		binary: binary, listen: listen, store: filepath.Join(dir, topic), mqtt: mqtt, brokers: brokers, topic: topic,
		api: &http.Client{Timeout: 30 * time.Second},
	}, err
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// start starts the service with the connectors of its store.
func (f *fleet) start(ctx context.Context) error {
	f.output.Reset()
	f.cmd = exec.CommandContext(ctx, f.binary, "serve", "--listen", f.listen, "--mqtt-url", f.mqtt,
		"--store", f.store, "--mqtt-client-id-prefix", f.topic, "--log-level", "warn")
	f.cmd.Stdout, f.cmd.Stderr = &f.output, &f.output
	if err := f.cmd.Start(); err != nil {
		return err
	}
	exited := make(chan error, 1)
	f.exited = exited
	cmd := f.cmd
	go func() { exited <- cmd.Wait() }()
	return nil
}

// stop ends the service by SIGTERM. It may have ended before.
func (f *fleet) stop() error {
	_ = f.cmd.Process.Signal(syscall.SIGTERM) // the result of Wait counts
	if err := <-f.exited; err != nil {
		return fmt.Errorf("the service: %w\n%s", err, f.output.String())
	}
	return nil
}

func (f *fleet) pid() int { return f.cmd.Process.Pid }

// create makes a connector for each MQTT topic, and waits until all are ready.
func (f *fleet) create(ctx context.Context, topics []packet) error {
	if err := f.untilOK(ctx, admin.PathHealth); err != nil {
		return err
	}
	config, err := json.Marshal(map[string]string{"bootstrap_servers": f.brokers, "topic": f.topic})
	if err != nil {
		return err
	}
	for i, p := range topics {
		if err := f.post(ctx, admin.PathCreate, admin.Definition{
			ConnectorName: connectorName(i), ConnectorType: "kafka", Tenant: "default", TopicName: p.topic,
			Config: config, FailureStrategy: json.RawMessage(`{"strategy":"block"}`),
		}); err != nil {
			return err
		}
	}
	return f.untilReady(ctx)
}

func (f *fleet) untilReady(ctx context.Context) error {
	return f.untilOK(ctx, admin.PathReadyConnectors)
}

func connectorName(i int) string { return fmt.Sprintf("connector_%d", i) }

// remove deletes the connectors, whose sessions would otherwise gather messages. What
// cannot be deleted is left.
func (f *fleet) remove(connectors int) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	for i := range connectors {
		_ = f.post(ctx, admin.PathDelete, admin.Name{Tenant: "default", ConnectorName: connectorName(i)})
	}
}

// listPage returns how long a page of the list takes, as the API gives it unasked.
func (f *fleet) listPage(ctx context.Context) (time.Duration, error) {
	began := time.Now()
	resp, err := get(ctx, f.api, "http://"+f.listen+admin.PathList, "")
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return time.Since(began), err
}

func (f *fleet) post(ctx context.Context, path string, body any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+f.listen+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	resp, err := f.api.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var answer admin.Answer[any]
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return fmt.Errorf("reading the answer of %s: %w", path, err)
	}
	if answer.Error != nil {
		return errors.New(*answer.Error)
	}
	return nil
}

func (f *fleet) untilOK(ctx context.Context, path string) error {
	for {
		resp, err := get(ctx, f.api, "http://"+f.listen+path, "")
		if err == nil {
			return resp.Body.Close()
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case exitErr := <-f.exited:
			f.exited <- exitErr
			return fmt.Errorf("waiting for %s: the service has ended", path)
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w (%w)", path, ctx.Err(), err)
		}
	}
}
