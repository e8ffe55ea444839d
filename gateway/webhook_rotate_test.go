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

// rotateSecret asks for a new secret and returns it; key may be "".
func rotateSecret(ctx context.Context, token, webhookID, key string) string {
	GinkgoHelper()
	caller := clientFor(token)
	if key != "" {
		caller = caller.withHeader("Idempotency-Key", key)
	}
	got := postAction(ctx, caller, "/v1/webhooks/"+webhookID+"/rotate-secret")
	webhook := decode[rest.Webhook](got, http.StatusOK)
	Expect(webhook.Secret).NotTo(BeNil())
	Expect(got.header.Get("Cache-Control")).To(Equal("no-store"))
	return *webhook.Secret
}

// awaitRotation waits until the controller has handled every request to rotate.
func awaitRotation(ctx context.Context, namespace, name string) {
	GinkgoHelper()
	Eventually(ctx, func(g Gomega) {
		webhook := readObject(ctx, &v1alpha1.Webhook{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}})
		g.Expect(webhook.Status.LastHandledRotateAt).NotTo(BeEmpty())
		g.Expect(webhook.Status.LastHandledRotateAt).To(Equal(webhook.Annotations[v1alpha1.RotateRequestedAtAnnotation]))
	}).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(Succeed())
}

// secretData is what a signing Secret holds.
func secretData(secret *corev1.Secret) map[string]string {
	all := map[string]string{}
	for key, value := range secret.Data {
		all[key] = string(value)
	}
	return all
}

