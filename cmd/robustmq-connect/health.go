package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"

	ucli "github.com/urfave/cli/v2"

	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/cli"
	"github.com/robustmq/robustmq-connect/plugins/connector/admin"
)

// pathPing is a pipeline's liveness path; a service has admin.PathHealth.
const pathPing = "/ping"

func healthCommand() *ucli.Command {
	return &ucli.Command{
		Name:  "health",
		Usage: "Ask a running pipeline or service whether it is healthy",
		Description: `The exit code is 0 if it answers, else 1. It is what a container's health check runs:

  robustmq-connect health
  robustmq-connect health --address 127.0.0.1:4196
  robustmq-connect health --ready --address https://localhost:58080

Without --address it asks where "serve" listens by ROBUSTMQ_CONNECT_LISTEN, else at the
defaults: ` + defaultPipelineHTTP + ` of a pipeline and ` + defaultListen + ` of a service.
--ready also wants a pipeline to be connected to both ends, and a service to take changes.
The certificate of an https address is not verified: no secret is sent.`,
		Flags: []ucli.Flag{
			&ucli.StringFlag{Name: "address", Usage: "ask at this `HOST:PORT`, URL or unix:PATH"},
			&ucli.BoolFlag{Name: "ready", Usage: "ask whether it is ready, and not only whether it answers"},
			&ucli.DurationFlag{Name: "timeout", Value: 3 * time.Second, Usage: "wait this `TIME` for an answer"},
		},
		Action: func(c *ucli.Context) error {
			if c.Duration("timeout") <= 0 {
				return fmt.Errorf("reading --timeout %v: want more than 0, 3s for example", c.Duration("timeout"))
			}
			bases, err := healthAddresses(c.String("address"), os.Getenv(serveVariable("listen")))
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(c.Context, c.Duration("timeout"))
			defer cancel()
			base, err := checkHealth(ctx, bases, c.Bool("ready"))
			if err != nil {
				return err
			}
			state := "healthy"
			if c.Bool("ready") {
				state = "ready"
			}
			fmt.Fprintf(c.App.Writer, "%s is %s\n", base, state)
			return nil
		},
	}
}

// healthAddresses returns the base URLs to try, in order.
func healthAddresses(flag, listen string) ([]string, error) {
	given, from := flag, "--address"
	if given == "" {
		given, from = listen, serveVariable("listen")
	}
	if given == "" {
		return []string{"http://" + defaultPipelineHTTP, "http://" + defaultListen}, nil
	}
	if path, ok := strings.CutPrefix(given, admin.SocketPrefix); ok && path != "" {
		return []string{given}, nil
	}
	text := given
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" ||
		u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Port() == "" && !strings.Contains(given, "://") {
		return nil, fmt.Errorf("reading %s %q: want HOST:PORT, unix:PATH or an http or https URL, %s for example", from, given, defaultPipelineHTTP)
	}
	// A server that listens at every address is called at localhost.
	switch u.Hostname() {
	case "0.0.0.0", "":
		u.Host = net.JoinHostPort("127.0.0.1", u.Port())
	case "::":
		u.Host = net.JoinHostPort("::1", u.Port())
	}
	return []string{u.Scheme + "://" + u.Host + strings.TrimRight(u.EscapedPath(), "/")}, nil
}

// errNobodyListens is the only reason to try the next address.
var errNobodyListens = errors.New("nobody listens there")

// checkHealth returns the address that answered that it is healthy.
func checkHealth(ctx context.Context, bases []string, ready bool) (string, error) {
	paths := []string{admin.PathHealth, pathPing}
	if ready {
		paths = []string{admin.PathReady}
	}
	for _, base := range bases {
		answered, err := askHealth(ctx, base, paths)
		switch {
		case err == nil:
			return answered, nil
		case !errors.Is(err, errNobodyListens):
			return "", fmt.Errorf("checking the health of %s: %w", base, err)
		}
	}
	return "", fmt.Errorf("checking the health of %s: %w: start it, or name its address by --address",
		strings.Join(bases, " and "), errNobodyListens)
}

// askHealth requests the first of the paths that the server has. It uses https if the
// server requires it.
func askHealth(ctx context.Context, base string, paths []string) (string, error) {
	transport := &http.Transport{
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}, // no secret is sent
		DisableKeepAlives: true,
	}
	socket, isSocket := strings.CutPrefix(base, admin.SocketPrefix)
	if isSocket {
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		}
	}
	client := &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	var last error
	for _, path := range paths {
		at := base + path
		if isSocket {
			at = "http://localhost" + path
		}
		status, text, err := getText(ctx, client, at)
		if rest, plain := strings.CutPrefix(base, "http://"); plain && err == nil &&
			status == http.StatusBadRequest && strings.Contains(text, "HTTPS server") { // Go's answer
			base = "https://" + rest
			status, text, err = getText(ctx, client, base+path)
		}
		switch {
		case err != nil:
			return "", healthFault(ctx, err)
		case status == http.StatusOK:
			return base, nil
		case status == http.StatusNotFound:
			last = fmt.Errorf("%s is not there: check that --address leads to %s, whose pipeline may have http.enabled: false", path, cli.BinaryName)
		default:
			return "", fmt.Errorf("%s answered %d: %s: see its log", path, status, cli.OneLine(strings.TrimSpace(text)))
		}
	}
	return "", last
}

// getText returns the start of the body at the address.
func getText(ctx context.Context, client *http.Client, address string) (int, string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return 0, "", err
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(response.Body, 1<<10))
	return response.StatusCode, string(text), err
}

func healthFault(ctx context.Context, err error) error {
	var at *url.Error
	if errors.As(err, &at) {
		err = at.Err // without the address, which the caller names
	}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, fs.ErrNotExist):
		return errNobodyListens
	case ctx.Err() != nil:
		return errors.New("no answer within --timeout: see its log, or raise --timeout")
	}
	return fmt.Errorf("%w: check that --address leads to %s", err, cli.BinaryName)
}
