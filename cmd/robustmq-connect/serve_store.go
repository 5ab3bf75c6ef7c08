package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	ucli "github.com/urfave/cli/v2"

	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/cli"
	"github.com/robustmq/robustmq-connect/plugins/connector/cluster"
	"github.com/robustmq/robustmq-connect/plugins/connector/store"
	"github.com/robustmq/robustmq-connect/plugins/connector/store/kafkastore"
	"github.com/robustmq/robustmq-connect/plugins/kafka"
)

// storeFlags are those that a store in Kafka needs.
func storeFlags(text func(name, value, usage string) ucli.Flag) []ucli.Flag {
	return []ucli.Flag{
		text("store-config", "", "connect to the Kafka of --store as this YAML `FILE` says: tls, sasl and the other connection fields of kafka_franz"),
		text("store-key-file", "", "encrypt definitions with secrets in a store in Kafka by the first key in this `FILE`, and decrypt by any; a line is ID KEY, KEY from openssl rand -base64 32"),
	}
}

// openServiceStore opens the store of --store. It is for this process alone, unless this
// process is one of several workers.
func openServiceStore(ctx context.Context, c *ucli.Context, log *slog.Logger) (store.Store, store.Notes, *cluster.Service, error) {
	if err := checkWorkerFlags(c); err != nil {
		return nil, store.Notes{}, nil, err
	}
	address := c.String("store")
	if !kafkastore.Is(address) {
		for _, flag := range []string{"store-config", "store-key-file", "state-dir"} {
			if c.String(flag) != "" {
				return nil, store.Notes{}, nil, fmt.Errorf("%s: it is for a store in Kafka, and --store %s is a directory: remove it", flag, address)
			}
		}
		dir, err := store.Open(address)
		if err != nil {
			return nil, store.Notes{}, nil, err
		}
		return dir, dir.Notes(), nil, nil
	}
	opts, err := kafkaStoreOptions(c, address, log)
	if err != nil {
		return nil, store.Notes{}, nil, err
	}
	worker, err := newWorker(c, log, opts)
	if err != nil {
		return nil, store.Notes{}, nil, err
	}
	var notes store.Notes
	if dir := c.String("state-dir"); dir == "" {
		log.Warn("Without --state-dir, a connector that ends the process whenever it runs is not found and quarantined")
	} else if notes, err = store.OpenNotes(dir); err != nil {
		return nil, store.Notes{}, nil, err
	}
	s, err := kafkastore.Open(ctx, opts)
	if err != nil {
		return nil, store.Notes{}, nil, err
	}
	if worker != nil {
		return worker.Store(s), notes, worker, nil
	}
	if err := s.Claim(ctx); err != nil {
		return nil, store.Notes{}, nil, errors.Join(err, s.Close())
	}
	return s, notes, nil, nil
}

func kafkaStoreOptions(c *ucli.Context, address string, log *slog.Logger) (kafkastore.Options, error) {
	opts := kafkastore.Options{Logger: log}
	var err error
	if opts.Address, err = kafkastore.ParseAddress(address); err != nil {
		return opts, err
	}
	var config []byte
	if path := c.String("store-config"); path != "" {
		if config, err = cli.ReadBounded(nil, path, cli.MaxSecretFile); err != nil {
			return opts, fmt.Errorf("store-config: reading %s: %w", path, err)
		}
	}
	if opts.Client, err = kafka.ClientOptions(opts.Address.Brokers, string(config)); err != nil {
		return opts, fmt.Errorf("store-config: %w", err)
	}
	if path := c.String("store-key-file"); path != "" {
		text, err := cli.ReadBounded(nil, path, cli.MaxSecretFile)
		if err == nil {
			opts.Keys, err = kafkastore.ParseKeys(string(text))
		}
		if err != nil {
			return opts, fmt.Errorf("store-key-file: reading %s: %w", path, err)
		}
	}
	return opts, nil
}

// untilLost ends the service when another one has its store.
func untilLost(ctx context.Context, definitions store.Store, log *slog.Logger, end context.CancelFunc) (lost func() error) {
	done := make(chan struct{})
	var err error
	go func() {
		defer close(done)
		select {
		case <-definitions.Lost():
			err = errors.New("store: another service has it now, so this one stops its connectors and ends")
			log.Error("Another service has the store now: this one stops its connectors and ends")
			end()
		case <-ctx.Done():
		}
	}()
	return func() error {
		end()
		<-done
		return err
	}
}
