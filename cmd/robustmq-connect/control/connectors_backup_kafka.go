package control

import (
	"context"
	"errors"
	"io"

	ucli "github.com/urfave/cli/v2"

	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/stores"
	"github.com/robustmq/robustmq-connect/plugins/connector/store"
)

// backupKafka writes an archive of a store in Kafka, which a service may use meanwhile.
func backupKafka(ctx context.Context, c *ucli.Context, address string, w io.Writer) (connectors int, err error) {
	s, err := stores.OpenToRead(ctx, c, address)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	all, err := s.Whole()
	if err != nil {
		return 0, err
	}
	if err := stores.CheckReadable(c, all.Contents, address, "correct or delete them first"); err != nil {
		return 0, err
	}
	return len(all.Definitions), all.Archive(w)
}

// restoreKafka fills a store in Kafka, in one transaction.
func restoreKafka(ctx context.Context, c *ucli.Context, address string, archive io.Reader) (_ store.Contents, err error) {
	all, err := store.ReadArchive(archive)
	if err != nil {
		return store.Contents{}, err
	}
	if err := stores.CheckReadable(c, all.Contents, "the backup", "restore it into a directory, and correct or delete them there"); err != nil {
		return store.Contents{}, err
	}
	s, err := stores.Open(ctx, c, address)
	if err != nil {
		return store.Contents{}, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := stores.CheckEmpty(s, address, "name another prefix"); err != nil {
		return store.Contents{}, err
	}
	return all.Contents, s.Fill(all)
}
