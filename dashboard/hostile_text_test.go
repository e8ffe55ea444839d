// SPDX-License-Identifier: Apache-2.0

package dashboard_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/identity"
	"bbmcp.quietstack.com/webhooks/test/receiver"
)

// hostile is text that would do harm if it were taken for anything but text.
const hostile = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'`{{.}}</textarea></title><!--\u202egnp.exe\u2066\u200b\ufeff\x7f\u0085\u2028"

// expectHarmless reports whether a page has none of it as anything but text.
func (p *person) expectHarmless() {
	GinkgoHelper()
	Expect(findAll(p.page, atom.Img)).To(BeEmpty(), p.at.String())
	for _, script := range findAll(p.page, atom.Script) {
		Expect(attribute(script, "src")).To(HavePrefix("/dashboard/assets/"))
	}
	for node := range p.page.Descendants() {
		Expect(node.Type).NotTo(Equal(html.CommentNode), p.at.String())
		for _, a := range node.Attr {
			Expect(a.Key).NotTo(HavePrefix("on"), p.at.String())
		}
		if node.Type == html.TextNode && node.Parent.DataAtom != atom.Textarea && node.Parent.DataAtom != atom.Option {
			Expect(node.Data).NotTo(ContainSubstring("\u202e"), p.at.String())
			Expect(strings.ContainsAny(node.Data, "\u2066\u200b\ufeff\x7f\u0085\u2028\x1b\x00")).To(BeFalse(), node.Data)
		}
	}
}

// setAnswer stores an answer in the first delivery of a namespace: answers of loopback
// endpoints are not stored.
func setAnswer(ctx context.Context, namespace, text string) {
	GinkgoHelper()
	var list v1alpha1.WebhookDeliveryList
	Expect(cluster.Client.List(ctx, &list, inNamespace(namespace))).To(Succeed())
	delivery := &list.Items[0]
	delivery.Status.ErrorMessage = text
	delivery.Status.AttemptLog[0].Answer, delivery.Status.AttemptLog[0].Message = text, text
	Expect(cluster.Client.Status().Update(ctx, delivery)).To(Succeed())
}

func truncateTo(text string, most int) string {
	runes := []rune(text)
	return string(runes[:min(len(runes), most)])
}

