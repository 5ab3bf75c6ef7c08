package kafka

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/jcmturner/gokrb5/v8/client"
	krb5 "github.com/jcmturner/gokrb5/v8/config"
	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/kerberos"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/robustmq/robustmq-connect/plugins/internal/fields"
)

const (
	fieldKerberos    = "kerberos"
	fieldRealm       = "realm"
	fieldKeytabFile  = "keytab_file"
	fieldConfigFile  = "config_file"
	fieldServiceName = "service_name"
	fieldFast        = "fast"
)

// Messages about GSSAPI that lint and the constructor share.
const (
	needPrincipal = "username: is empty; give the Kerberos principal, with or without @REALM"
	needSecret    = "kerberos.keytab_file: is empty; give the principal's keytab, or password"
	oneSecret     = "kerberos.keytab_file: conflicts with password; remove one of them"
	oneRealm      = "kerberos.realm: %q is not the realm of username, %q; remove one of them"
	needService   = "kerberos.service_name: is empty; give the first part of the brokers' principal, for example kafka"
)

func kerberosField() *service.ConfigField {
	return service.NewObjectField(fieldKerberos,
		service.NewStringField(fieldKeytabFile).
			Description("The keytab with the key of the principal that `username` names. It is read again for each connection, so a new keytab needs no restart. Without it, `password` is used.").
			Default("").Example("/etc/security/bridge.keytab"),
		service.NewStringField(fieldConfigFile).
			Description("The Kerberos configuration of this machine, which has the KDCs of each realm.").
			Default("/etc/krb5.conf"),
		service.NewStringField(fieldRealm).
			Description("The realm of the principal. Default: the part of `username` after `@`, else `default_realm` of the configuration.").
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
	options
	user, realm, password  string
	keytabFile, configFile string
	service                string
	fast                   bool
}

func parseKerberos(conf *service.ParsedConfig, user, password string, opts options) (sasl.Mechanism, error) {
	t := &ticketer{options: opts, password: password, configFile: "/etc/krb5.conf", service: "kafka", fast: true}
	if conf.Contains(fieldKerberos) {
		p := fields.NewReader(conf.Namespace(fieldKerberos))
		t.keytabFile = fields.Read(p, p.Conf.FieldString, fieldKeytabFile)
		t.configFile = fields.Read(p, p.Conf.FieldString, fieldConfigFile)
		t.realm = fields.Read(p, p.Conf.FieldString, fieldRealm)
		t.service = fields.Read(p, p.Conf.FieldString, fieldServiceName)
		t.fast = fields.Read(p, p.Conf.FieldBool, fieldFast)
		if p.Err() != nil {
			return nil, fmt.Errorf("%s: %w", fieldKerberos, p.Err())
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
	if _, _, _, err := t.read(); err != nil {
		return nil, err
	}
	// Each connection has its own client: closing the first producer would destroy a
	// shared one.
	return ticketed{kerberos.Kerberos(func(ctx context.Context) (kerberos.Auth, error) {
		c, err := t.client(ctx)
		if err != nil {
			return kerberos.Auth{}, err
		}
		return kerberos.Auth{Service: t.service, ClientFn: func(context.Context) *client.Client { return c }}, nil
	}), t}, nil
}

// client reads the files and returns a client that has not logged in yet. The client
// will dial the servers of each realm in its configuration.
func (t *ticketer) client(ctx context.Context) (*client.Client, error) {
	conf, realm, keys, err := t.read()
	if err != nil {
		return nil, err
	}
	if t.targets.Judges() {
		if err := t.pinServers(ctx, conf, realm); err != nil {
			return nil, fmt.Errorf("looking up the Kerberos servers of %s: %w", realm, err)
		}
	}
	settings := []func(*client.Settings){client.DisablePAFXFAST(!t.fast)}
	if keys == nil {
		return client.NewWithPassword(t.user, realm, t.password, conf, settings...), nil
	}
	return client.NewWithKeytab(t.user, realm, keys, conf, settings...), nil
}

// read reads the files. keys is nil without a keytab.
func (t *ticketer) read() (conf *krb5.Config, realm string, keys *keytab.Keytab, err error) {
	text, err := t.file(t.configFile)
	if err == nil {
		conf, err = krb5.NewFromString(string(text))
		if unsupported := (krb5.UnsupportedDirective{}); errors.As(err, &unsupported) {
			err = nil
		}
		if err != nil && t.files != nil {
			// The original error quotes lines, which the user who named the file may
			// not be allowed to read.
			err = errors.New("not a Kerberos configuration")
		}
	}
	if err != nil {
		return nil, "", nil, fmt.Errorf("kerberos.config_file: reading %q: %w", t.configFile, err)
	}
	if realm = t.realm; realm == "" {
		realm = conf.LibDefaults.DefaultRealm
	}
	if realm == "" {
		return nil, "", nil, fmt.Errorf("kerberos.realm: is empty, and %q has no default_realm; give the realm", t.configFile)
	}
	if t.keytabFile == "" {
		return conf, realm, nil, nil
	}
	keys = keytab.New()
	if text, err = t.file(t.keytabFile); err == nil {
		err = keys.Unmarshal(text)
	}
	if err != nil {
		return nil, "", nil, fmt.Errorf("kerberos.keytab_file: reading %q: %w", t.keytabFile, err)
	}
	return conf, realm, keys, nil
}

// maxKerberosFile is large enough for a configuration, and for a keytab of thousands of
// keys.
const maxKerberosFile = 1 << 20

func (t *ticketer) file(name string) ([]byte, error) {
	var file fs.File
	var err error
	if t.files != nil {
		file, err = t.files.Open(name)
	} else {
		file, err = os.Open(name)
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // it is only read
	text, err := io.ReadAll(io.LimitReader(file, maxKerberosFile+1))
	if err == nil && len(text) > maxKerberosFile {
		err = fmt.Errorf("it is longer than %d bytes", maxKerberosFile)
	}
	return text, err
}

// pinServers replaces the names of the servers by the addresses that the guard checked,
// because the Kerberos library dials them itself. It also looks up the servers of the
// principal's realm in DNS, which the library would do otherwise.
func (t *ticketer) pinServers(ctx context.Context, conf *krb5.Config, realm string) error {
	if !slices.ContainsFunc(conf.Realms, func(r krb5.Realm) bool { return r.Realm == realm && len(r.KDC) > 0 }) {
		_, found, err := conf.GetKDCs(realm, true)
		if err != nil {
			return err
		}
		conf.Realms = append(conf.Realms, krb5.Realm{Realm: realm, KDC: slices.Collect(maps.Values(found))})
	}
	conf.LibDefaults.DNSLookupKDC = false
	for i := range conf.Realms {
		r := &conf.Realms[i]
		var servers []string
		var refused error
		for _, server := range r.KDC {
			all, err := t.targets.Resolve(ctx, server)
			if err != nil {
				refused = err
			}
			servers = append(servers, all...)
		}
		r.KDC = servers
		if len(servers) == 0 && refused != nil && r.Realm == realm {
			return refused
		}
	}
	return nil
}

// ticketed adds the principal and the service to errors.
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
