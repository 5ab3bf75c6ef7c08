package control

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/eclipse/paho.golang/packets"
	paho5 "github.com/eclipse/paho.golang/paho"
	paho3 "github.com/eclipse/paho.mqtt.golang"
	ucli "github.com/urfave/cli/v2"

	"github.com/robustmq/robustmq-connect/cmd/robustmq-connect/cli"
	"github.com/robustmq/robustmq-connect/plugins/mqtt"
)

const (
	defaultBroker = "127.0.0.1:1883"

	brokerTimeout = 10 * time.Second // to connect
	// probeTimeout limits the wait for an answer to MQTT 5. Some brokers that do not
	// speak it do not answer at all.
	probeTimeout   = 5 * time.Second
	publishTimeout = 30 * time.Second // for one acknowledgement
	// lastAnswer is for answers that the library has received but not delivered yet.
	lastAnswer = 200 * time.Millisecond
	keepAlive  = 30 // seconds; a line of standard input may be long in coming
)

// brokerPorts are the default ports of the URL schemes.
var brokerPorts = map[string]string{
	"tcp": "1883", "mqtt": "1883", "ssl": "8883", "tls": "8883", "mqtts": "8883", "ws": "80", "wss": "443",
}

// brokerOptions select the broker, and the user.
type brokerOptions struct {
	url      *url.URL
	tls      *tls.Config
	username string
	password string
}

type message struct {
	topic    string
	qos      byte
	retained bool
	payload  []byte
}

// publisher is a connection to a broker.
type publisher interface {
	// publish returns when the broker has the message, according to its quality of
	// service. heard is false if the broker reported that nobody subscribes.
	publish(ctx context.Context, m message) (heard bool, err error)
	close()
}

