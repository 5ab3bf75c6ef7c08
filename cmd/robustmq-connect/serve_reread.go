package main

import (
	"os"

	ucli "github.com/urfave/cli/v2"

	"github.com/robustmq/robustmq-connect/plugins/connector"
)

// readMQTTAgain gives the service's MQTT settings as its files have them, nil where no
// file is named. What is no file, as standard input or a pipe of the shell, can be read
// once.
func readMQTTAgain(c *ucli.Context) func() (connector.Settings, error) {
	files := 0
	for _, flag := range []string{"mqtt-password-file", "mqtt-tls-ca-file", "mqtt-tls-cert-file", "mqtt-tls-key-file"} {
		path := c.String(flag)
		if path == "" {
			continue
		}
		files++
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
			return nil
		}
	}
	if files == 0 {
		return nil
	}
	return func() (connector.Settings, error) { return mqttSettings(c) }
}
