// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/test/admission"
)

// says polls what Ready says of a webhook, and why.
func says(ctx context.Context, webhook *v1alpha1.Webhook) func() string {
	return func() string {
		condition := meta.FindStatusCondition(fresh(ctx, webhook).Status.Conditions, v1alpha1.ConditionReady)
		if condition == nil {
			return "nothing"
		}
		return string(condition.Status) + " " + condition.Reason + ": " + condition.Message
	}
}

// noted polls the reasons of the Events about a webhook.
func noted(ctx context.Context, webhook *v1alpha1.Webhook) func() []string {
	return func() (reasons []string) {
		var list eventsv1.EventList
		Expect(cluster.admin.List(ctx, &list, client.InNamespace(webhook.Namespace))).To(Succeed())
		for _, event := range list.Items {
			if event.Regarding.UID == webhook.UID {
				reasons = append(reasons, event.Reason)
			}
		}
		return reasons
	}
}

// policed makes a namespace whose writes of these resources an admission webhook
// looks at.
func policed(ctx context.Context, resources ...string) (string, *admission.ReviewServer) {
	GinkgoHelper()
	namespace := newNamespace(ctx)
	server := admission.Start()
	DeferCleanup(server.Close)
	remove, err := server.Install(ctx, cluster.admin, admission.Rule{
		Namespace: namespace, Resources: resources, Seconds: 30,
		Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create, admissionregistrationv1.Update, admissionregistrationv1.Delete},
	})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(remove)
	return namespace, server
}

var _ = Describe("A signing secret that the API server refuses to store", func() {
	It("is reported in the status, and stored soon after the quota leaves room", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		quota := create(ctx, &corev1.ResourceQuota{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "few"},
			Spec:       corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{"secrets": resource.MustParse("0")}},
		})
		Eventually(func() corev1.ResourceList { return fresh(ctx, quota).Status.Hard }).ShouldNot(BeEmpty())
		startOperator(operatorOptions{namespace: namespace})
		webhook := create(ctx, newWebhookIn(namespace))
		Eventually(says(ctx, webhook)).Should(And(HavePrefix("False SecretRefused: "), ContainSubstring(`"orders-signing"`), ContainSubstring("exceeded quota: few")))
		Eventually(noted(ctx, webhook)).Should(ContainElement("SecretRefused"))
		delivery := create(ctx, newDeliveryIn(namespace, "a"))
		Eventually(state(ctx, delivery)).Should(HavePrefix("Pending SigningSecretUnavailable"))
		Eventually(func() string {
			return meta.FindStatusCondition(fresh(ctx, delivery).Status.Conditions, v1alpha1.ConditionSucceeded).Message
		}).
			Should(ContainSubstring("exceeded quota: few"), "what is to be done, there too")

		Expect(cluster.admin.Delete(ctx, quota)).To(Succeed())
		lifted := time.Now()
		Eventually(ready(ctx, webhook)).Should(Equal("True Ready"))
		AddReportEntry(fmt.Sprintf("Ready %s after the quota was lifted", time.Since(lifted).Round(100*time.Millisecond)), ReportEntryVisibilityAlways)
		Eventually(state(ctx, delivery)).WithTimeout(time.Minute).Should(HavePrefix("Succeeded"))
	}, SpecTimeout(2*time.Minute))

	It("is reported in the status for any code and reason of a policy", func(ctx SpecContext) {
		var all sync.WaitGroup
		verdicts := []admission.Verdict{{Code: 409, Reason: metav1.StatusReasonAlreadyExists, Message: "secrets come from the vault"}}
		for _, code := range []int32{400, 401, 403, 404, 409, 413, 422, 429, 500, 503} {
			verdicts = append(verdicts, admission.Deny(code, "secrets come from the vault"))
		}
		for _, verdict := range verdicts {
			namespace, policy := policed(ctx, "secrets")
			policy.Answer(verdict)
			all.Go(func() {
				defer GinkgoRecover()
				startOperator(operatorOptions{namespace: namespace})
				webhook := create(ctx, newWebhookIn(namespace))
				about := fmt.Sprintf("%d %s", verdict.Code, verdict.Reason)
				Eventually(says(ctx, webhook)).Should(And(HavePrefix("False SecretRefused: "), ContainSubstring("denied the request: secrets come from the vault")), about)
				Eventually(noted(ctx, webhook)).Should(ContainElement("SecretRefused"), about)
				policy.Allow()
				Eventually(ready(ctx, webhook)).Should(Equal("True Ready"), about)
			})
		}
		all.Wait()
	}, SpecTimeout(2*time.Minute))

	It("is reported in the status once a policy has not answered for a while", func(ctx SpecContext) {
		namespace, policy := policed(ctx, "secrets")
		policy.Answer(admission.Verdict{HangUp: true})
		o := startOperator(operatorOptions{namespace: namespace})
		webhook := create(ctx, newWebhookIn(namespace))
		Eventually(says(ctx, webhook)).Should(HavePrefix("Unknown Progressing: "), "at first it may be starting")
		o.advance(refusedGrace / 2)
		Consistently(says(ctx, webhook)).WithTimeout(2*time.Second).Should(HavePrefix("Unknown Progressing: "), "for a while")
		o.advance(refusedGrace / 2)
		Eventually(says(ctx, webhook)).WithTimeout(time.Minute).Should(And(HavePrefix("False SecretRefused: "), HaveSuffix(`failed calling webhook "`+policy.Name()+`"`)))
		policy.Allow()
		Eventually(ready(ctx, webhook)).WithTimeout(2 * refusedRetryMax).Should(Equal("True Ready"))
	}, SpecTimeout(4*time.Minute))
})

