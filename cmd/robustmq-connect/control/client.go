package control

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
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

const (
	defaultServer  = "127.0.0.1:58080" // RobustMQ's own
	serverVariable = "ROBUSTMQ_API_URL"
	tokenVariable  = "ROBUSTMQ_API_TOKEN"

	// adminTimeout limits a whole call. A delete may drain for a while, and a check
	// waits for two servers.
	adminTimeout = 2 * time.Minute
	// maxAnswer limits how much of an answer is kept in memory.
	maxAnswer = 64 << 20
)

// adminClient calls the admin API of this program or of RobustMQ.
type adminClient struct {
	base  string // scheme, host and path, without a slash at the end; or unix:PATH
	token string
	http  *http.Client
	// knownOurs: an answer has identified the server as this program.
	knownOurs bool
}

// adminAnswer is admin.Answer with an optional code: it is missing in the answer of
// another server.
type adminAnswer struct {
	Code  *int            `json:"code"`
	Data  json.RawMessage `json:"data"`
	Error *string         `json:"error"`
	Notes []string        `json:"notes"`
	// Message is where RobustMQ says why it requires a login.
	Message string `json:"message"`
}

// foreignError is an answer that is not in the API's format.
type foreignError struct {
	status int
	error
}

func (e *foreignError) Unwrap() error { return e.error }

// refusedError is a server's refusal, in its own words.
type refusedError struct {
	reason string
	status int // of HTTP
}

func (e *refusedError) Error() string { return e.reason }

// newAdminClient reads the server and how to reach it from the flags, which may follow
// any command of the line, and from the environment.
func newAdminClient(c *ucli.Context) (*adminClient, error) {
	server, given := inherited(c, "server")
	if !given || server == "" {
		server = os.Getenv(serverVariable)
	}
	if server == "" {
		server = defaultServer
	}
	base, err := parseServer(server)
	if err != nil {
		return nil, err
	}
	token := strings.TrimSpace(os.Getenv(tokenVariable))
	if path, ok := inherited(c, "api-token-file"); ok {
		if token, err = cli.ReadSecretFile(path); err != nil {
			return nil, fmt.Errorf("reading --api-token-file %s: %w", path, err)
		}
	}
	return dialAdmin(c, base, token)
}

func dialAdmin(c *ucli.Context, base, token string) (*adminClient, error) {
	settings, err := tlsSettings(c)
	if err != nil {
		return nil, err
	}
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	transport := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         dialer.DialContext,
		TLSHandshakeTimeout: 5 * time.Second,
		TLSClientConfig:     settings,
	}
	if path, ok := strings.CutPrefix(base, admin.SocketPrefix); ok {
		transport.Proxy = nil
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) { return dialer.DialContext(ctx, "unix", path) }
	}
	return &adminClient{base: base, token: token, http: &http.Client{
		Transport: transport,
		Timeout:   adminTimeout,
		// A token is sent only to the server that the user named.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// parseServer reads host:port, as RobustMQ does, an http or https URL, or unix:PATH.
func parseServer(server string) (string, error) {
	if path, ok := strings.CutPrefix(server, admin.SocketPrefix); ok {
		if path == "" {
			return "", fmt.Errorf("reading the server %q: want the path of a socket, unix:/run/robustmq-connect/api.sock for example", server)
		}
		return server, nil
	}
	text := server
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Hostname() == "":
		return "", fmt.Errorf("reading the server %q: want host:port or a URL, %s for example", server, defaultServer)
	case u.Scheme != "http" && u.Scheme != "https":
		return "", fmt.Errorf("reading the server %q: the admin API is reached by http or https, not by %s", server, u.Scheme)
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return "", fmt.Errorf("reading the server %q: want scheme, host and port only; a token is given by --api-token-file", u.Redacted())
	case u.Port() == "" && !strings.Contains(server, "://"):
		return "", fmt.Errorf("reading the server %q: the port is missing: %s:58080 for example", server, server)
	}
	return u.Scheme + "://" + u.Host + strings.TrimRight(u.EscapedPath(), "/"), nil
}

// tlsSettings returns nil if the system's authorities are trusted.
func tlsSettings(c *ucli.Context) (*tls.Config, error) {
	path, ok := inherited(c, "ca-file")
	if !ok {
		return nil, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading --ca-file %s: %w", path, cli.PlainPathError(err))
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("reading --ca-file %s: it holds no certificate in PEM form", path)
	}
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, nil
}

// call is one call of the admin API.
type call struct {
	method, path string
	query        url.Values
	ifMatch      string // the revisions that may be changed, as the header If-Match has them
	body, into   any    // nil where there is none
}

// answered is the part of an answer besides its data.
type answered struct {
	notes []string
	etag  string // the revision of the connector, "" where the server tells none
}

// get and post return the notes of the answer. A *refusedError is the server's own
// reason; other errors are about reaching it.
func (a *adminClient) get(ctx context.Context, path string, query url.Values, into any) ([]string, error) {
	answer, err := a.call(ctx, call{method: http.MethodGet, path: path, query: query, into: into})
	return answer.notes, err
}

func (a *adminClient) post(ctx context.Context, path string, body, into any) ([]string, error) {
	answer, err := a.call(ctx, call{method: http.MethodPost, path: path, body: body, into: into})
	return answer.notes, err
}

func (a *adminClient) call(ctx context.Context, call call) (answered, error) {
	path := call.path
	if len(call.query) > 0 {
		path += "?" + call.query.Encode()
	}
	var content io.Reader
	if call.body != nil {
		text, err := cli.Marshal(call.body)
		if err != nil {
			return answered{}, fmt.Errorf("encoding the request: %w", err)
		}
		content = bytes.NewReader(text)
	}
	request, err := a.request(ctx, call.method, path, content)
	if err != nil {
		return answered{}, err
	}
	if call.body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if call.ifMatch != "" {
		request.Header.Set("If-Match", call.ifMatch)
	}
	response, err := a.http.Do(request)
	if err != nil {
		return answered{}, a.unreachable(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := a.body(response)
	if err != nil {
		return answered{}, err
	}
	notes, err := a.answer(ctx, call.path, response, text, call.into)
	return answered{notes, response.Header.Get("ETag")}, err
}

// request returns a request with the token.
func (a *adminClient) request(ctx context.Context, method, path string, body io.Reader) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, method, a.url(path), body)
	if err != nil {
		return nil, fmt.Errorf("calling the admin API: %w", err)
	}
	if a.token != "" {
		request.Header.Set("Authorization", "Bearer "+a.token)
	}
	return request, nil
}

// body returns the whole text of a response.
func (a *adminClient) body(response *http.Response) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("reading the answer of %s: %w", a.base, err)
	}
	if len(text) > maxAnswer {
		return nil, fmt.Errorf("reading the answer of %s: it is over %d MiB long: ask for less with --limit", a.base, maxAnswer>>20)
	}
	return text, nil
}

