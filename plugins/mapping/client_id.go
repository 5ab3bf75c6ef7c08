package mapping

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"

	"github.com/redpanda-data/benthos/v4/public/bloblang"
)

func registerClientID() error {
	return bloblang.RegisterMethodV2("robustmq_client_id", bloblang.NewPluginSpec().
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
		})
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
