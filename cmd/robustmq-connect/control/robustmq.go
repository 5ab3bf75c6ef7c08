package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	ucli "github.com/urfave/cli/v2"

	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/cli"
	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
)

// pathLogin is where a RobustMQ gives its token to a user (docs/en/Api/AUTH.md).
const pathLogin = "/api/v1/login"

// isRobustMQ tells whether the server is a RobustMQ: it has the routes that both have,
// and does not name itself as this program does. The error says that it cannot be
// reached, or refuses the caller.
func (a *adminClient) isRobustMQ(ctx context.Context) (bool, error) {
	if a.knownOurs {
		return false, nil
	}
	_, err := a.get(ctx, admin.PathList, url.Values{"limit": {"1"}}, &admin.List{})
	if a.knownOurs {
		return false, nil
	}
	return err == nil, err
}

// noSuchCommand explains an answer that is not one of the API's: a RobustMQ does not
// have the commands of this program.
func (a *adminClient) noSuchCommand(ctx context.Context, err error) error {
	var foreign *foreignError
	if a.knownOurs || !errors.As(err, &foreign) || foreign.status == http.StatusUnauthorized || foreign.status == http.StatusForbidden {
		return err
	}
	if theirs, unreached := a.isRobustMQ(ctx); unreached != nil || !theirs {
		return err
	}
	return &refusedError{fmt.Sprintf("%s is a RobustMQ, which has no such command: use it with the service of %s", a.base, cli.BinaryName), foreign.status}
}

// refuseBlock refuses a definition that a RobustMQ would take for another: it does not
// know the failure strategy block and discards, without a word.
func refuseBlock(c *ucli.Context, d definition) error {
	var strategy struct{ Strategy string }
	if json.Unmarshal(d["failure_strategy"], &strategy) != nil || strategy.Strategy != "block" {
		return nil
	}
	client, _, err := connect(c)
	if err != nil {
		return err
	}
	if theirs, err := client.isRobustMQ(c.Context); err != nil || !theirs {
		return err
	}
	return errors.New("failure_strategy: the server is a RobustMQ, which does not know block and would discard what Kafka refuses: " +
		"name discard, discard_after_retry or dead_message_queue by --failure-strategy")
}

// login gets the token of a RobustMQ for a user.
func (a *adminClient) login(ctx context.Context, username, password string) error {
	var granted struct {
		Token string `json:"token"`
	}
	_, err := a.post(ctx, pathLogin, map[string]string{"username": username, "password": password}, &granted)
	switch {
	case err != nil:
		return fmt.Errorf("logging in to %s as %q: %w", a.base, username, err)
	case granted.Token == "":
		return fmt.Errorf("logging in to %s as %q: the answer has no token", a.base, username)
	}
	a.token = granted.Token
	return nil
}

func sourceFlags() []ucli.Flag {
	return []ucli.Flag{
		&ucli.StringFlag{Name: "from", Usage: "read from the admin API at this `URL` or host:port"},
		&ucli.StringFlag{Name: "from-token-file", Usage: "take the token for --from from this `FILE`"},
		&ucli.StringFlag{Name: "username", Aliases: []string{"u"}, Usage: "log in to --from as this `USER` of RobustMQ"},
		&ucli.StringFlag{Name: "password-file", Usage: "log in to --from with the password in this `FILE`"},
	}
}

// sourceClient is logged in to the server that connectors are imported from.
func sourceClient(c *ucli.Context) (*adminClient, error) {
	if c.String("from") == "" {
		return nil, errors.New("name the server to read from by --from, http://robustmq:58080 for example")
	}
	username, passwordFile, tokenFile := c.String("username"), c.String("password-file"), c.String("from-token-file")
	switch {
	case (username == "") != (passwordFile == ""):
		return nil, errors.New("--username and --password-file need each other: give both")
	case username != "" && tokenFile != "":
		return nil, errors.New("--username and --from-token-file exclude each other: give one of them")
	}
	base, err := parseServer(c.String("from"))
	if err != nil {
		return nil, err
	}
	token := ""
	if tokenFile != "" {
		if token, err = cli.ReadSecretFile(tokenFile); err != nil {
			return nil, fmt.Errorf("reading --from-token-file %s: %w", tokenFile, err)
		}
	}
	client, err := dialAdmin(c, base, token)
	if err != nil || username == "" {
		return client, err
	}
	password, err := cli.ReadSecretFile(passwordFile)
	if err != nil {
		return nil, fmt.Errorf("reading --password-file %s: %w", passwordFile, err)
	}
	return client, client.login(c.Context, username, password)
}
