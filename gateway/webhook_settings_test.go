// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"net/http"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
)

// defaultSettings are the settings of a webhook that sets none.
var defaultSettings = rest.Webhook{
	RetryPolicy: rest.RetryPolicy{Delays: []string{"5s", "15s", "45s", "2m"}, Timeout: "10s"}, DeliveryDeadline: "72h", Overflow: rest.OverflowSkip,
	Retention: rest.Retention{Record: rest.RecordBudgeted},
}

var _ = Describe("the settings of a webhook", func() {
	var namespace, token string
	BeforeEach(func(ctx SpecContext) {
		namespace = newNamespace(ctx)
		token = newAccount(ctx, namespace, "editor", editor)
	})
	seconds := func(all ...int) *[]metav1.Duration {
		list := []metav1.Duration{}
		for _, n := range all {
			list = append(list, metav1.Duration{Duration: time.Duration(n) * time.Second})
		}
		return &list
	}
	everything := object{
		"retry_policy": object{"delays": []string{"1s", "90s"}, "timeout": "5s", "jitter_percent": 20}, "delivery_deadline": "24h", "overflow": "Refuse",
		"retention": object{"succeeded": "30m", "failed": "48h", "max_count": 50, "record": "Never"},
	}
	shown := rest.Webhook{
		RetryPolicy: rest.RetryPolicy{Delays: []string{"1s", "1m30s"}, Timeout: "5s", JitterPercent: 20}, DeliveryDeadline: "24h", Overflow: rest.OverflowRefuse,
		Retention: rest.Retention{Succeeded: new("30m"), Failed: new("48h"), MaxCount: new(50), Record: rest.RecordNever},
	}
	same := func(got, want rest.Webhook) {
		GinkgoHelper()
		Expect(got.RetryPolicy).To(Equal(want.RetryPolicy))
		Expect([]string{got.DeliveryDeadline, got.Overflow}).To(Equal([]string{want.DeliveryDeadline, want.Overflow}))
		Expect(got.Retention).To(Equal(want.Retention))
	}
	stored := func(spec v1alpha1.WebhookSpec) {
		GinkgoHelper()
		Expect(spec.RetryPolicy).To(Equal(&v1alpha1.RetryPolicy{Delays: seconds(1, 90), Timeout: &(*seconds(5))[0], JitterPercent: new(int32(20))}))
		Expect(spec.DeliveryDeadline.Duration).To(Equal(24 * time.Hour))
		Expect(spec.Overflow).To(Equal(v1alpha1.OverflowRefuse))
		Expect(spec.Retention).To(Equal(&v1alpha1.Retention{
			Succeeded: &metav1.Duration{Duration: 30 * time.Minute}, Failed: &metav1.Duration{Duration: 48 * time.Hour}, MaxCount: new(int32(50)), Record: v1alpha1.RecordNever,
		}))
	}

	It("can be set when it is created", func(ctx SpecContext) {
		webhook := createWebhook(ctx, token, webhookBody(namespace).withMembers(everything))
		same(webhook, shown)
		stored(readWebhook(ctx, namespace, webhook).Spec)
		same(decode[rest.Webhook](clientFor(token).call(ctx, http.MethodGet, "/v1/webhooks/"+webhook.WebhookID, nil), http.StatusOK), shown)
	})

	It("have their defaults if none are given", func(ctx SpecContext) {
		webhook := createWebhook(ctx, token, webhookBody(namespace))
		same(webhook, defaultSettings)
		same(createWebhook(ctx, token, webhookBody(namespace).withMembers(object{
			"name": "second", "retry_policy": nil, "delivery_deadline": nil, "overflow": nil, "retention": object{"succeeded": nil},
		})), defaultSettings)
	})

	for _, method := range []string{http.MethodPut, http.MethodPatch} {
		It("are changed one by one by "+method+", and null restores the default", func(ctx SpecContext) {
			webhook := createWebhook(ctx, token, webhookBody(namespace))
			change := func(body object) rest.Webhook {
				GinkgoHelper()
				return decode[rest.Webhook](clientFor(token).call(ctx, method, "/v1/webhooks/"+webhook.WebhookID, body), http.StatusOK)
			}
			same(change(everything), shown)
			stored(readWebhook(ctx, namespace, webhook).Spec)

			want := shown
			want.RetryPolicy.Timeout, want.Retention.MaxCount = "7s", nil
			same(change(object{"retry_policy": object{"timeout": "7s"}, "retention": object{"max_count": nil}}), want)
			want.RetryPolicy.Delays = []string{}
			same(change(object{"retry_policy": object{"delays": []string{}}}), want)
			want.RetryPolicy = defaultSettings.RetryPolicy
			same(change(object{"retry_policy": nil}), want)
			same(change(object{"delivery_deadline": nil, "overflow": nil, "retention": nil}), defaultSettings)
			Expect(readWebhook(ctx, namespace, webhook).Spec.URL).To(Equal(webhook.URL))
		})
	}

	It("are part of the version in ETag and If-Match", func(ctx SpecContext) {
		got := clientFor(token).call(ctx, http.MethodPost, "/v1/webhooks", webhookBody(namespace))
		webhook, first := decode[rest.Webhook](got, http.StatusCreated), got.header.Get("ETag")
		decode[rest.Webhook](putWebhook(ctx, clientFor(token), webhook.WebhookID, object{"overflow": "Refuse"}), http.StatusOK)
		decodeProblem(putWebhook(ctx, clientFor(token).withHeader("If-Match", first), webhook.WebhookID, object{"overflow": "Skip"}), http.StatusPreconditionFailed)
	})

	DescribeTable("are refused without any change, with the field and a remedy, given",
		func(ctx SpecContext, body object, field, detail string) {
			matches := ContainElement(SatisfyAll(HaveField("Field", field), HaveField("Detail", ContainSubstring(detail))))
			Expect(decodeProblem(clientFor(token).call(ctx, http.MethodPost, "/v1/webhooks", webhookBody(namespace).withMembers(body).withMembers(object{"name": "refused"})), http.StatusUnprocessableEntity).Errors).To(matches)
			webhook := createWebhook(ctx, token, webhookBody(namespace))
			generation := readWebhook(ctx, namespace, webhook).Generation
			Expect(decodeProblem(putWebhook(ctx, clientFor(token), webhook.WebhookID, body), http.StatusUnprocessableEntity).Errors).To(matches)
			Expect(readWebhook(ctx, namespace, webhook).Generation).To(Equal(generation))
		},
		Entry("a delay that is no duration", object{"retry_policy": object{"delays": []string{"5s", "soon"}}}, "retry_policy.delays[1]", `such as "10s"`),
		Entry("a number in place of a duration", object{"retry_policy": object{"timeout": 10}}, "retry_policy.timeout", "expected string"),
		Entry("a delay that no duration can hold", object{"retry_policy": object{"delays": []string{"5s", "9999999999h"}}}, "retry_policy.delays[1]", `such as "10s"`),
		Entry("a deadline that no duration can hold", object{"delivery_deadline": "99999999999999999999ms"}, "delivery_deadline", `such as "10s"`),
		Entry("a delay of more than a day", object{"retry_policy": object{"delays": []string{"25h"}}}, "retry_policy.delays", "from 0s to 24h"),
		Entry("twenty delays", object{"retry_policy": object{"delays": make([]string, 20)}}, "retry_policy.delays", "19"),
		Entry("a timeout of a minute", object{"retry_policy": object{"timeout": "1m"}}, "retry_policy.timeout", "from 1s to 30s"),
		Entry("jitter of more than all", object{"retry_policy": object{"jitter_percent": 101}}, "retry_policy.jitter_percent", "100"),
		Entry("a deadline of two months", object{"delivery_deadline": "1440h"}, "delivery_deadline", "from 1s to 720h"),
		Entry("a negative deadline", object{"delivery_deadline": "-1h"}, "delivery_deadline", `such as "10s"`),
		Entry("an overflow that there is not", object{"overflow": "Block"}, "overflow", "Skip"),
		Entry("keeping for two months", object{"retention": object{"failed": "1440h"}}, "retention.failed", "from 0s to 720h"),
		Entry("keeping 20,000", object{"retention": object{"max_count": 20000}}, "retention.max_count", "10000"),
		Entry("a member that there is not", object{"retention": object{"count": 5}}, "retention.count", "unexpected"),
	)
})

