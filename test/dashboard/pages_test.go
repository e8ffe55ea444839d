// SPDX-License-Identifier: Apache-2.0

//go:build chromium

package dashboard

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/payload"
	"bbmcp.quietstack.com/webhooks/test/receiver"
	"bbmcp.quietstack.com/webhooks/test/suite"
)

// signedIn is a tab of a person who has come in.
func signedIn(l look, token string) *tab {
	GinkgoHelper()
	t := newTab(l)
	t.visit("/dashboard/")
	mouse{}.fill(t, "token", token)
	mouse{}.press(t, "Sign in")
	return t
}

var _ = Describe("every page", func() {
	It("holds in each look, with something on it", func(ctx SpecContext) {
		namespace := cluster.NewNamespace(ctx, "pages")
		token := cluster.NewAccount(ctx, namespace, "person", everything...)
		endpoint.Script("/pages/failing", receiver.Step{Status: http.StatusInternalServerError, Body: "database is away"})
		endpoint.Script("/pages/gone", receiver.Step{Status: http.StatusGone})
		retries := func(w *v1alpha1.Webhook) {
			w.Spec.RetryPolicy.Delays = &[]metav1.Duration{{Duration: time.Second}, {Duration: 2 * time.Second}, {Duration: time.Hour}}
		}
		cluster.CreateWebhook(ctx, namespace, "healthy", endpoint.URL("/pages/ok"))
		failing := cluster.CreateWebhook(ctx, namespace, "failing", endpoint.URL("/pages/failing"))
		cluster.CreateWebhook(ctx, namespace, "gone", endpoint.URL("/pages/gone"))
		cluster.CreateWebhook(ctx, namespace, "retrying", endpoint.URL("/pages/failing"), retries)
		cluster.CreateWebhook(ctx, namespace, "held", endpoint.URL("/pages/ok"), func(w *v1alpha1.Webhook) { w.Spec.Suspend = true })
		for range 12 {
			suite.Post(ctx, gateway, "/v1/events", token, exampleOf("context.created"))
		}
		failed := deliveries(ctx, namespace, v1alpha1.DeliveryFailed, 13)
		retrying := deliveries(ctx, namespace, v1alpha1.DeliveryRetrying, 12)
		deliveries(ctx, namespace, v1alpha1.DeliverySucceeded, 12)
		base := "/dashboard/ns/" + namespace
		for _, l := range looks {
			t := signedIn(l, token)
			t.shows("Needs attention")
			t.picture("overview")
			for _, page := range [][2]string{
				{"/webhooks", "all-webhooks"}, {"/webhooks?q=nothing", "none-found"}, {"/webhooks/" + failing, "failing-webhook"},
				{"/deliveries/" + failed[0], "failed"}, {"/deliveries/" + retrying[0], "retrying"}, {"/event-types", "event-types"},
				{"/webhooks/" + failing + "/rotate", "rotate"}, {"/webhooks/" + failing + "/delete", "delete"}, {"/webhooks/" + failing + "/test", "test"},
				{"/webhooks/" + failing + "/edit", "edit"}, {"/webhooks/new", "new"},
				{"/nothing", "no-such-page"}, {"/webhooks/wh_0000000000000000", "no-such-webhook"},
			} {
				t.visit(base + page[0])
				ask[bool](t, `document.querySelectorAll("details:not(.menu)").forEach((d) => d.open = true), true`)
				t.picture(page[1])
			}
			ask[bool](t, `document.querySelector(".menu").open = true`)
			t.picture("menu")
		}
	}, SpecTimeout(4*time.Minute))

	It("holds whatever strangers write", func(ctx SpecContext) {
		namespace := cluster.NewNamespace(ctx, "hostile")
		token := cluster.NewAccount(ctx, namespace, "person", everything...)
		seed := GinkgoRandomSeed()
		random := rand.New(rand.NewPCG(uint64(seed), 1))
		for i := range 3 {
			text := hostileText(random)
			path := fmt.Sprintf("/hostile/%d", i)
			endpoint.Script(path, receiver.Step{Status: http.StatusInternalServerError, Body: text + strings.Repeat("W", payload.MaxBytes)})
			cluster.CreateWebhook(ctx, namespace, fmt.Sprintf("w%d", i), endpoint.URL(path)+"?"+strings.Repeat("long", 400), func(w *v1alpha1.Webhook) {
				w.Spec.Description = cutTo(text, 1000)
				w.Spec.Events = []string{"context.*", strings.Repeat("a", 120) + ".*"}
			})
		}
		data := hostileData(random)
		suite.Post(ctx, gateway, "/v1/events", token, `{"event":"context.failed","timestamp":"`+payload.FormatTimestamp(hostileTime)+`","data":`+data+`}`)
		failed := deliveries(ctx, namespace, v1alpha1.DeliveryFailed, 3)
		said(ctx, namespace, []string{hostileText(random), hostileText(random), strings.Repeat("W", 1024)})
		for _, l := range looks {
			t := signedIn(l, token)
			t.picture("hostile-overview")
			for _, path := range append([]string{"/webhooks", "/event-types"}, "/deliveries/"+failed[0], "/deliveries/"+failed[1], "/deliveries/"+failed[2]) {
				t.visit("/dashboard/ns/" + namespace + path)
				ask[bool](t, `document.querySelectorAll("details:not(.menu)").forEach((d) => d.open = true), true`)
				t.picture("hostile")
			}
			t.visit("/dashboard/ns/" + namespace + "/webhooks")
			mouse{}.press(t, "w1")
			t.picture("hostile-webhook")
			mouse{}.press(t, "Edit")
			t.picture("hostile-edit")
		}
	}, SpecTimeout(4*time.Minute))

	It("works without script but for what follows changes", func(ctx SpecContext) {
		namespace := cluster.NewNamespace(ctx, "noscript")
		cluster.CreateWebhook(ctx, namespace, "orders", endpoint.URL("/noscript"))
		token := cluster.NewAccount(ctx, namespace, "person", everything...)
		suite.Post(ctx, gateway, "/v1/events", token, exampleOf("context.created"))
		id := deliveries(ctx, namespace, v1alpha1.DeliverySucceeded, 1)[0]
		t := signedIn(scriptless, token)
		t.visit("/dashboard/ns/" + namespace + "/deliveries/" + id)
		t.picture("no-script")
		Expect(ask[string](t, `document.body.innerText`)).
			To(And(ContainSubstring("UTC"), ContainSubstring("does not follow changes without script"), Not(ContainSubstring("Copy exact body"))))
	}, SpecTimeout(time.Minute))
})

