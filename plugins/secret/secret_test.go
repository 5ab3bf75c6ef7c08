package secret

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSecretsAreRecognizedByTheirPath(t *testing.T) {
	for path, want := range map[string]bool{
		"password":                             true,
		"config.password":                      true,
		"config.Kafka.sasl.0.password":         true,
		"kAFKA.password":                       true,
		"sasl.1.token":                         true,
		"sasl.1.extensions.logicalCluster":     true,
		"sasl.1.extensions.0":                  true,
		"sasl.0.aws.credentials.secret":        true,
		"sasl.0.aws.credentials.token":         true,
		"sasl.0.aws.credentials.id":            false,
		"sasl.0.username":                      false,
		"mqtt_tls.client_certs.0.key":          true,
		"tls.client_certs.3.password":          true,
		"tls.client_certs.0.cert":              false,
		"client_certs.0.key":                   true,
		"key":                                  false,
		"kafka":                                false,
		"topic":                                false,
		"mqtt_password":                        true,
		"PASSWORD":                             true,
		"password.deeper.0":                    true,
		"username":                             false,
		"failure_strategy.topic_name":          false,
		"sasl.0.kerberos.keytab_file":          false,
		"connection.sasl_password_of_somebody": false,
		"":                                     false,
	} {
		assert.Equal(t, want, Is(strings.Split(path, ".")), path)
	}
}

func TestTextsFindsSecretsOfEveryType(t *testing.T) {
	body := `{"config":"{\"password\":12345678,\"sasl\":[{\"extensions\":{\"a\":\"ext-value\"}},{\"token\":[\"in a list\",1.50]}]}",` +
		`"note":"-----BEGIN PRIVATE KEY-----","key":"not one","tls":{"client_certs":[{"key":"the key","cert":"public"}]}}`
	assert.ElementsMatch(t, []string{"12345678", "ext-value", "in a list", "1.50", "-----BEGIN PRIVATE KEY-----", "the key"}, Texts(json.RawMessage(body)))
	assert.Equal(t, []string{"77"}, Texts(json.RawMessage(`77`), "password"))
	assert.Empty(t, Texts(json.RawMessage(`{"password":`)))
}

func TestHiderReplacesTheLongestOfSecretsWithTheSamePrefix(t *testing.T) {
	hide := Hider([]string{"abc", "abcdef", `q"x` + "\n", "ab", "abc"})
	assert.Equal(t, `*** *** *** *** *** ab`, hide.Replace(`abc abcdef q"x`+"\n"+` q\"x\n q\"x\n ab`))
}

// Regression: a body of 60 KB that was nested 9,990 deep used 0.8 GB, because each
// level copied its path.
func TestADeepValueUsesMemoryInProportionToItsLength(t *testing.T) {
	for name, body := range map[string]string{
		"deep objects": strings.Repeat(`{"a":`, 9990) + `{"password":"x"}` + strings.Repeat("}", 9990),
		"deep lists":   strings.Repeat(`[`, 9990) + strings.Repeat(`1,`, 20000) + "1" + strings.Repeat("]", 9990),
		"many secrets": `{"password":[` + strings.TrimSuffix(manyTexts(6000), ",") + `]}`,
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		Hider(Texts(json.RawMessage(body))).Replace(strings.Repeat("a text ", 1000))
		runtime.ReadMemStats(&after)
		assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(40<<20), name)
	}
}

func manyTexts(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"s%06d",`, i)
	}
	return b.String()
}

func TestGivenNamesTheFieldsOfSecretsThemselves(t *testing.T) {
	config := `{"Kafka":{"password":12345678,"key":"a","sasl":[{"password":"***","token":"abc"},{"password":""}],"tls":{"client_certs":[{"cert":"-----BEGIN PRIVATE KEY-----"}]}}}`
	want := []string{"config.Kafka.password", "config.Kafka.sasl.0.token", "config.Kafka.tls.client_certs.0.cert"}
	assert.Equal(t, want, Given(json.RawMessage(config), "config"))
	quoted, err := json.Marshal(config)
	require.NoError(t, err)
	assert.Equal(t, want, Given(quoted, "config"), "a config as a text")
	assert.Empty(t, Given(json.RawMessage(`{"password":"***","topic":"t","username":"u","other":null}`), "config"))
}
