package control

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"filippo.io/age"
	ucli "github.com/urfave/cli/v2"

	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/cli"
	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/stores"
	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/connector/store"
	"github.com/robustmq/robustmq-connect/plugins/connector/store/kafkastore"
)

// leastPassphrase is how long a passphrase must be: whoever has the file can try as many
// as they like.
const leastPassphrase = 12

func backupCommand() *ucli.Command {
	return &ucli.Command{
		Name:  "backup",
		Usage: "Write the store of a service into one encrypted file",
		Description: `Reads the store itself: the directory, on the machine of the service and as a user who may
read it, or the topic of Kafka. The service may run meanwhile. The file holds all connectors
with their secrets, their history and what is known about their sessions, encrypted by age
(https://age-encryption.org):

  robustmq-connect connectors backup --store /var/lib/robustmq-connect --out store.age --key-file key.txt
  robustmq-connect connectors backup --store ./connectors --out store.age --passphrase-file passphrase.txt
  robustmq-connect connectors backup --store kafka://localhost:9092/robustmq_connect --store-key-file store-keys --out store.age --key-file key.txt

A key file is what age-keygen writes. The public key, age1…, is enough for a backup.`,
		Flags: append(sealFlags(),
			&ucli.StringFlag{Name: "out", Usage: "write this `FILE`, which must not exist; - is standard output"}),
		Action: func(c *ucli.Context) error {
			return untilInterrupted(c, "backing up", backup)
		},
	}
}

func restoreCommand() *ucli.Command {
	return cli.OneWord(&ucli.Command{
		Name:  "restore",
		Usage: "Fill the store of a service that does not run from a backup",
		Description: `The store must be new: a directory that does not exist or is empty, or a prefix of topics in
Kafka that no store has. Either all connectors are restored or none. They run, or are paused,
as they were; the service that had them must not run any more, since both have the same MQTT
client ids:

  robustmq-connect connectors restore store.age --store /var/lib/robustmq-connect --key-file key.txt
  robustmq-connect connectors restore store.age --store kafka://localhost:9092/restored --store-key-file store-keys --key-file key.txt
  robustmq-connect serve --store /var/lib/robustmq-connect --mqtt-url tcp://localhost:1883

A backup of either kind of store can be restored into the other.`,
		Flags: sealFlags(),
		Action: func(c *ucli.Context) error {
			return untilInterrupted(c, "restoring", restore)
		},
	}, "FILE")
}

// untilInterrupted runs a command until it has ended or a signal asks it to end.
func untilInterrupted(c *ucli.Context, what string, run func(context.Context, *ucli.Context) error) error {
	ctx, stop := signal.NotifyContext(c.Context, os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, c); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

func sealFlags() []ucli.Flag {
	text := func(name, value, usage string) ucli.Flag {
		return &ucli.StringFlag{Name: name, Value: value, Usage: usage}
	}
	return append([]ucli.Flag{
		&ucli.StringFlag{Name: "store", Usage: "the `STORE` of serve --store, a directory or kafka://HOST:PORT,HOST:PORT/PREFIX"},
		&ucli.StringFlag{Name: "key-file", Usage: "encrypt to the key in this `FILE`, and decrypt by it"},
		&ucli.StringFlag{Name: "passphrase-file", Usage: "encrypt and decrypt by the passphrase in this `FILE`"},
		&ucli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "print text, or json: `FORMAT` is text or json"},
	}, stores.Flags(text)...)
}

// backedUp is what --output json prints.
type backedUp struct {
	Store      string `json:"store"`
	Connectors int    `json:"connectors"`
	Paused     int    `json:"paused"`
	Unreadable int    `json:"unreadable"`
}

func backup(ctx context.Context, c *ucli.Context) error {
	address, inJSON, err := storeFlags(c)
	if err != nil {
		return err
	}
	recipients, err := recipients(c)
	if err != nil {
		return err
	}
	path := c.String("out")
	switch path {
	case "":
		return errors.New("name the file to write by --out, store.age for example")
	case "-":
		_, err := writeBackup(ctx, c, c.App.Writer, address, recipients)
		return err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, cli.PlainPathError(err))
	}
	connectors, err := writeBackup(ctx, c, file, address, recipients)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return errors.Join(err, os.Remove(path)) // half of it is none
	}
	if inJSON {
		return cli.PrintJSON(c.App.Writer, map[string]any{"store": address, "file": path, "connectors": connectors})
	}
	fmt.Fprintf(c.App.Writer, "Backed up %d connectors of %s into %s\n", connectors, address, path)
	return nil
}

func writeBackup(ctx context.Context, c *ucli.Context, w io.Writer, address string, recipients []age.Recipient) (connectors int, err error) {
	sealed, err := age.Encrypt(w, recipients...)
	if err != nil {
		return 0, err
	}
	if kafkastore.Is(address) {
		connectors, err = backupKafka(ctx, c, address, sealed)
	} else {
		connectors, err = store.Backup(address, sealed)
	}
	return connectors, errors.Join(err, sealed.Close())
}

