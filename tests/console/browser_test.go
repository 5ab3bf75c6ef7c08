//go:build integration

// Package console drives the console in a real Chromium.
package console

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	cdp "github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/robustmq/robustmq-connect/tests/program"
)

func TestMain(m *testing.M) { os.Exit(program.Main(m)) }

// patience is how long a page may take on a machine under load.
const patience = 60 * time.Second

//go:embed testdata/axe.min.js
var axe string

// pictures are the screenshots of every page, for people to look at.
const pictures = "../../bin/console"

// browser is one window.
type browser struct {
	t    *testing.T
	ctx  context.Context //nolint:containedctx // chromedp keeps the browser in it
	root string          // of the console, http://127.0.0.1:58080

	mu      sync.Mutex
	foreign []string // requests to other hosts
	alerts  []string // what a script of a hostile text has opened, or an error of ours
	bytes   float64  // that were transferred
}

func newBrowser(t *testing.T, root string) *browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	require.NoError(t, err, "tests/servers/chromium.sh install")
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox,
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.WSURLReadTimeout(patience))
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	b := &browser{t: t, ctx: ctx, root: root}
	chromedp.ListenTarget(ctx, b.listen)
	require.NoError(t, chromedp.Run(ctx, network.Enable(), cdp.Enable()))
	b.size(1600, 1000)
	t.Cleanup(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		assert.Empty(t, b.foreign, "requests to other hosts")
		assert.Empty(t, b.alerts, "scripts of others, violations of the policy, and errors")
	})
	return b
}

func (b *browser) listen(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		if url := e.Request.URL; !strings.HasPrefix(url, b.root+"/") && !strings.HasPrefix(url, "data:") && url != "about:blank" {
			b.foreign = append(b.foreign, url)
		}
	case *network.EventLoadingFinished:
		b.bytes += e.EncodedDataLength
	case *page.EventJavascriptDialogOpening:
		b.alerts = append(b.alerts, "a dialog: "+e.Message)
		go func() { _ = chromedp.Run(b.ctx, page.HandleJavaScriptDialog(true)) }() // the test has failed
	case *cdp.EventExceptionThrown:
		b.alerts = append(b.alerts, e.ExceptionDetails.Error())
	case *cdp.EventConsoleAPICalled:
		if e.Type == cdp.APITypeError {
			b.alerts = append(b.alerts, fmt.Sprint(e.Args))
		}
	}
}

func (b *browser) run(actions ...chromedp.Action) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Run(ctx, actions...); err != nil {
		b.picture("failed-" + strings.ReplaceAll(b.t.Name(), "/", "-"))
		require.NoError(b.t, err, "the page was %s:\n%.3000s", b.address(), b.text("body"))
	}
}

func (b *browser) size(wide, high int64) {
	b.t.Helper()
	b.run(emulation.SetDeviceMetricsOverride(wide, high, 1, wide < 500))
}

func (b *browser) scheme(name string) {
	b.t.Helper()
	b.run(emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}}))
}

func (b *browser) open(path string) {
	b.t.Helper()
	b.run(chromedp.Navigate(b.root+path), chromedp.WaitReady("main"))
}

// eval gives the value of an expression, also of a promise.
func (b *browser) eval(expression string, into any) error {
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	return chromedp.Run(ctx, chromedp.Evaluate(expression, into, func(p *cdp.EvaluateParams) *cdp.EvaluateParams {
		return p.WithAwaitPromise(true)
	}))
}

func (b *browser) address() (url string) {
	_ = b.eval("location.href", &url) // it is for a message
	return url
}

// text is what a person reads of an element, "" where there is none.
func (b *browser) text(selector string) (text string) {
	quoted, _ := json.Marshal(selector) // a string
	_ = b.eval(`document.querySelector(`+string(quoted)+`)?.innerText || ""`, &text)
	return text
}

// sees waits until an element has a text.
func (b *browser) sees(selector, text string) {
	b.t.Helper()
	b.until(selector, fmt.Sprintf("%q", text), func(is string) bool { return strings.Contains(is, text) })
}

// until waits until the text of an element is as it should be.
func (b *browser) until(selector, wanted string, ok func(text string) bool) {
	b.t.Helper()
	if !assert.Eventually(b.t, func() bool { return ok(b.text(selector)) }, patience, 200*time.Millisecond) {
		b.picture("failed-" + strings.ReplaceAll(b.t.Name(), "/", "-"))
		require.Failf(b.t, "not seen", "%s in %s of %s, which has:\n%.3000s", wanted, selector, b.address(), b.text("body"))
	}
}

