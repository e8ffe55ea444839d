// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/identity"
	"bbmcp.quietstack.com/webhooks/test/receiver"
)

// putWebhook changes a webhook.
func putWebhook(ctx context.Context, caller apiClient, webhookID string, body any) answer {
	GinkgoHelper()
	return caller.call(ctx, http.MethodPut, "/v1/webhooks/"+webhookID, body)
}

// applyAs is a Webhook that a controller of this name keeps as in Git.
func applyAs(ctx context.Context, manager, namespace, name string, spec object) *v1alpha1.Webhook {
	GinkgoHelper()
	u := &unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{"namespace": namespace, "name": name}}}
	u.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("Webhook"))
	text, err := json.Marshal(spec)
	Expect(err).NotTo(HaveOccurred())
	var parsed map[string]any
	Expect(json.Unmarshal(text, &parsed)).To(Succeed())
	u.Object["spec"] = parsed
	Expect(cluster.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(u), client.FieldOwner(manager), client.ForceOwnership)).To(Succeed())
	return readObject(ctx, &v1alpha1.Webhook{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}})
}

// withoutWarnings is a webhook without what looks wrong about it.
func withoutWarnings(webhook rest.Webhook) rest.Webhook {
	webhook.Warnings = nil
	return webhook
}

// managersOf says who manages a Webhook, and by which operation.
func managersOf(webhook *v1alpha1.Webhook) (managers []string) {
	for _, entry := range webhook.ManagedFields {
		managers = append(managers, strings.Trim(entry.Manager+" "+string(entry.Operation)+" "+entry.Subresource, " "))
	}
	slices.Sort(managers)
	return managers
}

// awaitWebhook waits until the gateway knows a webhook that was not made through it.
func awaitWebhook(ctx context.Context, token string, webhook *v1alpha1.Webhook) string {
	GinkgoHelper()
	webhookID := identity.WebhookID(webhook.Namespace, webhook.Name)
	Eventually(func() int {
		return clientFor(token).call(ctx, http.MethodGet, "/v1/webhooks/"+webhookID, nil).status
	}).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(Equal(http.StatusOK))
	return webhookID
}

