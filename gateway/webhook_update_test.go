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

// put changes a webhook.
func put(ctx context.Context, caller api, webhookID string, body any) answer {
	GinkgoHelper()
	return caller.call(ctx, http.MethodPut, "/v1/webhooks/"+webhookID, body)
}

// applied is a Webhook that a controller of this name keeps as in Git.
func applied(ctx context.Context, manager, namespace, name string, spec object) *v1alpha1.Webhook {
	GinkgoHelper()
	u := &unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{"namespace": namespace, "name": name}}}
	u.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("Webhook"))
	text, err := json.Marshal(spec)
	Expect(err).NotTo(HaveOccurred())
	var parsed map[string]any
	Expect(json.Unmarshal(text, &parsed)).To(Succeed())
	u.Object["spec"] = parsed
	Expect(cluster.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(u), client.FieldOwner(manager), client.ForceOwnership)).To(Succeed())
	return fresh(ctx, &v1alpha1.Webhook{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}})
}

// unwarned is a webhook without what looks wrong about it.
func unwarned(webhook rest.Webhook) rest.Webhook {
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

// seen waits until the gateway knows a webhook that was not made through it.
func seen(ctx context.Context, token string, webhook *v1alpha1.Webhook) string {
	GinkgoHelper()
	webhookID := identity.WebhookID(webhook.Namespace, webhook.Name)
	Eventually(func() int {
		return as(token).call(ctx, http.MethodGet, "/v1/webhooks/"+webhookID, nil).status
	}).WithTimeout(soon).WithPolling(pollEvery).Should(Equal(http.StatusOK))
	return webhookID
}

var _ = Describe("changing a webhook", func() {
	for _, method := range []string{http.MethodPut, http.MethodPatch} {
		It("by "+method+" changes what is given and keeps the rest", func(ctx SpecContext) {
			namespace := newNamespace(ctx)
			token := account(ctx, namespace, "editor", editor)
			webhook := created(ctx, token, hookFor(namespace).with(object{"description": "first", "events": []string{"a", "b"}}))
			before := objectOf(ctx, namespace, webhook)
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
				got := as(token).call(ctx, method, "/v1/webhooks/"+webhook.WebhookID, change.body)
				Expect(unwarned(decode[rest.Webhook](got, http.StatusOK))).To(Equal(webhook))
				again := as(token).call(ctx, http.MethodGet, "/v1/webhooks/"+webhook.WebhookID, nil)
				Expect(unwarned(decode[rest.Webhook](again, http.StatusOK))).To(Equal(webhook), "read at once")
				Expect(again.header.Get("ETag")).To(Equal(got.header.Get("ETag")))
			}
			after := objectOf(ctx, namespace, webhook)
			Expect(after.Spec.DeliveryDeadline).To(Equal(before.Spec.DeliveryDeadline))
			Expect(after.Spec.Overflow).To(Equal(before.Spec.Overflow))
			Expect(managersOf(after)).To(ContainElement("bbmcp-gateway Apply"))
			Expect(managersOf(after)).NotTo(ContainElement("bbmcp-gateway Update"), "or it would stand in its own way")
		})
	}

	It("sends to the new endpoint", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		token := account(ctx, namespace, "editor", editor)
		webhook := created(ctx, token, hookFor(namespace).with(object{"secret": goodSecret}))
		moved := "/" + namespace + "-moved"
		decode[rest.Webhook](put(ctx, as(token), webhook.WebhookID, object{"url": endpoint.URL(moved)}), http.StatusOK)
		Expect(endpoint.Secrets(moved, goodSecret)).To(Succeed())
		collect(ctx, objectOf(ctx, namespace, webhook), 0, 1)
		Expect(endpoint.Wait(ctx, moved, func(c receiver.Counts) bool { return c.Verified == 1 })).To(Succeed())
	}, SpecTimeout(time.Minute))

	It("writes nothing if nothing changes", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		token := account(ctx, namespace, "editor", editor)
		webhook := created(ctx, token, hookFor(namespace).with(object{"events": []string{"a", "b"}}))
		Eventually(readiness(ctx, namespace, webhook.Name)).WithTimeout(soon).WithPolling(pollEvery).Should(Equal("True Ready"))
		before := objectOf(ctx, namespace, webhook)
		decode[rest.Webhook](put(ctx, as(token), webhook.WebhookID, object{"url": webhook.URL, "events": []string{"b", "a"}}), http.StatusOK)
		Expect(objectOf(ctx, namespace, webhook)).To(Equal(before))
	})

	It("keeps what somebody else has set, and what somebody has set in our name", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		token := account(ctx, namespace, "editor", editor)
		webhook := created(ctx, token, hookFor(namespace))
		kept := objectOf(ctx, namespace, webhook)
		for manager, patch := range map[string]string{
			"kubectl-edit":  `{"spec":{"deliveryDeadline":"90m","retention":{"maxCount":5}}}`,
			"bbmcp-gateway": `{"spec":{"retryPolicy":{"delays":["1s","90s"],"jitterPercent":7}}}`,
		} {
			Expect(cluster.Client.Patch(ctx, kept.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(patch)), client.FieldOwner(manager))).To(Succeed())
		}
		for _, description := range []string{"one", "two"} {
			decode[rest.Webhook](put(ctx, as(token), webhook.WebhookID, object{"description": description}), http.StatusOK)
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

	DescribeTable("refuses, changing nothing,",
		func(ctx SpecContext, body any, field, detail string) {
			namespace := newNamespace(ctx)
			token := account(ctx, namespace, "editor", editor)
			webhook := created(ctx, token, hookFor(namespace))
			generation := objectOf(ctx, namespace, webhook).Generation
			got := put(ctx, as(token), webhook.WebhookID, body)
			status := http.StatusUnprocessableEntity
			if field == "" {
				status, field = http.StatusBadRequest, "body"
			}
			Expect(refusal(got, status).Errors).To(ContainElement(SatisfyAll(HaveField("Field", field), HaveField("Detail", ContainSubstring(detail)))), got.body)
			Expect(objectOf(ctx, namespace, webhook).Generation).To(Equal(generation))
		},
		Entry("nothing", object{}, "body", "at least one of url, events, description, retry_policy"),
		Entry("an address that may not be reached", object{"url": "https://10.0.0.1/hook"}, "url", "have the operator allow"),
		Entry("user info in the url", object{"url": "https://a:b@example.com/"}, "url", "user"),
		Entry("white space in the url", object{"url": "https://example.com/a b"}, "url", "white space"),
		Entry("an empty list of events", object{"events": []string{}}, "events", "1"),
		Entry("a star in the middle", object{"events": []string{"a.*.b"}}, "events[0]", "star"),
		Entry("the name", object{"name": "other"}, "name", "unexpected"),
		Entry("the secret", object{"secret": goodSecret}, "secret", "unexpected"),
		Entry("a member twice", `{"url":"https://a.example/","url":"https://b.example/"}`, "", ""),
		Entry("what is no JSON", `{"url":`, "", ""),
	)

	It("loses no change when several people change at once", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		token := account(ctx, namespace, "editor", editor)
		webhook := created(ctx, token, hookFor(namespace))
		bodies := []object{{"description": "of the first"}, {"events": []string{"of.the.second"}}, {"url": endpoint.URL("/of-the-third")}}
		var all sync.WaitGroup
		results := make([]answer, len(bodies))
		for i, body := range bodies {
			all.Go(func() { results[i], _ = as(token).try(ctx, http.MethodPatch, "/v1/webhooks/"+webhook.WebhookID, body) })
		}
		all.Wait()
		for _, got := range results {
			decode[rest.Webhook](got, http.StatusOK)
		}
		spec := objectOf(ctx, namespace, webhook).Spec
		Expect([]any{spec.Description, spec.Events, spec.URL}).To(Equal([]any{"of the first", []string{"of.the.second"}, endpoint.URL("/of-the-third")}))
	})
})