func parseBrokerOptions(c *ucli.Context) (brokerOptions, error) {
	o := brokerOptions{username: c.String("username"), password: c.String("password")}
	server, _ := inherited(c, "server")
	if server == "" {
		server = defaultBroker
	}
	var err error
	if o.url, err = parseBroker(server); err != nil {
		return o, err
	}
	if user := o.url.User; user != nil && o.username == "" {
		o.username = user.Username()
		if secret, ok := user.Password(); ok && o.password == "" {
			o.password = secret
		}
	}
	o.url.User = nil
	if path := c.String("password-file"); path != "" {
		if c.IsSet("password") {
			return o, errors.New("--password and --password-file exclude each other")
		}
		if o.password, err = cli.ReadSecretFile(path); err != nil {
			return o, fmt.Errorf("reading --password-file %s: %w", path, err)
		}
	}
	if o.password != "" && o.username == "" {
		return o, errors.New("--username is missing: a broker takes a password only with a user name")
	}
	o.tls, err = tlsSettings(c)
	if o.tls == nil {
		o.tls = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	return o, err
}

func parseBroker(server string) (*url.URL, error) {
	text := server
	if !strings.Contains(text, "://") {
		text = "tcp://" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" {
		return nil, fmt.Errorf("reading the server %q: want host:port or a URL, %s or ssl://broker:8883 for example", server, defaultBroker)
	}
	port, known := brokerPorts[u.Scheme]
	if !known {
		return nil, fmt.Errorf("reading the server %q: an MQTT broker is reached by tcp, ssl, ws or wss, not by %s", u.Redacted(), u.Scheme)
	}
	if u.Port() == "" {
		u.Host = net.JoinHostPort(u.Hostname(), port)
	}
	return u, nil
}

// connectPublisher uses MQTT 5, and 3.1.1 with a broker that does not support it.
// Brokers show that by a return code, by closing the connection, or by silence.
func connectPublisher(ctx context.Context, o brokerOptions) (publisher, error) {
	to, err := connect5(ctx, o)
	var refused *brokerRefusal
	if !errors.As(err, &refused) || !refused.version {
		return to, err
	}
	return connect3(ctx, o)
}

// brokerRefusal is an opened connection that did not become a session.
type brokerRefusal struct {
	err     error
	version bool // may be for MQTT 5
}

func (e *brokerRefusal) Error() string { return e.err.Error() }
func (e *brokerRefusal) Unwrap() error { return e.err }

func dialBroker(ctx context.Context, o brokerOptions) (net.Conn, error) {
	conn, err := mqtt.Dial(ctx, o.url, o.tls)
	switch {
	case err == nil:
		return mqtt.AnswersOnly(conn), nil
	case errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("connecting: %w: no broker listens there; name another by --server", err)
	case errors.Is(err, context.DeadlineExceeded):
		return nil, fmt.Errorf("connecting: no answer for %v: check --server", brokerTimeout)
	}
	return nil, fmt.Errorf("connecting: %w", err)
}

// clientID returns a new id each time: a publisher needs no session, and must not take
// over another's.
func clientID() string {
	var id [8]byte
	_, _ = rand.Read(id[:]) // never fails
	return "rmq-" + hex.EncodeToString(id[:])
}

type publisher5 struct {
	client *paho5.Client
	lost   chan error // gets the reason for which the connection ended
}

func connect5(ctx context.Context, o brokerOptions) (publisher, error) {
	dialCtx, cancelDial := context.WithTimeout(ctx, brokerTimeout)
	defer cancelDial()
	conn, err := dialBroker(dialCtx, o)
	if err != nil {
		return nil, err
	}
	lost := make(chan error, 1)
	end := func(err error) {
		select {
		case lost <- err:
		default: // the first reason is the one to tell
		}
	}
	client := paho5.NewClient(paho5.ClientConfig{
		Conn:          packets.NewThreadSafeConn(conn),
		PacketTimeout: publishTimeout,
		OnClientError: end,
		OnServerDisconnect: func(d *paho5.Disconnect) {
			text := ""
			if d.Properties != nil {
				text = d.Properties.ReasonString
			}
			end(mqtt.ReasonError(d.ReasonCode, text))
		},
	})
	connectCtx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	ack, err := client.Connect(connectCtx, &paho5.Connect{
		ClientID: clientID(), CleanStart: true, KeepAlive: keepAlive,
		Username: o.username, UsernameFlag: o.username != "",
		Password: []byte(o.password), PasswordFlag: o.password != "",
	})
	if err == nil {
		return &publisher5{client: client, lost: lost}, nil
	}
	if ack == nil || ack.ReasonCode == 0x84 {
		return nil, &brokerRefusal{err: err, version: true}
	}
	text := ""
	if ack.Properties != nil {
		text = ack.Properties.ReasonString
	}
	return nil, &brokerRefusal{err: fmt.Errorf("the broker refused the connection: %w", mqtt.ConnectError(ack.ReasonCode, text))}
}

func (p *publisher5) publish(ctx context.Context, m message) (bool, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type answer struct {
		response *paho5.PublishResponse
		err      error
	}
	answered := make(chan answer, 1)
	go func() {
		response, err := p.client.Publish(ctx, &paho5.Publish{Topic: m.topic, QoS: m.qos, Retain: m.retained, Payload: m.payload})
		answered <- answer{response, err}
	}()
	select {
	case a := <-answered:
		return p.judge(a.response, a.err)
	case why := <-p.lost:
		p.lost <- why // for the next call
		// The library continues to wait. Messages that the broker acknowledged before
		// it disconnected arrive here in a moment.
		select {
		case a := <-answered:
			return p.judge(a.response, a.err)
		case <-time.After(lastAnswer):
			return false, lostBeforeAck(why)
		}
	}
}

// judge reads an answer. If the reason why the connection ended is known, it replaces
// the error.
func (p *publisher5) judge(response *paho5.PublishResponse, err error) (heard bool, _ error) {
	switch {
	case response != nil && response.ReasonCode >= 0x80:
		text := ""
		if response.Properties != nil {
			text = response.Properties.ReasonString
		}
		return false, fmt.Errorf("the broker refused the message: %w", mqtt.ReasonError(response.ReasonCode, text))
	case err == nil:
		return response == nil || response.ReasonCode != 0x10, nil
	case errors.Is(err, context.DeadlineExceeded):
		return false, noAckError()
	case errors.Is(err, paho5.ErrInvalidArguments):
		return false, err // the broker said when it connected what it does not take
	}
	select {
	case why := <-p.lost:
		p.lost <- why
		err = why
	case <-time.After(lastAnswer):
	}
	return false, lostBeforeAck(err)
}

func (p *publisher5) close() {
	// All acknowledgements have arrived; an error does not matter any more.
	_ = p.client.Disconnect(&paho5.Disconnect{})
}

type publisher3 struct {
	client paho3.Client
}

func connect3(ctx context.Context, o brokerOptions) (publisher, error) {
	options := paho3.NewClientOptions().AddBroker(o.url.String()).SetClientID(clientID()).
		SetProtocolVersion(4).SetConnectTimeout(brokerTimeout).SetCleanSession(true).SetAutoReconnect(false).SetConnectRetry(false).
		SetUsername(o.username).SetPassword(o.password).SetKeepAlive(keepAlive * time.Second).
		SetCustomOpenConnectionFn(func(*url.URL, paho3.ClientOptions) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, brokerTimeout)
			defer cancel()
			return dialBroker(ctx, o)
		})
	client := paho3.NewClient(options)
	token := client.Connect()
	token.Wait()
	switch err := token.Error(); {
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return nil, errors.New("the broker closed the connection without an answer: check that it speaks MQTT there, and accepts this user")
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, fmt.Errorf("the broker gave no answer for %v: check that it speaks MQTT there", brokerTimeout)
	case err != nil:
		if t, ok := token.(*paho3.ConnectToken); ok && t.ReturnCode() >= 1 && t.ReturnCode() <= 5 {
			err = mqtt.ReturnCodeError(t.ReturnCode())
		}
		return nil, fmt.Errorf("the broker refused the connection: %w", err)
	}
	return &publisher3{client: client}, nil
}

func (p *publisher3) publish(ctx context.Context, m message) (bool, error) {
	token := p.client.Publish(m.topic, m.qos, m.retained, m.payload)
	timer := time.NewTimer(publishTimeout)
	defer timer.Stop()
	select {
	case <-token.Done():
	case <-ctx.Done():
		return false, ctx.Err()
	case <-timer.C:
		return false, noAckError()
	}
	if err := token.Error(); err != nil {
		return false, lostBeforeAck(err)
	}
	return true, nil
}

func (p *publisher3) close() { p.client.Disconnect(250) }

func lostBeforeAck(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
		return errors.New("the broker closed the connection before it acknowledged the message")
	}
	return fmt.Errorf("the connection was lost before the broker acknowledged the message: %w", err)
}

func noAckError() error {
	return fmt.Errorf("the broker did not acknowledge the message for %v", publishTimeout)
}