// answer reads the text of a response to a call of the path.
func (a *adminClient) answer(ctx context.Context, path string, response *http.Response, text []byte, into any) ([]string, error) {
	if response.Header.Get("Server") == admin.ServerName {
		a.knownOurs = true
	}
	notes, err := a.read(response, text, into)
	if path != admin.PathList && path != pathLogin {
		err = a.noSuchCommand(ctx, err)
	}
	return notes, err
}

// url returns the URL of a path. A socket has no host.
func (a *adminClient) url(path string) string {
	if strings.HasPrefix(a.base, admin.SocketPrefix) {
		return "http://localhost" + path
	}
	return a.base + path
}

func (a *adminClient) read(response *http.Response, text []byte, into any) ([]string, error) {
	var answer adminAnswer
	if err := json.Unmarshal(text, &answer); err != nil || answer.Code == nil {
		return nil, &foreignError{response.StatusCode, a.noAnswer(response, text)}
	}
	if *answer.Code != 0 || response.StatusCode >= http.StatusBadRequest {
		reason := fmt.Sprintf("the server answered code %d and gave no reason", *answer.Code)
		if answer.Error != nil && *answer.Error != "" {
			reason = cli.OneLine(*answer.Error)
		} else if answer.Message != "" {
			reason = cli.OneLine(answer.Message)
			if response.StatusCode == http.StatusUnauthorized && !a.knownOurs {
				reason += ": log in to this RobustMQ by --username and --password-file, or give the token of its " + pathLogin
			}
		}
		return nil, &refusedError{reason, response.StatusCode}
	}
	if into == nil {
		return answer.Notes, nil
	}
	if err := a.decode(answer.Data, into); err != nil {
		return nil, err
	}
	return answer.Notes, nil
}

// decode reads the data of an answer.
func (a *adminClient) decode(data []byte, into any) error {
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("reading the answer of %s: %w", a.base, err)
	}
	return nil
}

// noAnswer explains an answer that is not in the API's format: it is text, or comes
// from another server.
func (a *adminClient) noAnswer(response *http.Response, text []byte) error {
	switch response.StatusCode {
	case http.StatusBadRequest:
		if first := firstLine(text); first != "" {
			return &refusedError{first, response.StatusCode}
		}
	case http.StatusUnauthorized, http.StatusForbidden:
		return &refusedError{fmt.Sprintf("%s answered %s: give the server's token by --api-token-file or %s",
			a.base, response.Status, tokenVariable), response.StatusCode}
	case http.StatusNotFound:
		return &refusedError{fmt.Sprintf("%s answered %s: its admin API, if it is one, does not have this command", a.base, response.Status), response.StatusCode}
	}
	return fmt.Errorf("%s answered %s: %q: check that --server leads to an admin API", a.base, response.Status, firstLine(text))
}

func (a *adminClient) unreachable(err error) error {
	var at *url.Error
	if errors.As(err, &at) {
		err = at.Err // without the address, which is told here
	}
	hint := "check --server"
	switch {
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, fs.ErrNotExist):
		hint = "start the server with " + cli.BinaryName + " serve, or name another by --server"
	case errors.Is(err, fs.ErrPermission):
		hint = "become a user who may open the socket, or let this one in by --socket-mode of the server"
	case strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		hint = "write http:// in --server"
	case strings.Contains(err.Error(), "certificate"):
		hint = "name the authority that signed it by --ca-file"
	case strings.Contains(err.Error(), "malformed HTTP response"), errors.Is(err, io.EOF):
		hint = "check that --server leads to an admin API, and by http or https as it does"
	}
	return fmt.Errorf("calling the admin API at %s: %w: %s", a.base, err, hint)
}

func firstLine(text []byte) string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
	if len(line) > 300 {
		line = line[:300] + "…"
	}
	return cli.OneLine(line)
}
