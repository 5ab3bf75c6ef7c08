// Package stores opens the stores that commands name: a directory, or topics of Kafka.
package stores

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	ucli "github.com/urfave/cli/v2"

	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/cli"
	"github.com/robustmq/robustmq-connect/plugins/connector/store"
	"github.com/robustmq/robustmq-connect/plugins/connector/store/kafkastore"
	"github.com/robustmq/robustmq-connect/plugins/kafka"
)

// The flags of a store in Kafka.
const (
	flagConfig  = "store-config"
	flagKeyFile = "store-key-file"
)

// Flags are those that a store in Kafka needs. text makes a flag with a text.
func Flags(text func(name, value, usage string) ucli.Flag) []ucli.Flag {
	return []ucli.Flag{
		text(flagConfig, "", "connect to the Kafka of --store as this YAML `FILE` says: tls, sasl and the other connection fields of kafka_franz"),
		text(flagKeyFile, "", "encrypt definitions with secrets in a store in Kafka by the first key in this `FILE`, and decrypt by any; a line is ID KEY, KEY from openssl rand -base64 32"),
	}
}

// CheckFlags returns an error if a flag for a store in Kafka is given for a directory.
// more are the names of further flags for Kafka.
func CheckFlags(c *ucli.Context, address string, more ...string) error {
	if kafkastore.Is(address) {
		return nil
	}
	for _, flag := range append([]string{flagConfig, flagKeyFile}, more...) {
		if c.String(flag) != "" {
			return fmt.Errorf("%s: it is for a store in Kafka, and --store %s is a directory: remove it", flag, address)
		}
	}
	return nil
}

// KafkaOptions reads the options of a store in Kafka from the flags of a command.
func KafkaOptions(c *ucli.Context, address string, log *slog.Logger) (kafkastore.Options, error) {
	opts := kafkastore.Options{Logger: log}
	var err error
	if opts.Address, err = kafkastore.ParseAddress(address); err != nil {
		return opts, err
	}
	var config []byte
	if path := c.String(flagConfig); path != "" {
		if config, err = cli.ReadBounded(nil, path, cli.MaxSecretFile); err != nil {
			return opts, fmt.Errorf("%s: reading %s: %w", flagConfig, path, err)
		}
	}
	if opts.Client, err = kafka.ClientOptions(opts.Address.Brokers, string(config)); err != nil {
		return opts, fmt.Errorf("%s: %w", flagConfig, err)
	}
	if path := c.String(flagKeyFile); path != "" {
		text, err := cli.ReadBounded(nil, path, cli.MaxSecretFile)
		if err == nil {
			opts.Keys, err = kafkastore.ParseKeys(string(text))
		}
		if err != nil {
			return opts, fmt.Errorf("%s: reading %s: %w", flagKeyFile, path, err)
		}
	}
	return opts, nil
}

// patience is how long a command waits for a Kafka that cannot be reached.
const patience = time.Minute

// Open opens a store for this process alone, and makes it if it does not exist.
func Open(ctx context.Context, c *ucli.Context, address string) (store.Store, error) {
	if !kafkastore.Is(address) {
		return store.Open(address)
	}
	return openKafka(ctx, c, address, false, true)
}

// OpenSource opens a store that exists, for this process alone.
func OpenSource(ctx context.Context, c *ucli.Context, address string) (store.Store, error) {
	if kafkastore.Is(address) {
		return openKafka(ctx, c, address, true, true)
	}
	if err := store.MustBe(address); err != nil {
		return nil, fmt.Errorf("opening the store %s: %w", address, err)
	}
	return store.Open(address)
}

// OpenToRead opens a store in Kafka that exists, also while a service uses it. Changes
// are refused.
func OpenToRead(ctx context.Context, c *ucli.Context, address string) (store.Store, error) {
	return openKafka(ctx, c, address, true, false)
}

func openKafka(ctx context.Context, c *ucli.Context, address string, mustExist, claim bool) (store.Store, error) {
	opts, err := KafkaOptions(c, address, warnings(c))
	if err != nil {
		return nil, err
	}
	opts.MustExist = mustExist
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	s, err := kafkastore.Open(ctx, opts)
	if err != nil {
		return nil, err
	}
	if claim {
		if err := s.Claim(ctx); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	return s, nil
}

func warnings(c *ucli.Context) *slog.Logger {
	return slog.New(slog.NewTextHandler(c.App.ErrWriter, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// CheckReadable prints what a store holds that cannot be read, and returns an error if
// there is any. A copy would lack it. advice says what to do then.
func CheckReadable(c *ucli.Context, all store.Contents, place, advice string) error {
	for _, u := range append(all.Unreadable, all.Ignored...) {
		fmt.Fprintf(c.App.ErrWriter, "%s cannot be read: %v\n", u.File, u.Why)
	}
	if n := len(all.Unreadable) + len(all.Ignored); n > 0 {
		return fmt.Errorf("%s has %d entries that cannot be read, and a copy would lack them: %s", place, n, advice)
	}
	return nil
}

// CheckEmpty returns an error if a store holds anything. advice says what to do then.
func CheckEmpty(s store.Store, address, advice string) error {
	all, err := s.Load()
	if err != nil {
		return err
	}
	if len(all.Definitions)+len(all.Unreadable)+len(all.Released)+len(all.Sessions) == 0 {
		return nil
	}
	return fmt.Errorf("%s is not empty: it has %d connectors, %d that cannot be read, %d deleted ones and %d sessions; %s",
		address, len(all.Definitions), len(all.Unreadable), len(all.Released), len(all.Sessions), advice)
}