var _ = Describe("changing a webhook", func() {
	for _, method := range []string{http.MethodPut, http.MethodPatch} {
		It("by "+method+" changes the given fields and keeps the others", func(ctx SpecContext) {
			namespace := newNamespace(ctx)
			token := newAccount(ctx, namespace, "editor", editor)
			webhook := createWebhook(ctx, token, webhookBody(namespace).withMembers(object{"description": "first", "events": []string{"a", "b"}}))
			before := readWebhook(ctx, namespace, webhook)
			webhook.Secret, webhook.Warnings = nil, nil
			for _, change := range []struct {
				body  object
				apply func(*rest.Webhook)
			}{
				{object{"url": endpoint.URL("/moved")}, func(w *rest.Webhook) { w.URL = endpoint.URL("/moved") }},
				{object{"events": []string{"b", "c", "d"}}, func(w *rest.Webhook) { w.Events = []string{"b", "c", "d"} }},
				{object{"description": "second"}, func(w *rest.Webhook) { w.Description = new("second") }},
				{object{"events": []string{"x"}, "description": ""}, func(w *rest.Webhook) { w.Events, w.Description = []string{"x"}, nil }},
			} {
				change.apply(&webhook)
				got := clientFor(token).call(ctx, method, "/v1/webhooks/"+webhook.WebhookID, change.body)
				Expect(withoutWarnings(decode[rest.Webhook](got, http.StatusOK))).To(Equal(webhook))
				again := clientFor(token).call(ctx, http.MethodGet, "/v1/webhooks/"+webhook.WebhookID, nil)
				Expect(withoutWarnings(decode[rest.Webhook](again, http.StatusOK))).To(Equal(webhook), "read at once")
				Expect(again.header.Get("ETag")).To(Equal(got.header.Get("ETag")))
			}
			after := readWebhook(ctx, namespace, webhook)
			Expect(after.Spec.DeliveryDeadline).To(Equal(before.Spec.DeliveryDeadline))
			Expect(after.Spec.Overflow).To(Equal(before.Spec.Overflow))
			Expect(managersOf(after)).To(ContainElement("bbmcp-gateway Apply"))
			Expect(managersOf(after)).NotTo(ContainElement("bbmcp-gateway Update"), "or it would stand in its own way")
		})
	}

	It("sends later deliveries to the new endpoint", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		token := newAccount(ctx, namespace, "editor", editor)
		webhook := createWebhook(ctx, token, webhookBody(namespace).withMembers(object{"secret": validSecret}))
		moved := "/" + namespace + "-moved"
		decode[rest.Webhook](putWebhook(ctx, clientFor(token), webhook.WebhookID, object{"url": endpoint.URL(moved)}), http.StatusOK)
		Expect(endpoint.Secrets(moved, validSecret)).To(Succeed())
		createDeliveries(ctx, readWebhook(ctx, namespace, webhook), 0, 1)
		Expect(endpoint.Wait(ctx, moved, func(c receiver.Counts) bool { return c.Verified == 1 })).To(Succeed())
	}, SpecTimeout(time.Minute))

	It("writes nothing if no field changes", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		token := newAccount(ctx, namespace, "editor", editor)
		webhook := createWebhook(ctx, token, webhookBody(namespace).withMembers(object{"events": []string{"a", "b"}}))
		Eventually(readiness(ctx, namespace, webhook.Name)).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(Equal("True Ready"))
		before := readWebhook(ctx, namespace, webhook)
		decode[rest.Webhook](putWebhook(ctx, clientFor(token), webhook.WebhookID, object{"url": webhook.URL, "events": []string{"b", "a"}}), http.StatusOK)
		Expect(readWebhook(ctx, namespace, webhook)).To(Equal(before))
	})

	It("keeps fields that other clients have set, under their own name or the gateway's", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		token := newAccount(ctx, namespace, "editor", editor)
		webhook := createWebhook(ctx, token, webhookBody(namespace))
		kept := readWebhook(ctx, namespace, webhook)
		for manager, patch := range map[string]string{
			"kubectl-edit":  `{"spec":{"deliveryDeadline":"90m","retention":{"maxCount":5}}}`,
			"bbmcp-gateway": `{"spec":{"retryPolicy":{"delays":["1s","90s"],"jitterPercent":7}}}`,
		} {
			Expect(cluster.Client.Patch(ctx, kept.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(patch)), client.FieldOwner(manager))).To(Succeed())
		}
		for _, description := range []string{"one", "two"} {
			decode[rest.Webhook](putWebhook(ctx, clientFor(token), webhook.WebhookID, object{"description": description}), http.StatusOK)
		}
		u := &unstructured.Unstructured{}
		u.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("Webhook"))
		Expect(cluster.Client.Get(ctx, client.ObjectKeyFromObject(kept), u)).To(Succeed())
		Expect(u.Object["spec"]).To(SatisfyAll(
			HaveKeyWithValue("deliveryDeadline", "90m"), HaveKeyWithValue("description", "two"),
			HaveKeyWithValue("retention", HaveKeyWithValue("maxCount", int64(5))),
			HaveKeyWithValue("retryPolicy", SatisfyAll(HaveKeyWithValue("delays", []any{"1s", "90s"}), HaveKeyWithValue("jitterPercent", int64(7)))),
		))
	})

	DescribeTable("is refused without any change, given",
		func(ctx SpecContext, body any, field, detail string) {
			namespace := newNamespace(ctx)
			token := newAccount(ctx, namespace, "editor", editor)
			webhook := createWebhook(ctx, token, webhookBody(namespace))
			generation := readWebhook(ctx, namespace, webhook).Generation
			got := putWebhook(ctx, clientFor(token), webhook.WebhookID, body)
			status := http.StatusUnprocessableEntity
			if field == "" {
				status, field = http.StatusBadRequest, "body"
			}
			Expect(decodeProblem(got, status).Errors).To(ContainElement(SatisfyAll(HaveField("Field", field), HaveField("Detail", ContainSubstring(detail)))), got.body)
			Expect(readWebhook(ctx, namespace, webhook).Generation).To(Equal(generation))
		},
		Entry("nothing", object{}, "body", "at least one of url, events, description, retry_policy"),
		Entry("an address that may not be reached", object{"url": "https://10.0.0.1/hook"}, "url", "have the operator allow"),
		Entry("user info in the url", object{"url": "https://a:b@example.com/"}, "url", "user"),
		Entry("white space in the url", object{"url": "https://example.com/a b"}, "url", "white space"),
		Entry("an empty list of events", object{"events": []string{}}, "events", "1"),
		Entry("a star in the middle", object{"events": []string{"a.*.b"}}, "events[0]", "star"),
		Entry("the name", object{"name": "other"}, "name", "unexpected"),
		Entry("the secret", object{"secret": validSecret}, "secret", "unexpected"),
		Entry("a member twice", `{"url":"https://a.example/","url":"https://b.example/"}`, "", ""),
		Entry("what is no JSON", `{"url":`, "", ""),
	)

	It("loses no change when several callers change different fields at once", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		token := newAccount(ctx, namespace, "editor", editor)
		webhook := createWebhook(ctx, token, webhookBody(namespace))
		bodies := []object{{"description": "of the first"}, {"events": []string{"of.the.second"}}, {"url": endpoint.URL("/of-the-third")}}
		var all sync.WaitGroup
		results := make([]answer, len(bodies))
		for i, body := range bodies {
			all.Go(func() {
				results[i], _ = clientFor(token).try(ctx, http.MethodPatch, "/v1/webhooks/"+webhook.WebhookID, body)
			})
		}
		all.Wait()
		for _, got := range results {
			decode[rest.Webhook](got, http.StatusOK)
		}
		spec := readWebhook(ctx, namespace, webhook).Spec
		Expect([]any{spec.Description, spec.Events, spec.URL}).To(Equal([]any{"of the first", []string{"of.the.second"}, endpoint.URL("/of-the-third")}))
	})
})

