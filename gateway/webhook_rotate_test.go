// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/test/receiver"
)

var secretKind = schema.GroupVersionKind{Version: "v1", Kind: "SecretList"}

// rotated asks for a new secret and returns it; key may be "".
func rotated(ctx context.Context, token, webhookID, key string) string {
	GinkgoHelper()
	caller := as(token)
	if key != "" {
		caller = caller.with("Idempotency-Key", key)
	}
	got := post(ctx, caller, "/v1/webhooks/"+webhookID+"/rotate-secret")
	webhook := decode[rest.Webhook](got, http.StatusOK)
	Expect(webhook.Secret).NotTo(BeNil())
	Expect(got.header.Get("Cache-Control")).To(Equal("no-store"))
	return *webhook.Secret
}

// handled waits until the controller has handled every request to rotate.
func handled(ctx context.Context, namespace, name string) {
	GinkgoHelper()
	Eventually(ctx, func(g Gomega) {
		webhook := fresh(ctx, &v1alpha1.Webhook{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}})
		g.Expect(webhook.Status.LastHandledRotateAt).NotTo(BeEmpty())
		g.Expect(webhook.Status.LastHandledRotateAt).To(Equal(webhook.Annotations[v1alpha1.RotateRequestedAtAnnotation]))
	}).WithTimeout(soon).WithPolling(pollEvery).Should(Succeed())
}

// data is what a signing Secret holds.
func data(secret *corev1.Secret) map[string]string {
	all := map[string]string{}
	for key, value := range secret.Data {
		all[key] = string(value)
	}
	return all
}

