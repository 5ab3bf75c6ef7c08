//go:build integration

package console

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestEveryPageCanBeUsedByEverybody(t *testing.T) {
	w := newWorld(t)
	w.topic("measurements", "1048576")
	w.create("sensors", "measurements", "sensors/#", "--failure-strategy", "dead_message_queue")
	w.create("resting", "measurements", "b/#", "--paused")
	done := w.call("create", "-n", "keeping", "-c", `{"bootstrap_servers":"`+w.kafka.Addr()+`","topic":"measurements","disk_buffer":{}}`, "-p", "d/#")
	require.Equal(t, 0, done.Code, done.Stderr)
	w.call("update", "-n", "sensors", "-c", `{"bootstrap_servers":"`+w.kafka.Addr()+`","topic":"measurements","key":"k"}`, "-p", "sensors/#")
	// Nobody answers there.
	done = w.call("create", "-n", "unreachable", "-c", `{"bootstrap_servers":"127.0.0.1:1","topic":"t"}`, "-p", "c/#")
	require.Equal(t, 0, done.Code, done.Stderr)
	w.stream("sensors/1/data", 50*time.Millisecond)

	b := newBrowser(t, w.root)
	b.open("/")
	pages := []struct{ name, path, shows string }{
		{"login", "/console/login", "Token"},
		{"overview", "/console/", "unreachable"},
		{"figures", "/console/connector?name=sensors", "Written to Kafka"},
		{"waiting", "/console/connector?name=unreachable", "reaching Kafka"},
		{"definition", "/console/connector?name=sensors&tab=definition", "bootstrap_servers"},
		{"log", "/console/connector?name=sensors&tab=log", "Level"},
		{"live", "/console/connector?name=sensors&tab=live", "sensors/1/data"},
		{"history", "/console/connector?name=sensors&tab=history", "Revision"},
		{"pause", "/console/action?verb=pause&name=sensors", "This will happen"},
		{"delete", "/console/action?verb=delete&name=sensors", "cannot be undone"},
		{"delete-with-a-disk-buffer", "/console/action?verb=delete&name=keeping", "Discard what waits in its disk buffer"},
		{"new", "/console/edit", "topic_name"},
		{"edit", "/console/edit?name=sensors", "Edit sensors"},
		{"not-there", "/console/connector?name=nobody", "there is no connector"},
	}
	for i, p := range pages {
		if i == 1 {
			w.login(b)
			// A chart needs two samples.
			b.open("/console/")
			b.seesRate("table", 20)
		}
		b.open(p.path)
		b.sees("main", p.shows)
		b.accessibleToAll(p.name)
	}
	// What the form says when something is wrong with it.
	b.open("/console/edit")
	b.fill(field("config.linger_ms"), "soon")
	b.sees(`[data-field="config.linger_ms"] .error`, "number")
	for _, scheme := range []string{"light", "dark"} {
		b.scheme(scheme)
		b.accessible("wrong-" + scheme)
		b.picture("wrong-" + scheme)
	}
}

func TestThePageOfWorkersCanBeUsedByEverybody(t *testing.T) {
	shared := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(shared, []byte(strings.Repeat("t", 32)), 0o600))
	w := newWorld(t, "--store=kafka://KAFKA/console", "--advertise=http://API", "--cluster-token-file="+shared)
	b := newBrowser(t, w.root)
	w.login(b)
	b.run(chromedp.Click(`.top a[href="/console/workers"]`))
	b.sees("h1", "Workers")
	b.sees("table", "64 of 64")
	b.accessibleToAll("workers")
}