// said puts words into the mouths of endpoints, and of those who report errors,
// as long as there is place for: what endpoints on this machine say is not kept.
func said(ctx context.Context, namespace string, texts []string) {
	GinkgoHelper()
	var list v1alpha1.WebhookDeliveryList
	Expect(cluster.Client.List(ctx, &list, client.InNamespace(namespace))).To(Succeed())
	Expect(list.Items).To(HaveLen(len(texts)))
	for i, text := range texts {
		status := &list.Items[i].Status
		status.ErrorMessage = cutTo(text, 1024)
		status.AttemptLog[0].Message, status.AttemptLog[0].Answer = cutTo(text, 256), cutTo(text, 256)
		Expect(cluster.Client.Status().Update(ctx, &list.Items[i])).To(Succeed())
	}
}

// hostileText is markup, control characters, text that runs from right to left,
// stacked marks and words without an end, at random.
func hostileText(random *rand.Rand) string {
	pieces := []string{
		"<script>alert(1)</script>", "<img src=x onerror=alert(2)>", "</textarea></pre></main>", "<style>*{display:none}</style>", "<!--", "-->",
		"\u202e", "\u2066", "\u2067\u202b", "\u200f", "العربية", "עברית", "z" + strings.Repeat("\u0333\u030a", 60), strings.Repeat("W", 300),
		"\x01\x07\x1b[31m", "\u2028", "\u3164", "\ufeff", "😀👩\u200d🚀", "&lt;&amp;", "\"'`", "{{.}}", "javascript:alert(3)", strings.Repeat("\u200b", 50), " ", "\n",
	}
	var text strings.Builder
	for range 20 {
		text.WriteString(pieces[random.IntN(len(pieces))])
	}
	return text.String()
}

