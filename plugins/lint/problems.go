package lint

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/robustmq/robustmq-connect/plugins/constraint"
)

// Problem is one error in a component's configuration.
type Problem struct {
	// Path leads from the component's fields to the value, for example
	// "tls.client_certs.0.key_file".
	Path string
	// What says what is wrong and what is right.
	What string
}

// String returns the form in which lint prints a problem and a run refuses it.
func (p Problem) String() string { return p.Path + ": " + p.What }

// fields walks one component's configuration and collects problems. A value of the
// wrong type is ignored: the type is checked apart from the rules, and by the engine at
// a run. A value that is Unset has no type that a rule checks.
type fields struct {
	conf      map[string]any
	prefix    string
	skipFiles bool
	problems  *[]Problem
}

func (f fields) report(path, what string) {
	if what != "" {
		*f.problems = append(*f.problems, Problem{Path: f.prefix + path, What: what})
	}
}

// isSet reports whether a field is set. A template's field cannot be optional, so the
// default of optional ones is an empty text.
func (f fields) isSet(name string) bool { return f.conf[name] != nil && f.conf[name] != "" }

// text returns a string field that is set.
func (f fields) text(name string) (string, bool) {
	s, ok := f.conf[name].(string)
	return s, ok
}

func isUnset(v any) bool {
	_, unset := v.(Unset)
	return unset
}

func (f fields) number(name string) (int64, bool) {
	switch n := f.conf[name].(type) {
	case int:
		return int64(n), true
	case int64:
		return n, true
	case float64:
		return int64(n), n == math.Trunc(n)
	}
	return 0, false
}

func (f fields) boolean(name string) bool {
	b, _ := f.conf[name].(bool)
	return b
}

func (f fields) list(name string) []any {
	switch l := f.conf[name].(type) {
	case []any:
		return l
	case []string:
		out := make([]any, len(l))
		for i, s := range l {
			out[i] = s
		}
		return out
	}
	return nil
}

// constraints reports broken constraints of several fields. One that needs a value that
// is Unset is not checked.
func (f fields) constraints(set constraint.Set) {
	for _, c := range set.Broken(f.conf) {
		judged := true
		for name, value := range f.conf {
			judged = judged && (!isUnset(value) || !strings.Contains(c.Broken, name))
		}
		if judged {
			f.report(c.Field, c.What)
		}
	}
}

func (f fields) textRule(name string, check func(string) string) {
	if s, ok := f.text(name); ok {
		f.report(name, check(s))
	}
}

func (f fields) rangeRule(name string, low, high int64) {
	if n, ok := f.number(name); ok {
		f.report(name, checkRange(n, low, high))
	}
}

func (f fields) wordRule(name string, words ...string) {
	if s, ok := f.text(name); ok {
		f.report(name, checkWord(s, words))
	} else if n, ok := f.number(name); ok {
		f.report(name, checkWord(strconv.FormatInt(n, 10), words))
	}
}

func (f fields) durationRules(allowZero bool, names ...string) {
	for _, name := range names {
		f.scalarRule(name, func(s string) string { return checkDuration(s, allowZero) })
	}
}

func (f fields) durationRange(name string, low, high time.Duration) {
	f.scalarRule(name, func(s string) string { return checkDurationRange(s, low, high) })
}

func (f fields) sizeRule(name string, least, most uint64) {
	f.scalarRule(name, func(s string) string { return checkSize(s, least, most) })
}

// scalarRule checks a text field that may be written as a number.
func (f fields) scalarRule(name string, check func(string) string) {
	if n, ok := f.number(name); ok {
		f.report(name, check(strconv.FormatInt(n, 10)))
	}
	f.textRule(name, check)
}

func (f fields) listRule(name string, check func(string) string) {
	for i, item := range f.list(name) {
		if s, ok := item.(string); ok {
			f.report(fmt.Sprintf("%s.%d", name, i), check(s))
		}
	}
}

// inner returns the fields of an object within the component.
func (f fields) inner(name string, conf any) (fields, bool) {
	m, ok := conf.(map[string]any)
	return fields{conf: m, prefix: f.prefix + name + ".", skipFiles: f.skipFiles, problems: f.problems}, ok
}

