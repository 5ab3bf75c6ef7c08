package kafka

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jcmturner/gokrb5/v8/client"
	krb5 "github.com/jcmturner/gokrb5/v8/config"
	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/kerberos"

	"github.com/redpanda-data/benthos/v4/public/service"
)

const (
	fieldKerberos    = "kerberos"
	fieldRealm       = "realm"
	fieldKeytabFile  = "keytab_file"
	fieldConfigFile  = "config_file"
	fieldServiceName = "service_name"
	fieldFast        = "fast"
)

// What lint and the constructor say alike of GSSAPI.
const (
	needPrincipal = "username: is empty; give the Kerberos principal, with or without @REALM"
	needSecret    = "kerberos.keytab_file: is empty; give the principal's keytab, or password"
	oneSecret     = "kerberos.keytab_file: stands beside password; keep one of the two"
	oneRealm      = "kerberos.realm: %q is not the realm of username, %q; keep one of the two"
	needService   = "kerberos.service_name: is empty; give the first part of the brokers' principal, for example kafka"
)

func kerberosField() *service.ConfigField {
	return service.NewObjectField(fieldKerberos,
		service.NewStringField(fieldKeytabFile).
			Description("The keytab with the key of the principal that `username` names. It is read anew for each connection, so that a new one takes effect by itself. Without it, `password` is the principal's.").
			Default("").Example("/etc/security/bridge.keytab"),
		service.NewStringField(fieldConfigFile).
			Description("The configuration of Kerberos on this machine, which tells the KDC of each realm.").
			Default("/etc/krb5.conf"),
		service.NewStringField(fieldRealm).
			Description("The realm of the principal. Without it, the one behind the `@` of `username`, else `default_realm` of the configuration.").
			Default("").Example("EXAMPLE.COM"),
		service.NewStringField(fieldServiceName).
			Description("The first part of the brokers' principal, which is `service_name/host@REALM` with the host as brokers advertise it (`sasl.kerberos.service.name`).").
			Default("kafka"),
		service.NewBoolField(fieldFast).
			Description("Whether to offer the KDC pre-authentication by FAST. Active Directory may need `false`.").
			Default(true).Advanced(),
	).
		Description("Settings of GSSAPI.").Optional()
}

// ticketer logs in to the KDC of a realm.
type ticketer struct {
	user, realm, password  string
	keytabFile, configFile string
	service                string
	fast                   bool
}

func parseKerberos(conf *service.ParsedConfig, user, password string) (sasl.Mechanism, error) {
	t := &ticketer{password: password, configFile: "/etc/krb5.conf", service: "kafka", fast: true}
	if conf.Contains(fieldKerberos) {
		p := &parser{conf: conf.Namespace(fieldKerberos)}
		t.keytabFile = read(p, p.conf.FieldString, fieldKeytabFile)
		t.configFile = read(p, p.conf.FieldString, fieldConfigFile)
		t.realm = read(p, p.conf.FieldString, fieldRealm)
		t.service = read(p, p.conf.FieldString, fieldServiceName)
		t.fast = read(p, p.conf.FieldBool, fieldFast)
		if p.err != nil {
			return nil, fmt.Errorf("%s: %w", fieldKerberos, p.err)
		}
	}
	var inUser string
	t.user, inUser, _ = strings.Cut(user, "@")
	switch {
	case t.user == "":
		return nil, errors.New(needPrincipal)
	case t.keytabFile == "" && password == "":
		return nil, errors.New(needSecret)
	case t.keytabFile != "" && password != "":
		return nil, errors.New(oneSecret)
	case t.realm != "" && inUser != "" && t.realm != inUser:
		return nil, fmt.Errorf(oneRealm, t.realm, inUser)
	case t.service == "":
		return nil, errors.New(needService)
	}
	if t.realm == "" {
		t.realm = inUser
	}
	if _, err := t.client(); err != nil {
		return nil, err
	}
	// Each connection has a client of its own: one that is shared would be
	// destroyed with the first producer that is closed.
	return ticketed{kerberos.Kerberos(func(context.Context) (kerberos.Auth, error) {
		c, err := t.client()
		if err != nil {
			return kerberos.Auth{}, err
		}
		return kerberos.Auth{Service: t.service, ClientFn: func(context.Context) *client.Client { return c }}, nil
	}), t}, nil
}

// client reads the files and returns a client that has not logged in yet.
func (t *ticketer) client() (*client.Client, error) {
	conf, err := krb5.Load(t.configFile)
	if unsupported := (krb5.UnsupportedDirective{}); err != nil && !errors.As(err, &unsupported) {
		return nil, fmt.Errorf("kerberos.config_file: reading %q: %w", t.configFile, err)
	}
	realm := t.realm
	if realm == "" {
		realm = conf.LibDefaults.DefaultRealm
	}
	if realm == "" {
		return nil, fmt.Errorf("kerberos.realm: is empty, and %q has no default_realm; give the realm", t.configFile)
	}
	settings := []func(*client.Settings){client.DisablePAFXFAST(!t.fast)}
	if t.keytabFile == "" {
		return client.NewWithPassword(t.user, realm, t.password, conf, settings...), nil
	}
	keys, err := keytab.Load(t.keytabFile)
	if err != nil {
		return nil, fmt.Errorf("kerberos.keytab_file: reading %q: %w", t.keytabFile, err)
	}
	return client.NewWithKeytab(t.user, realm, keys, conf, settings...), nil
}

// ticketed tells which principal and service an error is about.
type ticketed struct {
	sasl.Mechanism
	t *ticketer
}

func (m ticketed) Authenticate(ctx context.Context, host string) (sasl.Session, []byte, error) {
	session, first, err := m.Mechanism.Authenticate(ctx, host)
	if err != nil {
		err = fmt.Errorf("getting a Kerberos ticket for the service %s at %s as %s: %w", m.t.service, host, m.t.user, err)
	}
	return session, first, err
}
