package kafka

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/aws"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/redpanda-data/benthos/v4/public/utils/netutil"

	"github.com/robustmq/robustmq-connect/plugins/internal/fields"
)

const (
	fieldSASL       = "sasl"
	fieldMechanism  = "mechanism"
	fieldUsername   = "username"
	fieldPassword   = "password"
	fieldToken      = "token"
	fieldExtensions = "extensions"

	fieldAWS         = "aws"
	fieldCredentials = "credentials"
	fieldID          = "id"
	fieldSecret      = "secret"
)

// awsUnserved are the fields of the stock output that request credentials from AWS,
// which needs its SDK.
var awsUnserved = []string{"profile", "from_ec2_role", "role", "role_external_id"}

// saslWords are the mechanisms that this output supports.
var saslWords = []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "AWS_MSK_IAM", "GSSAPI", "none"}

func saslField() *service.ConfigField {
	return service.NewObjectListField(fieldSASL,
		service.NewStringAnnotatedEnumField(fieldMechanism, map[string]string{
			"none":                           "No authentication.",
			"PLAIN":                          "User name and password, in clear text: use it with TLS.",
			"OAUTHBEARER":                    "A bearer token.",
			"SCRAM-SHA-256":                  "User name and password, never sent themselves.",
			"SCRAM-SHA-512":                  "User name and password, never sent themselves.",
			"AWS_MSK_IAM":                    "AWS IAM, for Amazon MSK: keys from `aws.credentials`, else from the environment variables AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN.",
			"GSSAPI":                         "Kerberos: the principal in `username`, its keytab or `password`, and `kerberos`.",
			"REDPANDA_CLOUD_SERVICE_ACCOUNT": "Refused: it works inside Redpanda Cloud only.",
		}).
			Description("The SASL mechanism."),
		service.NewStringField(fieldUsername).
			Description("The user name for PLAIN and SCRAM, the principal for GSSAPI.").Default(""),
		service.NewStringField(fieldPassword).
			Description("The password for PLAIN and SCRAM, and for GSSAPI without a keytab.").Default("").Secret(),
		service.NewStringField(fieldToken).
			Description("The token for OAUTHBEARER.").Default(""),
		service.NewStringMapField(fieldExtensions).
			Description("Keys and values to send with OAUTHBEARER.").Optional(),
		service.NewObjectField(fieldAWS,
			service.NewStringField("region").Description("Ignored: the region is part of the broker's address.").Optional().Advanced(),
			service.NewStringField("endpoint").Description("Refused: no API of AWS is called.").Optional().Advanced(),
			netutil.DialerConfigSpec(),
			service.NewObjectField(fieldCredentials,
				service.NewStringField("profile").Description("Refused: set `id` and `secret`, or the environment.").Optional(),
				service.NewStringField(fieldID).Description("The access key ID.").Optional().Advanced(),
				service.NewStringField(fieldSecret).Description("The secret access key.").Optional().Advanced().Secret(),
				service.NewStringField(fieldToken).Description("The session token of short-term credentials.").Optional().Advanced(),
				service.NewBoolField("from_ec2_role").Description("Refused: set `id` and `secret`, or the environment.").Optional(),
				service.NewStringField("role").Description("Refused: set `id` and `secret`, or the environment.").Optional().Advanced(),
				service.NewStringField("role_external_id").Description("Refused: set `id` and `secret`, or the environment.").Optional().Advanced(),
			).Description("The AWS credentials.").Advanced().Optional(),
		).
			Description("Credentials for AWS_MSK_IAM.").Optional(),
		kerberosField(),
	).
		Description("The ways to authenticate, in the order of preference. The first that the broker supports is used for all connections.").
		Advanced().Optional().
		Example([]any{map[string]any{fieldMechanism: "SCRAM-SHA-512", fieldUsername: "foo", fieldPassword: "bar"}})
}

