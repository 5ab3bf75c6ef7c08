//go:build integration

package console

import (
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// An operator begins with an empty store, and does what there is to do in a day.
func TestAWorkingDay(t *testing.T) {
	w := newWorld(t)
	w.topic("readings", "2000") // it takes small records alone
	w.topic("letters", "1048576")
	b := newBrowser(t, w.root)

	// A wrong token, then the right one.
	b.open("/")
	b.fill("#token", "a guess")
	b.click("Log in")
	b.sees(".flash", "This token is not accepted.")
	w.login(b)
	b.sees(".empty", "There are no connectors yet.")

	// A connector is created by the form. It says what is wrong as one types.
	b.click("Create the first one")
	b.fill(field("connector_name"), "iot")
	b.fill(field("topic_name"), "sensors/#/data")
	b.fill(field("config.bootstrap_servers"), w.kafka.Addr())
	b.fill(field("config.topic"), "readings")
	b.choose(field("failure_strategy.strategy"), "dead_message_queue")
	b.fill(field("failure_strategy.topic_name"), "letters")
	b.sees(`[data-field="topic_name"] .error`, "#")
	b.fill(field("topic_name"), "sensors/#")
	b.sees("#judged", "Nothing is wrong with it.")

	// What would become of a message, and whether both ends are there.
	b.run(chromedp.Click("#preview summary", chromedp.ByQuery))
	b.fill(field("sample_topic"), "sensors/7")
	b.fill(field("sample_payload"), "hello")
	b.click("Preview")
	b.sees(".record", "readings")
	b.sees(".record", "sensors/7")
	b.click("Check: try both ends")
	b.sees("#probes", "mqtt: reached")
	b.sees("#probes", "kafka: reached")
	b.click("Create")
	b.sees(".flash", "The connector iot is created.")
	b.sees(".stands", "Running")

	// Messages flow.
	w.stream("sensors/1", 100*time.Millisecond)
	b.click("Live")
	b.sees("#tail", "sensors/1")
	b.sees("#tail", "sent")
	b.click("Figures")
	b.seesRate(".totals", 10)

	// A record that Kafka refuses becomes a dead letter.
	w.publish("sensors/2", strings.Repeat("x", 4000))
	require.Eventually(t, func() bool { return w.records("letters") == 1 }, patience, 200*time.Millisecond)
	require.Eventually(t, func() bool { return strings.Contains(b.text(".totals .warm"), "Refused") }, patience, time.Second)
	b.click("Dead letters")
	b.sees(".letter", "readings")
	b.sees(".letter", "MESSAGE_TOO_LARGE")
	b.run(chromedp.Click(`.letter input`, chromedp.ByQuery))
	b.accessibleToAll("dead-letters")
	w.allow("readings", "1048576") // the cause is corrected
	b.click("Replay the chosen ones")
	b.sees("main", "once at most")
	b.click("Replay dead letters")
	b.sees(".flash", "1 replayed, 0 had been replayed before, 0 refused.")
	b.sees(".letter", "replayed 2")
	b.click("Replay all")
	b.click("Replay dead letters")
	b.sees(".flash", "0 replayed, 1 had been replayed before, 0 refused.")

	// It is changed; what it would be with a field that is wrong, it is not.
	b.click("Definition")
	b.click("Edit")
	b.fill(field("config.linger_ms"), "70000")
	b.click("Save")
	b.sees(`[data-field="config.linger_ms"] .error`, "60000")
	b.fill(field("config.linger_ms"), "7")
	b.click("Save")
	b.sees(".flash", "The connector iot is changed.")

	// Somebody else changes it while it is being changed.
	b.click("Definition")
	b.sees("pre", "linger_ms: 7")
	b.click("Edit")
	done := w.call("update", "-n", "iot", "-c", `{"bootstrap_servers":"`+w.kafka.Addr()+`","topic":"readings","linger_ms":9}`, "-p", "sensors/#")
	require.Equal(t, 0, done.Code, done.Stderr)
	b.fill(field("config.linger_ms"), "8")
	b.click("Save")
	b.sees(".flash", "Somebody else has changed this connector.")
	var mine string
	require.NoError(t, b.eval(`document.querySelector('[name="config.linger_ms"]').value`, &mine))
	assert.Equal(t, "8", mine, "what was typed is not lost")

	// The change of somebody else is taken back.
	b.open("/console/connector?name=iot&tab=history")
	b.sees("main", "Revision 3, the present one")
	b.run(chromedp.Click(`//summary[contains(., "Revision 2")]`, chromedp.BySearch))
	b.click("Roll back to revision 2")
	b.sees("h1", "Roll back iot?")
	b.click("Roll back")
	b.sees(".flash", "The connector iot is rolled back.")
	b.click("Definition")
	b.sees("pre", "linger_ms: 7")

	// It is paused and resumed: what arrives meanwhile waits.
	b.click("Pause")
	b.sees("main", "wait there")
	b.click("Pause")
	b.sees(".stands", "Paused")
	before := w.records("readings")
	w.publish("sensors/3", "while it rests")
	b.click("Resume")
	b.click("Resume")
	b.sees(".stands", "Running")
	require.Eventually(t, func() bool { return w.records("readings") > before }, patience, 200*time.Millisecond)
	b.click("Restart")
	b.click("Restart")
	b.sees(".flash", "The connector iot is restarted.")

	// The log, at another level.
	b.click("Log")
	b.choose("#level", "debug")
	b.click("Set")
	b.sees(".flash", "logs from another level on")

	// Kafka refuses records, and nobody has said what to do with them: it is red.
	b.click("Definition")
	b.click("Edit")
	b.choose(field("failure_strategy.strategy"), "block")
	b.fill(field("failure_strategy.topic_name"), "")
	w.allow("readings", "2000")
	b.click("Save")
	b.sees(".stands", "Running")
	w.publish("sensors/4", strings.Repeat("y", 4000))
	b.sees(".stands", "Waiting")
	b.open("/console/?state=Waiting")
	b.sees("table", "readings")
	require.Eventually(t, func() bool { return strings.Contains(b.text(".totals .urgent"), "1") }, 2*time.Minute, time.Second)
	b.sees("tbody tr.urgent", "iot")
	b.picture("blocked")
	w.allow("readings", "1048576")
	b.open("/console/connector?name=iot")
	b.sees(".stands", "Running")

	// It is deleted, and the day ends.
	b.click("Delete")
	b.sees("main", "cannot be undone")
	b.click("Delete")
	b.sees(".flash", "The connector iot is deleted.")
	b.sees(".empty", "There are no connectors yet.")
	b.run(chromedp.Click(`//button[.="Log out"]`, chromedp.BySearch))
	b.sees("h1", "Log in")
	b.open("/console/")
	b.sees("h1", "Log in")
}
