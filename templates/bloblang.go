package templates

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
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

// registerMethods makes the methods that the templates' mappings need available to
// them.
func registerMethods() error {
	return errors.Join(
		bloblang.RegisterMethodV2("robustmq_checked", bloblang.NewPluginSpec().
			Description("Returns a component's configuration, or an error of everything that is wrong with it.").
			Param(bloblang.NewStringParam("kind").Description("The kind of the component, input or output.")),
			func(args *bloblang.ParsedParams) (bloblang.Method, error) {
				kind, err := args.GetString("kind")
				if err != nil {
					return nil, err
				}
				return bloblang.ObjectMethod(func(conf map[string]any) (any, error) {
					if problems := lint.Problems(kind, "robustmq_kafka", conf); len(problems) > 0 {
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
		bloblang.RegisterMethodV2("robustmq_client_id", bloblang.NewPluginSpec().
			Description("Derives a client id that is stable over a restart from the configuration of the input template.").
			Param(bloblang.NewStringParam("label").Description("The label of the component.")),
			func(args *bloblang.ParsedParams) (bloblang.Method, error) {
				label, err := args.GetString("label")
				if err != nil {
					return nil, err
				}
				return bloblang.ObjectMethod(func(conf map[string]any) (any, error) {
					return deriveClientID(conf, label)
				}), nil
			}),
	)
}

// deriveClientID hashes the settings that distinguish the pipelines of a host into 23
// characters, the longest client id that every MQTT 3.1.1 broker must accept.
func deriveClientID(conf map[string]any, label string) (string, error) {
	host, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("deriving client_id from the host name: %w; set client_id", err)
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %q %q", host, conf["urls"], conf["username"], conf["topic_id"], label))
	id := "rmqc" + hex.EncodeToString(sum[:])[:19]
	notify(slog.LevelInfo, "The MQTT client id is "+id+", derived from this host's name, the broker, the user name, the filter and the label; "+
		"in a container set client_id, because the host name changes there and the broker keeps messages for the old session")
	return id, nil
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
