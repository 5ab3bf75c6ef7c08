package lint

import (
	"fmt"
	"slices"
	"strings"
)

var (
	// stockMechanisms are those of the kafka_franz input, which is upstream's.
	stockMechanisms = []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "AWS_MSK_IAM", "REDPANDA_CLOUD_SERVICE_ACCOUNT", "none"}
	mechanisms      = []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "AWS_MSK_IAM", "GSSAPI", "none"}
)

// sasl checks the authentication settings of a Kafka component.
func (f fields) sasl(words []string) {
	for i, item := range f.list("sasl") {
		s, ok := f.inner(fmt.Sprintf("sasl.%d", i), item)
		if !ok {
			continue
		}
		mechanism, ok := s.text("mechanism")
		if !ok {
			continue
		}
		if mechanism == "REDPANDA_CLOUD_SERVICE_ACCOUNT" && !slices.Contains(words, mechanism) {
			s.report("mechanism", "REDPANDA_CLOUD_SERVICE_ACCOUNT works inside Redpanda Cloud only: use SCRAM-SHA-256 or OAUTHBEARER")
			continue
		}
		if what := checkWord(mechanism, words); what != "" && mechanism != "" {
			s.report("mechanism", what)
			continue
		}
		switch mechanism {
		case "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512":
			for _, name := range []string{"username", "password"} {
				if !s.isSet(name) {
					s.report("mechanism", fmt.Sprintf("%s needs %s", mechanism, name))
				}
			}
		case "OAUTHBEARER":
			if !s.isSet("token") {
				s.report("mechanism", "OAUTHBEARER needs token")
			}
		case "AWS_MSK_IAM":
			s.aws()
		case "GSSAPI":
			s.kerberos()
		}
	}
}

// aws checks which credentials plugins/kafka supports; the kafka_franz input would also
// need AWS's SDK, which this distribution does not include.
func (f fields) aws() {
	aws, ok := f.inner("aws", f.conf["aws"])
	if !ok {
		return
	}
	if aws.isSet("endpoint") {
		aws.report("endpoint", "is not supported: no API of AWS is called; remove it")
	}
	credentials, ok := aws.inner("credentials", aws.conf["credentials"])
	if !ok {
		return
	}
	for _, name := range []string{"profile", "from_ec2_role", "role", "role_external_id"} {
		if credentials.isSet(name) {
			credentials.report(name, "is not supported: set id and secret, or the environment variables AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
		}
	}
	if credentials.isSet("id") != credentials.isSet("secret") {
		aws.report("credentials", "id and secret belong together, set both or none")
	}
}

// kerberos reports the same as the constructor of plugins/kafka about GSSAPI.
func (f fields) kerberos() {
	k, _ := f.inner("kerberos", f.conf["kerberos"])
	user, _ := f.text("username")
	user, inUser, _ := strings.Cut(user, "@")
	realm, _ := k.text("realm")
	switch {
	case user == "" && !isUnset(f.conf["username"]):
		f.report("username", "is empty; give the Kerberos principal, with or without @REALM")
	case !k.isSet("keytab_file") && !f.isSet("password"):
		k.report("keytab_file", "is empty; give the principal's keytab, or password")
	case k.isSet("keytab_file") && f.isSet("password"):
		k.report("keytab_file", "conflicts with password; remove one of them")
	case realm != "" && inUser != "" && realm != inUser:
		k.report("realm", fmt.Sprintf("%q is not the realm of username, %q; remove one of them", realm, inUser))
	case k.conf["service_name"] == "":
		k.report("service_name", "is empty; give the first part of the brokers' principal, for example kafka")
	}
	k.fileRule("keytab_file")
	if f.conf["kerberos"] == nil || k.conf["config_file"] == nil {
		k.conf = map[string]any{"config_file": "/etc/krb5.conf"}
	}
	k.fileRule("config_file")
}