var _ = Describe("a field with another owner", func() {
	for manager, advice := range map[string]string{
		"argocd-controller":    "Git repository that Argo CD applies",
		"kustomize-controller": "Git repository that Flux applies",
		"terraform":            "change it there",
	} {
		It("is not changed, and its owner "+manager+" is named", func(ctx SpecContext) {
			namespace := newNamespace(ctx)
			token := newAccount(ctx, namespace, "editor", editor)
			declared := applyAs(ctx, manager, namespace, "orders", object{"url": endpoint.URL("/git"), "events": []string{"a", "b"}, "suspend": true})
			webhookID := awaitWebhook(ctx, token, declared)
			got := putWebhook(ctx, clientFor(token), webhookID, object{"url": endpoint.URL("/hand"), "events": []string{"b", "c"}, "description": "by hand"})
			problem := decodeProblem(got, http.StatusConflict)
			Expect(problem.Reason).To(Equal("FieldOwned"))
			Expect(problem.Errors).To(HaveExactElements(
				SatisfyAll(HaveField("Field", "events"), HaveField("Detail", SatisfyAll(ContainSubstring(`"a" would stay`), ContainSubstring(`"`+manager+`"`), ContainSubstring(advice)))),
				SatisfyAll(HaveField("Field", "events"), HaveField("Detail", ContainSubstring(`"c" cannot be added here`))),
				SatisfyAll(HaveField("Field", "url"), HaveField("Detail", SatisfyAll(ContainSubstring(`"`+manager+`"`), ContainSubstring(advice)))),
			))
			problem = decodeProblem(clientFor(token).call(ctx, http.MethodPost, "/v1/webhooks/"+webhookID+"/resume", nil), http.StatusConflict)
			Expect(problem.Errors).To(HaveExactElements(SatisfyAll(HaveField("Field", "suspend"), HaveField("Detail", ContainSubstring(`"`+manager+`"`)))))
			Expect(readObject(ctx, declared.DeepCopy()).Spec).To(Equal(declared.Spec), "all or nothing")

			problem = decodeProblem(putWebhook(ctx, clientFor(token), webhookID, object{"events": []string{"a", "b", "c"}, "description": "by hand"}), http.StatusConflict)
			Expect(problem.Errors).To(HaveExactElements(SatisfyAll(HaveField("Field", "events"),
				HaveField("Detail", SatisfyAll(ContainSubstring(`"c" cannot be added here: the list is owned by "`+manager+`"`), ContainSubstring(advice))))))
			Expect(readObject(ctx, declared.DeepCopy()).Spec).To(Equal(declared.Spec), "it would be drift, or be taken out again")

			webhook := decode[rest.Webhook](putWebhook(ctx, clientFor(token), webhookID, object{"description": "by hand", "retry_policy": object{"timeout": "5s"}}), http.StatusOK)
			Expect([]string{*webhook.Description, webhook.RetryPolicy.Timeout}).To(Equal([]string{"by hand", "5s"}), "what nobody owns can be changed")
		})
	}

	It("is refused with both owners' names, if its list has two", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		token := newAccount(ctx, namespace, "editor", editor)
		applyAs(ctx, "argocd-controller", namespace, "orders", object{"url": endpoint.URL("/git"), "events": []string{"a"}})
		declared := applyAs(ctx, "kustomize-controller", namespace, "orders", object{"events": []string{"a", "b"}})
		webhookID := awaitWebhook(ctx, token, declared)
		problem := decodeProblem(putWebhook(ctx, clientFor(token), webhookID, object{"events": []string{"a", "b", "c"}}), http.StatusConflict)
		Expect(problem.Errors).To(HaveExactElements(HaveField("Detail", ContainSubstring(`"argocd-controller" and "kustomize-controller"`))))
		Expect(readObject(ctx, declared.DeepCopy()).Spec.Events).To(ConsistOf("a", "b"))
	})

	It("can be removed from a list by the gateway, if the gateway owns that entry", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		token := newAccount(ctx, namespace, "editor", editor)
		webhook := createWebhook(ctx, token, webhookBody(namespace).withMembers(object{"name": "orders", "events": []string{"a", "b"}}))
		applyAs(ctx, "argocd-controller", namespace, "orders", object{"url": webhook.URL, "events": []string{"b"}})
		Expect(decode[rest.Webhook](putWebhook(ctx, clientFor(token), webhook.WebhookID, object{"events": []string{"b"}}), http.StatusOK).Events).To(ConsistOf("b"))
	})

	It("can be extended through the gateway, if no owner applies the list again", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		token := newAccount(ctx, namespace, "editor", editor)
		declared := &v1alpha1.Webhook{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "orders"},
			Spec:       v1alpha1.WebhookSpec{URL: endpoint.URL("/kubectl"), Events: []string{"a"}},
		}
		Expect(cluster.Client.Create(ctx, declared, client.FieldOwner("kubectl-create"))).To(Succeed())
		webhookID := awaitWebhook(ctx, token, declared)
		Expect(decode[rest.Webhook](putWebhook(ctx, clientFor(token), webhookID, object{"events": []string{"a", "b"}}), http.StatusOK).Events).To(ConsistOf("a", "b"))
	})

	It("may be a setting, and the advice names its path in the object", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		token := newAccount(ctx, namespace, "editor", editor)
		declared := &v1alpha1.Webhook{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "orders"},
			Spec: v1alpha1.WebhookSpec{
				URL: endpoint.URL("/kubectl"), Events: []string{"a"},
				RetryPolicy: &v1alpha1.RetryPolicy{Delays: &[]metav1.Duration{{Duration: time.Second}}},
			},
		}
		Expect(cluster.Client.Create(ctx, declared, client.FieldOwner("kubectl-client-side-apply"))).To(Succeed())
		webhookID := awaitWebhook(ctx, token, declared)
		for _, delays := range []any{[]string{"2s"}, nil} {
			problem := decodeProblem(putWebhook(ctx, clientFor(token), webhookID, object{"retry_policy": object{"delays": delays}}), http.StatusConflict)
			Expect(problem.Errors).To(HaveExactElements(SatisfyAll(HaveField("Field", "retry_policy.delays"),
				HaveField("Detail", ContainSubstring(`-p '{"spec":{"retryPolicy": {"delays": <new value>}}}'`)))))
		}
		Expect(decode[rest.Webhook](putWebhook(ctx, clientFor(token), webhookID, object{"retention": object{"record": "Always"}}), http.StatusOK).RetryPolicy.Delays).To(Equal([]string{"1s"}))
	})

	It("can be taken over from kubectl as the answer advises", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		token := newAccount(ctx, namespace, "editor", editor)
		declared := &v1alpha1.Webhook{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "orders"},
			Spec:       v1alpha1.WebhookSpec{URL: endpoint.URL("/kubectl"), Events: []string{"a", "b"}},
		}
		Expect(cluster.Client.Create(ctx, declared, client.FieldOwner("kubectl-client-side-apply"))).To(Succeed())
		webhookID := awaitWebhook(ctx, token, declared)
		problem := decodeProblem(putWebhook(ctx, clientFor(token), webhookID, object{"url": endpoint.URL("/rest")}), http.StatusConflict)
		Expect(problem.Errors).To(HaveExactElements(HaveField("Detail", ContainSubstring(`kubectl patch webhook orders --type merge --field-manager bbmcp-gateway -p '{"spec":{"url": `))))
		patch := []byte(`{"spec":{"url":"` + endpoint.URL("/rest") + `"}}`)
		Expect(cluster.Client.Patch(ctx, declared.DeepCopy(), client.RawPatch(types.MergePatchType, patch), client.FieldOwner("bbmcp-gateway"))).To(Succeed())
		webhook := decode[rest.Webhook](putWebhook(ctx, clientFor(token), webhookID, object{"url": endpoint.URL("/rest-again")}), http.StatusOK)
		Expect(webhook.URL).To(Equal(endpoint.URL("/rest-again")))
	})

	It("is also one whose owner is unknown", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		token := newAccount(ctx, namespace, "editor", editor)
		webhook := createWebhook(ctx, token, webhookBody(namespace).withMembers(object{"events": []string{"a", "b"}}))
		wipe := []byte(`{"metadata":{"managedFields":[{}]}}`)
		Expect(cluster.Client.Patch(ctx, readWebhook(ctx, namespace, webhook), client.RawPatch(types.MergePatchType, wipe))).To(Succeed())
		problem := decodeProblem(putWebhook(ctx, clientFor(token), webhook.WebhookID, object{"events": []string{"b"}}), http.StatusConflict)
		Expect(problem.Errors).To(HaveExactElements(SatisfyAll(HaveField("Field", "events"), HaveField("Detail", ContainSubstring("--field-manager bbmcp-gateway")))))
		Expect(readWebhook(ctx, namespace, webhook).Spec.Events).To(ConsistOf("a", "b"))
	})
})

