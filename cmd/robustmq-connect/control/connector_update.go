package control

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	ucli "github.com/urfave/cli/v2"

	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/cli"
	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
)

func updateCommand() *ucli.Command {
	return &ucli.Command{
		Name:  "update",
		Usage: "Change a connector",
		Description: `Settings without a flag stay as they are. --config and --failure-strategy replace the
whole value. A secret that is given as *** stays as it is:

  robustmq-connect mqtt connector update --connector-name c1 --topic-id "sensors/#"
  robustmq-connect mqtt connector update --connector-name c1 --failure-strategy block
  robustmq-connect mqtt connector update -f connector.json

With -f the file is the complete connector, and what it does not name has its default.

Without -f the command reads the connector first, and fails if somebody else changes it in
between. With -f, --if-match names the revision that the file is made from, which detail and
history show:

  robustmq-connect mqtt connector update -f connector.json --if-match 7

Another broker or client_id gives up the session at the old one: what waits in it is
delivered before the update takes effect, unless --discard-waiting says otherwise.`,
		Flags: append(append(definitionFlags("take the complete connector JSON from this `FILE`, - is standard input"),
			ifMatchFlag(), &ucli.BoolFlag{Name: "discard-waiting", Usage: "discard what waits in a session that the update gives up"}), adminFlags()...),
		Action: func(c *ucli.Context) error {
			d, err := readDefinition(c)
			var ifMatch string
			if err == nil {
				ifMatch, err = givenIfMatch(c)
			}
			if err == nil && c.String("file") == "" {
				var read string
				read, err = completeFromServer(c, d)
				ifMatch = cmp.Or(ifMatch, read)
			}
			if err == nil {
				err = d.require()
			}
			if err != nil {
				return fmt.Errorf("updating a connector: %w", err)
			}
			d.normalize()
			if c.Bool("discard-waiting") {
				d["discard_waiting"] = json.RawMessage("true")
			}
			return change(c, "updating", admin.PathUpdate, d.name(), ifMatch, d, "Updated successfully!")
		},
	}
}

// completeFromServer sets the fields that the flags do not, and returns the revision
// that they are from.
func completeFromServer(c *ucli.Context, d definition) (etag string, err error) {
	name, err := connectorName(c)
	if err != nil {
		return "", err
	}
	var changes int
	for _, flag := range []string{"config", "topic-name", "connector-type", "failure-strategy", "labels"} {
		if c.IsSet(flag) {
			changes++
		}
	}
	if changes == 0 {
		return "", fmt.Errorf("nothing to change: give %q a --config, a --topic-id, a --failure-strategy or --labels", name)
	}
	existing, etag, err := fetchDetail(c, name)
	if err != nil {
		return "", err
	}
	for _, field := range []string{"connector_type", "config", "topic_name", "failure_strategy"} {
		if !d.given(field) {
			d[field] = existing[field]
		}
	}
	return etag, nil
}

// fetchDetail requests a connector as its user gave it, with its figures, and its
// revision.
func fetchDetail(c *ucli.Context, name string) (d definition, etag string, err error) {
	client, err := newAdminClient(c)
	if err != nil {
		return nil, "", err
	}
	return client.detail(c.Context, nameQuery(c, name))
}

func (a *adminClient) detail(ctx context.Context, query url.Values) (d definition, etag string, err error) {
	var text json.RawMessage
	answer, err := a.call(ctx, call{method: http.MethodGet, path: admin.PathDetail, query: query, into: &text})
	if err != nil {
		return nil, "", err
	}
	if err := json.Unmarshal(text, &d); err != nil {
		return nil, "", fmt.Errorf("reading the answer of %s: %w", a.base, err)
	}
	if !d.given("config") {
		return nil, "", fmt.Errorf("the server at %s does not show a connector's settings: it is not a %s; give the complete connector by --file",
			a.base, cli.BinaryName)
	}
	return d, answer.etag, nil
}

func nameQuery(c *ucli.Context, name string) url.Values {
	return url.Values{"tenant": {c.String("tenant")}, "connector_name": {name}}
}
