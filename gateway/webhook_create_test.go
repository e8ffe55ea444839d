// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/test/receiver"
	"bbmcp.quietstack.com/webhooks/test/stack"
)

const validSecret = "correct horse battery staple"

// object is the body of a request, as callers write it.
type object map[string]any

// withMembers is the object with some members changed; nil removes one.
func (o object) withMembers(changes object) object {
	next := maps.Clone(o)
	for key, value := range changes {
		if next[key] = value; value == nil {
			delete(next, key)
		}
	}
	return next
}

// webhookBody is a webhook to create whose endpoint has the namespace's name.
func webhookBody(namespace string) object {
	return object{"name": "orders", "url": endpoint.URL("/" + namespace), "events": []string{"*"}}
}

// createWebhook makes a webhook by the REST API.
func createWebhook(ctx context.Context, token string, body object) rest.Webhook {
	GinkgoHelper()
	return decode[rest.Webhook](clientFor(token).call(ctx, http.MethodPost, "/v1/webhooks", body), http.StatusCreated)
}

// readWebhook is the Webhook behind an answer.
func readWebhook(ctx context.Context, namespace string, webhook rest.Webhook) *v1alpha1.Webhook {
	GinkgoHelper()
	return readObject(ctx, &v1alpha1.Webhook{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: webhook.Name}})
}

// readObject reads an object as it is now.
func readObject[T client.Object](ctx context.Context, object T) T {
	GinkgoHelper()
	Expect(cluster.Client.Get(ctx, client.ObjectKeyFromObject(object), object)).To(Succeed())
	return object
}

// readSecretToRotate is the signing Secret of a webhook.
func readSecret(ctx context.Context, namespace, webhook string) *corev1.Secret {
	GinkgoHelper()
	return readObject(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: webhook + "-signing"}})
}

// readiness is the condition Ready of a webhook, for Eventually.
func readiness(ctx context.Context, namespace, name string) func() string {
	return func() string {
		var webhook v1alpha1.Webhook
		if err := cluster.Client.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, &webhook); err != nil {
			return err.Error()
		}
		condition := meta.FindStatusCondition(webhook.Status.Conditions, v1alpha1.ConditionReady)
		if condition == nil {
			return "unknown"
		}
		return fmt.Sprintf("%s %s", condition.Status, condition.Reason)
	}
}

// expectStored says which webhooks and Secrets a namespace holds.
func expectStored(ctx context.Context, namespace string, names ...string) {
	GinkgoHelper()
	var webhooks v1alpha1.WebhookList
	Expect(cluster.Client.List(ctx, &webhooks, client.InNamespace(namespace))).To(Succeed())
	var secrets corev1.SecretList
	Expect(cluster.Client.List(ctx, &secrets, client.InNamespace(namespace))).To(Succeed())
	stored := []string{}
	for i := range webhooks.Items {
		stored = append(stored, "webhook "+webhooks.Items[i].Name)
	}
	for i := range secrets.Items {
		stored = append(stored, "secret "+secrets.Items[i].Name)
	}
	Expect(stored).To(ConsistOf(names))
}

// newAccountWithRules makes a ServiceAccount with rights of its own.
func newAccountWithRules(ctx context.Context, namespace, name string, rules ...rbacv1.PolicyRule) string {
	GinkgoHelper()
	about := metav1.ObjectMeta{Namespace: namespace, Name: name}
	Expect(cluster.Client.Create(ctx, &rbacv1.Role{ObjectMeta: about, Rules: rules})).To(Succeed())
	Expect(cluster.Client.Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: about, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: namespace, Name: name}},
	})).To(Succeed())
	return newAccount(ctx, namespace, name)
}

// ruleFor is a right on a resource of ours.
func ruleFor(resource string, verbs ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: []string{resource}, Verbs: verbs}
}

// ruleForSecrets is a right on Secrets.
func ruleForSecrets(verbs ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: verbs}
}