func (f fields) fileRule(name string) {
	if s, ok := f.text(name); ok && s != "" && !f.skipFiles {
		f.report(name, checkFile(s))
	}
}

// mqttConnection checks the fields that the input template and the stock mqtt
// components share.
func (f fields) mqttConnection(user string) {
	f.listRule("urls", func(item string) string {
		for _, one := range strings.Split(item, ",") {
			if what := checkBrokerURL(strings.TrimSpace(one)); what != "" {
				return what
			}
		}
		return ""
	})
	if urls, ok := f.conf["urls"].([]any); ok && len(urls) == 0 {
		f.report("urls", checkBrokerURL(""))
	}
	f.textRule("client_id", func(id string) string {
		if len(id) > 65535 {
			return fmt.Sprintf("is %d bytes long; MQTT allows 65535", len(id))
		}
		return ""
	})
	f.rangeRule("qos", 0, 2)
	f.rangeRule("keepalive", 0, 65535)
	f.checkWill()
	if password, ok := f.text("password"); ok && password != "" {
		if !f.isSet(user) {
			f.report("password", fmt.Sprintf("needs %s; MQTT 3.1.1 allows a password only with a user name", user))
		}
	}
	f.tls()
	f.encryption()
}

// encryption reports a tls section that is ignored because of a URL's scheme.
func (f fields) encryption() {
	tls, ok := f.inner("tls", f.conf["tls"])
	if !ok || !tls.boolean("enabled") {
		return
	}
	urls := f.list("urls")
	if f.conf["urls"] == nil {
		urls = []any{defaultBrokerURL}
	}
	for i, item := range urls {
		s, isText := item.(string)
		scheme, _, found := strings.Cut(s, "://")
		if isText && found && slices.Contains(brokerSchemes, scheme) && !slices.Contains(encryptedSchemes, scheme) {
			path := fmt.Sprintf("urls.%d", i)
			if f.conf["urls"] == nil {
				path = "tls.enabled"
			}
			f.report(path, fmt.Sprintf("%q is not encrypted though tls.enabled is true; write ssl:// or wss://, or remove the tls section", s))
		}
	}
}

func (f fields) tls() {
	t, ok := f.inner("tls", f.conf["tls"])
	if !ok {
		return
	}
	cas, _ := t.text("root_cas")
	casFile, _ := t.text("root_cas_file")
	certs := t.list("client_certs")
	if cas != "" && casFile != "" {
		t.report("root_cas_file", "conflicts with root_cas; remove one of them")
	}
	if (cas != "" || casFile != "" || len(certs) > 0) && !t.boolean("enabled") {
		if !isUnset(t.conf["enabled"]) {
			t.report("enabled", "the other settings of tls are ignored unless it is true; set enabled: true, or remove them")
		}
	}
	t.fileRule("root_cas_file")
	for i, item := range certs {
		c, ok := t.inner(fmt.Sprintf("client_certs.%d", i), item)
		if !ok {
			continue
		}
		c.clientCert()
	}
}

func (f fields) clientCert() {
	for _, pair := range [][2]string{{"cert", "cert_file"}, {"key", "key_file"}} {
		if f.isSet(pair[0]) && f.isSet(pair[1]) {
			f.report(pair[1], fmt.Sprintf("conflicts with %s; remove one of them", pair[0]))
		}
	}
	switch {
	case (f.isSet("cert") || f.isSet("cert_file")) && !f.isSet("key") && !f.isSet("key_file"):
		f.report(f.firstSet("cert_file", "cert"), "has no key; add key_file")
	case (f.isSet("key") || f.isSet("key_file")) && !f.isSet("cert") && !f.isSet("cert_file"):
		f.report(f.firstSet("key_file", "key"), "has no certificate; add cert_file")
	}
	f.fileRule("cert_file")
	f.fileRule("key_file")
}

func (f fields) firstSet(names ...string) string {
	for _, name := range names {
		if f.isSet(name) {
			return name
		}
	}
	return names[0]
}

// kafkaTopicRule checks a topic without interpolation.
func (f fields) kafkaTopicRule() {
	f.textRule("topic", func(topic string) string {
		before, _, interpolated := strings.Cut(topic, "${!")
		if interpolated && before == "" {
			return ""
		}
		return checkKafkaTopic(before)
	})
}
