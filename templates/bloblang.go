package templates

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync/atomic"

	"github.com/redpanda-data/benthos/v4/public/bloblang"
)

// unset stands for an environment variable that is not set where lint runs: a
// private-use character, so that no real value holds it.
const unset = "\uf8ff"

var envReference = regexp.MustCompile(`\$\{[A-Za-z_][0-9A-Za-z_.]*(:[^}]*)?\}`)

// known tells whether a value can be judged here, that is, whether no part of
// it comes from an environment variable that is not resolved.
func known(s string) bool {
	return !strings.Contains(s, unset) && !envReference.MatchString(s)
}

// fileChecks is set while a lint environment is in use that looks at files. A
// run leaves it unset: there the component opens the file itself, and a mapping
// must not be able to probe for files.
var fileChecks atomic.Bool

// notice is what OnNotice set.
var notice atomic.Pointer[func(string)]

// OnNotice sets the function that gets what a user should know of a template's
// configuration, though it is not wrong: a derived client id, acks that can lose
// messages. It is called while a pipeline is built, one sentence a call.
func OnNotice(fn func(text string)) { notice.Store(&fn) }

func notify(format string, args ...any) {
	if fn := notice.Load(); fn != nil {
		(*fn)(fmt.Sprintf(format, args...))
	}
}

// problemsOf returns what is wrong with a component's configuration by the rule
// set of that key, "input.mqtt" for example.
func problemsOf(key string, conf map[string]any) ([]Problem, error) {
	for _, rules := range ruleSets {
		if rules.key() == key {
			var problems []Problem
			rules.check(fields{conf: conf, skipFiles: !fileChecks.Load(), problems: &problems})
			return problems, nil
		}
	}
	return nil, fmt.Errorf("looking up rule set %q: there is none of that name", key)
}

// registerMethods makes the checks callable from the templates' mappings and
// from lint rules, which are parsed in an environment of pure methods only.
func registerMethods() error {
	return errors.Join(
		registerRulesMethod("robustmq_problems",
			"Returns what is wrong with a component's configuration, a list of strings.",
			func(problems []Problem, _ map[string]any) (any, error) {
				texts := make([]any, len(problems))
				for i, p := range problems {
					texts[i] = p.String()
				}
				return texts, nil
			}),
		registerRulesMethod("robustmq_checked",
			"Returns a component's configuration, or an error of everything that is wrong with it.",
			func(problems []Problem, conf map[string]any) (any, error) {
				if len(problems) > 0 {
					texts := make([]string, len(problems))
					for i, p := range problems {
						texts[i] = p.String()
					}
					return nil, errors.New(strings.Join(texts, "; "))
				}
				warn(conf)
				return conf, nil
			}),
		bloblang.RegisterMethodV2("robustmq_type_problem", bloblang.NewPluginSpec().
			Description("Returns what is wrong with the type of a value, or an empty string.").
			Param(bloblang.NewStringParam("type").Description("The type wanted: int, float or bool.")),
			func(args *bloblang.ParsedParams) (bloblang.Method, error) {
				want, err := args.GetString("type")
				if err != nil {
					return nil, err
				}
				return func(v any) (any, error) { return checkType(v, want), nil }, nil
			}),
		bloblang.RegisterMethodV2("robustmq_client_id", bloblang.NewPluginSpec().
			Description("Derives a client id that is stable over a restart from the configuration of the input template.").
			Param(bloblang.NewStringParam("label").Description("The label of the component.")),
			func(args *bloblang.ParsedParams) (bloblang.Method, error) {
				label, err := args.GetString("label")
				if err != nil {
					return nil, err
				}
				return bloblang.ObjectMethod(func(conf map[string]any) (any, error) {
					return deriveClientID(conf, label)
				}), nil
			}),
	)
}

// registerRulesMethod registers a method of objects that takes the key of a rule
// set and answers by what that finds.
func registerRulesMethod(name, description string, answer func([]Problem, map[string]any) (any, error)) error {
	spec := bloblang.NewPluginSpec().Description(description).
		Param(bloblang.NewStringParam("rules").Description("The component, as kind.name."))
	return bloblang.RegisterMethodV2(name, spec, func(args *bloblang.ParsedParams) (bloblang.Method, error) {
		key, err := args.GetString("rules")
		if err != nil {
			return nil, err
		}
		return bloblang.ObjectMethod(func(conf map[string]any) (any, error) {
			problems, err := problemsOf(key, conf)
			if err != nil {
				return nil, err
			}
			return answer(problems, conf)
		}), nil
	})
}

// deriveClientID hashes what tells one pipeline of a host from another into 23
// characters, the most that every MQTT 3.1.1 broker must take.
func deriveClientID(conf map[string]any, label string) (string, error) {
	host, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("deriving client_id from the host name: %w; set client_id", err)
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %q %q", host, conf["urls"], conf["username"], conf["topic_id"], label))
	id := "rmqc" + hex.EncodeToString(sum[:])[:19]
	notify("The MQTT client id is %s, derived from this host's name, the broker, the user name, the filter and the label; in a container set client_id, since the host name changes there and the session left behind keeps messages back", id)
	return id, nil
}

// warn says what a legal configuration gives up.
func warn(conf map[string]any) {
	switch conf["acks"] {
	case "0":
		notify("acks is 0: Kafka acknowledges nothing, so messages are lost unnoticed whenever it is away or refuses them")
	case "1":
		notify("acks is 1: messages are lost if the leader fails before its replicas have them")
	}
	if (fields{conf: conf}).isSet("cleanup_timeout_secs") {
		notify("cleanup_timeout_secs has no effect; shutdown_timeout says how long a stop may go on writing")
	}
}