// hostileTime is when the hostile event was.
var hostileTime = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

// hostileData is data of an event that makes the largest body there may be,
// most of which is one line.
func hostileData(random *rand.Rand) string {
	GinkgoHelper()
	first, second := hostileText(random), hostileText(random)
	withDetails := func(length int) string {
		data, err := json.Marshal(map[string]any{
			"context_id": "ctx_1", "agent_id": first, "transaction_hash": nil, "status": "failed", "retry_possible": true,
			"failure_reason": "insufficient_gas", "error": map[string]string{"code": "E", "message": second, "details": strings.Repeat("W", length)},
		})
		Expect(err).NotTo(HaveOccurred())
		return string(data)
	}
	body, err := payload.Build("context.failed", hostileTime, []byte(withDetails(0)))
	Expect(err).NotTo(HaveOccurred())
	return withDetails(payload.MaxBytes - len(body))
}

func cutTo(text string, most int) string {
	runes := []rune(text)
	return string(runes[:min(len(runes), most)])
}

var _ = Describe("a page that is open", func() {
	It("follows what happens, also when it gets no stream", func(ctx SpecContext) {
		namespace := cluster.NewNamespace(ctx, "live")
		id := cluster.CreateWebhook(ctx, namespace, "orders", endpoint.URL("/live"))
		token := cluster.NewAccount(ctx, namespace, "person", everything...)
		t := signedIn(looks[0], token)
		t.visit("/dashboard/ns/" + namespace + "/webhooks/" + id)
		t.shows("Live")
		ask[bool](t, `(window.same = true)`)
		suite.Post(ctx, gateway, "/v1/events", token, exampleOf("context.created"))
		t.shows("succeeded context.created")
		Expect(ask[bool](t, `window.same === true`)).To(BeTrue(), "the page was not loaded again")
		mouse{}.press(t, "context.created")

		polling := signedIn(looks[0], token)
		command(polling, network.Enable, network.EnableParams{})
		command(polling, network.SetBlockedURLs, network.SetBlockedURLsParams{URLPatterns: []*network.BlockPattern{{URLPattern: "*://*:*/*/live?*", Block: true}}})
		polling.visit("/dashboard/ns/" + namespace + "/webhooks/" + id)
		polling.shows("Every 10 s")
		suite.Post(ctx, gateway, "/v1/events", token, exampleOf("context.failed"))
		polling.shows("context.failed")
		command(polling, network.SetBlockedURLs, network.SetBlockedURLsParams{})
		polling.shows("Live")
	}, SpecTimeout(2*time.Minute))

	It("says what changed to who cannot see it", func(ctx SpecContext) {
		namespace := cluster.NewNamespace(ctx, "focus")
		endpoint.Script("/focus", receiver.Step{Status: http.StatusInternalServerError}, receiver.Step{})
		cluster.CreateWebhook(ctx, namespace, "orders", endpoint.URL("/focus"), func(w *v1alpha1.Webhook) {
			w.Spec.RetryPolicy.Delays = &[]metav1.Duration{{Duration: time.Hour}}
		})
		token := cluster.NewAccount(ctx, namespace, "person", everything...)
		suite.Post(ctx, gateway, "/v1/events", token, exampleOf("context.created"))
		id := deliveries(ctx, namespace, v1alpha1.DeliveryRetrying, 1)[0]
		t := signedIn(looks[0], token)
		t.visit("/dashboard/ns/" + namespace + "/deliveries/" + id)
		t.shows("Live")
		suite.Post(ctx, gateway, "/v1/deliveries/"+id+"/retry", token, "")
		Eventually(func() string { return ask[string](t, `document.getElementById("announce").textContent`) }).
			Should(Equal("Delivery succeeded"))
	}, SpecTimeout(time.Minute))
})