var _ = Describe("rotating a secret", func() {
	It("returns the new one, and both sign", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		token := account(ctx, namespace, "editor", editor)
		webhook := created(ctx, token, hookFor(namespace))
		Eventually(readiness(ctx, namespace, webhook.Name)).WithTimeout(soon).WithPolling(pollEvery).Should(Equal("True Ready"))
		secret := rotated(ctx, token, webhook.WebhookID, "")
		Expect(secret).To(MatchRegexp(`^whsec_[A-Za-z0-9+/]{43}=$`))
		Expect(secret).NotTo(Equal(*webhook.Secret))
		handled(ctx, namespace, webhook.Name)
		Expect(data(secretOf(ctx, namespace, webhook.Name))).To(Equal(map[string]string{"secret": secret, "previous": *webhook.Secret}), "rotated once")
		end := fresh(ctx, &v1alpha1.Webhook{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: webhook.Name}}).Status.Signing.OverlapEndTime
		Expect(end.Time).To(BeTemporally("~", time.Now().Add(24*time.Hour), time.Minute))
	})

	for about, knows := range map[string]func(old, fresh string) string{
		"the old": func(old, _ string) string { return old },
		"the new": func(_, fresh string) string { return fresh },
	} {
		It("loses nothing for a receiver that knows "+about+" one", func(ctx SpecContext) {
			namespace := newNamespace(ctx)
			token := account(ctx, namespace, "editor", editor)
			path := "/" + namespace
			endpoint.Script(path, receiver.Step{Fault: receiver.CheckSignature})
			webhook := created(ctx, token, hookFor(namespace))
			Expect(endpoint.Secrets(path, *webhook.Secret)).To(Succeed())
			kept := objectOf(ctx, namespace, webhook)
			collect(ctx, kept, 0, 5)
			secret := rotated(ctx, token, webhook.WebhookID, "")
			collect(ctx, kept, 5, 5)
			Expect(endpoint.Secrets(path, knows(*webhook.Secret, secret))).To(Succeed())
			collect(ctx, kept, 10, 5)
			Expect(endpoint.Wait(ctx, path, func(c receiver.Counts) bool { return c.Accepted == 15 })).To(Succeed())
			Expect(endpoint.Counts(path).Duplicates).To(BeZero())
		}, SpecTimeout(time.Minute))
	}

	It("drops a leaked secret at once", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		token := account(ctx, namespace, "editor", editor)
		webhook := created(ctx, token, hookFor(namespace))
		leaked := []byte(`{"spec":{"signing":{"overlap":"0s"}}}`)
		Expect(cluster.Client.Patch(ctx, objectOf(ctx, namespace, webhook), client.RawPatch(types.MergePatchType, leaked))).To(Succeed())
		secret := rotated(ctx, token, webhook.WebhookID, "")
		handled(ctx, namespace, webhook.Name)
		Expect(data(secretOf(ctx, namespace, webhook.Name))).To(Equal(map[string]string{"secret": secret}))
	})

	It("happens once for each key", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		token := account(ctx, namespace, "editor", editor)
		webhook := created(ctx, token, hookFor(namespace))
		first := rotated(ctx, token, webhook.WebhookID, "first")
		for range 3 {
			Expect(rotated(ctx, token, webhook.WebhookID, "first")).To(Equal(first))
		}
		handled(ctx, namespace, webhook.Name)
		Expect(rotated(ctx, token, webhook.WebhookID, "first")).To(Equal(first), "also after the controller has seen it")
		second := rotated(ctx, token, webhook.WebhookID, "second")
		Expect(second).NotTo(Equal(first))
		said := refusal(post(ctx, as(token).with("Idempotency-Key", "first"), "/v1/webhooks/"+webhook.WebhookID+"/rotate-secret"), http.StatusConflict)
		Expect(said.Reason).To(Equal("IdempotencyKeyUsed"))
		handled(ctx, namespace, webhook.Name)
		Expect(data(secretOf(ctx, namespace, webhook.Name))).To(Equal(map[string]string{"secret": second, "previous": first}))
		for _, key := range []string{"with space", strings.Repeat("k", 129), "umläut"} {
			refusal(post(ctx, as(token).with("Idempotency-Key", key), "/v1/webhooks/"+webhook.WebhookID+"/rotate-secret"), http.StatusUnprocessableEntity)
		}
	})

	It("gives everyone who rotates at once a secret that signs", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		token := account(ctx, namespace, "editor", editor)
		webhook := created(ctx, token, hookFor(namespace))
		for range 5 {
			var all sync.WaitGroup
			secrets := make([]string, 2)
			for i := range secrets {
				all.Go(func() {
					defer GinkgoRecover()
					secrets[i] = rotated(ctx, token, webhook.WebhookID, "")
				})
			}
			all.Wait()
			handled(ctx, namespace, webhook.Name)
			kept := data(secretOf(ctx, namespace, webhook.Name))
			Expect([]string{kept["secret"], kept["previous"]}).To(ConsistOf(secrets), "nobody has rotated a third time")
		}
	})

	It("takes turns with requests by annotation", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		token := account(ctx, namespace, "editor", editor)
		webhook := created(ctx, token, hookFor(namespace))
		kept := objectOf(ctx, namespace, webhook)
		for _, request := range []string{"one", "two", "three", "four", "five"} {
			asked := []byte(`{"metadata":{"annotations":{"` + v1alpha1.RotateRequestedAtAnnotation + `":"` + request + `"}}}`)
			Expect(cluster.Client.Patch(ctx, kept.DeepCopy(), client.RawPatch(types.MergePatchType, asked))).To(Succeed())
			secret := rotated(ctx, token, webhook.WebhookID, "")
			handled(ctx, namespace, webhook.Name)
			Expect(data(secretOf(ctx, namespace, webhook.Name))).To(HaveKeyWithValue("secret", secret), "what was handed out last is what signs")
		}
	})

	It("makes a Secret that is missing", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		token := account(ctx, namespace, "editor", editor)
		webhook := created(ctx, token, hookFor(namespace))
		Eventually(readiness(ctx, namespace, webhook.Name)).WithTimeout(soon).WithPolling(pollEvery).Should(Equal("True Ready"))
		Expect(cluster.Client.Delete(ctx, secretOf(ctx, namespace, webhook.Name))).To(Succeed())
		secret := rotated(ctx, token, webhook.WebhookID, "")
		handled(ctx, namespace, webhook.Name)
		Expect(data(secretOf(ctx, namespace, webhook.Name))).To(HaveKeyWithValue("secret", secret))
		Expect(metav1.IsControlledBy(secretOf(ctx, namespace, webhook.Name), objectOf(ctx, namespace, webhook))).To(BeTrue())
	})

	It("is refused for a Secret that its owner manages, and for a foreign one", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		token := account(ctx, namespace, "editor", editor)
		webhook := created(ctx, token, hookFor(namespace))
		own := []byte(`{"spec":{"signing":{"secretRef":{"name":"keys"}}}}`)
		kept := objectOf(ctx, namespace, webhook)
		Expect(cluster.Client.Patch(ctx, kept, client.RawPatch(types.MergePatchType, own))).To(Succeed())
		path := "/v1/webhooks/" + webhook.WebhookID + "/rotate-secret"
		said := refusal(post(ctx, as(token), path), http.StatusConflict)
		Expect([]string{said.Reason, said.Detail}).To(HaveExactElements(Equal("SecretUserManaged"), ContainSubstring(`"keys"`)))

		other := suspended(ctx, namespace, "other")
		Expect(cluster.Client.Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "third-signing"}})).To(Succeed())
		third := &v1alpha1.Webhook{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "third"}, Spec: other.Spec}
		Expect(cluster.Client.Create(ctx, third)).To(Succeed())
		said = refusal(post(ctx, as(token), "/v1/webhooks/"+seen(ctx, token, third)+"/rotate-secret"), http.StatusConflict)
		Expect(said.Reason).To(Equal("SecretNotPermitted"))
	})

	It("changes nothing for a caller who may not write Secrets", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		webhook := created(ctx, account(ctx, namespace, "editor", editor), hookFor(namespace))
		for name, secrets := range map[string][]string{"none": {"list"}, "reads": {"get"}, "makes": {"create"}, "patches": {"get", "patch"}} {
			token := accountMay(ctx, namespace, name, may("webhooks", "get", "patch"), maySecrets(secrets...))
			said := refusal(post(ctx, as(token), "/v1/webhooks/"+webhook.WebhookID+"/rotate-secret"), http.StatusForbidden)
			Expect(said.Detail).To(ContainSubstring(`may not update secrets "orders-signing"`), name)
			Expect(objectOf(ctx, namespace, webhook).Annotations).NotTo(HaveKey(v1alpha1.RotateRequestedAtAnnotation), name)
			Expect(data(secretOf(ctx, namespace, webhook.Name))).To(Equal(map[string]string{"secret": *webhook.Secret}), name)
		}
	})

	It("needs no right to read Secrets, and shows none but the new one", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		webhook := created(ctx, account(ctx, namespace, "editor", editor), hookFor(namespace))
		token := accountMay(ctx, namespace, "writer", may("webhooks", "get", "patch"), maySecrets("update"))
		secret := rotated(ctx, token, webhook.WebhookID, "mine")
		handled(ctx, namespace, webhook.Name)
		Expect(data(secretOf(ctx, namespace, webhook.Name))).To(Equal(map[string]string{"secret": secret, "previous": *webhook.Secret}))
		Expect(rotated(ctx, token, webhook.WebhookID, "mine")).To(Equal(secret), "the same caller may ask again")

		other := accountMay(ctx, namespace, "other", may("webhooks", "get", "patch"), maySecrets("update"))
		asked := objectOf(ctx, namespace, webhook).Annotations[v1alpha1.RotateRequestedAtAnnotation]
		for _, key := range []string{"mine", asked} {
			Expect(rotated(ctx, other, webhook.WebhookID, key)).NotTo(Equal(secret), "by the key of somebody else nobody is shown what signs")
		}
	})

	It("takes the caller's right to read where the gateway has none", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		webhook := created(ctx, account(ctx, namespace, "editor", editor), hookFor(namespace))
		writer := accountMay(ctx, namespace, "writer", may("webhooks", "get", "patch"), maySecrets("update"))
		reader := accountMay(ctx, namespace, "reader", may("webhooks", "get", "patch"), maySecrets("get", "update"))
		forbidSecrets(ctx)
		said := refusal(post(ctx, as(writer), "/v1/webhooks/"+webhook.WebhookID+"/rotate-secret"), http.StatusForbidden)
		Expect(said.Detail).To(ContainSubstring(`cannot get resource "secrets"`))
		Expect(said.Detail).To(ContainSubstring("bbmcp-gateway-signing"))
		Expect(rotated(ctx, reader, webhook.WebhookID, "")).NotTo(Equal(*webhook.Secret))
	})
})
