// SPDX-License-Identifier: Apache-2.0

//go:build chromium

package dashboard

import (
	"net/http"
	"slices"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"bbmcp.quietstack.com/webhooks/test/receiver"
)

var _ = Describe("the journey", func() {
	for i, l := range append(slices.Clone(looks), scriptless) {
		// The first look is at a keyboard without a mouse.
		var with hand = mouse{}
		how := ""
		if i == 0 {
			with, how = keyboard{}, ", by keyboard"
		}
		It("from a token to a delivery that arrives works in "+l.name+how, func(ctx SpecContext) {
			namespace := cluster.NewNamespace(ctx, "shop-"+l.name)
			wrong, right := "/"+namespace+"/hokks", "/"+namespace+"/hooks"
			endpoint.Script(wrong, receiver.Step{Status: http.StatusNotFound, Body: "404: there is no /hokks here"})
			token := cluster.NewAccount(ctx, namespace, "person", everything...)
			t := newTab(l)

			t.visit("/dashboard/")
			t.picture("sign-in")
			with.fill(t, "token", token)
			with.press(t, "Sign in")
			t.shows("Nothing is set up here yet")
			Expect(ask[string](t, `document.cookie`)).To(BeEmpty(), "no script sees the token")
			t.picture("empty-overview")

			with.press(t, "Create the first webhook")
			with.fill(t, "name", "orders")
			with.fill(t, "url", endpoint.URL(wrong))
			with.fill(t, "events", "context.*")
			with.fill(t, "description", "The orders team; call Ada")
			t.picture("new-webhook")
			with.press(t, "Create webhook")
			t.shows("it is not shown again")
			t.picture("secret")
			cluster.SetOneAttempt(ctx, namespace, "orders")
			with.press(t, "I have copied it, go to the webhook")
			t.shows("Nothing was sent yet")
			t.picture("webhook")

			with.press(t, "Send test event")
			t.picture("test-event")
			with.press(t, "Send test event")
			t.shows("The endpoint answered 404 Not Found")
			t.picture("failed-delivery")

			with.press(t, "Webhooks")
			t.shows("orders")
			t.picture("webhooks")
			with.press(t, "orders")
			with.fill(t, "status", "failed")
			with.press(t, "Filter")
			t.picture("failed-deliveries")
			with.press(t, "context.confirmed")
			t.shows("Look for a mistake in the URL")

			with.press(t, "Change the URL")
			with.fill(t, "url", endpoint.URL(right))
			t.picture("edit")
			with.press(t, "Save")
			t.shows("Saved.")
			with.press(t, "context.confirmed")
			with.press(t, "Retry now")
			t.shows("context.confirmed succeeded")
			t.picture("succeeded")
			Expect(endpoint.Received(right)).To(HaveLen(1))
		}, SpecTimeout(3*time.Minute))
	}
})
