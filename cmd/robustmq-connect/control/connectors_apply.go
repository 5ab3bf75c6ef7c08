package control

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	ucli "github.com/urfave/cli/v2"

	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/cli"
	"github.com/robustmq/robustmq-connect/plugins/connector"
	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
)

func applyCommand() *ucli.Command {
	return &ucli.Command{
		Name:  "apply",
		Usage: "Make the connectors of a server what files say",
		Description: `Prints what differs, and then creates and updates connectors until nothing does. A folder is
read with all .yaml, .yml and .json files in it. A file holds a connector, a list of them, or
several YAML documents:

  robustmq-connect connectors apply -f connectors/ --dry-run
  robustmq-connect connectors apply -f connectors/ --secrets-dir /run/secrets
  robustmq-connect connectors apply -f connectors/ --prune

${NAME} is taken from the file NAME in --secrets-dir or from the environment. *** keeps the
secret that is stored, while it is sent to the same servers with the same login. --prune
deletes the connectors that no file names. Where a definition is wrong, nothing is changed
at all; where somebody else changes a connector meanwhile, that one is left alone.

The exit code is 0 if all is well, 1 if something failed, and 2 if --dry-run has found that
something is to change.`,
		Flags: append([]ucli.Flag{
			&ucli.StringSliceFlag{Name: "file", Aliases: []string{"f"}, Usage: "read this `FILE` or folder, - is standard input; may be given several times"},
			&ucli.StringFlag{Name: "secrets-dir", Usage: "take ${NAME} from the file NAME in this `FOLDER`"},
			&ucli.BoolFlag{Name: "prune", Usage: "delete the connectors that the files do not name"},
			&ucli.BoolFlag{Name: "dry-run", Usage: "print what would change, and change nothing"},
			&ucli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "print text, or json: `FORMAT` is text or json"},
		}, serverFlags()...),
		Action: func(c *ucli.Context) error {
			err := applyConnectors(c)
			if err != nil && !errors.Is(err, cli.ErrReported) && !errors.Is(err, cli.ErrPending) {
				return fmt.Errorf("applying connectors: %w", err)
			}
			return err
		},
	}
}

// What apply does to a connector.
const (
	toCreate = "create"
	toUpdate = "update"
	toDelete = "delete"
	toKeep   = "none"
)

// planned is one connector of a plan, and what has become of it.
type planned struct {
	Name     string              `json:"connector_name"`
	Action   string              `json:"action"` // create, update, delete, none
	From     string              `json:"file,omitempty"`
	Revision int                 `json:"revision,omitempty"` // as it was planned, and then as it is
	Changes  []admin.FieldChange `json:"changes,omitempty"`
	// Result is pending, done or failed; there is none where nothing is to change.
	Result string   `json:"result,omitempty"`
	Error  string   `json:"error,omitempty"`
	Notes  []string `json:"notes,omitempty"`

	ifMatch string
	body    definition
}

func applyConnectors(c *ucli.Context) error {
	output := c.String("output")
	if output != "" && output != "text" && output != "json" {
		return fmt.Errorf("reading --output %q: want text or json", output)
	}
	if len(c.StringSlice("file")) == 0 {
		return errors.New("name the files by --file connectors.yaml, or a folder of them")
	}
	files, err := readDeclared(c.App.Reader, c.StringSlice("file"), references{c.String("secrets-dir")})
	if err != nil {
		return err
	}
	client, err := newAdminClient(c)
	if err != nil {
		return err
	}
	plan, err := client.plan(c, files)
	if err == nil && c.Bool("prune") {
		err = client.planPrune(c, &plan)
	}
	if err != nil {
		return err
	}
	printer := applyPrinter{c: c, inJSON: output == "json", dryRun: c.Bool("dry-run"), color: colored(c.App.Writer)}
	printer.plan(plan)
	if !c.Bool("dry-run") {
		for _, action := range []string{toDelete, toUpdate, toCreate} { // a client id becomes free before another takes it
			for i := range plan {
				if plan[i].Action == action {
					client.carryOut(c.Context, &plan[i])
					printer.done(plan[i])
				}
			}
		}
	}
	return printer.end(plan)
}

// plan asks what each definition would change. Every one that the server refuses is
// told, a line each, and then nothing is changed.
func (a *adminClient) plan(c *ucli.Context, files []declared) ([]planned, error) {
	var all []planned
	refusals := 0
	for _, d := range files {
		p := planned{Name: d.name(), From: d.from, body: d.definition, Action: toKeep}
		var answer admin.Plan
		told, err := a.call(c.Context, call{method: http.MethodPost, path: admin.PathPlan, body: d.definition, into: &answer})
		var refused *refusedError
		switch {
		case errors.As(err, &refused) && refused.status != http.StatusUnauthorized && refused.status != http.StatusNotFound:
			refusals++
			fmt.Fprintf(c.App.ErrWriter, "%s: connector %q: %s\n", cli.OneLine(d.from), d.name(), cli.OneLine(err.Error()))
			continue
		case err != nil:
			return nil, err
		case !answer.Exists:
			p.Action = toCreate
		case len(answer.Changes) > 0:
			p.Action, p.ifMatch = toUpdate, told.etag
		}
		p.Revision, p.Changes, p.Notes = answer.Revision, answer.Changes, told.notes
		if p.Action != toKeep {
			p.Result = "pending"
		}
		all = append(all, p)
	}
	if refusals > 0 {
		return nil, fmt.Errorf("the server refuses %d of %d definitions, and so nothing is changed", refusals, len(files))
	}
	return all, nil
}

// planPrune adds the connectors that no file names.
func (a *adminClient) planPrune(c *ucli.Context, plan *[]planned) error {
	names, err := a.names(c)
	if err != nil {
		return err
	}
	for _, name := range names {
		if slices.ContainsFunc(*plan, func(p planned) bool { return p.Name == name }) {
			continue
		}
		_, etag, err := a.detail(c.Context, tenantQuery(name))
		if err != nil {
			return fmt.Errorf("connector %q: %w", name, err)
		}
		*plan = append(*plan, planned{Name: name, Action: toDelete, Revision: revisionOf(etag), Result: "pending", ifMatch: etag})
	}
	return nil
}

// carryOut makes one change, unless somebody else has changed the connector since it
// was planned.
func (a *adminClient) carryOut(ctx context.Context, p *planned) {
	do := call{method: http.MethodPost, ifMatch: p.ifMatch}
	switch p.Action {
	case toCreate:
		do.path, do.body = admin.PathCreate, p.body
	case toUpdate:
		do.path, do.body = admin.PathUpdate, p.body
	case toDelete:
		do.path, do.body = admin.PathDelete, admin.Name{Tenant: connector.DefaultTenant, ConnectorName: p.Name}
	}
	answer, err := a.call(ctx, do)
	if err != nil {
		p.Result, p.Error = "failed", err.Error()
		return
	}
	p.Result, p.Notes = "done", answer.notes
	if revision := revisionOf(answer.etag); revision > 0 {
		p.Revision = revision
	}
}

// outcome is what --output json prints.
type outcome struct {
	DryRun     bool      `json:"dry_run"`
	Connectors []planned `json:"connectors"`
}
