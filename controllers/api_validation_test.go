// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"encoding/json"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
)

// manifest is JSON text as a person may apply it.
type manifest string

const (
	webhookManifest  manifest = `{"apiVersion":"bbmcp.quietstack.com/v1alpha1","kind":"Webhook","metadata":{"name":"orders"},"spec":{"url":"https://example.com/hook","events":["context.created"]}}`
	deliveryManifest manifest = `{"apiVersion":"bbmcp.quietstack.com/v1alpha1","kind":"WebhookDelivery","metadata":{"name":"a"},
		"spec":{"webhookRef":{"name":"orders"},"eventID":"evt_1","eventType":"context.created","payload":"{}"}}`
	eventTypeManifest manifest = `{"apiVersion":"bbmcp.quietstack.com/v1alpha1","kind":"EventType","metadata":{"name":"order.paid"},"spec":{"description":"paid"}}`
)

// with puts values into the manifest: a JSON merge patch.
func (m manifest) with(patch string) *unstructured.Unstructured {
	GinkgoHelper()
	var object, changes map[string]any
	Expect(json.Unmarshal([]byte(m), &object)).To(Succeed())
	Expect(json.Unmarshal([]byte(patch), &changes)).To(Succeed())
	merge(object, changes)
	return &unstructured.Unstructured{Object: object}
}

func merge(into, changes map[string]any) {
	for key, value := range changes {
		part, isMap := value.(map[string]any)
		old, wasMap := into[key].(map[string]any)
		switch {
		case value == nil:
			delete(into, key)
		case isMap && wasMap:
			merge(old, part)
		default:
			into[key] = value
		}
	}
}

// try asks the API server whether it would take an object.
func try(ctx context.Context, object *unstructured.Unstructured) error {
	if object.GetKind() != "EventType" {
		object.SetNamespace("default")
	}
	return cluster.admin.Create(ctx, object, client.DryRunAll)
}

func refusedWith(message string) func(SpecContext, manifest, string) {
	return func(ctx SpecContext, m manifest, patch string) {
		err := try(ctx, m.with(patch))
		Expect(apierrors.IsInvalid(err)).To(BeTrue(), "%v", err)
		Expect(err).To(MatchError(ContainSubstring(message)))
	}
}