var _ = Describe("what is to be copied", func() {
	It("is the exact body, and snippets that verify it", func(ctx SpecContext) {
		namespace := cluster.NewNamespace(ctx, "copy")
		cluster.CreateWebhook(ctx, namespace, "orders", endpoint.URL("/copy"))
		token := cluster.NewAccount(ctx, namespace, "person", everything...)
		suite.Post(ctx, gateway, "/v1/events", token, exampleOf("context.created"))
		id := deliveries(ctx, namespace, v1alpha1.DeliverySucceeded, 1)[0]
		t := signedIn(looks[0], token)
		t.visit("/dashboard/ns/" + namespace + "/deliveries/" + id)
		// What a page may do with the clipboard of this machine is the browser's
		// matter: what it writes is caught on the way.
		ask[bool](t, `navigator.clipboard.writeText = async (text) => { window.copied = text; }, true`)
		ask[bool](t, `[...document.querySelectorAll("button.copy")].find((b) => b.dataset.copyFrom).click(), true`)
		t.shows("Copied")
		sent := endpoint.Received("/copy")[0]
		Expect(ask[string](t, `window.copied`)).To(Equal(sent.Body))

		var secret string
		Expect(secretOf(ctx, namespace, "orders", &secret)).To(Succeed())
		folder := GinkgoT().TempDir()
		Expect(os.WriteFile(filepath.Join(folder, "body.json"), []byte(sent.Body), 0o600)).To(Succeed())
		for i, program := range [][]string{{"snippet.sh", "sh"}, {"snippet.mjs", "node"}, {"snippet.py", "python3"}, {"snippet.go", "go", "run"}} {
			code := ask[string](t, fmt.Sprintf(`document.getElementById("snippet-%d").textContent`, i))
			file := filepath.Join(folder, program[0])
			Expect(os.WriteFile(file, []byte(code), 0o600)).To(Succeed())
			for signature, want := range map[string]bool{sent.Header.Get("X-BBMCP-Signature"): true, strings.Repeat("0", 64): false} {
				command := exec.CommandContext(ctx, program[1], append(program[2:len(program):len(program)], file)...)
				command.Dir = folder
				command.Env = append(os.Environ(), "SECRET="+secret, "SIGNATURE="+signature)
				out, err := command.CombinedOutput()
				Expect(err == nil).To(Equal(want), "%s: %s", program[1], out)
				says := Equal("verified")
				if !want {
					says = Not(says)
				}
				Expect(strings.TrimSpace(string(out))).To(says, "%s: %s", program[1], out)
			}
		}
	}, SpecTimeout(2*time.Minute))
})

var _ = Describe("the history of the browser", func() {
	It("has neither a token nor a secret in it", func(ctx SpecContext) {
		namespace := cluster.NewNamespace(ctx, "history")
		cluster.CreateWebhook(ctx, namespace, "orders", endpoint.URL("/history"))
		token := cluster.NewAccount(ctx, namespace, "person", everything...)
		t := newTab(looks[0])
		t.visit("/dashboard/sign-in#token=" + token)
		Expect(t.where()).NotTo(ContainSubstring("token"))
		mouse{}.press(t, "Sign in")
		t.shows("Overview")
		t.visit("/dashboard/ns/" + namespace + "/webhooks")
		mouse{}.press(t, "orders")
		mouse{}.press(t, "Rotate secret")
		mouse{}.press(t, "Make a new secret")
		secret := ask[string](t, `document.getElementById("secret-value").textContent`)
		Expect(secret).To(HavePrefix("whsec_"))
		t.run(chromedp.Reload())
		t.settled()
		Expect(ask[string](t, `document.documentElement.outerHTML`)).NotTo(ContainSubstring(secret), "reloading shows the webhook")
		mouse{}.press(t, "Webhooks")
		t.run(chromedp.NavigateBack())
		t.settled()
		Expect(ask[string](t, `document.documentElement.outerHTML`)).NotTo(ContainSubstring(secret), "going back shows the webhook")
		for _, visited := range command(t, page.GetNavigationHistory, cdp.Empty{}).Entries {
			Expect(visited.URL).NotTo(Or(ContainSubstring(token), ContainSubstring(secret)))
		}
	}, SpecTimeout(time.Minute))
})
