// Package mapping has the Bloblang methods that the mappings of the templates use: one
// that judges a component's configuration, and one that derives an MQTT client id.
package mapping

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/redpanda-data/benthos/v4/public/bloblang"

	"github.com/robustmq/robustmq-connect/plugins/lint"
)

// notice is the function set by OnNotice.
var notice atomic.Pointer[func(slog.Level, string)]

// OnNotice sets the function that gets notices about valid configurations: a derived
// client id at level info, acks that can lose messages at level warn. It is called
// while a pipeline is built, with one sentence per call.
func OnNotice(fn func(level slog.Level, text string)) { notice.Store(&fn) }

func notify(level slog.Level, text string) {
	if fn := notice.Load(); fn != nil {
		(*fn)(level, text)
	}
}

// Register registers the methods globally. They are registered once, by the first call;
// later calls return its error.
var Register = sync.OnceValue(register)

func register() error {
	return errors.Join(
		bloblang.RegisterMethodV2("robustmq_checked", bloblang.NewPluginSpec().
			Description("Returns a component's configuration, or an error of everything that is wrong with it.").
			Param(bloblang.NewStringParam("kind").Description("The kind of the component, input or output.")).
			Param(bloblang.NewStringParam("name").Description("The name of the template.").Default("robustmq_kafka")),
			func(args *bloblang.ParsedParams) (bloblang.Method, error) {
				kind, err := args.GetString("kind")
				if err != nil {
					return nil, err
				}
				name, err := args.GetString("name")
				if err != nil {
					return nil, err
				}
				return bloblang.ObjectMethod(func(conf map[string]any) (any, error) {
					if problems := lint.Problems(kind, name, conf); len(problems) > 0 {
						texts := make([]string, len(problems))
						for i, p := range problems {
							texts[i] = p.String()
						}
						return nil, errors.New(strings.Join(texts, "; "))
					}
					warn(conf)
					return conf, nil
				}), nil
			}),
		registerClientID(),
	)
}

// warn logs what a legal configuration gives up.
func warn(conf map[string]any) {
	for _, p := range lint.Notices("robustmq_kafka", conf) {
		notify(slog.LevelWarn, fmt.Sprintf("%s: %v %s", p.Path, conf[p.Path], p.What))
	}
	if timeout := conf["cleanup_timeout_secs"]; timeout != nil && timeout != "" {
		notify(slog.LevelWarn, "cleanup_timeout_secs is ignored; shutdown_timeout sets how long a stop may continue to write")
	}
}