var _ = Describe("creating a webhook", func() {
	for about, secret := range map[string]string{"the secret that was given": validSecret, "the secret that was made": ""} {
		It("makes a webhook that signs with "+about, func(ctx SpecContext) {
			namespace := newNamespace(ctx)
			token := newAccount(ctx, namespace, "editor", editor)
			body := webhookBody(namespace).withMembers(object{"description": "for <tests> & people"})
			if secret != "" {
				body["secret"] = secret
			}
			got := clientFor(token).call(ctx, http.MethodPost, "/v1/webhooks", body)
			webhook := decode[rest.Webhook](got, http.StatusCreated)
			kept := readWebhook(ctx, namespace, webhook)

			Expect(webhook.Secret).NotTo(BeNil())
			if secret == "" {
				Expect(*webhook.Secret).To(MatchRegexp(`^whsec_[A-Za-z0-9+/]{43}=$`))
			} else {
				Expect(*webhook.Secret).To(Equal(secret))
			}
			Expect(webhook).To(Equal(rest.Webhook{
				WebhookID: webhook.WebhookID, Name: "orders", URL: endpoint.URL("/" + namespace), Events: []string{"*"},
				Description: new("for <tests> & people"), Secret: webhook.Secret, Status: rest.WebhookActive, CreatedAt: kept.CreationTimestamp.UTC(),
				EndpointHealth: rest.EndpointHealth{Reason: "NoDeliveries", Message: "no delivery has finished yet"},
				RetryPolicy:    defaultSettings.RetryPolicy, DeliveryDeadline: defaultSettings.DeliveryDeadline, Overflow: defaultSettings.Overflow, Retention: defaultSettings.Retention,
			}))
			Expect(got.header.Get("Location")).To(Equal("/v1/webhooks/" + webhook.WebhookID))
			Expect(got.header.Get("Cache-Control")).To(Equal("no-store"))

			at := clientFor(token).call(ctx, http.MethodGet, got.header.Get("Location"), nil)
			webhook.Secret = nil
			Expect(decode[rest.Webhook](at, http.StatusOK)).To(Equal(webhook), "read at once, without the secret")
			Expect(at.header.Get("ETag")).To(Equal(got.header.Get("ETag")))

			Eventually(readiness(ctx, namespace, "orders")).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(Equal("True Ready"))
			Expect(endpoint.Secrets("/"+namespace, string(readSecret(ctx, namespace, "orders").Data[v1alpha1.SecretKey]))).To(Succeed())
			createDeliveries(ctx, kept, 0, 1)
			Expect(endpoint.Wait(ctx, "/"+namespace, func(c receiver.Counts) bool { return c.Verified == 1 })).To(Succeed())
		}, SpecTimeout(time.Minute))
	}

	It("stores the Secret that the controller would store, and leaves no annotation behind", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		webhook := createWebhook(ctx, newAccount(ctx, namespace, "editor", editor), webhookBody(namespace).withMembers(object{"name": nil, "secret": validSecret}))
		Expect(webhook.Name).To(MatchRegexp(`^wh-[a-z2-7]{16}$`), "a name is made")
		kept := readWebhook(ctx, namespace, webhook)
		Expect(kept.Annotations).To(BeEmpty())
		secret := readSecret(ctx, namespace, webhook.Name)
		Expect(secret.Labels).To(Equal(map[string]string{v1alpha1.SigningSecretLabel: "true", v1alpha1.WebhookLabel: webhook.Name}))
		Expect(metav1.IsControlledBy(secret, kept)).To(BeTrue())
		Expect(secret.Data).To(Equal(map[string][]byte{v1alpha1.SecretKey: []byte(validSecret)}))
		Eventually(readiness(ctx, namespace, webhook.Name)).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(Equal("True Ready"))
		Expect(readSecret(ctx, namespace, webhook.Name).ResourceVersion).To(Equal(secret.ResourceVersion), "the controller has kept its hands off")
	})

	It("emits no Event about a secret that is missing for a moment", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		token := newAccount(ctx, namespace, "editor", editor)
		for i := range 10 {
			createWebhook(ctx, token, webhookBody(namespace).withMembers(object{"name": fmt.Sprint("orders-", i)}))
		}
		for i := range 10 {
			Eventually(readiness(ctx, namespace, fmt.Sprint("orders-", i))).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(Equal("True Ready"))
		}
		var events corev1.EventList
		Expect(cluster.Client.List(ctx, &events, client.InNamespace(namespace))).To(Succeed())
		Expect(events.Items).To(BeEmpty())
	})

	DescribeTable("is refused without storing anything, given",
		func(ctx SpecContext, changes object, field, detail string) {
			namespace := newNamespace(ctx)
			token := newAccount(ctx, namespace, "editor", editor)
			got := clientFor(token).call(ctx, http.MethodPost, "/v1/webhooks", webhookBody(namespace).withMembers(changes))
			problem := decodeProblem(got, http.StatusUnprocessableEntity)
			Expect(problem.Errors).To(ContainElement(SatisfyAll(HaveField("Field", field), HaveField("Detail", ContainSubstring(detail)))), got.body)
			if secret, ok := changes["secret"].(string); ok && secret != "" {
				Expect(got.body).NotTo(ContainSubstring(secret))
			}
			expectStored(ctx, namespace)
		},
		Entry("no url", object{"url": nil}, "body", "url"),
		Entry("an empty url", object{"url": ""}, "url", "length"),
		Entry("a url that is none", object{"url": "example.com/hook"}, "url", "https"),
		Entry("another scheme", object{"url": "ftp://example.com/hook"}, "url", "https"),
		Entry("user info in the url", object{"url": "https://user:pw@example.com/hook"}, "url", "user"),
		Entry("a fragment in the url", object{"url": "https://example.com/hook#here"}, "url", "fragment"),
		Entry("white space in the url", object{"url": "https://example.com/a b"}, "url", "white space"),
		Entry("a url that is too long", object{"url": "https://example.com/" + strings.Repeat("a", 2048)}, "url", "2048"),
		Entry("an address that may not be reached", object{"url": "https://10.0.0.1/hook"}, "url", "have the operator allow"),
		Entry("the metadata service", object{"url": "https://169.254.169.254/latest"}, "url", "address"),
		Entry("no events", object{"events": nil}, "body", "events"),
		Entry("an empty list of events", object{"events": []string{}}, "events", "1"),
		Entry("a star in the middle", object{"events": []string{"context.created", "context.*.done"}}, "events[1]", "star"),
		Entry("an event type that is none", object{"events": []string{"no spaces"}}, "events[0]", "event type"),
		Entry("an event twice", object{"events": []string{"a", "b", "a"}}, "events[2]", "twice"),
		Entry("too many events", object{"events": slices.Repeat([]string{"a"}, 65)}, "events", "64"),
		Entry("a short secret", object{"secret": "fifteen-bytes-x"}, "secret", "shorter than 16"),
		Entry("an empty secret", object{"secret": ""}, "secret", "length"),
		Entry("a long secret", object{"secret": strings.Repeat("s", 257)}, "secret", "256"),
		Entry("a secret with a line break", object{"secret": validSecret + "\n"}, "secret", "white space"),
		Entry("a whsec_ that is none", object{"secret": "whsec_hardly-base64-at-all"}, "secret", "whsec_"),
		Entry("a secret in quotes", object{"secret": `"` + validSecret + `"`}, "secret", "quotes"),
		Entry("a secret that is encoded", object{"secret": "d2hzZWNfQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE="}, "secret", "base64 of"),
		Entry("a secret that is no text", object{"secret": 1234567890123456}, "secret", "string"),
		Entry("upper case in the name", object{"name": "Orders"}, "name", "lower case"),
		Entry("dots in the name", object{"name": "a.b"}, "name", "dots"),
		Entry("a long name", object{"name": strings.Repeat("a", 64)}, "name", "63"),
		Entry("a long description", object{"description": strings.Repeat("ü", 1025)}, "description", "1024"),
		Entry("a member that does not exist", object{"urls": "x"}, "urls", "unexpected"),
		Entry("what only the controller writes", object{"status": "active"}, "status", "unexpected"),
	)

	It("accepts a name and a secret of the largest size", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		name := strings.Repeat("a", 63)
		webhook := createWebhook(ctx, newAccount(ctx, namespace, "editor", editor), webhookBody(namespace).withMembers(object{"name": name, "secret": strings.Repeat("s", 256)}))
		Expect(webhook.Name).To(Equal(name))
		Eventually(readiness(ctx, namespace, name)).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(Equal("True Ready"))
	})

	It("is refused for a name that is taken, also when callers create at once", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		token := newAccount(ctx, namespace, "editor", editor)
		results := make(chan answer, 8)
		for range cap(results) {
			go func() {
				got, _ := clientFor(token).try(ctx, http.MethodPost, "/v1/webhooks", webhookBody(namespace))
				results <- got
			}()
		}
		var made []rest.Webhook
		for range cap(results) {
			got := <-results
			if got.status == http.StatusCreated {
				made = append(made, decode[rest.Webhook](got, http.StatusCreated))
				continue
			}
			problem := decodeProblem(got, http.StatusConflict)
			Expect(problem.Reason).To(Equal("AlreadyExists"))
			Expect(problem.Errors).To(HaveExactElements(HaveField("Field", "name")))
		}
		Expect(made).To(HaveLen(1))
		Expect(string(readSecret(ctx, namespace, "orders").Data[v1alpha1.SecretKey])).To(Equal(*made[0].Secret), "the secret is that of who has won")
	})

	It("leaves a Secret alone that has another owner", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		foreign := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "orders-signing"}, StringData: map[string]string{"secret": "of somebody else"}}
		Expect(cluster.Client.Create(ctx, foreign)).To(Succeed())
		token := newAccount(ctx, namespace, "editor", editor)
		problem := decodeProblem(clientFor(token).call(ctx, http.MethodPost, "/v1/webhooks", webhookBody(namespace)), http.StatusConflict)
		Expect(problem.Detail).To(ContainSubstring(`"orders-signing" exists already`))
		expectStored(ctx, namespace, "secret orders-signing")
		Expect(readObject(ctx, foreign).Data).To(Equal(map[string][]byte{"secret": []byte("of somebody else")}))
	})

	It("stores nothing for a caller who may neither create Secrets nor delete webhooks", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		token := newAccountWithRules(ctx, namespace, "half", ruleFor("webhooks", "get", "list", "create"))
		problem := decodeProblem(clientFor(token).call(ctx, http.MethodPost, "/v1/webhooks", webhookBody(namespace)), http.StatusForbidden)
		Expect(problem.Detail).To(SatisfyAll(ContainSubstring("secrets"), ContainSubstring("bbmcp-editor")))
		expectStored(ctx, namespace)
	})

	It("needs only the rights to create webhooks and Secrets", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		token := newAccountWithRules(ctx, namespace, "creator", ruleFor("webhooks", "create"), ruleForSecrets("create"))
		webhook := createWebhook(ctx, token, webhookBody(namespace).withMembers(object{"secret": validSecret}))
		Eventually(readiness(ctx, namespace, webhook.Name)).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(Equal("True Ready"))
		Expect(string(readSecret(ctx, namespace, "orders").Data[v1alpha1.SecretKey])).To(Equal(validSecret))
	})

	It("is completed by the controller, if the gateway dies before it stores the Secret", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		half := createSuspended(ctx, namespace, "whole")
		half = &v1alpha1.Webhook{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "half", Annotations: map[string]string{v1alpha1.SecretFollowsAnnotation: "true"}},
			Spec:       half.Spec,
		}
		Expect(cluster.Client.Create(ctx, half)).To(Succeed())
		Eventually(readiness(ctx, namespace, "half")).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(Equal("Unknown Progressing"))
		Eventually(readiness(ctx, namespace, "half")).WithTimeout(time.Minute).WithPolling(pollEvery).Should(Equal("True Suspended"))
		secret := readSecret(ctx, namespace, "half")
		Expect(secret.CreationTimestamp.Sub(half.CreationTimestamp.Time)).To(BeNumerically(">=", 29*time.Second))
	})
})

