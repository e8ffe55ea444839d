// SPDX-License-Identifier: Apache-2.0

package process_test

import (
	"context"
	"net/http"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/test/receiver"
	"bbmcp.quietstack.com/webhooks/test/suite"
)

// toldWithin is how soon people must see that an endpoint takes nothing.
const toldWithin = 30 * time.Second

var _ = Describe("an endpoint that takes nothing", func() {
	healthOf := func(ctx context.Context, webhook *v1alpha1.Webhook) metav1.Condition {
		GinkgoHelper()
		Expect(cluster.Client.Get(ctx, client.ObjectKeyFromObject(webhook), webhook)).To(Succeed())
		return *meta.FindStatusCondition(webhook.Status.Conditions, v1alpha1.ConditionEndpointHealthy)
	}
	// reasons are those of the Events about a webhook.
	reasons := func(ctx context.Context, webhook *v1alpha1.Webhook) (all []string) {
		GinkgoHelper()
		var list eventsv1.EventList
		Expect(cluster.Client.List(ctx, &list, client.InNamespace(webhook.Namespace))).To(Succeed())
		for _, event := range list.Items {
			if event.Regarding.Name == webhook.Name {
				all = append(all, event.Reason)
			}
		}
		return all
	}

	It("is told of within 30 s, long before a delivery fails for good", SpecTimeout(3*time.Minute), func(ctx SpecContext) {
		t := newTenant(ctx, receiver.Options{})
		startLeader(ctx, supervised())
		e := newEmitter(ctx, t)
		t.endpoint.Script("/broken", receiver.Step{Status: http.StatusInternalServerError})
		t.endpoint.Script("/hanging", receiver.Step{Fault: receiver.Hang})
		t.endpoint.Script("/slowest", receiver.Step{Fault: receiver.Hang})
		t.endpoint.Script("/mended", receiver.Step{Times: 3, Status: http.StatusInternalServerError}, receiver.Step{})
		broken, hanging, well := t.declare(ctx, "broken"), t.declare(ctx, "hanging"), t.declare(ctx, "well")
		mended := t.declare(ctx, "mended", func(spec *v1alpha1.WebhookSpec) {
			spec.RetryPolicy = &v1alpha1.RetryPolicy{Delays: &[]metav1.Duration{{Duration: time.Second}, {Duration: time.Second}, {Duration: 30 * time.Second}}}
		})
		slowest := t.declare(ctx, "slowest", func(spec *v1alpha1.WebhookSpec) {
			spec.RetryPolicy = &v1alpha1.RetryPolicy{Timeout: &metav1.Duration{Duration: 29 * time.Second}}
		})
		t.ready(ctx, broken, hanging, slowest, well, mended)

		began := time.Now()
		status, answer := e.post(ctx, "health-1", "")
		Expect(status).To(Equal(http.StatusAccepted), answer)
		var took []string
		failing := map[string]*v1alpha1.Webhook{"broken": broken, "hanging": hanging, "slowest": slowest, "mended": mended}
		waiting := map[string]bool{"broken": true, "hanging": true, "slowest": true, "mended": true}
		Eventually(ctx, func() map[string]bool {
			for name := range waiting {
				if condition := healthOf(ctx, failing[name]); condition.Status == metav1.ConditionFalse {
					took = append(took, name+" "+time.Since(began).Round(100*time.Millisecond).String())
					Expect(condition.Reason).To(Equal(v1alpha1.ReasonAttemptsFailing))
					Expect(failing[name].Status.State).To(Equal(v1alpha1.WebhookActive), "old clients see what they have always seen")
					delete(waiting, name)
				}
			}
			return waiting
		}).WithTimeout(toldWithin).WithPolling(5 * suite.PollEvery).Should(BeEmpty())
		GinkgoWriter.Println("told after:", took)
		AddReportEntry("told after", took)
		Expect(healthOf(ctx, broken).Message).To(ContainSubstring("the latest with HTTPStatus 500"))
		Expect(healthOf(ctx, hanging).Message).To(ContainSubstring("the latest with Timeout"))
		Expect(meta.FindStatusCondition(broken.Status.Conditions, v1alpha1.ConditionReady).Message).To(ContainSubstring("does not take them"))
		Expect(healthOf(ctx, well).Reason).To(Equal(v1alpha1.ReasonDelivering))
		Expect(reasons(ctx, broken)).To(ContainElement(v1alpha1.ReasonAttemptsFailing))

		By("being mended")
		Eventually(ctx, func() string { return healthOf(ctx, mended).Reason }).WithTimeout(suite.Soon + toldWithin).WithPolling(5 * suite.PollEvery).Should(Equal(v1alpha1.ReasonDelivering))
		Eventually(ctx, func() []string { return reasons(ctx, mended) }).Should(ContainElement("Recovered"))

		By("getting another url")
		broken.Spec.URL = t.endpoint.URL("/new")
		Expect(cluster.Client.Update(ctx, broken)).To(Succeed())
		Eventually(ctx, func() string { return healthOf(ctx, broken).Reason }).Should(Equal(v1alpha1.ReasonNoDeliveries))
		Expect(reasons(ctx, broken)).NotTo(ContainElement("Recovered"))
	})
})