var _ = Describe("an event type that is not in the catalogue", func() {
	It("is accepted with a warning, and a similar type is suggested", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		token := newAccount(ctx, namespace, "editor", editor)
		events := []string{"context.created", "context.craeted", "contxt.*", "*"}
		webhook := createWebhook(ctx, token, webhookBody(namespace).withMembers(object{"events": events}))
		want := HaveExactElements(
			rest.Warning{Field: "events[1]", Reason: "EventTypeNotRegistered", Detail: `"context.craeted" is no event type of the catalogue; did you mean "context.created"?`},
			rest.Warning{Field: "events[2]", Reason: "EventTypeNotRegistered", Detail: `no event type of the catalogue begins with "contxt."; did you mean "context.*"?`},
		)
		Expect(webhook.Warnings).To(want)
		Expect(decode[rest.Webhook](clientFor(token).call(ctx, http.MethodGet, "/v1/webhooks/"+webhook.WebhookID, nil), http.StatusOK).Warnings).To(want)
		mended := decode[rest.Webhook](putWebhook(ctx, clientFor(token), webhook.WebhookID, object{"events": []string{"context.created"}}), http.StatusOK)
		Expect(mended.Warnings).To(BeEmpty())
		broken := decode[rest.Webhook](putWebhook(ctx, clientFor(token), webhook.WebhookID, object{"events": []string{"verification.complete"}}), http.StatusOK)
		Expect(broken.Warnings).To(HaveExactElements(HaveField("Detail", ContainSubstring(`did you mean "verification.completed"?`))))
	})
})
