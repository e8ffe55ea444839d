// SPDX-License-Identifier: Apache-2.0

package dashboard_test

import (
	"net/http"
	"regexp"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/test/receiver"
)

var secretText = regexp.MustCompile(`whsec_[A-Za-z0-9+/]{43}=`)

var _ = Describe("a person without script", func() {
	It("can create a webhook, see a delivery fail and why, correct the URL, retry and see it succeed", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		wrong, right := "/"+namespace+"/wrong", "/"+namespace+"/right"
		endpoint.Script(wrong, receiver.Step{Status: http.StatusNotFound})
		p := signIn(ctx, newAccount(ctx, namespace, "person", everything...))
		Expect(p.mainText()).To(ContainSubstring("Nothing is set up here yet"))

		By("creating it")
		p.follow(ctx, "Create the first webhook")
		p.submit(ctx, "Create webhook", fields{"name": "orders", "url": endpoint.URL(wrong), "events": "context.*", "description": "the orders team"})
		Expect(p.status).To(Equal(http.StatusOK), p.source)
		Expect(p.mainText()).To(ContainSubstring("it is not shown again"))
		Expect(secretText.FindAllString(p.pageText(), -1)).To(HaveLen(1))
		cluster.SetOneAttempt(ctx, namespace, "orders")

		By("sending a test event")
		p.follow(ctx, "I have copied it, go to the webhook")
		Expect(p.mainText()).To(And(ContainSubstring("the orders team"), ContainSubstring("Nothing was sent yet"), ContainSubstring("context.*")))
		p.follow(ctx, "Send test event")
		Expect(p.mainText()).To(ContainSubstring("This is the type's example"))
		p.submit(ctx, "Send test event", nil)
		Expect(p.mainText()).To(ContainSubstring("The test event is on its way"))
		delivery := p.at.Path
		Eventually(ctx, func() string { p.visit(ctx, delivery); return p.mainText() }).WithTimeout(eventualTimeout).WithPolling(pollEvery).
			Should(ContainSubstring("The endpoint answered 404 Not Found"))

		By("finding it, and why it failed")
		p.visit(ctx, "/dashboard/")
		p.follow(ctx, "Webhooks")
		p.follow(ctx, "orders")
		p.submit(ctx, "Filter", fields{"status": "failed"})
		p.follow(ctx, "context.confirmed")
		Expect(p.mainText()).To(And(
			ContainSubstring("does not know this path"),
			ContainSubstring("X-BBMCP-Signature …"), ContainSubstring("X-BBMCP-Test true"), ContainSubstring(`{"event":"context.confirmed","timestamp":`),
		))

		By("mending the URL")
		p.follow(ctx, "Change the URL")
		p.submit(ctx, "Save", fields{"url": endpoint.URL(right)})
		Expect(p.mainText()).To(ContainSubstring("Saved."))
		Expect(p.mainText()).To(ContainSubstring(right))

		By("retrying")
		p.visit(ctx, delivery)
		p.submit(ctx, "Retry now", nil)
		Expect(p.mainText()).To(ContainSubstring("One attempt is being made now"))
		Eventually(ctx, func() string { p.visit(ctx, delivery); return textOf(findFirst(p.page, h1)) }).WithTimeout(eventualTimeout).WithPolling(pollEvery).
			Should(ContainSubstring("succeeded"))
		Expect(p.hasControl("Retry now")).To(BeFalse())
		Expect(endpoint.Received(right)).To(HaveLen(1))
		p.visit(ctx, delivery+"/body")
		Expect(p.source).To(Equal(endpoint.Received(right)[0].Body))
		Expect(p.answer.Get("Content-Disposition")).To(HavePrefix("attachment"))

		By("leaving")
		p.visit(ctx, "/dashboard/")
		p.submit(ctx, "Sign out", nil)
		p.visit(ctx, delivery)
		Expect(p.status).To(Equal(http.StatusUnauthorized))
		Expect(p.mainText()).To(ContainSubstring("Token of a ServiceAccount"))
	}, SpecTimeout(2*time.Minute))

	It("can suspend, resume, rotate and delete a webhook", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		id := createWebhook(ctx, namespace, "orders", endpoint.URL("/"+namespace))
		p := signIn(ctx, newAccount(ctx, namespace, "person", everything...))
		page := "/dashboard/ns/" + namespace + "/webhooks/" + id
		p.visit(ctx, page)
		p.submit(ctx, "Suspend", nil)
		Expect(p.mainText()).To(ContainSubstring("Suspended. Deliveries are held"))
		p.submit(ctx, "Resume", nil)
		Expect(p.mainText()).To(ContainSubstring("Resumed."))

		p.follow(ctx, "Rotate secret")
		p.submit(ctx, "Make a new secret", nil)
		secret := secretText.FindString(p.pageText())
		Expect(secret).NotTo(BeEmpty())
		Expect(p.mainText()).To(ContainSubstring("For 1 d the old secret signs too"))
		Expect(p.answer.Get("Cache-Control")).To(Equal("no-store"))

		p.visit(ctx, page)
		p.follow(ctx, "Delete")
		p.submit(ctx, "Delete for good", nil)
		Expect(p.mainText()).To(ContainSubstring("Deleted, with its secret"))
		p.visit(ctx, page)
		Expect(p.status).To(Equal(http.StatusNotFound))
		Expect(p.mainText()).To(ContainSubstring("Go back to the list"))
	}, SpecTimeout(2*time.Minute))

	It("sees each error next to its field, and loses no input", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		p := signIn(ctx, newAccount(ctx, namespace, "person", everything...))
		p.visit(ctx, "/dashboard/ns/"+namespace+"/webhooks/new")
		p.submit(ctx, "Create webhook", fields{"name": "orders", "url": "ftp://example.com", "events": "no spaces.*.x", "description": "kept"})
		Expect(p.status).To(Equal(http.StatusUnprocessableEntity))
		form := formValues(p.findForm("Create webhook"))
		Expect(form).To(And(HaveKeyWithValue("url", []string{"ftp://example.com"}), HaveKeyWithValue("description", []string{"kept"})))
		Expect(p.source).To(ContainSubstring(`class="wrong"`))
		Expect(textOf(findFirst(p.page, title))).To(HavePrefix("Error: "))

		By("mending it")
		p.submit(ctx, "Create webhook", fields{"url": "https://example.com/hook", "events": "*"})
		Expect(p.status).To(Equal(http.StatusOK), p.source)

		By("sending no JSON as a test")
		p.follow(ctx, "I have copied it, go to the webhook")
		p.follow(ctx, "Send test event")
		p.submit(ctx, "Send test event", fields{"data": "{\n  \"a\": 1,\n}"})
		Expect(p.status).To(Equal(http.StatusUnprocessableEntity))
		Expect(p.mainText()).To(ContainSubstring("In line 3:"))
		Expect(formValues(p.findForm("Send test event"))).To(HaveKeyWithValue("data", []string{"{\n  \"a\": 1,\n}"}))
	}, SpecTimeout(2*time.Minute))

	It("does not overwrite another caller's change", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		id := createWebhook(ctx, namespace, "orders", "https://example.com/one")
		token := newAccount(ctx, namespace, "person", everything...)
		mine, theirs := signIn(ctx, token), signIn(ctx, token)
		edit := "/dashboard/ns/" + namespace + "/webhooks/" + id + "/edit"
		mine.visit(ctx, edit)
		theirs.visit(ctx, edit)
		theirs.submit(ctx, "Save", fields{"description": "theirs"})
		Expect(theirs.status).To(Equal(http.StatusOK), theirs.source)
		mine.submit(ctx, "Save", fields{"description": "mine"})
		Expect(mine.status).To(Equal(http.StatusPreconditionFailed), mine.mainText())
		Expect(mine.mainText()).To(And(ContainSubstring("Somebody else was faster"), ContainSubstring("Description now theirs")))
		mine.submit(ctx, "Save", nil)
		Expect(mine.mainText()).To(And(ContainSubstring("Saved."), ContainSubstring("mine")))
	}, SpecTimeout(time.Minute))

	It("can page through deliveries and filter them by state and type", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		id := createWebhook(ctx, namespace, "orders", endpoint.URL("/"+namespace))
		token := newAccount(ctx, namespace, "person", everything...)
		example := readExample("context.created")
		for range 30 {
			publishEvent(ctx, token, example)
		}
		publishEvent(ctx, token, readExample("context.failed"))
		p := signIn(ctx, token)
		page := "/dashboard/ns/" + namespace + "/webhooks/" + id
		p.visit(ctx, page)
		Expect(strings.Count(p.source, "/deliveries/dlv_")).To(Equal(25))
		p.follow(ctx, "Older")
		Expect(strings.Count(p.source, "/deliveries/dlv_")).To(Equal(6))
		p.submit(ctx, "Filter", fields{"event": "context.failed"})
		Expect(strings.Count(p.source, "/deliveries/dlv_")).To(Equal(1))
		p.submit(ctx, "Filter", fields{"event": "context.failed", "status": "pending"})
		Eventually(ctx, func() string {
			p.visit(ctx, page+"?status=failed")
			return p.mainText()
		}).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(ContainSubstring("No delivery fits the filter"))
	}, SpecTimeout(time.Minute))

	It("sees on the overview which webhooks need attention", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		endpoint.Script("/"+namespace, receiver.Step{Status: http.StatusGone})
		createWebhook(ctx, namespace, "gone", endpoint.URL("/"+namespace))
		token := newAccount(ctx, namespace, "person", everything...)
		publishEvent(ctx, token, readExample("context.created"))
		awaitDelivery(ctx, namespace, v1alpha1.DeliveryFailed)
		p := signIn(ctx, token)
		Eventually(ctx, func() string { p.visit(ctx, "/dashboard/ns/"+namespace+"/"); return p.mainText() }).WithTimeout(eventualTimeout).WithPolling(pollEvery).
			Should(And(ContainSubstring("Needs attention disabled gone"), ContainSubstring("Failed last failed context.created")))
		p.follow(ctx, "gone")
		p.submit(ctx, "Enable", nil)
		Expect(p.mainText()).To(ContainSubstring("Enabled."))
	}, SpecTimeout(time.Minute))
})