var _ = Describe("If-Match", func() {
	It("lets a change through only if the webhook has not changed since it was read", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		token := newAccount(ctx, namespace, "editor", editor)
		got := clientFor(token).call(ctx, http.MethodPost, "/v1/webhooks", webhookBody(namespace))
		webhook, first := decode[rest.Webhook](got, http.StatusCreated), got.header.Get("ETag")
		Eventually(readiness(ctx, namespace, webhook.Name)).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(Equal("True Ready"))

		got = putWebhook(ctx, clientFor(token).withHeader("If-Match", first), webhook.WebhookID, object{"description": "one"})
		decode[rest.Webhook](got, http.StatusOK)
		second := got.header.Get("ETag")
		Expect(second).NotTo(Equal(first))
		stale := clientFor(token).withHeader("If-Match", first)
		for name, got := range map[string]answer{
			"PUT":     putWebhook(ctx, stale, webhook.WebhookID, object{"description": "two"}),
			"DELETE":  stale.call(ctx, http.MethodDelete, "/v1/webhooks/"+webhook.WebhookID, nil),
			"suspend": stale.call(ctx, http.MethodPost, "/v1/webhooks/"+webhook.WebhookID+"/suspend", nil),
			"weak":    putWebhook(ctx, clientFor(token).withHeader("If-Match", "W/"+second), webhook.WebhookID, object{"description": "two"}),
		} {
			problem := decodeProblem(got, http.StatusPreconditionFailed)
			Expect(problem.Reason).To(Equal("VersionMismatch"), name)
			Expect(problem.Errors).To(HaveExactElements(HaveField("Field", "header.If-Match")), name)
		}
		decode[rest.Webhook](putWebhook(ctx, clientFor(token).withHeader("If-Match", `"x", `+second), webhook.WebhookID, object{"description": "two"}), http.StatusOK)
		decode[rest.Webhook](putWebhook(ctx, clientFor(token).withHeader("If-Match", "*"), webhook.WebhookID, object{"description": "three"}), http.StatusOK)
		latest := clientFor(token).call(ctx, http.MethodGet, "/v1/webhooks/"+webhook.WebhookID, nil).header.Get("ETag")
		Expect(clientFor(token).withHeader("If-Match", latest).call(ctx, http.MethodDelete, "/v1/webhooks/"+webhook.WebhookID, nil).status).To(Equal(http.StatusNoContent))
	})

	It("lets one of many concurrent changes through", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		token := newAccount(ctx, namespace, "editor", editor)
		got := clientFor(token).call(ctx, http.MethodPost, "/v1/webhooks", webhookBody(namespace))
		webhook, first := decode[rest.Webhook](got, http.StatusCreated), got.header.Get("ETag")
		var all sync.WaitGroup
		statuses := make([]int, 5)
		for i := range statuses {
			all.Go(func() {
				got, _ := clientFor(token).withHeader("If-Match", first).try(ctx, http.MethodPut, "/v1/webhooks/"+webhook.WebhookID, object{"description": strings.Repeat("x", i+1)})
				statuses[i] = got.status
			})
		}
		all.Wait()
		slices.Sort(statuses)
		Expect(statuses).To(Equal([]int{200, 412, 412, 412, 412}))
	})
})