var _ = Describe("rotating a secret", func() {
	It("returns the new secret, and both sign", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		token := newAccount(ctx, namespace, "editor", editor)
		webhook := createWebhook(ctx, token, webhookBody(namespace))
		Eventually(readiness(ctx, namespace, webhook.Name)).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(Equal("True Ready"))
		secret := rotateSecret(ctx, token, webhook.WebhookID, "")
		Expect(secret).To(MatchRegexp(`^whsec_[A-Za-z0-9+/]{43}=$`))
		Expect(secret).NotTo(Equal(*webhook.Secret))
		awaitRotation(ctx, namespace, webhook.Name)
		Expect(secretData(readSecret(ctx, namespace, webhook.Name))).To(Equal(map[string]string{"secret": secret, "previous": *webhook.Secret}), "rotated once")
		end := readObject(ctx, &v1alpha1.Webhook{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: webhook.Name}}).Status.Signing.OverlapEndTime
		Expect(end.Time).To(BeTemporally("~", time.Now().Add(24*time.Hour), time.Minute))
	})

	for about, knows := range map[string]func(old, fresh string) string{
		"the old": func(old, _ string) string { return old },
		"the new": func(_, fresh string) string { return fresh },
	} {
		It("loses no delivery for a receiver that knows "+about+" one", func(ctx SpecContext) {
			namespace := newNamespace(ctx)
			token := newAccount(ctx, namespace, "editor", editor)
			path := "/" + namespace
			endpoint.Script(path, receiver.Step{Fault: receiver.CheckSignature})
			webhook := createWebhook(ctx, token, webhookBody(namespace))
			Expect(endpoint.Secrets(path, *webhook.Secret)).To(Succeed())
			kept := readWebhook(ctx, namespace, webhook)
			createDeliveries(ctx, kept, 0, 5)
			secret := rotateSecret(ctx, token, webhook.WebhookID, "")
			createDeliveries(ctx, kept, 5, 5)
			Expect(endpoint.Secrets(path, knows(*webhook.Secret, secret))).To(Succeed())
			createDeliveries(ctx, kept, 10, 5)
			Expect(endpoint.Wait(ctx, path, func(c receiver.Counts) bool { return c.Accepted == 15 })).To(Succeed())
			Expect(endpoint.Counts(path).Duplicates).To(BeZero())
		}, SpecTimeout(time.Minute))
	}

	It("drops the old secret at once, if the overlap is zero", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		token := newAccount(ctx, namespace, "editor", editor)
		webhook := createWebhook(ctx, token, webhookBody(namespace))
		leaked := []byte(`{"spec":{"signing":{"overlap":"0s"}}}`)
		Expect(cluster.Client.Patch(ctx, readWebhook(ctx, namespace, webhook), client.RawPatch(types.MergePatchType, leaked))).To(Succeed())
		secret := rotateSecret(ctx, token, webhook.WebhookID, "")
		awaitRotation(ctx, namespace, webhook.Name)
		Expect(secretData(readSecret(ctx, namespace, webhook.Name))).To(Equal(map[string]string{"secret": secret}))
	})

	It("happens once for each idempotency key", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		token := newAccount(ctx, namespace, "editor", editor)
		webhook := createWebhook(ctx, token, webhookBody(namespace))
		first := rotateSecret(ctx, token, webhook.WebhookID, "first")
		for range 3 {
			Expect(rotateSecret(ctx, token, webhook.WebhookID, "first")).To(Equal(first))
		}
		awaitRotation(ctx, namespace, webhook.Name)
		Expect(rotateSecret(ctx, token, webhook.WebhookID, "first")).To(Equal(first), "also after the controller has seen it")
		second := rotateSecret(ctx, token, webhook.WebhookID, "second")
		Expect(second).NotTo(Equal(first))
		problem := decodeProblem(postAction(ctx, clientFor(token).withHeader("Idempotency-Key", "first"), "/v1/webhooks/"+webhook.WebhookID+"/rotate-secret"), http.StatusConflict)
		Expect(problem.Reason).To(Equal("IdempotencyKeyUsed"))
		awaitRotation(ctx, namespace, webhook.Name)
		Expect(secretData(readSecret(ctx, namespace, webhook.Name))).To(Equal(map[string]string{"secret": second, "previous": first}))
		for _, key := range []string{"with space", strings.Repeat("k", 129), "umläut"} {
			decodeProblem(postAction(ctx, clientFor(token).withHeader("Idempotency-Key", key), "/v1/webhooks/"+webhook.WebhookID+"/rotate-secret"), http.StatusUnprocessableEntity)
		}
	})

	It("gives each of several concurrent callers a secret that signs", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		token := newAccount(ctx, namespace, "editor", editor)
		webhook := createWebhook(ctx, token, webhookBody(namespace))
		for range 5 {
			var all sync.WaitGroup
			secrets := make([]string, 2)
			for i := range secrets {
				all.Go(func() {
					defer GinkgoRecover()
					secrets[i] = rotateSecret(ctx, token, webhook.WebhookID, "")
				})
			}
			all.Wait()
			awaitRotation(ctx, namespace, webhook.Name)
			kept := secretData(readSecret(ctx, namespace, webhook.Name))
			Expect([]string{kept["secret"], kept["previous"]}).To(ConsistOf(secrets), "nobody has rotated a third time")
		}
	})

	It("takes turns with rotations requested by annotation", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		token := newAccount(ctx, namespace, "editor", editor)
		webhook := createWebhook(ctx, token, webhookBody(namespace))
		kept := readWebhook(ctx, namespace, webhook)
		for _, request := range []string{"one", "two", "three", "four", "five"} {
			asked := []byte(`{"metadata":{"annotations":{"` + v1alpha1.RotateRequestedAtAnnotation + `":"` + request + `"}}}`)
			Expect(cluster.Client.Patch(ctx, kept.DeepCopy(), client.RawPatch(types.MergePatchType, asked))).To(Succeed())
			secret := rotateSecret(ctx, token, webhook.WebhookID, "")
			awaitRotation(ctx, namespace, webhook.Name)
			Expect(secretData(readSecret(ctx, namespace, webhook.Name))).To(HaveKeyWithValue("secret", secret), "what was handed out last is what signs")
		}
	})

	It("makes a Secret that is missing", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		token := newAccount(ctx, namespace, "editor", editor)
		webhook := createWebhook(ctx, token, webhookBody(namespace))
		Eventually(readiness(ctx, namespace, webhook.Name)).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(Equal("True Ready"))
		Expect(cluster.Client.Delete(ctx, readSecret(ctx, namespace, webhook.Name))).To(Succeed())
		secret := rotateSecret(ctx, token, webhook.WebhookID, "")
		awaitRotation(ctx, namespace, webhook.Name)
		Expect(secretData(readSecret(ctx, namespace, webhook.Name))).To(HaveKeyWithValue("secret", secret))
		Expect(metav1.IsControlledBy(readSecret(ctx, namespace, webhook.Name), readWebhook(ctx, namespace, webhook))).To(BeTrue())
	})

	It("is refused for a Secret that its owner manages, and for a foreign one", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		token := newAccount(ctx, namespace, "editor", editor)
		webhook := createWebhook(ctx, token, webhookBody(namespace))
		own := []byte(`{"spec":{"signing":{"secretRef":{"name":"keys"}}}}`)
		kept := readWebhook(ctx, namespace, webhook)
		Expect(cluster.Client.Patch(ctx, kept, client.RawPatch(types.MergePatchType, own))).To(Succeed())
		path := "/v1/webhooks/" + webhook.WebhookID + "/rotate-secret"
		problem := decodeProblem(postAction(ctx, clientFor(token), path), http.StatusConflict)
		Expect([]string{problem.Reason, problem.Detail}).To(HaveExactElements(Equal("SecretUserManaged"), ContainSubstring(`"keys"`)))

		other := createSuspended(ctx, namespace, "other")
		Expect(cluster.Client.Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "third-signing"}})).To(Succeed())
		third := &v1alpha1.Webhook{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "third"}, Spec: other.Spec}
		Expect(cluster.Client.Create(ctx, third)).To(Succeed())
		problem = decodeProblem(postAction(ctx, clientFor(token), "/v1/webhooks/"+awaitWebhook(ctx, token, third)+"/rotate-secret"), http.StatusConflict)
		Expect(problem.Reason).To(Equal("SecretNotPermitted"))
	})

	It("changes nothing for a caller without the right to write Secrets", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		webhook := createWebhook(ctx, newAccount(ctx, namespace, "editor", editor), webhookBody(namespace))
		for name, secrets := range map[string][]string{"none": {"list"}, "reads": {"get"}, "makes": {"create"}, "patches": {"get", "patch"}} {
			token := newAccountWithRules(ctx, namespace, name, ruleFor("webhooks", "get", "patch"), ruleForSecrets(secrets...))
			problem := decodeProblem(postAction(ctx, clientFor(token), "/v1/webhooks/"+webhook.WebhookID+"/rotate-secret"), http.StatusForbidden)
			Expect(problem.Detail).To(ContainSubstring(`may not update secrets "orders-signing"`), name)
			Expect(readWebhook(ctx, namespace, webhook).Annotations).NotTo(HaveKey(v1alpha1.RotateRequestedAtAnnotation), name)
			Expect(secretData(readSecret(ctx, namespace, webhook.Name))).To(Equal(map[string]string{"secret": *webhook.Secret}), name)
		}
	})

	It("needs no right to read Secrets, and shows only the new secret", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		webhook := createWebhook(ctx, newAccount(ctx, namespace, "editor", editor), webhookBody(namespace))
		token := newAccountWithRules(ctx, namespace, "writer", ruleFor("webhooks", "get", "patch"), ruleForSecrets("update"))
		secret := rotateSecret(ctx, token, webhook.WebhookID, "mine")
		awaitRotation(ctx, namespace, webhook.Name)
		Expect(secretData(readSecret(ctx, namespace, webhook.Name))).To(Equal(map[string]string{"secret": secret, "previous": *webhook.Secret}))
		Expect(rotateSecret(ctx, token, webhook.WebhookID, "mine")).To(Equal(secret), "the same caller may ask again")

		other := newAccountWithRules(ctx, namespace, "other", ruleFor("webhooks", "get", "patch"), ruleForSecrets("update"))
		asked := readWebhook(ctx, namespace, webhook).Annotations[v1alpha1.RotateRequestedAtAnnotation]
		for _, key := range []string{"mine", asked} {
			Expect(rotateSecret(ctx, other, webhook.WebhookID, key)).NotTo(Equal(secret), "by the key of somebody else nobody is shown what signs")
		}
	})

	It("uses the caller's right to read Secrets, if the gateway has none", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		webhook := createWebhook(ctx, newAccount(ctx, namespace, "editor", editor), webhookBody(namespace))
		writer := newAccountWithRules(ctx, namespace, "writer", ruleFor("webhooks", "get", "patch"), ruleForSecrets("update"))
		reader := newAccountWithRules(ctx, namespace, "reader", ruleFor("webhooks", "get", "patch"), ruleForSecrets("get", "update"))
		forbidSecrets(ctx)
		problem := decodeProblem(postAction(ctx, clientFor(writer), "/v1/webhooks/"+webhook.WebhookID+"/rotate-secret"), http.StatusForbidden)
		Expect(problem.Detail).To(ContainSubstring(`cannot get resource "secrets"`))
		Expect(problem.Detail).To(ContainSubstring("bbmcp-gateway-signing"))
		Expect(rotateSecret(ctx, reader, webhook.WebhookID, "")).NotTo(Equal(*webhook.Secret))
	})
})
