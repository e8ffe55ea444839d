// SPDX-License-Identifier: Apache-2.0

//go:build chromium

package dashboard

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// look is how a person looks at the dashboard.
type look struct {
	name          string
	scheme        string
	width, height int64
	scriptless    bool // pages run none; axe-core, which is one, does not look then
}

var looks = []look{
	{"light", "light", 1280, 900, false},
	{"dark", "dark", 1280, 900, false},
	{"narrow", "light", 390, 844, false},
}

// scriptless is how a page looks to a browser that runs no script.
var scriptless = look{"no-script", "light", 1280, 900, true}

// tab is a page of the browser, in a profile of its own.
type tab struct {
	ctx  context.Context
	look look
	step int
	// close closes it, and with it the stream of a live page.
	close func()

	mu       sync.Mutex
	troubles []string // what the browser complains about
}

// newTab opens one. Nothing on it may make the browser complain: what breaks the
// content security policy shows there, and so do errors of the script.
func newTab(l look) *tab {
	GinkgoHelper()
	return newTabFor(l, 3*time.Minute)
}

// newTabFor opens one that is closed after a time.
func newTabFor(l look, longest time.Duration) *tab {
	GinkgoHelper()
	ctx, stop := chromedp.NewContext(chromium, chromedp.WithNewBrowserContext())
	ctx, end := context.WithTimeout(ctx, longest)
	t := &tab{ctx: ctx, look: l, close: func() { end(); stop() }}
	DeferCleanup(t.close)
	Expect(chromedp.Listen(ctx, func(event any) {
		t.mu.Lock()
		defer t.mu.Unlock()
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			t.troubles = append(t.troubles, e.ExceptionDetails.Text)
		case *log.EventEntryAdded:
			if e.Entry.Level == log.EntryLevelError && !strings.Contains(e.Entry.Text, "Failed to load resource") {
				t.troubles = append(t.troubles, e.Entry.Text)
			}
		case *page.EventJavascriptDialogOpening:
			t.troubles = append(t.troubles, "a dialog says "+e.Message)
			go func() {
				_, _ = chromedp.Call(ctx, page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{Accept: true})
			}()
		}
	})).To(Succeed())
	command(t, log.Enable, cdp.Empty{})
	command(t, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: l.width, Height: l.height, DeviceScaleFactor: 1})
	command(t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: l.scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
	}})
	command(t, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: l.scriptless})
	DeferCleanup(func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		Expect(t.troubles).To(BeEmpty())
	})
	return t
}

func (t *tab) run(actions ...chromedp.Action[chromedp.Void]) {
	GinkgoHelper()
	Expect(chromedp.Do(t.ctx, actions...)).To(Succeed(), "at %s", t.where())
}

// command sends a command of the DevTools protocol.
func command[P, R any](t *tab, c cdp.Command[P, R], params P) R {
	GinkgoHelper()
	result, err := chromedp.Call(t.ctx, c, params)
	Expect(err).NotTo(HaveOccurred(), "at %s", t.where())
	return result
}

func (t *tab) where() string {
	address, _ := chromedp.Run(t.ctx, chromedp.Location())
	return address
}

// holdsTrue reports whether script says so, at once.
func (t *tab) holdsTrue(script string) bool {
	is, err := chromedp.Run(t.ctx, chromedp.Evaluate[bool](script))
	return err == nil && is
}

func (t *tab) visit(path string) {
	GinkgoHelper()
	t.run(chromedp.Navigate(gateway.URL + path))
	t.settled()
}

// reload asks for the page again where it does not follow what happens.
func (t *tab) reload() {
	if t.look.scriptless {
		_ = chromedp.Do(t.ctx, chromedp.Reload())
	}
}

// settled waits until a page has loaded, its fonts too.
func (t *tab) settled() {
	GinkgoHelper()
	Eventually(func() bool {
		return t.holdsTrue(`document.readyState === "complete" && !!document.querySelector("main") && document.fonts.status === "loaded"`)
	}).Should(BeTrue(), t.where())
}

// ask evaluates script in the page.
func ask[T any](t *tab, script string) T {
	GinkgoHelper()
	value, err := chromedp.Run(t.ctx, chromedp.Evaluate[T](script, chromedp.EvalAwaitPromise))
	Expect(err).NotTo(HaveOccurred(), "at %s", t.where())
	return value
}

// shows waits until the page has a text.
func (t *tab) shows(text string) {
	GinkgoHelper()
	quoted, err := json.Marshal(text)
	Expect(err).NotTo(HaveOccurred())
	Eventually(func() bool {
		if t.holdsTrue(fmt.Sprintf(`document.body?.innerText.replace(/\s+/g, " ").includes(%s) ?? false`, quoted)) {
			return true
		}
		t.reload()
		return false
	}).Should(BeTrue(), "%s does not show %q", t.where(), text)
	t.settled()
}

// picture takes a screenshot of the whole page, and holds it against what is
// wanted of every page.
func (t *tab) picture(name string) {
	GinkgoHelper()
	t.step++
	image, err := chromedp.Run(t.ctx, chromedp.FullScreenshot(100))
	Expect(err).NotTo(HaveOccurred())
	file := fmt.Sprintf("%s-%02d-%s.png", t.look.name, t.step, name)
	Expect(os.WriteFile(filepath.Join(artefacts, file), image, 0o644)).To(Succeed())
	t.holds()
}

