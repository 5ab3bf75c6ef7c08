package main

import (
	"context"
	"errors"
	"log/slog"

	ucli "github.com/urfave/cli/v2"

	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/stores"
	"github.com/robustmq/robustmq-connect/plugins/connector/cluster"
	"github.com/robustmq/robustmq-connect/plugins/connector/store"
	"github.com/robustmq/robustmq-connect/plugins/connector/store/kafkastore"
)

// openServiceStore opens the store of --store. It is for this process alone, unless this
// process is one of several workers.
func openServiceStore(ctx context.Context, c *ucli.Context, log *slog.Logger) (store.Store, store.Notes, *cluster.Service, error) {
	if err := checkWorkerFlags(c); err != nil {
		return nil, store.Notes{}, nil, err
	}
	address := c.String("store")
	if !kafkastore.Is(address) {
		if err := stores.CheckFlags(c, address, "state-dir"); err != nil {
			return nil, store.Notes{}, nil, err
		}
		dir, err := store.Open(address)
		if err != nil {
			return nil, store.Notes{}, nil, err
		}
		return dir, dir.Notes(), nil, nil
	}
	opts, err := stores.KafkaOptions(c, address, log)
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