// perSecond finds the rates of a page.
var perSecond = regexp.MustCompile(`([0-9.]+)/s`)

// seesRate waits until an element has a rate, which a loaded machine may halve.
func (b *browser) seesRate(selector string, rate float64) {
	b.t.Helper()
	b.until(selector, fmt.Sprintf("about %v/s", rate), func(text string) bool {
		return slices.ContainsFunc(perSecond.FindAllStringSubmatch(text, -1), func(found []string) bool {
			is, err := strconv.ParseFloat(found[1], 64)
			return err == nil && is >= rate/2 && is <= rate*1.5
		})
	})
}

// click clicks a link or a button that has exactly this text.
func (b *browser) click(text string) {
	b.t.Helper()
	b.run(chromedp.Click(fmt.Sprintf(`//main//*[self::a or self::button][normalize-space(.)=%q]`, text), chromedp.BySearch))
}

// fill sets a field as a person does who replaces what is in it.
func (b *browser) fill(selector, value string) {
	b.t.Helper()
	quoted, _ := json.Marshal(selector) // a string
	b.run(chromedp.WaitReady(selector, chromedp.ByQuery))
	require.NoError(b.t, b.eval(`{ const it = document.querySelector(`+string(quoted)+`);
		const closed = it.closest("details"); if (closed) closed.open = true; it.focus(); it.select(); 0 }`, new(int)))
	if value == "" {
		value = kb.Delete
	}
	b.run(chromedp.KeyEvent(value))
}

// choose takes an entry of a list.
func (b *browser) choose(selector, value string) {
	b.t.Helper()
	b.run(chromedp.SetValue(selector, value, chromedp.ByQuery))
}

// field is the selector of a field of the form.
func field(name string) string { return `[name="` + name + `"]` }

// tabTo presses the tabulator until an element has the focus.
func (b *browser) tabTo(selector string) {
	b.t.Helper()
	quoted, _ := json.Marshal(selector) // a string
	for range 150 {
		b.run(chromedp.KeyEvent(kb.Tab))
		var there, seen bool
		require.NoError(b.t, b.eval(`document.activeElement?.matches(`+string(quoted)+`) ?? false`, &there))
		if there {
			require.NoError(b.t, b.eval(`getComputedStyle(document.activeElement).outlineStyle !== "none"`, &seen))
			assert.True(b.t, seen, "the focus is shown at %s", selector)
			return
		}
	}
	require.Failf(b.t, "out of reach", "the tabulator does not lead to %s of %s", selector, b.address())
}

// picture writes a screenshot of the whole page.
func (b *browser) picture(name string) {
	b.t.Helper()
	var png []byte
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Run(ctx, chromedp.FullScreenshot(&png, 100)); err != nil {
		b.t.Logf("taking the picture %s: %v", name, err)
		return
	}
	require.NoError(b.t, os.MkdirAll(pictures, 0o755))
	require.NoError(b.t, os.WriteFile(filepath.Join(pictures, name+".png"), png, 0o644))
}

// accessible asks axe-core for what keeps people from using the page, and whether it is
// wider than the window.
func (b *browser) accessible(about string) {
	b.t.Helper()
	var found string
	require.NoError(b.t, b.eval(axe+`;0`, new(int)))
	require.NoError(b.t, b.eval(`axe.run(document, {resultTypes: ["violations"]}).then((r) => JSON.stringify(r.violations
		.filter((v) => v.impact === "serious" || v.impact === "critical")
		.map((v) => v.id + ": " + v.help + ": " + v.nodes.map((n) => n.target + " " + n.failureSummary).slice(0, 3).join("; "))))`, &found))
	assert.Equal(b.t, "[]", found, about)
	var over int
	require.NoError(b.t, b.eval(`document.documentElement.scrollWidth - document.documentElement.clientWidth`, &over))
	assert.LessOrEqual(b.t, over, 0, "%s is wider than the window", about)
}

// accessibleToAll judges a page, and takes a picture of it, light and dark, on a phone and
// on a desk. The page stays dark and on the desk.
func (b *browser) accessibleToAll(name string) {
	b.t.Helper()
	for _, scheme := range []string{"light", "dark"} {
		for _, wide := range []int64{390, 1600} {
			b.scheme(scheme)
			b.size(wide, 1000)
			about := fmt.Sprintf("%s-%s-%d", name, scheme, wide)
			b.accessible(about)
			b.picture(about)
		}
	}
}