// crowded finds texts of drawings that are outside of the screen, or stand on each
// other.
const crowded = `[...document.querySelectorAll("svg.timeline")].filter((s) => s.getClientRects().length).flatMap((s) => {
	const all = [...s.querySelectorAll("text")].map((t) => [t.textContent, t.getBoundingClientRect()]);
	return all.flatMap(([text, a], i) => [
		...(a.left < -0.5 || a.right > innerWidth + 0.5 ? [text + " is outside"] : []),
		...all.slice(i + 1).filter(([, b]) => a.left < b.right - 0.5 && b.left < a.right - 0.5 && a.top < b.bottom - 0.5 && b.top < a.bottom - 0.5)
			.map(([other]) => text + " stands on " + other),
	]);
}).join("\n")`

// holds checks that nothing stands out at the side, that texts of drawings keep clear
// of each other, and that axe-core finds no violation.
func (t *tab) holds() {
	GinkgoHelper()
	Expect(ask[int64](t, `document.scrollingElement.scrollWidth`)).To(BeNumerically("<=", t.look.width), "%s is too wide", t.where())
	Expect(ask[string](t, crowded)).To(BeEmpty(), "drawings on %s", t.where())
	if t.look.scriptless {
		return
	}
	t.run(chromedp.Evaluate[chromedp.Void](axe))
	found := ask[string](t, `axe.run(document, {resultTypes: ["violations"]}).then((r) => r.violations.map((v) =>
		v.id + ": " + v.help + "\n" + v.nodes.slice(0, 5).map((n) => "  " + n.html.slice(0, 200) + "\n  " + n.failureSummary).join("\n")).join("\n"))`)
	Expect(found).To(BeEmpty(), "axe-core on %s", t.where())
}

// hand is the way in which a person presses and types.
type hand interface {
	press(t *tab, words string)
	fill(t *tab, id, text string)
}

// mouse clicks.
type mouse struct{}

func (mouse) press(t *tab, words string) {
	GinkgoHelper()
	quoted, err := json.Marshal(words)
	Expect(err).NotTo(HaveOccurred())
	before := ask[float64](t, `performance.timeOrigin`)
	Expect(ask[bool](t, fmt.Sprintf(`(() => {
		const e = [...document.querySelectorAll("a, button, summary")].find((e) => e.innerText.trim() === %s && e.offsetParent !== null);
		if (!e) return false;
		e.scrollIntoView({block: "center"}); e.click(); return true;
	})()`, quoted))).To(BeTrue(), "nothing to press says %q at %s", words, t.where())
	t.turned(before)
}

func (mouse) fill(t *tab, id, text string) {
	GinkgoHelper()
	if ask[string](t, fmt.Sprintf(`document.getElementById(%q).tagName`, id)) == "SELECT" {
		ask[bool](t, fmt.Sprintf(`(document.getElementById(%q).value = %q, true)`, id, text))
		return
	}
	ask[bool](t, fmt.Sprintf(`(document.getElementById(%q).focus(), document.activeElement.select(), true)`, id))
	t.run(chromedp.KeyEvent(text))
}

// turned waits until another page has come.
func (t *tab) turned(before float64) {
	GinkgoHelper()
	Eventually(func() bool {
		now, err := chromedp.Run(t.ctx, chromedp.Evaluate[float64](`performance.timeOrigin`))
		return err == nil && now != before
	}).Should(BeTrue(), "no other page came from %s", t.where())
	t.settled()
}

// keyboard has no mouse: it goes from one thing to the next by the Tab key, and
// must see where it is.
type keyboard struct{}

// mostTabs is more than any page has things to press before the one looked for.
const mostTabs = 120

func (keyboard) reach(t *tab, what, test string) {
	GinkgoHelper()
	for range mostTabs {
		if ask[bool](t, `(() => { const e = document.activeElement; return `+test+`; })()`) {
			Expect(ask[string](t, `getComputedStyle(document.activeElement).outlineStyle`)).NotTo(Equal("none"), "nothing shows that %s has the focus", what)
			return
		}
		t.run(chromedp.KeyEvent(kb.Tab))
	}
	Fail(fmt.Sprintf("the Tab key does not lead to %s at %s", what, t.where()))
}

func (k keyboard) press(t *tab, words string) {
	GinkgoHelper()
	quoted, err := json.Marshal(words)
	Expect(err).NotTo(HaveOccurred())
	before := ask[float64](t, `performance.timeOrigin`)
	k.reach(t, words, fmt.Sprintf(`/^(A|BUTTON|SUMMARY)$/.test(e.tagName) && e.innerText.trim() === %s`, quoted))
	t.run(chromedp.KeyEvent(kb.Enter))
	t.turned(before)
}

func (k keyboard) fill(t *tab, id, text string) {
	GinkgoHelper()
	k.reach(t, id, fmt.Sprintf(`e.id === %q`, id))
	if ask[string](t, `document.activeElement.tagName`) == "SELECT" {
		t.run(chromedp.KeyEvent(text))
		return
	}
	t.run(chromedp.Evaluate[chromedp.Void](`document.activeElement.select()`), chromedp.KeyEvent(text))
}
