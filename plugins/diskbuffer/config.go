// Package diskbuffer is the input disk_buffer. It wraps another input, and keeps what
// that receives in files until the pipeline has finished it.
//
// One goroutine reads the inner input and encodes messages (collect.go). Another one, of
// the package disklog, writes them and makes them durable, and then acknowledges them to
// the inner input. The engine's goroutines read them from the files (input.go) and
// answer for them (pending.go).
package diskbuffer

import (
	"errors"
	"math"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/robustmq/robustmq-connect/plugins/internal/disklog"
	"github.com/robustmq/robustmq-connect/plugins/internal/fields"
)

const (
	fieldInput            = "input"
	fieldPath             = "path"
	fieldMaxBytes         = "max_bytes"
	fieldMaxAge           = "max_age"
	fieldOnFull           = "on_full"
	fieldSync             = "sync"
	fieldSyncInterval     = "sync_interval"
	fieldMaxBatchMessages = "max_batch_messages"
	fieldMaxBatchBytes    = "max_batch_bytes"
)

const (
	onFullBlock = "block"
	onFullDrop  = "drop_oldest"

	syncAlways   = "always"
	syncInterval = "interval"
)

// minBytes is the smallest buffer: a few segments, with room for what is being written.
const minBytes = 1 << 20

// Spec describes the input disk_buffer and its fields.
func Spec() *service.ConfigSpec {
	return service.NewConfigSpec().
		Stable().
		Categories("Utility").
		Summary("Keeps the messages of another input in files until the pipeline has finished them.").
		Description(`
A message is acknowledged to the inner input when it is on disk, so a broker that keeps only a few messages for a client that is away is not asked to keep more while Kafka is unavailable. Messages come out in the order in which they came in. A stop of the pipeline leaves the rest on disk, and the next start goes on where it ended and repeats nothing. After a crash the messages of at most the last second may be repeated, and none is lost.

Each buffer needs a directory of its own, which only this process uses. A message takes the size of its payload, its topic and about 60 bytes.

A message that the pipeline rejects comes again, before those that follow it.

Without an `+"`input`"+`, a pipeline delivers what another one has left in the files, and ends.

== Metrics

- `+"`disk_buffer_messages`"+`: the messages that the pipeline has not finished.
- `+"`disk_buffer_bytes`"+`: the size of the files.
- `+"`disk_buffer_oldest_seconds`"+`: for how long the oldest of these messages waits.
- `+"`disk_buffer_full`"+`: 1 while there is no room for what the inner input has, else 0.
- `+"`disk_buffer_failing`"+`: 1 while the disk cannot be written or read, else 0.
- `+"`disk_buffer_dropped`"+`: the messages that were dropped because there was no room, or because of their age.
- `+"`disk_buffer_corrupt`"+`: the messages that were lost because a file was damaged.
`).
		Fields(
			service.NewInputField(fieldInput).
				Description("The input whose messages are kept. Without it, the buffer delivers what is in its files and ends.").
				Optional(),
			service.NewStringField(fieldPath).
				Description("The directory of the buffer. It is created if there is none. Put it on a disk that outlives a restart, and not on a network file system.").
				Example("/var/lib/robustmq-connect/buffer/sensors"),
			service.NewStringField(fieldMaxBytes).
				Description("The largest size of the files, at least `1MiB`. Space becomes free in steps of a sixteenth of it, or of 32 MiB if that is less. `on_full` says what happens when it is used up. A single message that is larger is accepted when no other waits.").
				Default("1GiB"),
			service.NewDurationField(fieldMaxAge).
				Description("How long a message may wait, from its receipt, before it is dropped and counted. 0 sets no limit.").
				Default("0s").Example("72h"),
			service.NewStringAnnotatedEnumField(fieldOnFull, map[string]string{
				onFullBlock: "nothing more is read from the inner input until there is room, so the broker keeps the rest as it does without a buffer",
				onFullDrop:  "the oldest messages are dropped and counted",
			}).
				Description("What happens when there is no room.").
				Default(onFullBlock).LintRule(`root = []`),
			service.NewStringAnnotatedEnumField(fieldSync, map[string]string{
				syncAlways:   "messages are acknowledged after an fsync; one fsync serves all messages that have arrived meanwhile",
				syncInterval: "messages are acknowledged once they are written, and an fsync follows every `sync_interval`: what was acknowledged since the last one is lost if the machine loses its power, but not if the process ends",
			}).
				Description("When messages are acknowledged to the inner input.").
				Default(syncAlways).Advanced().LintRule(`root = []`),
			service.NewDurationField(fieldSyncInterval).
				Description("The time between two fsyncs with `sync: interval`, from 1ms to 1h.").
				Default("1s").Advanced(),
			service.NewIntField(fieldMaxBatchMessages).
				Description("The largest number of messages that are handed to the pipeline as one batch.").
				Default(8192).Advanced(),
			service.NewStringField(fieldMaxBatchBytes).
				Description("The largest size of such a batch. A single larger message is a batch of its own.").
				Default("4MiB").Advanced(),
		)
}

// config is the parsed configuration, without the input.
type config struct {
	path             string
	log              disklog.Options
	maxBatchMessages int
	maxBatchBytes    int
}

func parseConfig(conf *service.ParsedConfig) (*config, error) {
	p := fields.NewReader(conf)
	c := &config{
		path: fields.Read(p, conf.FieldString, fieldPath),
		log: disklog.Options{
			MaxBytes:   int64(p.Size(minBytes, math.MaxInt64, fieldMaxBytes)),
			MaxAge:     p.Duration(0, fields.AnyDuration, fieldMaxAge),
			DropOldest: p.Word([]string{onFullBlock, onFullDrop}, fieldOnFull) == onFullDrop,
		},
		maxBatchMessages: p.Integer(1, math.MaxInt32, fieldMaxBatchMessages),
		maxBatchBytes:    p.Size(1, math.MaxInt32, fieldMaxBatchBytes),
	}
	interval := p.Duration(time.Millisecond, time.Hour, fieldSyncInterval)
	if p.Word([]string{syncAlways, syncInterval}, fieldSync) == syncInterval {
		c.log.SyncEvery = interval
	}
	if p.Err() == nil && c.path == "" {
		p.Fail(errors.New("is empty; give the directory of the buffer, which no other buffer uses"), fieldPath)
	}
	return c, p.Err()
}
