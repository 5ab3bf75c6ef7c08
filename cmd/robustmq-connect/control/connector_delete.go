package control

import (
	"fmt"
	"slices"

	ucli "github.com/urfave/cli/v2"

	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
)

func deleteCommand() *ucli.Command {
	return nameCommand("deleting", admin.PathDelete, "Deleted successfully!", &ucli.Command{
		Name:  "delete",
		Usage: "Stop a connector and remove it",
		Description: `What is in flight reaches Kafka first, and the MQTT broker forgets the connector's
session, so that no queue grows there:

  robustmq-connect mqtt connector delete --connector-name "iot_sensor_kafka"
  robustmq-connect mqtt connector delete --connector-name "iot_sensor_kafka" --if-match 7

With --if-match it is deleted only while it is at that revision. What waits in its disk
buffer reaches Kafka first too. Where that takes longer than the service's --drain-timeout,
nothing is deleted, unless --discard-waiting is given.`,
		Flags: []ucli.Flag{
			ifMatchFlag(),
			&ucli.BoolFlag{Name: "discard-waiting", Usage: "discard what waits in its disk buffer"},
		},
	})
}

func pauseCommand() *ucli.Command {
	return nameCommand("pausing", admin.PathPause, "Paused successfully!", &ucli.Command{
		Name:  "pause",
		Usage: "Stop a connector until it is resumed",
		Description: `It stays stopped over a restart. The MQTT broker keeps its session, and the messages in it
up to the broker's own limits:

  robustmq-connect mqtt connector pause --connector-name c1
  robustmq-connect mqtt connector pause --selector site=north,stage!=test`,
	})
}

func resumeCommand() *ucli.Command {
	return nameCommand("resuming", admin.PathResume, "Resumed successfully!", &ucli.Command{
		Name:  "resume",
		Usage: "Let a paused connector run again",
		Description: `It continues where it stopped:

  robustmq-connect mqtt connector resume --connector-name c1`,
	})
}

func restartCommand() *ucli.Command {
	return nameCommand("restarting", admin.PathRestart, "Restarted successfully!", &ucli.Command{
		Name:  "restart",
		Usage: "Drain a connector and start it again",
		Description: `Also one that has failed or is quarantined. One that is paused is resumed instead:

  robustmq-connect mqtt connector restart --connector-name c1`,
	})
}

// nameCommand is a command that needs no more than a connector's name, or the labels of
// several connectors.
func nameCommand(doing, path, success string, command *ucli.Command) *ucli.Command {
	command.Flags = slices.Concat([]ucli.Flag{nameFlag("the connector's `NAME`"), selectorFlag("all connectors with these labels"), tenantFlag()}, command.Flags, adminFlags())
	command.Action = func(c *ucli.Context) error {
		// Only delete has the flag of its last field.
		body := admin.Deletion{Chosen: admin.Chosen{Tenant: c.String("tenant")}, DiscardWaiting: c.Bool("discard-waiting")}
		if c.IsSet("selector") {
			body.Selector = c.String("selector")
			return changeSelected(c, doing, path, body, success)
		}
		name, err := connectorName(c)
		if err != nil {
			return fmt.Errorf("%s a connector: %w, or several with --selector", doing, err)
		}
		ifMatch, err := givenIfMatch(c)
		if err != nil {
			return fmt.Errorf("%s connector %q: %w", doing, name, err)
		}
		body.ConnectorName = name
		return change(c, doing, path, name, ifMatch, body, success)
	}
	return command
}