func restore(ctx context.Context, c *ucli.Context) error {
	address, inJSON, err := storeFlags(c)
	if err != nil {
		return err
	}
	identities, err := identities(c)
	if err != nil {
		return err
	}
	path := c.Args().First()
	in := c.App.Reader
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return fmt.Errorf("reading %s: %w", path, cli.PlainPathError(err))
		}
		defer func() { _ = file.Close() }() // read only: nothing can be lost
		in = file
	}
	opened, err := age.Decrypt(in, identities...)
	if err != nil {
		var wrong *age.NoIdentityMatchError
		if errors.As(err, &wrong) {
			err = errors.New("it was encrypted by another key or passphrase")
		}
		return fmt.Errorf("decrypting %s: %w", fileName(path), err)
	}
	var all store.Contents
	if kafkastore.Is(address) {
		all, err = restoreKafka(ctx, c, address, opened)
	} else {
		all, err = store.Restore(address, opened)
	}
	if err != nil {
		return err
	}
	result := backedUp{Store: address, Connectors: len(all.Definitions) + len(all.Unreadable), Unreadable: len(all.Unreadable)}
	for _, d := range all.Definitions {
		if d.Connector.Status == connector.WordStop {
			result.Paused++
		}
	}
	for _, u := range append(all.Unreadable, all.Ignored...) {
		printNote(c, "%s cannot be read by this program, and was restored as it is: %v", u.File, u.Why)
	}
	if inJSON {
		return cli.PrintJSON(c.App.Writer, result)
	}
	fmt.Fprintf(c.App.Writer, "Restored %d connectors into %s, %d of them paused\n", result.Connectors, address, result.Paused)
	return nil
}

func storeFlags(c *ucli.Context) (address string, inJSON bool, err error) {
	if address = c.String("store"); address == "" {
		return "", false, errors.New("name the store of the service by --store")
	}
	if err := stores.CheckFlags(c, address); err != nil {
		return "", false, err
	}
	if !kafkastore.Is(address) {
		address = filepath.Clean(address)
	}
	switch output := c.String("output"); output {
	case "", "text":
	case "json":
		inJSON = true
	default:
		return "", false, fmt.Errorf("reading --output %q: want text or json", output)
	}
	return address, inJSON, nil
}

// recipients are those whom a backup is encrypted to.
func recipients(c *ucli.Context) ([]age.Recipient, error) {
	key, passphrase, err := readBackupKey(c)
	if err != nil {
		return nil, err
	}
	if key == nil {
		one, err := age.NewScryptRecipient(passphrase)
		return []age.Recipient{one}, err
	}
	found, err := age.ParseIdentities(bytes.NewReader(key))
	if err != nil {
		all, err := age.ParseRecipients(bytes.NewReader(key))
		if err != nil {
			return nil, errKeyFile(c)
		}
		return all, nil
	}
	var all []age.Recipient
	for _, identity := range found {
		if one, ok := identity.(*age.X25519Identity); ok {
			all = append(all, one.Recipient())
		}
	}
	return all, nil
}

func identities(c *ucli.Context) ([]age.Identity, error) {
	key, passphrase, err := readBackupKey(c)
	if err != nil {
		return nil, err
	}
	if key == nil {
		one, err := age.NewScryptIdentity(passphrase)
		return []age.Identity{one}, err
	}
	all, err := age.ParseIdentities(bytes.NewReader(key))
	if err != nil {
		if _, public := age.ParseRecipients(bytes.NewReader(key)); public == nil {
			return nil, fmt.Errorf("reading --key-file %s: it holds only a public key, which cannot decrypt: give the secret key", c.String("key-file"))
		}
		return nil, errKeyFile(c)
	}
	return all, nil
}

// errKeyFile does not say what the file holds: it may be a secret.
func errKeyFile(c *ucli.Context) error {
	return fmt.Errorf("reading --key-file %s: it holds no age key: make one with age-keygen", c.String("key-file"))
}

// readBackupKey reads the key, or else the passphrase.
func readBackupKey(c *ucli.Context) (key []byte, passphrase string, err error) {
	keyFile, passphraseFile := c.String("key-file"), c.String("passphrase-file")
	switch {
	case keyFile == "" && passphraseFile == "" || keyFile != "" && passphraseFile != "":
		return nil, "", errors.New("a backup holds passwords, and so it is encrypted: give either --key-file or --passphrase-file")
	case keyFile != "":
		if key, err = cli.ReadBounded(nil, keyFile, cli.MaxSecretFile); err != nil {
			return nil, "", fmt.Errorf("reading --key-file %s: %w", keyFile, err)
		}
		return key, "", nil
	}
	if passphrase, err = cli.ReadSecretFile(passphraseFile); err != nil {
		return nil, "", fmt.Errorf("reading --passphrase-file %s: %w", passphraseFile, err)
	}
	if len(passphrase) < leastPassphrase {
		return nil, "", fmt.Errorf("reading --passphrase-file %s: it is shorter than %d characters, and could be guessed", passphraseFile, leastPassphrase)
	}
	return nil, passphrase, nil
}