func TestTheConsoleWorksWithTheKeyboardAlone(t *testing.T) {
	w := newWorld(t)
	w.topic("keys", "1048576")
	b := newBrowser(t, w.root)
	b.open("/")
	b.run(chromedp.KeyEvent(token), chromedp.KeyEvent(kb.Enter)) // the field has the focus
	b.sees("h1", "Connectors")

	b.tabTo(`.top a[href="/console/edit"]`)
	b.run(chromedp.KeyEvent(kb.Enter))
	b.sees("h1", "New connector")
	for _, one := range [][2]string{{"connector_name", "typed"}, {"topic_name", "keys/#"}, {"config.bootstrap_servers", w.kafka.Addr()}, {"config.topic", "keys"}} {
		b.tabTo(field(one[0]))
		b.run(chromedp.KeyEvent("a", chromedp.KeyModifiers(2))) // Ctrl-A: what is there is replaced
		b.run(chromedp.KeyEvent(one[1]))
	}
	b.tabTo(`button[value="save"]`)
	b.run(chromedp.KeyEvent(kb.Enter))
	b.sees("h1", "typed")
	b.sees(".stands", "Running")

	b.tabTo(`a[href*="verb=pause"]`)
	b.run(chromedp.KeyEvent(kb.Enter))
	b.sees("h1", "Pause typed?")
	b.tabTo("main button.go")
	b.run(chromedp.KeyEvent(kb.Enter))
	b.sees(".stands", "Paused")
	b.tabTo(`.crumbs a`)
	b.run(chromedp.KeyEvent(kb.Enter))
	b.sees("h1", "Connectors")
	b.tabTo(`#q`)
	b.run(chromedp.KeyEvent("typ"), chromedp.KeyEvent(kb.Enter))
	b.sees("table", "typed")

	// A part that is loaded again keeps the focus.
	b.tabTo(`tbody a`)
	var before string
	require.NoError(t, b.eval(`document.querySelector("tbody tr").dataset.mark = "old"`, &before))
	require.Eventually(t, func() bool {
		var fresh bool
		return b.eval(`document.querySelector("tbody tr").dataset.mark === undefined`, &fresh) == nil && fresh
	}, patience, 200*time.Millisecond)
	var focused string
	require.NoError(t, b.eval(`document.activeElement.innerText`, &focused))
	assert.Equal(t, "typed", focused)
}

// hostile are texts from outside that do nothing where they are shown.
var hostile = []string{
	`<script>alert(1)</script>`, `<img src=x onerror=alert(2)>`, `"><svg onload=alert(3)>`, "\u202e gpj.exe", `</textarea></ol><script>alert(4)</script>`,
}

func TestHostileTextsAreInert(t *testing.T) {
	w := newWorld(t)
	w.topic("inert", "1048576")
	b := newBrowser(t, w.root)
	w.login(b)
	name := `"><img src=x onerror=alert(5)>`
	w.create(name, "inert", "inert/#")
	asked := url.QueryEscape(name)
	b.open("/console/connector?tab=live&name=" + asked)
	b.sees("h1", name)
	b.sees(".stands", "Running")
	for _, text := range append(hostile, strings.Repeat("<b>", 22000)) {
		w.publish("inert/"+strings.NewReplacer("#", "", "+", "").Replace(text[:min(len(text), 200)]), text)
	}
	b.sees("#tail", "<script>alert(1)</script>")
	b.sees("#tail", "⟨U+202E⟩ gpj.exe")
	b.sees("#tail", "66000 bytes")
	b.sees("#tailed", "6 shown")
	b.picture("hostile")
	for _, path := range []string{
		"/console/", "/console/?q=" + url.QueryEscape(hostile[0]), "/console/connector?name=" + asked, "/console/connector?tab=definition&name=" + asked,
		"/console/connector?tab=log&name=" + asked, "/console/connector?tab=history&name=" + asked,
		"/console/action?verb=delete&name=" + asked, "/console/edit?name=" + asked,
	} {
		b.open(path)
		var strange int
		require.NoError(t, b.eval(`document.querySelectorAll("img, main script, svg[onload], b").length`, &strange))
		assert.Zero(t, strange, path)
	}
	b.open("/console/edit")
	for _, text := range hostile[:3] {
		b.fill(field("connector_name"), text)
		b.fill(field("config.sasl"), text)
		b.sees(`[data-field="config.sasl"] .error`, "")
	}
	b.open("/console/action?verb=delete&name=" + asked)
	b.click("Delete")
	b.sees(".flash", "is deleted")
}

func TestTheConsoleIsSmallAndSoonThere(t *testing.T) {
	w := newWorld(t)
	b := newBrowser(t, w.root)
	b.open("/")
	b.run(chromedp.WaitVisible("#token"))
	painted := time.Since(w.began)
	var paint float64
	require.Eventually(t, func() bool {
		return b.eval(`performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? -1`, &paint) == nil && paint > 0
	}, patience, 100*time.Millisecond)
	t.Logf("from serve to the first page, with the start of the browser: %s; first contentful paint of the page: %.0f ms", painted.Round(time.Millisecond), paint)
	for i := range 60 {
		w.create(fmt.Sprintf("c%02d", i), "t", fmt.Sprintf("c/%d", i), "--paused")
	}
	w.login(b)
	for _, path := range []string{"/console/connector?name=c01", "/console/connector?tab=history&name=c01", "/console/edit?name=c01"} {
		b.open(path)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	t.Logf("transferred for the login, all connectors (50 rows) and three pages of one: %.0f KB", b.bytes/1000)
	assert.Less(t, b.bytes, 300e3)
	assert.Positive(t, b.bytes)
}