var _ = Describe("a gateway whose dispatcher allows no exceptions", func() {
	It("refuses http URLs and loopback endpoints", func(ctx SpecContext) {
		strict, err := cluster.StartGateway(ctx, stack.GatewayOptions{DispatcherArgs: []string{"--allow-http=false", "--allow-cidr="}})
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(strict.Stop)
		namespace := newNamespace(ctx)
		caller := clientFor(newAccount(ctx, namespace, "editor", editor))
		caller.base = strict.URL
		problem := decodeProblem(caller.call(ctx, http.MethodPost, "/v1/webhooks", webhookBody(namespace).withMembers(object{"url": "http://example.com/hook"})), http.StatusUnprocessableEntity)
		Expect(problem.Errors).To(HaveExactElements(SatisfyAll(HaveField("Field", "url"), HaveField("Reason", "SchemeForbidden"))))
		problem = decodeProblem(caller.call(ctx, http.MethodPost, "/v1/webhooks", webhookBody(namespace).withMembers(object{"url": "https://[::1]/hook"})), http.StatusUnprocessableEntity)
		Expect(problem.Errors).To(HaveExactElements(SatisfyAll(HaveField("Field", "url"), HaveField("Reason", "AddressForbidden"))))
		expectStored(ctx, namespace)

		strict.Dispatcher().Stop(0)
		decodeProblem(caller.call(ctx, http.MethodPost, "/v1/webhooks", webhookBody(namespace)), http.StatusServiceUnavailable)
		expectStored(ctx, namespace)
	})
})