var _ = Describe("The API server refuses, with a message that says what to do,", func() {
	const url = "must be an absolute https URL such as https://example.com/hooks"
	long := strings.Repeat("a", 2100)
	table := func(m manifest, patch, message string) func(SpecContext) {
		return func(ctx SpecContext) { refusedWith(message)(ctx, m, patch) }
	}
	for about, check := range map[string]func(SpecContext){
		"no url":                       table(webhookManifest, `{"spec":{"url":null}}`, "spec.url: Required value"),
		"an empty url":                 table(webhookManifest, `{"spec":{"url":""}}`, "spec.url in body should be at least 1 chars long"),
		"a long url":                   table(webhookManifest, `{"spec":{"url":"https://example.com/`+long+`"}}`, "may not be more than 2048"),
		"an ftp url":                   table(webhookManifest, `{"spec":{"url":"ftp://example.com/"}}`, url),
		"a relative url":               table(webhookManifest, `{"spec":{"url":"/hook"}}`, url),
		"a url without a host":         table(webhookManifest, `{"spec":{"url":"https:///hook"}}`, url),
		"a name for a url":             table(webhookManifest, `{"spec":{"url":"example.com"}}`, url),
		"user info":                    table(webhookManifest, `{"spec":{"url":"https://me:secret@example.com/"}}`, "must not have user info (user:password@): remove it, all who may read Webhooks see the url; have the endpoint verify the signature instead"),
		"a fragment":                   table(webhookManifest, `{"spec":{"url":"https://example.com/#part"}}`, "must not have a fragment (#...): it would never be sent; remove it"),
		"white space in the url":       table(webhookManifest, `{"spec":{"url":"https://example.com/a b"}}`, "must not contain white space or backslashes; percent-encode them"),
		"a backslash in the url":       table(webhookManifest, `{"spec":{"url":"https://example.com/a\\b"}}`, "must not contain white space or backslashes; percent-encode them"),
		"a no-break space in the url":  table(webhookManifest, `{"spec":{"url":"https://example.com/a\u00a0b"}}`, "must not contain invisible characters"),
		"a next line in the url":       table(webhookManifest, `{"spec":{"url":"https://example.com/\u0085"}}`, "must not contain invisible characters"),
		"a zero width space":           table(webhookManifest, `{"spec":{"url":"https://example.com/\u200bhook"}}`, "must not contain invisible characters"),
		"a filler in the url":          table(webhookManifest, `{"spec":{"url":"https://example.com/\u3164"}}`, "must not contain invisible characters"),
		"a tag in the url":             table(webhookManifest, `{"spec":{"url":"https://example.com/\udb40\udc41"}}`, "must not contain invisible characters"),
		"an international host":        table(webhookManifest, `{"spec":{"url":"https://b\u00fccher.example/"}}`, "write an international name in its xn-- form"),
		"an encoded host":              table(webhookManifest, `{"spec":{"url":"https://%31.example/"}}`, url),
		"an empty label in the host":   table(webhookManifest, `{"spec":{"url":"https://a..example/"}}`, "must have a host of ASCII letters"),
		"a label of 64 characters":     table(webhookManifest, `{"spec":{"url":"https://`+strings.Repeat("a", 64)+`.example/"}}`, "must have a host of ASCII letters"),
		"a zone in the host":           table(webhookManifest, `{"spec":{"url":"https://[fe80::1%25eth0]/"}}`, "must have a host of ASCII letters"),
		"port 0":                       table(webhookManifest, `{"spec":{"url":"https://example.com:0/"}}`, "a port from 1 to 65535 or none"),
		"port 65536":                   table(webhookManifest, `{"spec":{"url":"https://example.com:65536/"}}`, "a port from 1 to 65535 or none"),
		"no events":                    table(webhookManifest, `{"spec":{"events":null}}`, "spec.events: Required value"),
		"an empty list of events":      table(webhookManifest, `{"spec":{"events":[]}}`, "spec.events in body should have at least 1 items"),
		"the same event twice":         table(webhookManifest, `{"spec":{"events":["a","a"]}}`, "spec.events[1]: Duplicate value"),
		"65 events":                    table(webhookManifest, `{"spec":{"events":`+numbered(65)+`}}`, "must have at most 64 items"),
		"a pattern with a star inside": table(webhookManifest, `{"spec":{"events":["a.*.b"]}}`, "spec.events[0] in body should match"),
		"a pattern that is only a dot": table(webhookManifest, `{"spec":{"events":[".*"]}}`, "spec.events[0] in body should match"),
		"a long description":           table(webhookManifest, `{"spec":{"description":"`+long+`"}}`, "may not be more than 1024"),
		"a delay of more than a day":   table(webhookManifest, `{"spec":{"retryPolicy":{"delays":["5s","24h1s"]}}}`, "each delay must be a duration from 0s to 24h, such as 45s or 2m"),
		"a delay that is none":         table(webhookManifest, `{"spec":{"retryPolicy":{"delays":["soon"]}}}`, "spec.retryPolicy.delays[0] in body should match"),
		"a negative delay":             table(webhookManifest, `{"spec":{"retryPolicy":{"delays":["-5s"]}}}`, "spec.retryPolicy.delays[0] in body should match"),
		"20 delays":                    table(webhookManifest, `{"spec":{"retryPolicy":{"delays":`+repeated("5s", 20)+`}}}`, "must have at most 19 items"),
		"a timeout of 31 s":            table(webhookManifest, `{"spec":{"retryPolicy":{"timeout":"31s"}}}`, "must be a duration from 1s to 30s, such as 10s"),
		"a timeout below a second":     table(webhookManifest, `{"spec":{"retryPolicy":{"timeout":"999ms"}}}`, "must be a duration from 1s to 30s, such as 10s"),
		"a jitter of more than all":    table(webhookManifest, `{"spec":{"retryPolicy":{"jitterPercent":101}}}`, "less than or equal to 100"),
		"a negative jitter":            table(webhookManifest, `{"spec":{"retryPolicy":{"jitterPercent":-1}}}`, "greater than or equal to 0"),
		"a deadline below a second":    table(webhookManifest, `{"spec":{"deliveryDeadline":"500ms"}}`, "must be a duration from 1s to 720h, such as 72h"),
		"a deadline of 31 days":        table(webhookManifest, `{"spec":{"deliveryDeadline":"744h"}}`, "must be a duration from 1s to 720h, such as 72h"),
		"an overlap of 31 days":        table(webhookManifest, `{"spec":{"signing":{"overlap":"744h"}}}`, "must be a duration from 0s to 720h, such as 24h"),
		"a secretRef without a name":   table(webhookManifest, `{"spec":{"signing":{"secretRef":{}}}}`, "spec.signing.secretRef.name: Required value"),
		"the key previous":             table(webhookManifest, `{"spec":{"signing":{"secretRef":{"name":"keys","key":"previous"}}}}`, `must not be "previous": that key holds the secret a rotation replaced`),
		"another way to overflow":      table(webhookManifest, `{"spec":{"overflow":"Drop"}}`, `supported values: "Skip", "Refuse"`),
		"another way to record":        table(webhookManifest, `{"spec":{"retention":{"record":"Some"}}}`, `supported values: "Always", "Budgeted", "Never"`),
		"a retention of 31 days":       table(webhookManifest, `{"spec":{"retention":{"succeeded":"744h"}}}`, "must be a duration from 0s to 720h, such as 1h"),
		"failed ones for 31 days":      table(webhookManifest, `{"spec":{"retention":{"failed":"744h"}}}`, "must be a duration from 0s to 720h, such as 168h"),
		"a retention of 10001":         table(webhookManifest, `{"spec":{"retention":{"maxCount":10001}}}`, "less than or equal to 10000"),
		"a name too long for a Secret": table(webhookManifest, `{"metadata":{"name":"`+strings.Repeat("a", 246)+`"}}`, "metadata.name must be at most 245 characters, so that the Secret <name>-signing can exist; choose a shorter name"),

		"a delivery to nobody":            table(deliveryManifest, `{"spec":{"webhookRef":null}}`, "spec.webhookRef: Required value"),
		"an event id of another alphabet": table(deliveryManifest, `{"spec":{"eventID":"evt.1"}}`, "spec.eventID in body should match"),
		"an event id of 65 characters":    table(deliveryManifest, `{"spec":{"eventID":"`+strings.Repeat("e", 65)+`"}}`, "may not be more than 64"),
		"an event type that is none":      table(deliveryManifest, `{"spec":{"eventType":"a b"}}`, "spec.eventType in body should match"),
		"no payload":                      table(deliveryManifest, `{"spec":{"payload":null}}`, "spec.payload: Required value"),
		"a payload over 256 KiB":          table(deliveryManifest, `{"spec":{"payload":"`+strings.Repeat("x", 262145)+`"}}`, "may not be more than 262144"),
		"a time in whole seconds":         table(deliveryManifest, `{"spec":{"acceptedTime":"2026-03-01T12:00:00Z"}}`, "spec.acceptedTime in body should match"),
		"a time in nanoseconds":           table(deliveryManifest, `{"spec":{"notBefore":"2026-03-01T12:00:00.000000001Z"}}`, "spec.notBefore in body should match"),
		"a time in another zone":          table(deliveryManifest, `{"spec":{"notBefore":"2026-03-01T12:00:00.000000+01:00"}}`, "spec.notBefore in body should match"),
		"a first attempt at such a time":  table(deliveryManifest, `{"spec":{"firstAttempt":{"number":1,"startTime":"2026-03-01T12:00:00Z"}}}`, "spec.firstAttempt.startTime in body should match"),
		"a trace context that is none":    table(deliveryManifest, `{"spec":{"traceParent":"00-1"}}`, "spec.traceParent in body should match"),
		"a ttl of 31 days":                table(deliveryManifest, `{"spec":{"ttlAfterFinished":"744h"}}`, "must be a duration from 0s to 720h, such as 24h"),

		"an empty event type":              table(eventTypeManifest, `{"spec":{"description":null}}`, "spec in body should have at least 1 properties"),
		"an event type that cannot be one": table(eventTypeManifest, `{"spec":{"type":"-a"}}`, "spec.type in body should match"),
		"a name that is no event type":     table(eventTypeManifest, `{"metadata":{"name":"`+strings.Repeat("a", 129)+`"}}`, "metadata.name is not an event type (at most 128 characters); set spec.type"),
	} {
		It(about, check, SpecTimeout(soon))
	}

	It("no url to which the dispatcher can send", func(ctx SpecContext) {
		for _, url := range []string{
			"https://example.com", "https://example.com.", "HTTPS://EXAMPLE.com:443/", "https://example.com:/x", "https://example.com:65535?q", "https://a_b.example/",
			"https://xn--bcher-kva.example/", "https://8.8.8.8/", "https://[2606:4700:4700::1111]:443/", "http://receiver.demo.svc/",
			"https://example.com/a%2Fb/{id}", "https://example.com/\u4f60?q=\u00fc&f={a}|^", "https://" + strings.Repeat("a", 63) + ".example/",
		} {
			Expect(try(ctx, webhookManifest.with(`{"spec":{"url":"`+url+`"}}`))).To(Succeed(), url)
		}
	}, SpecTimeout(soon))

	It("any change of a delivery", func(ctx SpecContext) {
		delivery := create(ctx, newDeliveryIn(newNamespace(ctx), "a"))
		for _, patch := range []string{
			`{"spec":{"payload":"{}"}}`, `{"spec":{"webhookRef":{"name":"other"}}}`, `{"spec":{"notBefore":"2026-03-01T12:00:00.000000Z"}}`, `{"spec":{"test":true}}`,
		} {
			err := cluster.admin.Patch(ctx, delivery.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(patch)))
			Expect(err).To(MatchError(ContainSubstring("a delivery cannot be changed, its bytes may be signed and sent already; create a new WebhookDelivery instead")))
		}
	}, SpecTimeout(soon))
})