var _ = Describe("a field of somebody else", func() {
	for manager, advice := range map[string]string{
		"argocd-controller":    "Git repository that Argo CD applies",
		"kustomize-controller": "Git repository that Flux applies",
		"terraform":            "change it there",
	} {
		It("is not changed, and "+manager+" is named", func(ctx SpecContext) {
			namespace := newNamespace(ctx)
			token := account(ctx, namespace, "editor", editor)
			declared := applied(ctx, manager, namespace, "orders", object{"url": endpoint.URL("/git"), "events": []string{"a", "b"}, "suspend": true})
			webhookID := seen(ctx, token, declared)
			got := put(ctx, as(token), webhookID, object{"url": endpoint.URL("/hand"), "events": []string{"b", "c"}, "description": "by hand"})
			said := refusal(got, http.StatusConflict)
			Expect(said.Reason).To(Equal("FieldOwned"))
			Expect(said.Errors).To(HaveExactElements(
				SatisfyAll(HaveField("Field", "events"), HaveField("Detail", SatisfyAll(ContainSubstring(`"a" would stay`), ContainSubstring(`"`+manager+`"`), ContainSubstring(advice)))),
				SatisfyAll(HaveField("Field", "events"), HaveField("Detail", ContainSubstring(`"c" cannot be added here`))),
				SatisfyAll(HaveField("Field", "url"), HaveField("Detail", SatisfyAll(ContainSubstring(`"`+manager+`"`), ContainSubstring(advice)))),
			))
			said = refusal(as(token).call(ctx, http.MethodPost, "/v1/webhooks/"+webhookID+"/resume", nil), http.StatusConflict)
			Expect(said.Errors).To(HaveExactElements(SatisfyAll(HaveField("Field", "suspend"), HaveField("Detail", ContainSubstring(`"`+manager+`"`)))))
			Expect(fresh(ctx, declared.DeepCopy()).Spec).To(Equal(declared.Spec), "all or nothing")

			said = refusal(put(ctx, as(token), webhookID, object{"events": []string{"a", "b", "c"}, "description": "by hand"}), http.StatusConflict)
			Expect(said.Errors).To(HaveExactElements(SatisfyAll(HaveField("Field", "events"),
				HaveField("Detail", SatisfyAll(ContainSubstring(`"c" cannot be added here: the list is owned by "`+manager+`"`), ContainSubstring(advice))))))
			Expect(fresh(ctx, declared.DeepCopy()).Spec).To(Equal(declared.Spec), "it would be drift, or be taken out again")

			webhook := decode[rest.Webhook](put(ctx, as(token), webhookID, object{"description": "by hand", "retry_policy": object{"timeout": "5s"}}), http.StatusOK)
			Expect([]string{*webhook.Description, webhook.RetryPolicy.Timeout}).To(Equal([]string{"by hand", "5s"}), "what nobody owns can be changed")
		})
	}

	It("may be in a list that has two owners, both of whom are named", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		token := account(ctx, namespace, "editor", editor)
		applied(ctx, "argocd-controller", namespace, "orders", object{"url": endpoint.URL("/git"), "events": []string{"a"}})
		declared := applied(ctx, "kustomize-controller", namespace, "orders", object{"events": []string{"a", "b"}})
		webhookID := seen(ctx, token, declared)
		said := refusal(put(ctx, as(token), webhookID, object{"events": []string{"a", "b", "c"}}), http.StatusConflict)
		Expect(said.Errors).To(HaveExactElements(HaveField("Detail", ContainSubstring(`"argocd-controller" and "kustomize-controller"`))))
		Expect(fresh(ctx, declared.DeepCopy()).Spec.Events).To(ConsistOf("a", "b"))
	})

	It("in a list from another time can be taken away if it is ours", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		token := account(ctx, namespace, "editor", editor)
		webhook := created(ctx, token, hookFor(namespace).with(object{"name": "orders", "events": []string{"a", "b"}}))
		applied(ctx, "argocd-controller", namespace, "orders", object{"url": webhook.URL, "events": []string{"b"}})
		Expect(decode[rest.Webhook](put(ctx, as(token), webhook.WebhookID, object{"events": []string{"b"}}), http.StatusOK).Events).To(ConsistOf("b"))
	})

	It("may be added to by hand where nobody applies the list again", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		token := account(ctx, namespace, "editor", editor)
		declared := &v1alpha1.Webhook{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "orders"},
			Spec:       v1alpha1.WebhookSpec{URL: endpoint.URL("/kubectl"), Events: []string{"a"}},
		}
		Expect(cluster.Client.Create(ctx, declared, client.FieldOwner("kubectl-create"))).To(Succeed())
		webhookID := seen(ctx, token, declared)
		Expect(decode[rest.Webhook](put(ctx, as(token), webhookID, object{"events": []string{"a", "b"}}), http.StatusOK).Events).To(ConsistOf("a", "b"))
	})

	It("is a setting, and the way out names its place in the object", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		token := account(ctx, namespace, "editor", editor)
		declared := &v1alpha1.Webhook{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "orders"},
			Spec: v1alpha1.WebhookSpec{
				URL: endpoint.URL("/kubectl"), Events: []string{"a"},
				RetryPolicy: &v1alpha1.RetryPolicy{Delays: &[]metav1.Duration{{Duration: time.Second}}},
			},
		}
		Expect(cluster.Client.Create(ctx, declared, client.FieldOwner("kubectl-client-side-apply"))).To(Succeed())
		webhookID := seen(ctx, token, declared)
		for _, delays := range []any{[]string{"2s"}, nil} {
			said := refusal(put(ctx, as(token), webhookID, object{"retry_policy": object{"delays": delays}}), http.StatusConflict)
			Expect(said.Errors).To(HaveExactElements(SatisfyAll(HaveField("Field", "retry_policy.delays"),
				HaveField("Detail", ContainSubstring(`-p '{"spec":{"retryPolicy": {"delays": <new value>}}}'`)))))
		}
		Expect(decode[rest.Webhook](put(ctx, as(token), webhookID, object{"retention": object{"record": "Always"}}), http.StatusOK).RetryPolicy.Delays).To(Equal([]string{"1s"}))
	})

	It("is given up as the answer says when it is kubectl's", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		token := account(ctx, namespace, "editor", editor)
		declared := &v1alpha1.Webhook{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "orders"},
			Spec:       v1alpha1.WebhookSpec{URL: endpoint.URL("/kubectl"), Events: []string{"a", "b"}},
		}
		Expect(cluster.Client.Create(ctx, declared, client.FieldOwner("kubectl-client-side-apply"))).To(Succeed())
		webhookID := seen(ctx, token, declared)
		said := refusal(put(ctx, as(token), webhookID, object{"url": endpoint.URL("/rest")}), http.StatusConflict)
		Expect(said.Errors).To(HaveExactElements(HaveField("Detail", ContainSubstring(`kubectl patch webhook orders --type merge --field-manager bbmcp-gateway -p '{"spec":{"url": `))))
		patch := []byte(`{"spec":{"url":"` + endpoint.URL("/rest") + `"}}`)
		Expect(cluster.Client.Patch(ctx, declared.DeepCopy(), client.RawPatch(types.MergePatchType, patch), client.FieldOwner("bbmcp-gateway"))).To(Succeed())
		webhook := decode[rest.Webhook](put(ctx, as(token), webhookID, object{"url": endpoint.URL("/rest-again")}), http.StatusOK)
		Expect(webhook.URL).To(Equal(endpoint.URL("/rest-again")))
	})

	It("is one that nobody is known to own", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		token := account(ctx, namespace, "editor", editor)
		webhook := created(ctx, token, hookFor(namespace).with(object{"events": []string{"a", "b"}}))
		wipe := []byte(`{"metadata":{"managedFields":[{}]}}`)
		Expect(cluster.Client.Patch(ctx, objectOf(ctx, namespace, webhook), client.RawPatch(types.MergePatchType, wipe))).To(Succeed())
		said := refusal(put(ctx, as(token), webhook.WebhookID, object{"events": []string{"b"}}), http.StatusConflict)
		Expect(said.Errors).To(HaveExactElements(SatisfyAll(HaveField("Field", "events"), HaveField("Detail", ContainSubstring("--field-manager bbmcp-gateway")))))
		Expect(objectOf(ctx, namespace, webhook).Spec.Events).To(ConsistOf("a", "b"))
	})
})

