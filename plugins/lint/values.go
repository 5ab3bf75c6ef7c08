package lint

import (
	"fmt"
	"math"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/dustin/go-humanize"
	"github.com/xrash/smetrics"
)

// The checks of this file take one value and return one sentence, without the field's
// name, about what is wrong and what is right, or "".

// checkTopicFilter checks an MQTT topic filter by MQTT 5.0 section 4.7 and 4.8.2
// ($share).
func checkTopicFilter(filter string) string {
	if strings.HasPrefix(filter, "$share/") {
		group, inner, found := strings.Cut(strings.TrimPrefix(filter, "$share/"), "/")
		if group == "" || strings.ContainsAny(group, "+#") {
			return fmt.Sprintf("%q has no usable share name; write $share/group/filter with a group of letters and digits", filter)
		}
		if !found || inner == "" {
			return fmt.Sprintf("%q shares no topic filter; write $share/%s/ and then the filter", filter, group)
		}
		filter = inner
	}
	if what := checkTopicText(filter); what != "" {
		return what
	}
	levels := strings.Split(filter, "/")
	for i, level := range levels {
		switch {
		case strings.Contains(level, "#") && level != "#":
			return fmt.Sprintf("%q: '#' must stand alone in its level, as in sensors/#", filter)
		case level == "#" && i != len(levels)-1:
			return fmt.Sprintf("%q: '#' must be the last level; use '+' for one level in the middle", filter)
		case strings.Contains(level, "+") && level != "+":
			return fmt.Sprintf("%q: '+' must stand alone in its level, as in sensors/+/data", filter)
		}
	}
	return ""
}

func checkTopicText(topic string) string {
	switch {
	case topic == "":
		return "is empty; give an MQTT topic filter, for example sensors/+/data"
	case len(topic) > 65535:
		return fmt.Sprintf("is %d bytes long; MQTT allows at most 65535", len(topic))
	case !utf8.ValidString(topic) || strings.ContainsRune(topic, 0):
		return "must be UTF-8 text without a NUL character"
	}
	return ""
}

// checkKafkaTopic checks a Kafka topic name by the rules of Kafka's
// org.apache.kafka.common.internals.Topic.
func checkKafkaTopic(topic string) string {
	switch {
	case topic == "":
		return "is empty; give a Kafka topic, for example mqtt_messages"
	case topic == "." || topic == "..":
		return fmt.Sprintf("%q is not a legal Kafka topic name", topic)
	case len(topic) > 249:
		return fmt.Sprintf("is %d characters long; a Kafka topic name may have at most 249", len(topic))
	}
	for _, r := range topic {
		if !isKafkaTopicRune(r) {
			return fmt.Sprintf("%q has the character %q; a Kafka topic name may have letters, digits, '.', '_' and '-'", topic, r)
		}
	}
	return ""
}

func isKafkaTopicRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '_' || r == '-'
}

// splitServers splits a comma-separated list of host:port and trims the space around
// its items.
func splitServers(list string) []string {
	items := strings.Split(list, ",")
	for i := range items {
		items[i] = strings.TrimSpace(items[i])
	}
	return items
}

// checkServers checks host:port items. checkSeedBrokers allows a missing port, which is
// the client's default 9092, as the stock component does.
func checkServers(list string) string { return checkServerList(list, checkHostPort) }

func checkSeedBrokers(list string) string {
	return checkServerList(list, func(item, port string) string {
		if !strings.Contains(item, ":") {
			item += ":" + port
		}
		return checkHostPort(item, port)
	})
}

func checkServerList(list string, check func(item, port string) string) string {
	if strings.TrimSpace(list) == "" {
		return "is empty; give the Kafka brokers as host:port, separated by commas, for example localhost:9092"
	}
	for _, item := range splitServers(list) {
		if item == "" {
			return fmt.Sprintf("%q has an empty item; separate host:port items by single commas", list)
		}
		if what := check(item, "9092"); what != "" {
			return what
		}
	}
	return ""
}

func checkHostPort(item, port string) string {
	if scheme, rest, found := strings.Cut(item, "://"); found {
		return fmt.Sprintf("%q has a scheme; write %s without %s://", item, rest, scheme)
	}
	host, portText, err := net.SplitHostPort(item)
	if err != nil {
		if strings.Count(item, ":") > 1 && !strings.HasPrefix(item, "[") {
			return fmt.Sprintf("%q: an IPv6 address needs brackets, for example [::1]:%s", item, port)
		}
		return fmt.Sprintf("%q has no port; write host:port, for example %s:%s", item, strings.Trim(item, "[]:"), port)
	}
	if host == "" {
		return fmt.Sprintf("%q has no host; write host:port, for example localhost:%s", item, portText)
	}
	if strings.ContainsAny(host, " /@") {
		return fmt.Sprintf("%q: %q is not a host name or an address", item, host)
	}
	return checkPort(item, portText)
}

func checkPort(item, portText string) string {
	if n, err := strconv.Atoi(portText); err != nil || n < 1 || n > 65535 {
		return fmt.Sprintf("%q: port %q is not a number from 1 to 65535", item, portText)
	}
	return ""
}

var brokerSchemes = []string{"tcp", "mqtt", "ssl", "tls", "mqtts", "mqtt+ssl", "tcps", "ws", "wss", "unix"}

// encryptedSchemes are the URL schemes for which the MQTT client uses TLS.
var encryptedSchemes = []string{"ssl", "tls", "mqtts", "mqtt+ssl", "tcps", "wss"}