var _ = Describe("The API server accepts", func() {
	for about, text := range map[string][2]string{
		"plain http, which the operator may allow":    {string(webhookManifest), `{"spec":{"url":"http://127.0.0.1:8080/hook?token=a@b"}}`},
		"a url whose path has an at sign":             {string(webhookManifest), `{"spec":{"url":"https://example.com/@me"}}`},
		"every kind of pattern":                       {string(webhookManifest), `{"spec":{"events":["*","context.*","context.created","a.b.c.*"]}}`},
		"one attempt":                                 {string(webhookManifest), `{"spec":{"retryPolicy":{"delays":[]}}}`},
		"19 delays of a day":                          {string(webhookManifest), `{"spec":{"retryPolicy":{"delays":` + repeated("24h", 19) + `,"timeout":"30s","jitterPercent":100}}}`},
		"durations of several parts":                  {string(webhookManifest), `{"spec":{"deliveryDeadline":"1h30m0.5s","signing":{"overlap":"0s"}}}`},
		"a name of 245 characters":                    {string(webhookManifest), `{"metadata":{"name":"` + strings.Repeat("a", 245) + `"}}`},
		"a payload of 256 KiB":                        {string(deliveryManifest), `{"spec":{"payload":"` + strings.Repeat("x", 262144) + `"}}`},
		"times with six digits":                       {string(deliveryManifest), `{"spec":{"acceptedTime":"2026-03-01T12:00:00.000000Z","notBefore":"2026-03-01T12:00:00.123456Z"}}`},
		"a name that is none, with a type of its own": {string(eventTypeManifest), `{"metadata":{"name":"` + strings.Repeat("a", 129) + `"},"spec":{"type":"a"}}`},
	} {
		It(about, func(ctx SpecContext) {
			Expect(try(ctx, manifest(text[0]).with(text[1]))).To(Succeed())
		}, SpecTimeout(soon))
	}

	// Entries for each field cost the API server a sixth of what it allocates for a
	// delivery; see docs/adr/0010-own-a-delivery-as-a-whole.md.
	It("a delivery and keeps the writers of its spec and status, not of each field", func(ctx SpecContext) {
		delivery := create(ctx, newDeliveryIn(newNamespace(ctx), "a"))
		delivery.Status = v1alpha1.WebhookDeliveryStatus{State: v1alpha1.DeliveryRetrying, Attempts: 1}
		Expect(cluster.admin.Status().Update(ctx, delivery)).To(Succeed())
		var owned []string
		for _, entry := range delivery.ManagedFields {
			owned = append(owned, entry.FieldsV1.GetRawString())
		}
		Expect(owned).To(ConsistOf(ContainSubstring(`"f:spec":{}`), `{"f:status":{}}`))
	}, SpecTimeout(soon))

	It("a Webhook without settings and fills in the defaults", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		object := webhookManifest.with(`{"metadata":{"namespace":"` + namespace + `"},"spec":{"signing":{"secretRef":{"name":"keys"}},"retryPolicy":{},"retention":{}},"status":{"state":"Disabled"}}`)
		Expect(cluster.admin.Create(ctx, object)).To(Succeed())
		var want map[string]any
		Expect(json.Unmarshal([]byte(`{
			"spec": {
				"url": "https://example.com/hook", "events": ["context.created"], "deliveryDeadline": "72h", "overflow": "Skip",
				"signing": {"secretRef": {"name": "keys", "key": "secret"}, "overlap": "24h"},
				"retryPolicy": {"timeout": "10s", "jitterPercent": 0}, "retention": {"record": "Budgeted"}
			},
			"status": {"observedGeneration": -1}
		}`), &want)).To(Succeed())
		got, err := json.Marshal(map[string]any{"spec": object.Object["spec"], "status": object.Object["status"]})
		Expect(err).NotTo(HaveOccurred())
		Expect(got).To(MatchJSON(mustJSON(want)), "a status given on creation is dropped")

		event := eventTypeManifest.with(`{"metadata":{"name":"` + namespace + `"}}`)
		Expect(cluster.admin.Create(ctx, event)).To(Succeed())
		DeferCleanup(func(ctx context.Context) error { return cluster.admin.Delete(ctx, event) })
		Expect(event.Object["status"]).To(Equal(map[string]any{"observedGeneration": int64(-1)}))
		Expect(create(ctx, newDeliveryIn(namespace, "a")).Status).To(Equal(v1alpha1.WebhookDeliveryStatus{}))
	}, SpecTimeout(soon))
})

func mustJSON(value any) []byte {
	GinkgoHelper()
	text, err := json.Marshal(value)
	Expect(err).NotTo(HaveOccurred())
	return text
}

// repeated is a JSON list of the same string.
func repeated(text string, times int) string {
	return `["` + strings.Join(strings.Split(strings.Repeat(text+" ", times-1)+text, " "), `","`) + `"]`
}

// numbered is a JSON list of different strings.
func numbered(count int) string {
	var names []string
	for i := range count {
		names = append(names, "e"+strings.Repeat("x", i+1))
	}
	return `["` + strings.Join(names, `","`) + `"]`
}