func parseSASL(conf *service.ParsedConfig, opts options) ([]sasl.Mechanism, error) {
	if !conf.Contains(fieldSASL) {
		return nil, nil
	}
	items, err := conf.FieldObjectList(fieldSASL)
	if err != nil {
		return nil, fmt.Errorf("field %s: %w", fieldSASL, err)
	}
	var mechanisms []sasl.Mechanism
	for i, item := range items {
		mechanism, err := parseMechanism(item, opts)
		if err != nil {
			return nil, fmt.Errorf("field %s[%d]: %w", fieldSASL, i, err)
		}
		if mechanism != nil {
			mechanisms = append(mechanisms, mechanism)
		}
	}
	return mechanisms, nil
}

// parseMechanism returns nil for the mechanism none.
func parseMechanism(conf *service.ParsedConfig, opts options) (sasl.Mechanism, error) {
	p := fields.NewReader(conf)
	name := fields.Read(p, conf.FieldString, fieldMechanism)
	user, password := p.Optional(fieldUsername), p.Optional(fieldPassword)
	if p.Err() != nil {
		return nil, p.Err()
	}
	switch name {
	case "", "none":
		return nil, nil
	case "PLAIN":
		return plain.Auth{User: user, Pass: password}.AsMechanism(), nil
	case "SCRAM-SHA-256":
		return scram.Auth{User: user, Pass: password}.AsSha256Mechanism(), nil
	case "SCRAM-SHA-512":
		return scram.Auth{User: user, Pass: password}.AsSha512Mechanism(), nil
	case "OAUTHBEARER":
		auth := oauth.Auth{Token: p.Optional(fieldToken)}
		if conf.Contains(fieldExtensions) {
			auth.Extensions = fields.Read(p, conf.FieldStringMap, fieldExtensions)
		}
		return auth.AsMechanism(), p.Err()
	case "AWS_MSK_IAM":
		return parseAWS(conf)
	case "GSSAPI":
		return parseKerberos(conf, user, password, opts)
	case "REDPANDA_CLOUD_SERVICE_ACCOUNT":
		return nil, errors.New("mechanism: REDPANDA_CLOUD_SERVICE_ACCOUNT works inside Redpanda Cloud only: use SCRAM-SHA-256 or OAUTHBEARER")
	default:
		return nil, fmt.Errorf("mechanism: value %q is unknown; must be one of %s", name, strings.Join(saslWords, ", "))
	}
}

func parseAWS(conf *service.ParsedConfig) (sasl.Mechanism, error) {
	if conf.Contains(fieldAWS, "endpoint") {
		return nil, errors.New("aws.endpoint: is not supported: no API of AWS is called; remove it")
	}
	for _, name := range awsUnserved {
		if conf.Contains(fieldAWS, fieldCredentials, name) {
			return nil, fmt.Errorf("aws.credentials.%s: is not supported: set id and secret, or the environment variables AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY", name)
		}
	}
	var static aws.Auth
	for name, to := range map[string]*string{fieldID: &static.AccessKey, fieldSecret: &static.SecretKey, fieldToken: &static.SessionToken} {
		if conf.Contains(fieldAWS, fieldCredentials, name) {
			v, err := conf.FieldString(fieldAWS, fieldCredentials, name)
			if err != nil {
				return nil, fmt.Errorf("aws.credentials.%s: %w", name, err)
			}
			*to = v
		}
	}
	if (static.AccessKey == "") != (static.SecretKey == "") {
		return nil, errors.New("aws.credentials: id and secret belong together, set both or none")
	}
	// The environment is read for each connection, as AWS's own tools do.
	return aws.ManagedStreamingIAM(func(context.Context) (aws.Auth, error) {
		auth := static
		if auth.AccessKey == "" {
			auth = aws.Auth{
				AccessKey:    os.Getenv("AWS_ACCESS_KEY_ID"),
				SecretKey:    os.Getenv("AWS_SECRET_ACCESS_KEY"),
				SessionToken: os.Getenv("AWS_SESSION_TOKEN"),
			}
		}
		if auth.AccessKey == "" || auth.SecretKey == "" {
			return aws.Auth{}, errors.New("authenticating by AWS_MSK_IAM: no credentials: set aws.credentials, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
		}
		return auth, nil
	}), nil
}