var _ = Describe("A rotation that the API server refuses", func() {
	It("is reported in the status while the present secret goes on signing, and made later", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		startOperator(operatorOptions{namespace: namespace})
		webhook := create(ctx, newWebhookIn(namespace, rotating(time.Hour)))
		Eventually(ready(ctx, webhook)).Should(Equal("True Ready"))
		before := generated(ctx, webhook)
		change(ctx, before, func(secret *corev1.Secret) { secret.Immutable = new(true) })
		annotate(ctx, webhook, v1alpha1.RotateRequestedAtAnnotation, "now")
		Eventually(says(ctx, webhook)).Should(And(HavePrefix("False RotationRefused: "), ContainSubstring(`field is immutable when `)))
		Eventually(noted(ctx, webhook)).Should(ContainElement("RotationRefused"))
		Expect(webhook.Status.LastHandledRotateAt).To(BeEmpty())
		delivery := create(ctx, newDeliveryIn(namespace, "a"))
		Eventually(state(ctx, delivery)).Should(HavePrefix("Succeeded"))

		By("as its author makes it anew")
		owner := before.OwnerReferences
		Expect(cluster.admin.Delete(ctx, before)).To(Succeed())
		create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: before.Name, Labels: before.Labels, OwnerReferences: owner}, Data: before.Data,
		})
		Eventually(func() string { return fresh(ctx, webhook).Status.LastHandledRotateAt }).Should(Equal("now"))
		Expect(current(generated(ctx, webhook))).NotTo(Equal(current(before)))
		Eventually(ready(ctx, webhook)).Should(Equal("True Ready"))
	}, SpecTimeout(2*time.Minute))

	It("leaves an old secret where it cannot be taken out, and says so", func(ctx SpecContext) {
		namespace, policy := policed(ctx, "secrets")
		startOperator(operatorOptions{namespace: namespace})
		webhook := create(ctx, newWebhookIn(namespace, rotating(time.Second)))
		Eventually(ready(ctx, webhook)).Should(Equal("True Ready"))
		rotated(ctx, webhook, "now")
		policy.Answer(admission.Deny(403, "hands off"))
		Eventually(noted(ctx, webhook)).Should(ContainElement("SecretRefused"))
		Consistently(ready(ctx, webhook)).WithTimeout(2 * time.Second).Should(Equal("True Ready"))
		Eventually(func() *v1alpha1.SigningStatus { return fresh(ctx, webhook).Status.Signing }).Should(Equal(&v1alpha1.SigningStatus{SecretName: "orders-signing"}))
		policy.Allow()
		Eventually(func() map[string][]byte { return generated(ctx, webhook).Data }).Should(HaveLen(1))
	}, SpecTimeout(2*time.Minute))
})