func checkBrokerURL(item string) string {
	if item == "" {
		return "is empty; give the MQTT broker as scheme://host:port, for example tcp://localhost:1883"
	}
	if !strings.Contains(item, "://") {
		return fmt.Sprintf("%q has no scheme; write tcp://%s", item, item)
	}
	scheme, rest, _ := strings.Cut(item, "://")
	if !slices.Contains(brokerSchemes, scheme) {
		return fmt.Sprintf("%q: %s", item, notAWord("scheme", scheme, brokerSchemes))
	}
	if scheme == "unix" {
		if rest == "" {
			return fmt.Sprintf("%q has no path of a socket; write unix:///path/to/socket", item)
		}
		return ""
	}
	authority, _, _ := strings.Cut(rest, "/")
	if _, after, found := strings.Cut(authority, "@"); found {
		authority = after
	}
	if scheme == "ws" || scheme == "wss" {
		if !strings.Contains(authority, ":") && authority != "" {
			return ""
		}
		return checkHostPort(authority, "8083")
	}
	port := "1883"
	if slices.Contains(encryptedSchemes, scheme) {
		port = "8883"
	}
	if what := checkHostPort(authority, port); what != "" {
		return what
	}
	if _, err := url.Parse(item); err != nil {
		return fmt.Sprintf("%q is not a URL: %v", item, err)
	}
	return ""
}

// checkType checks the type of a value. The engine does not convert text, so "1" in
// quotes is not a number.
func checkType(v any, want string) string {
	if isUnset(v) {
		return ""
	}
	ok, what := false, ""
	switch want {
	case "int":
		what = "a whole number"
		switch n := v.(type) {
		case int, int64:
			ok = true
		case float64:
			ok = n == math.Trunc(n)
		}
	case "float":
		what = "a number"
		switch v.(type) {
		case int, int64, float64:
			ok = true
		}
	case "bool":
		what = "true or false"
		_, ok = v.(bool)
	default:
		return ""
	}
	if ok {
		return ""
	}
	shown := fmt.Sprint(v)
	if v == nil {
		shown = "null"
	}
	advice := ""
	if _, isText := v.(string); isText && looksLike(shown, want) {
		advice = "; write it without quotes"
	}
	return fmt.Sprintf("%q is not %s%s", shown, what, advice)
}

// looksLike reports whether a text would have the type without its quotes.
func looksLike(text, want string) bool {
	if want == "bool" {
		return text == "true" || text == "false"
	}
	_, err := strconv.ParseFloat(text, 64)
	return err == nil
}

func checkRange(n, low, high int64) string {
	if n < low || n > high {
		return fmt.Sprintf("%d is out of range; must be %d to %d", n, low, high)
	}
	return ""
}

// checkDuration checks a Go duration above zero, or of zero if allowZero is set.
func checkDuration(text string, allowZero bool) string {
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		return fmt.Sprintf("%q is not a duration; write a number and a unit of ns, us, ms, s, m or h, for example 30s", text)
	case d < 0 && allowZero:
		return fmt.Sprintf("%q is negative; must be 0s or more, for example 30s", text)
	case d < 0 || d == 0 && !allowZero:
		return fmt.Sprintf("%q must be above zero, for example 30s", text)
	}
	return ""
}

// checkDurationRange checks a Go duration from low to high.
func checkDurationRange(text string, low, high time.Duration) string {
	what := checkDuration(text, true)
	if d, err := time.ParseDuration(text); err == nil && (d < low || d > high) {
		what = fmt.Sprintf("%q is out of range; must be %s to %s", text, low, high)
	}
	return what
}

// checkSessionExpiry checks a value of session_expiry of the mqtt input.
func checkSessionExpiry(text string) string {
	d, err := time.ParseDuration(text)
	switch {
	case text == "never":
		return ""
	case err != nil:
		return fmt.Sprintf("%q is not a duration; write a number and a unit of s, m or h, for example 24h, or never", text)
	case d < 0 || d%time.Second != 0 || d/time.Second >= math.MaxUint32:
		return fmt.Sprintf("%q is not a number of whole seconds below 2^32-1", text)
	}
	return ""
}

// checkSize checks a size in bytes from least to most.
func checkSize(text string, least, most uint64) string {
	n, err := humanize.ParseBytes(text)
	switch {
	case err != nil:
		return fmt.Sprintf("%q is not a size; write a number and a unit of B, kB, MB, GB, KiB, MiB or GiB, for example 1MiB", text)
	case n < least || n > most:
		return fmt.Sprintf("%q is out of range; must be %d to %d bytes", text, least, most)
	}
	return ""
}

func checkWord(word string, words []string) string {
	if slices.Contains(words, word) {
		return ""
	}
	return notAWord("value", word, words)
}

// notAWord reports that a word is not in a list, and suggests the nearest one.
func notAWord(kind, word string, words []string) string {
	text := fmt.Sprintf("%s %q is unknown; must be one of %s", kind, word, strings.Join(words, ", "))
	if near := nearest(word, words); near != "" {
		text += fmt.Sprintf("; did you mean %q?", near)
	}
	return text
}

// nearest returns the word of the list that is a typing error away, or "".
func nearest(word string, words []string) string {
	allowed := max(2, len(word)/3)
	if len(word) <= 3 {
		allowed = 1
	}
	best, least := "", allowed+1
	for _, w := range words {
		d := smetrics.WagnerFischer(strings.ToLower(word), strings.ToLower(w), 1, 1, 1)
		if d < least {
			best, least = w, d
		}
	}
	return best
}

func checkFile(path string) string {
	info, err := os.Stat(path)
	switch {
	case err != nil && os.IsNotExist(err):
		return fmt.Sprintf("file %q does not exist; give a path that this process can read (lint elsewhere with --skip-file-check)", path)
	case err != nil:
		return fmt.Sprintf("file %q cannot be read: %v", path, err)
	case info.IsDir():
		return fmt.Sprintf("%q is a directory; give the file in it", path)
	}
	return ""
}