var _ = Describe("the form of a webhook", func() {
	It("has retry and retention settings, and warns of unknown event types", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		p := signIn(ctx, newAccount(ctx, namespace, "person", everything...))
		p.follow(ctx, "Create the first webhook")
		typed := fields{
			"name": "orders", "url": endpoint.URL("/" + namespace), "events": "context.craeted", "retry-delays": "1s, 2m", "retry-timeout": "soon",
			"overflow": "Refuse", "retention-failed": "48h",
		}
		p.submit(ctx, "Create webhook", typed)
		Expect(p.status).To(Equal(http.StatusUnprocessableEntity))
		Expect(p.mainText()).To(ContainSubstring(`such as "10s"`))
		p.submit(ctx, "Create webhook", fields{"retry-timeout": "5s"}) // the rest stands there still
		Expect(p.status).To(Equal(http.StatusOK), p.source)
		Expect(p.mainText()).To(ContainSubstring(`did you mean "context.created"?`))

		p.follow(ctx, "I have copied it, go to the webhook")
		Expect(p.mainText()).To(And(
			ContainSubstring(`did you mean "context.created"?`), ContainSubstring("3 attempts, 1 s, 2 min after the one before, each 5 s at most"),
			ContainSubstring("publishers are refused"), ContainSubstring("48h after failure"),
		))
		p.follow(ctx, "Edit")
		p.submit(ctx, "Save", fields{"events": "context.created", "retry-delays": "none", "retry-timeout": "", "overflow": "", "retention-failed": ""})
		Expect(p.status).To(Equal(http.StatusOK), p.source)
		Expect(p.mainText()).To(And(
			ContainSubstring("Saved."), ContainSubstring("one attempt, 10 s at most"), ContainSubstring("new events pass it by"),
			ContainSubstring("after failure as the operator says"), Not(ContainSubstring("did you mean")),
		))
	})
})