var _ = Describe("text that strangers wrote", func() {
	It("is escaped on every page", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		eventType := &v1alpha1.EventType{
			ObjectMeta: metav1.ObjectMeta{Name: namespace},
			Spec:       v1alpha1.EventTypeSpec{Type: "hostile." + namespace, Description: strings.ReplaceAll(hostile, "\x7f", ""), Schema: `{"type":"object","description":"<script>alert(3)</script>"}`},
		}
		Expect(cluster.Client.Create(ctx, eventType)).To(Succeed())
		DeferCleanup(func(ctx SpecContext) { Expect(cluster.Client.Delete(ctx, eventType)).To(Succeed()) })
		endpoint.Script("/"+namespace, receiver.Step{Status: http.StatusInternalServerError})
		id := createWebhook(ctx, namespace, "orders", endpoint.URL("/"+namespace+"?<script>=\"'"), func(w *v1alpha1.Webhook) {
			w.Spec.Description = hostile
			w.Spec.URL = endpoint.URL("/" + namespace + "?%3Cscript%3E='alert(5)'")
		})
		token := newAccount(ctx, namespace, "person", everything...)
		data, err := json.Marshal(map[string]string{"a": hostile, "b": strings.Repeat("W", 200<<10)})
		Expect(err).NotTo(HaveOccurred())
		event, err := json.Marshal(map[string]any{"event": eventType.Spec.Type, "data": json.RawMessage(data)})
		Expect(err).NotTo(HaveOccurred())
		Eventually(ctx, func() bool {
			p := signIn(ctx, token)
			p.visit(ctx, "/dashboard/ns/"+namespace+"/event-types")
			return strings.Contains(p.source, eventType.Spec.Type)
		}).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(BeTrue())
		publishEvent(ctx, token, string(event))
		delivery := awaitDelivery(ctx, namespace, v1alpha1.DeliveryFailed)
		setAnswer(ctx, namespace, "<b onclick=alert(4)>bold</b> "+truncateTo(hostile, 150))

		p := signIn(ctx, token)
		base := "/dashboard/ns/" + namespace
		for path, shows := range map[string]string{
			"/":                                "orders",
			"/webhooks":                        "orders",
			"/webhooks?q=%3Cscript%3Ealert(6)": "None of 1 fits the filter",
			"/webhooks/" + id:                  "<script>alert(1)</script>",
			"/webhooks/" + id + "/edit":        "<script>alert(1)</script>",
			"/webhooks/" + id + "/test?event=" + eventType.Spec.Type:      "This type has no example",
			"/webhooks/" + id + "?event=%3Cscript%3E&status=%3Cscript%3E": "No delivery fits the filter",
			"/deliveries/" + delivery:                                     "<b onclick=alert(4)>bold</b>",
			"/event-types":                                                "<script>alert(1)</script>",
			"/nothing/%3Cscript%3Ealert(7)":                               "There is no such page",
		} {
			p.visit(ctx, base+path)
			Expect(p.mainText()).To(ContainSubstring(shows), path)
			p.expectHarmless()
		}
		p.visit(ctx, base+"/deliveries/"+delivery)
		Expect(p.mainText()).To(ContainSubstring("U+202E"), "what turns text around is shown as what it is")
		Expect(p.source).To(ContainSubstring("more are in the download"))
		Expect(len(p.source)).To(BeNumerically("<", 80<<10), "a large body does not make a large page")
		p.visit(ctx, base+"/deliveries/"+delivery+"/body")
		Expect(len(p.source)).To(BeNumerically(">", 200<<10))
		Expect(p.answer.Get("Content-Type")).To(Equal("application/octet-stream"))
	}, SpecTimeout(time.Minute))

	It("makes a page of bounded size", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		levels := strings.Repeat("[", 8191) + strings.Repeat("]", 8191)
		eventType := &v1alpha1.EventType{
			ObjectMeta: metav1.ObjectMeta{Name: namespace},
			Spec:       v1alpha1.EventTypeSpec{Description: "of " + namespace, Schema: `{"const":` + levels + `}`, Example: `{"a":` + levels + `}`},
		}
		Expect(cluster.Client.Create(ctx, eventType)).To(Succeed())
		DeferCleanup(func(ctx SpecContext) { Expect(cluster.Client.Delete(ctx, eventType)).To(Succeed()) })
		made := &v1alpha1.WebhookDelivery{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "by-hand"},
			Spec:       v1alpha1.WebhookDeliverySpec{WebhookRef: v1alpha1.WebhookReference{Name: "orders"}, EventID: "deep", EventType: "context.created", Payload: levels},
		}
		Expect(cluster.Client.Create(ctx, made)).To(Succeed())
		token := newAccount(ctx, namespace, "person", everything...)
		p := signIn(ctx, token)
		id := identity.DeliveryID(made.Name, string(made.UID))
		Eventually(ctx, func() bool {
			p.visit(ctx, "/dashboard/ns/"+namespace+"/event-types")
			return strings.Contains(p.source, eventType.Spec.Description)
		}).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(BeTrue())
		Expect(len(p.source)).To(BeNumerically("<", 256<<10))
		Expect(p.source).NotTo(ContainSubstring("[[[["), "what is no schema is not shown")
		began := time.Now()
		for range 20 {
			p.visit(ctx, "/dashboard/ns/"+namespace+"/deliveries/"+id)
			Expect(p.status).To(Equal(http.StatusOK))
			Expect(len(p.source)).To(BeNumerically("<", 64<<10))
			Expect(p.source).NotTo(ContainSubstring("In readable lines"))
		}
		Expect(time.Since(began)).To(BeNumerically("<", eventualTimeout), "each cost eleven seconds")
	}, SpecTimeout(time.Minute))

	It("in a URL of a page does no harm", func(ctx SpecContext) {
		p := signIn(ctx, newAccount(ctx, newNamespace(ctx), "person", everything...))
		for _, path := range []string{
			"/dashboard/?namespace=%3Cscript%3E", "/dashboard/ns/%3Cscript%3E/", "/dashboard/ns/..%2f..%2fv1/webhooks", "/dashboard/ns/a/webhooks/%00",
			"/dashboard/ns/kube-system/", "/dashboard/?done=%3Cscript%3E", "/dashboard/sign-in?to=javascript:alert(1)",
		} {
			p.visit(ctx, path)
			Expect(p.status).To(BeNumerically("<", 500), path)
			p.expectHarmless()
		}
	}, SpecTimeout(time.Minute))
})
