// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"math"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/attempt"
	"bbmcp.quietstack.com/webhooks/internal/signingsecret"
)

const eternity = 1e6 * hour

func TestForgedTimesPostponeNothing(t *testing.T) {
	s := deliveryScope{now: at(0), webhook: someWebhook()}
	s.delivery = someDelivery(func(d *v1alpha1.WebhookDelivery) { d.Spec.NotBefore = micro(eternity) })
	same(t, nextPlan(s), plan{lookAgain: at(hour)})
	s.now = at(hour)
	same(t, nextPlan(s), plan{start: true, number: 1, lookAgain: at(72 * hour)})

	s = deliveryScope{now: at(0), webhook: someWebhook(func(w *v1alpha1.Webhook) { w.Spec.DeliveryDeadline = duration(720 * hour) })}
	s.delivery = someDelivery(func(d *v1alpha1.WebhookDelivery) {
		d.Status.State, d.Status.Attempts = v1alpha1.DeliveryRetrying, 1
		d.Status.LastAttemptTime, d.Status.NextAttemptTime = micro(0), micro(eternity)
	})
	same(t, nextPlan(s), plan{lookAgain: at(48*hour + 30*time.Second)})
	s.now = at(49 * hour)
	same(t, nextPlan(s), plan{start: true, number: 2, lookAgain: at(720 * hour)})
}

// The next one would have no number: it would be made again and again.
func TestADeliveryThatHasHadAllAttemptsThereAreFails(t *testing.T) {
	s := deliveryScope{now: at(0), webhook: someWebhook()}
	s.delivery = someDelivery(func(d *v1alpha1.WebhookDelivery) {
		d.Status.State, d.Status.Attempts = v1alpha1.DeliveryRetrying, math.MaxInt32
	})
	status := nextDeliveryStatus(s)
	same(t, status.State, v1alpha1.DeliveryFailed)
	s.delivery.Status = *status
	asked("now")(s.delivery)
	status = nextDeliveryStatus(s)
	same(t, status.LastHandledRetryAt, "now")
	s.delivery.Status = *status
	same(t, nextPlan(s), plan{})
}

var _ = Describe("A Retry-After in the status of a delivery", func() {
	// forged has an attempt that ended just now by the answer 429.
	forged := func(changes ...func(*v1alpha1.WebhookDelivery)) func(*v1alpha1.WebhookDelivery) {
		return func(d *v1alpha1.WebhookDelivery) {
			d.Spec.FirstAttempt = &v1alpha1.Attempt{
				Number: 1, StartTime: metav1.NowMicro(), Reason: "Throttled",
				RetryAfterTime: new(metav1.NewMicroTime(time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC))),
			}
			for _, change := range changes {
				change(d)
			}
		}
	}
	var namespace string
	var o *operator
	var webhook *v1alpha1.Webhook
	BeforeEach(func(ctx SpecContext) {
		namespace = newNamespace(ctx)
		o = startOperator(operatorOptions{namespace: namespace})
		webhook = create(ctx, newWebhookIn(namespace))
		Eventually(ready(ctx, webhook)).Should(Equal("True Ready"))
	})
	// handled waits until the operator has looked at a delivery that was made.
	handled := func(ctx SpecContext, delivery *v1alpha1.WebhookDelivery) {
		GinkgoHelper()
		Eventually(state(ctx, delivery)).ShouldNot(HavePrefix(" "), "it has a status")
	}

	It("holds its webhook for an hour at most", func(ctx SpecContext) {
		handled(ctx, create(ctx, newDeliveryIn(namespace, "a", owned(webhook), forged())))
		Expect(o.runner.HoldUntil(client.ObjectKeyFromObject(webhook))).To(BeTemporally("~", time.Now().Add(time.Hour), time.Minute))
	}, SpecTimeout(soon))

	for about, change := range map[string]func(*v1alpha1.WebhookDelivery){
		"another one owns it":           func(d *v1alpha1.WebhookDelivery) { d.OwnerReferences[0].UID = types.UID("another") },
		"there is no such webhook":      func(d *v1alpha1.WebhookDelivery) { d.OwnerReferences, d.Spec.WebhookRef.Name = nil, "none" },
		"another endpoint asked for it": func(d *v1alpha1.WebhookDelivery) { d.Spec.FirstAttempt.EndpointRevision = "former" },
	} {
		It("holds nothing if "+about, func(ctx SpecContext) {
			handled(ctx, create(ctx, newDeliveryIn(namespace, "a", owned(webhook), forged(change))))
			Expect(o.runner.HoldUntil(client.ObjectKeyFromObject(webhook))).To(BeZero())
			Expect(o.runner.Stats().Held).To(BeZero(), "webhooks that do not exist included")
			Eventually(state(ctx, create(ctx, newDeliveryIn(namespace, "b")))).Should(Equal("Succeeded Delivered 1"))
		}, SpecTimeout(soon))
	}
})

// The gateway's attempt may have been on its way when the url changed.
var _ = Describe("A first attempt to the former url", func() {
	for _, c := range []struct {
		answer string
		first  v1alpha1.Attempt
		ends   string
	}{
		{"410 to the last attempt there is", v1alpha1.Attempt{ResponseStatus: new(int32(410)), Reason: "Gone"}, "Failed AttemptsExhausted 1"},
		{"500 to the last attempt there is", v1alpha1.Attempt{ResponseStatus: new(int32(500)), Reason: "HTTPStatus"}, "Failed AttemptsExhausted 1"},
	} {
		It("says nothing about the new one: "+c.answer, func(ctx SpecContext) {
			namespace := newNamespace(ctx)
			startOperator(operatorOptions{namespace: namespace})
			webhook := create(ctx, newWebhookIn(namespace, func(w *v1alpha1.Webhook) {
				w.Spec.URL, w.Spec.RetryPolicy = cluster.receiver.URL("/former"), delays()
			}))
			Eventually(ready(ctx, webhook)).Should(Equal("True Ready"))
			former := signingsecret.EndpointRevision(webhook)
			change(ctx, webhook, func(w *v1alpha1.Webhook) { w.Spec.URL = cluster.receiver.URL("/" + namespace) })
			Eventually(ready(ctx, webhook)).Should(Equal("True Ready"))
			c.first.Number, c.first.StartTime, c.first.EndpointRevision = 1, metav1.NowMicro(), former
			Eventually(state(ctx, create(ctx, newDeliveryIn(namespace, "a", owned(webhook), func(d *v1alpha1.WebhookDelivery) {
				d.Spec.FirstAttempt = &c.first
			})))).Should(Equal(c.ends))
			Eventually(state(ctx, create(ctx, newDeliveryIn(namespace, "b")))).Should(Equal("Succeeded Delivered 1"))
			Eventually(func() int64 {
				return fresh(ctx, webhook).Status.DeliveriesFailed + fresh(ctx, webhook).Status.DeliveriesSucceeded
			}).Should(BeNumerically(">", 0))
			Expect(webhook.Status.State).To(Equal(v1alpha1.WebhookActive))
			Expect(webhook.Status.LastFailureTime).To(BeNil(), fmt.Sprint(webhook.Status))
		}, SpecTimeout(2*soon))
	}
})

func TestAnAttemptSaysWhichEndpointItWentTo(t *testing.T) {
	made := attemptLogEntry(attempt.Outcome{Number: 1, Note: attemptNote{revision: "b"}})
	same(t, made.EndpointRevision, "b")
}