var _ = Describe("If-Match", func() {
	It("lets a change through only if the webhook is as it was read", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		token := account(ctx, namespace, "editor", editor)
		got := as(token).call(ctx, http.MethodPost, "/v1/webhooks", hookFor(namespace))
		webhook, first := decode[rest.Webhook](got, http.StatusCreated), got.header.Get("ETag")
		Eventually(readiness(ctx, namespace, webhook.Name)).WithTimeout(soon).WithPolling(pollEvery).Should(Equal("True Ready"))

		got = put(ctx, as(token).with("If-Match", first), webhook.WebhookID, object{"description": "one"})
		decode[rest.Webhook](got, http.StatusOK)
		second := got.header.Get("ETag")
		Expect(second).NotTo(Equal(first))
		stale := as(token).with("If-Match", first)
		for name, got := range map[string]answer{
			"PUT":     put(ctx, stale, webhook.WebhookID, object{"description": "two"}),
			"DELETE":  stale.call(ctx, http.MethodDelete, "/v1/webhooks/"+webhook.WebhookID, nil),
			"suspend": stale.call(ctx, http.MethodPost, "/v1/webhooks/"+webhook.WebhookID+"/suspend", nil),
			"weak":    put(ctx, as(token).with("If-Match", "W/"+second), webhook.WebhookID, object{"description": "two"}),
		} {
			said := refusal(got, http.StatusPreconditionFailed)
			Expect(said.Reason).To(Equal("VersionMismatch"), name)
			Expect(said.Errors).To(HaveExactElements(HaveField("Field", "header.If-Match")), name)
		}
		decode[rest.Webhook](put(ctx, as(token).with("If-Match", `"x", `+second), webhook.WebhookID, object{"description": "two"}), http.StatusOK)
		decode[rest.Webhook](put(ctx, as(token).with("If-Match", "*"), webhook.WebhookID, object{"description": "three"}), http.StatusOK)
		latest := as(token).call(ctx, http.MethodGet, "/v1/webhooks/"+webhook.WebhookID, nil).header.Get("ETag")
		Expect(as(token).with("If-Match", latest).call(ctx, http.MethodDelete, "/v1/webhooks/"+webhook.WebhookID, nil).status).To(Equal(http.StatusNoContent))
	})

	It("lets one of many through", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		token := account(ctx, namespace, "editor", editor)
		got := as(token).call(ctx, http.MethodPost, "/v1/webhooks", hookFor(namespace))
		webhook, first := decode[rest.Webhook](got, http.StatusCreated), got.header.Get("ETag")
		var all sync.WaitGroup
		statuses := make([]int, 5)
		for i := range statuses {
			all.Go(func() {
				got, _ := as(token).with("If-Match", first).try(ctx, http.MethodPut, "/v1/webhooks/"+webhook.WebhookID, object{"description": strings.Repeat("x", i+1)})
				statuses[i] = got.status
			})
		}
		all.Wait()
		slices.Sort(statuses)
		Expect(statuses).To(Equal([]int{200, 412, 412, 412, 412}))
	})
})
