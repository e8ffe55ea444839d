// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/signer"
	"bbmcp.quietstack.com/webhooks/test/receiver"
)

// One object that the API server takes and Go cannot decode stops the informer
// of its kind, and with it every tenant. So each spelling of a value must be
// either refused or decoded.
var _ = Describe("A spelling that somebody may have got past the schema", func() {
	durations := []string{
		`"1h1h"`, `"0.0000001s"`, `"999999999999h"`, `"1.5.5s"`, `"1.s"`, `".5s"`, `"5"`, `"0"`, `""`, `"-1s"`, `"+5s"`, `"5S"`, `"5µs"`, `"5us"`, `"5ns"`, `"1d"`,
		`" 5s"`, `"5s\n"`, `"٥s"`, `"2562047h47m16.854775807s"`, `"2562048h"`, `"9223372036854775808ms"`, `"0.00000000000000000000000000s"`, `"00000000000000000000000000005s"`, `5`, `5000000000`, `null`, `{}`, `[]`, `true`, `["5s"]`,
	}
	times := []string{
		`"2024-13-01T00:00:00.000000Z"`, `"2024-00-01T00:00:00.000000Z"`, `"2024-02-30T00:00:00.000000Z"`, `"2023-02-29T00:00:00.000000Z"`,
		`"2024-01-01T24:00:00.000000Z"`, `"2024-01-01T23:60:00.000000Z"`, `"2024-01-01T23:59:60.000000Z"`, `"2024-01-01T23:59:59.999999Z"`,
		`"0000-01-01T00:00:00.000000Z"`, `"0001-01-01T00:00:00.000000Z"`, `"9999-12-31T23:59:59.999999Z"`, `"2024-01-01t00:00:00.000000z"`,
		`"2024-01-01T00:00:00Z"`, `"2024-01-01T00:00:00.0000000Z"`, `"2024-01-01T00:00:00,000000Z"`, `"2024-01-01T00:00:00.000000+00:00"`, `"2024-01-01T00:00:00.000000Z\n"`,
		`"٢٠٢٤-01-01T00:00:00.000000Z"`, `""`, `0`, `null`, `{}`,
	}
	integers := []string{
		`0`, `1`, `-1`, `20`, `100`, `1.0`, `1.5`, `1e2`, `2147483647`, `2147483648`, `3000000000`, `4294967297`, `-2147483649`, `9007199254740993`, `9223372036854775807`, `9223372036854775808`,
		`1e18`, `1e19`, `1e30`, `1e400`, `"1"`, `null`, `true`,
	}
	seconds := []string{
		`"2024-01-01T00:00:00Z"`, `"2024-01-01t00:00:00z"`, `"2024-01-01T00:00:00z"`, `"2024-01-01T00:00:00.5Z"`, `"2024-01-01T00:00:00,5Z"`, `"2024-01-01T00:00:00x5Z"`,
		`"2024-01-01T00:00:00+25:00"`, `"2024-01-01T00:00:00+23:59"`, `"2024-01-01T00:00:00+00:99"`, `"2024-01-01T00:00:60Z"`, `"2024-01-01T00:00:00"`, `"2024-01-01"`, `"0000-01-01T00:00:00Z"`, `""`, `null`,
	}
	var conditions []string
	for _, value := range seconds {
		conditions = append(conditions, `[{"type":"Ready","status":"True","reason":"Any","message":"","lastTransitionTime":`+value+`}]`)
	}
	fields := []struct {
		kind, subresource string
		path              []string
		values            []string
	}{
		{"Webhook", "", []string{"spec", "deliveryDeadline"}, durations},
		{"Webhook", "", []string{"spec", "signing", "overlap"}, durations},
		{"Webhook", "", []string{"spec", "retryPolicy", "timeout"}, durations},
		{"Webhook", "", []string{"spec", "retryPolicy", "delays", "[]"}, durations},
		{"Webhook", "", []string{"spec", "retryPolicy", "delays"}, []string{`null`, `{}`, `[]`, `"5s"`, `[null]`, `["5s",null]`}},
		{"Webhook", "", []string{"spec", "retention", "succeeded"}, durations},
		{"Webhook", "", []string{"spec", "retention", "failed"}, durations},
		{"Webhook", "", []string{"spec", "retention", "maxCount"}, integers},
		{"Webhook", "", []string{"spec", "retryPolicy", "jitterPercent"}, integers},
		{"WebhookDelivery", "", []string{"spec", "ttlAfterFinished"}, durations},
		{"WebhookDelivery", "", []string{"spec", "acceptedTime"}, times},
		{"WebhookDelivery", "", []string{"spec", "notBefore"}, times},
		{"WebhookDelivery", "", []string{"spec", "firstAttempt", "startTime"}, times},
		{"WebhookDelivery", "", []string{"spec", "firstAttempt", "retryAfterTime"}, times},
		{"WebhookDelivery", "", []string{"spec", "firstAttempt", "number"}, integers},
		{"WebhookDelivery", "", []string{"spec", "firstAttempt", "responseStatus"}, integers},
		{"WebhookDelivery", "", []string{"spec", "firstAttempt", "durationMilliseconds"}, integers},
		{"WebhookDelivery", "status", []string{"status", "nextAttemptTime"}, times},
		{"WebhookDelivery", "status", []string{"status", "attempts"}, integers},
		{"WebhookDelivery", "status", []string{"status", "conditions"}, conditions},
		{"Webhook", "status", []string{"status", "failingSinceTime"}, times},
		{"Webhook", "status", []string{"status", "retryAfterTime"}, seconds},
		{"Webhook", "status", []string{"status", "signing", "overlapEndTime"}, seconds},
		{"Webhook", "status", []string{"status", "conditions"}, conditions},
		{"EventType", "status", []string{"status", "conditions"}, conditions},
	}
	for _, f := range fields {
		It("is refused or decoded: "+f.kind+" "+strings.Join(f.path, "."), func(ctx SpecContext) {
			namespace := newNamespace(ctx)
			var broken []string
			taken := 0
			for i, value := range f.values {
				object := rawObject(f.kind, namespace, fmt.Sprintf("n%d", i), f.path, value)
				if err := put(ctx, object, f.subresource); err != nil {
					continue
				}
				taken++
				if err := decodes(ctx, object); err != nil {
					broken = append(broken, fmt.Sprintf("%s: %v", value, err))
				}
			}
			Expect(broken).To(BeEmpty())
			Expect(taken).To(BeNumerically(">", 0), "nothing was taken: the test tests nothing")
		})
	}
})

// rawObject is a valid object with one value put in as JSON text.
func rawObject(kind, namespace, name string, path []string, value string) *unstructured.Unstructured {
	GinkgoHelper()
	spec := map[string]any{"url": "https://example.com/", "events": []any{"*"}}
	if kind == "EventType" {
		spec = map[string]any{"type": "attack." + name}
	}
	if kind == "WebhookDelivery" {
		spec = map[string]any{
			"webhookRef": map[string]any{"name": "orders"}, "eventID": "evt_1", "eventType": "context.created",
			"payload": `{"event":"context.created","timestamp":"2026-03-01T12:00:00Z","data":{}}`,
		}
		if path[0] == "spec" && path[1] == "firstAttempt" {
			spec["firstAttempt"] = map[string]any{"number": int64(1), "startTime": "2024-01-01T00:00:00.000000Z"}
		}
	}
	object := map[string]any{
		"apiVersion": v1alpha1.GroupVersion.String(), "kind": kind,
		"metadata": map[string]any{"namespace": namespace, "name": name}, "spec": spec,
	}
	if kind == "EventType" {
		object["metadata"] = map[string]any{"name": namespace + "." + name}
	}
	at := object
	var placed any = json.RawMessage(value)
	if path[len(path)-1] == "[]" {
		placed, path = []any{placed}, path[:len(path)-1]
	}
	for _, step := range path[:len(path)-1] {
		if _, ok := at[step]; !ok {
			at[step] = map[string]any{}
		}
		at = at[step].(map[string]any)
	}
	at[path[len(path)-1]] = placed
	return &unstructured.Unstructured{Object: object}
}

// put creates an object; its status takes a second request.
func put(ctx context.Context, object *unstructured.Unstructured, subresource string) error {
	GinkgoHelper()
	if subresource == "" {
		return world.admin.Create(ctx, object)
	}
	status := object.Object["status"]
	delete(object.Object, "status")
	Expect(world.admin.Create(ctx, object)).To(Succeed())
	object.Object["status"] = status
	DeferCleanup(func(ctx SpecContext) { // EventTypes belong to no namespace
		Expect(client.IgnoreNotFound(world.admin.Delete(ctx, object))).To(Succeed())
	}, NodeTimeout(soon))
	return world.admin.Status().Update(ctx, object)
}

// decodes reads an object as the informers do.
func decodes(ctx context.Context, object *unstructured.Unstructured) error {
	var typed client.Object = &v1alpha1.Webhook{}
	switch object.GetKind() {
	case "WebhookDelivery":
		typed = &v1alpha1.WebhookDelivery{}
	case "EventType":
		typed = &v1alpha1.EventType{}
	}
	err := world.admin.Get(ctx, types.NamespacedName{Namespace: object.GetNamespace(), Name: object.GetName()}, typed)
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

var _ = Describe("Somebody who may create deliveries", func() {
	It("holds no place with one that is being deleted and has a finalizer", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		world.receiver.Script("/"+namespace, receiver.Step{Delay: time.Second, Status: 500})
		o := startOperator(setup{namespace: namespace})
		create(ctx, hookIn(namespace))
		delivery := create(ctx, deliveryIn(namespace, "a", func(d *v1alpha1.WebhookDelivery) {
			d.Finalizers = []string{"example.com/stays"}
		}))
		Eventually(func() int { return world.receiver.Counts("/" + namespace).Posts }).Should(Equal(1)) // and is answered a second later
		Expect(world.admin.Delete(ctx, delivery)).To(Succeed())
		Eventually(o.runner.Stats).Should(And(HaveField("InFlight", 0), HaveField("Unsettled", 0)))
		Eventually(state(ctx, delivery)).Should(Equal("Retrying RetryScheduled 1"))
		Consistently(func() int { return world.receiver.Counts("/" + namespace).Posts }, "500ms").Should(Equal(1))
		change(ctx, delivery, func(d *v1alpha1.WebhookDelivery) { d.Finalizers = nil })
	}, SpecTimeout(soon))

	It("stops nobody with one that leaves no room for its status", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		o := startOperator(setup{namespace: namespace})
		webhook := create(ctx, hookIn(namespace))
		Eventually(ready(ctx, webhook)).Should(Equal("True Ready"))
		full := fullDelivery(ctx, webhook)
		Eventually(func() int { return world.receiver.Counts("/" + namespace).Posts }).Should(Equal(1))
		Eventually(func() float64 { return o.metric("bbmcp_status_writes_total", map[string]string{"result": "refused"}) }).Should(BeNumerically(">", 0))
		Expect(fresh(ctx, full).Status.Attempts).To(BeZero())
		Eventually(o.runner.Stats).Should(And(HaveField("InFlight", 0), HaveField("Unsettled", 0)))
		other := create(ctx, deliveryIn(namespace, "b"))
		Eventually(state(ctx, other)).Should(Equal("Succeeded Delivered 1"))
		Expect(o.runner.Stats().Stalled).To(BeFalse())
	}, SpecTimeout(5*soon))

	It("gets a status whatever first attempt it is said to have made", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		startOperator(setup{namespace: namespace})
		create(ctx, hookIn(namespace))
		for i, first := range []string{
			`{"number":2147483647,"startTime":"0001-01-01T00:00:00.000000Z","reason":"HTTPStatus"}`,
			`{"number":1,"startTime":"0000-01-01T00:00:00.000000Z","reason":"HTTPStatus","durationMilliseconds":9223372036854775807}`,
			`{"number":1,"startTime":"9999-12-31T23:59:59.999999Z","reason":"HTTPStatus","retryAfterTime":"0001-01-01T00:00:00.000000Z"}`,
			`{"number":1,"startTime":"0001-01-01T00:00:00.000000Z"}`,
			`{"number":1,"startTime":"2024-01-01T00:00:00.000000Z","message":"` + strings.Repeat("ü", 256) + `","reason":"` + strings.Repeat("x", 64) + `","answer":"` + strings.Repeat(`\u0001`, 256) + `"}`,
		} {
			object := rawObject("WebhookDelivery", namespace, fmt.Sprintf("n%d", i), []string{"spec", "firstAttempt"}, first)
			Expect(world.admin.Create(ctx, object)).To(Succeed())
			delivery := deliveryIn(namespace, object.GetName())
			Eventually(state(ctx, delivery)).Should(HavePrefix("Succeeded Delivered"), first)
		}
	}, SpecTimeout(soon))

	It("puts off no deadline", func() {
		s := situation{delivery: someDelivery(), webhook: someWebhook(), now: at(73 * hour)}
		s.delivery.Spec.AcceptedTime = micro(1e6 * hour)
		s.delivery.Spec.NotBefore = micro(1e6 * hour)
		Expect(fold(s).State).To(Equal(v1alpha1.DeliveryFailed))
	})

	It("makes no metric for a webhook that does not exist", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		o := startOperator(setup{namespace: namespace})
		first := `{"number":1,"startTime":"2024-01-01T00:00:00.000000Z"}`
		object := rawObject("WebhookDelivery", namespace, "a", []string{"spec", "firstAttempt"}, first)
		Expect(unstructured.SetNestedField(object.Object, "nothing", "spec", "webhookRef", "name")).To(Succeed())
		Expect(world.admin.Create(ctx, object)).To(Succeed())
		Eventually(state(ctx, deliveryIn(namespace, "a"))).Should(HavePrefix("Succeeded"))
		Eventually(func() float64 { return o.metric("bbmcp_deliveries_total", nil) }).Should(Equal(1.0), "counted once it is written")
		Expect(o.metric("bbmcp_deliveries_total", map[string]string{"webhook": "nothing"})).To(BeZero())
	}, SpecTimeout(soon))

	It("ends one for a webhook whose name is none", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		startOperator(setup{namespace: namespace, ahead: 2 * time.Hour})
		for _, name := range []string{"a/b", "..", ".", "%2f", "A b", strings.Repeat("x", 253)} {
			object := rawObject("WebhookDelivery", namespace, fmt.Sprintf("n%d", world.serial.Add(1)), []string{"spec", "webhookRef", "name"}, strconv.Quote(name))
			if err := world.admin.Create(ctx, object); apierrors.IsInvalid(err) {
				continue
			}
			Eventually(state(ctx, deliveryIn(namespace, object.GetName()))).Should(Equal("Failed WebhookNotFound 0"), name)
		}
	}, SpecTimeout(2*soon))

	It("fills no memory with what deliveries carry beside their payload", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		o := startOperator(setup{namespace: namespace})
		delivery := create(ctx, deliveryIn(namespace, "a", func(d *v1alpha1.WebhookDelivery) {
			d.Annotations = map[string]string{"example.com/large": strings.Repeat("x", 200<<10), v1alpha1.RetryRequestedAtAnnotation: strings.Repeat("x", 50<<10)}
			d.Labels = map[string]string{"example.com/a": "b", v1alpha1.OriginLabel: v1alpha1.OriginGateway}
		}))
		var cached v1alpha1.WebhookDelivery
		Eventually(func() error { return o.cache.Get(ctx, keyOf(delivery), &cached) }).Should(Succeed())
		text, err := json.Marshal(cached)
		Expect(err).NotTo(HaveOccurred())
		Expect(len(text)).To(BeNumerically("<", 2000))
		Expect(cached.Labels).To(Equal(map[string]string{v1alpha1.OriginLabel: v1alpha1.OriginGateway}))
	}, SpecTimeout(soon))
})

var _ = Describe("Somebody who may annotate webhooks", func() {
	It("gets a rotation for a request of any length", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		startOperator(setup{namespace: namespace})
		webhook := create(ctx, hookIn(namespace))
		Eventually(ready(ctx, webhook)).Should(Equal("True Ready"))
		long := strings.Repeat("x", 262_100)
		annotate(ctx, webhook, v1alpha1.RotateRequestedAtAnnotation, long)
		Eventually(func() string { return fresh(ctx, webhook).Status.LastHandledRotateAt }).Should(Equal(long[:256]))
		Eventually(func() *v1alpha1.SigningStatus { return fresh(ctx, webhook).Status.Signing }).Should(HaveField("Primary", v1alpha1.SigningKeyPrevious))
	}, SpecTimeout(soon))
})

func TestRetentionForgetsWhatSomebodyElseDeleted(t *testing.T) {
	now := at(hour)
	r := &Retainer{Now: func() time.Time { return now }}
	for i := range 100 {
		r.Add(finishedAt(fmt.Sprint("gone by ttl ", i), v1alpha1.DeliverySucceeded, 0, ttl(720*hour)))
		r.Add(finishedAt(fmt.Sprint("gone ", i), v1alpha1.DeliveryFailed, 0))
	}
	for range 100 { // as retries by hand do
		r.Add(finishedAt("listed by ttl", v1alpha1.DeliveryFailed, 0, ttl(720*hour)))
	}
	now = at(2 * hour)
	r.Add(finishedAt("listed by ttl", v1alpha1.DeliveryFailed, 0, ttl(720*hour)))
	r.Add(finishedAt("listed", v1alpha1.DeliveryFailed, 0))
	r.forgetUnseen(now)
	if len(r.byUID) != 2 || len(r.ttl) != 1 || len(r.hooks) != 1 {
		t.Errorf("%d are known, %d in the heap, %d webhooks; want 2, 1, 1", len(r.byUID), len(r.ttl), len(r.hooks))
	}
}

// What is known of a webhook goes with it, whatever was under way.
var _ = Describe("Webhooks that come and go with attempts in flight", func() {
	It("leave nothing behind", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		world.receiver.Script("/"+namespace, receiver.Step{Delay: 300 * time.Millisecond, Status: 429, Header: map[string]string{"Retry-After": "1"}})
		o := startOperator(setup{namespace: namespace})
		for round := range 3 {
			var webhooks []*v1alpha1.Webhook
			for i := range 10 {
				webhook := create(ctx, hookIn(namespace, func(w *v1alpha1.Webhook) { w.Name = fmt.Sprintf("w%d-%d", round, i) }))
				create(ctx, deliveryIn(namespace, webhook.Name, func(d *v1alpha1.WebhookDelivery) {
					d.Spec.WebhookRef.Name = webhook.Name
					d.Spec.TTLAfterFinished = duration(hour)
				}))
				webhooks = append(webhooks, webhook)
			}
			Eventually(func() int { return world.receiver.Counts("/" + namespace).Posts }).Should(BeNumerically(">=", 10*(round+1)))
			for _, webhook := range webhooks {
				Expect(world.admin.Delete(ctx, webhook)).To(Succeed())
			}
		}
		Eventually(func() int {
			var list v1alpha1.WebhookDeliveryList
			Expect(world.admin.List(ctx, &list, client.InNamespace(namespace))).To(Succeed())
			return len(list.Items)
		}).Should(BeZero())
		Eventually(o.leftovers).Should(BeEmpty())
	}, SpecTimeout(2*soon))
})

// leftovers counts what an operator still knows of webhooks and deliveries.
func (o *operator) leftovers() map[string]int {
	counts := map[string]int{}
	note := func(what string, n int) {
		if n > 0 {
			counts[what] = n
		}
	}
	o.observations.mu.Lock()
	note("observations", len(o.observations.hooks))
	o.observations.mu.Unlock()
	note("secrets", o.signer.Size())
	memory := o.deliveries.memory
	memory.mu.Lock()
	note("written", len(memory.written))
	note("owed", len(memory.owed))
	note("refused", len(memory.refused))
	note("doubted", len(memory.doubted))
	memory.mu.Unlock()
	stats := o.runner.Stats()
	note("queued", stats.Queued)
	note("unsettled", stats.Unsettled)
	note("held webhooks", stats.Held)
	for class, of := range stats.Classes {
		note(fmt.Sprint("webhooks of class ", class), of.Webhooks)
	}
	families, err := o.registry.Gather()
	Expect(err).NotTo(HaveOccurred())
	for _, family := range families {
		for _, sample := range family.GetMetric() {
			for _, label := range sample.GetLabel() {
				if label.GetName() == "webhook" && label.GetValue() != "" {
					note("series of "+family.GetName(), counts["series of "+family.GetName()]+1)
				}
			}
		}
	}
	return counts
}

func TestNoOverlapEndsAfterTheLastYear(t *testing.T) {
	webhook := someWebhook()
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Name: "orders-signing", Labels: map[string]string{v1alpha1.SigningSecretLabel: "true"},
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(webhook, v1alpha1.GroupVersion.WithKind("Webhook"))},
			Annotations:     map[string]string{v1alpha1.PreviousUntilAnnotation: "9999-12-31T23:59:59-23:59"},
		},
		Data: map[string][]byte{"secret": []byte("sixteen bytes at least"), "previous": []byte("so has the other one")},
	}
	_, problem := signer.Check(webhook, signer.RefOf(webhook), secret)
	if problem == nil || problem.Reason != v1alpha1.ReasonSecretInvalid {
		t.Errorf("a status that shows the end would never be written; got %+v", problem)
	}
}

// fullDelivery makes a delivery as large as the API server stores one, in the
// webhook's namespace. The size is found out in another one, where no operator
// is at work.
func fullDelivery(ctx context.Context, webhook *v1alpha1.Webhook) *v1alpha1.WebhookDelivery {
	GinkgoHelper()
	build := func(namespace string, padding int) *v1alpha1.WebhookDelivery {
		return deliveryIn(namespace, "full", owned(webhook), func(d *v1alpha1.WebhookDelivery) {
			d.OwnerReferences[0].BlockOwnerDeletion = nil
			d.OwnerReferences = append(d.OwnerReferences, metav1.OwnerReference{
				APIVersion: "example.com/v1", Kind: "Padding", UID: "padding", Name: strings.Repeat("x", padding),
			})
		})
	}
	elsewhere := newNamespace(ctx)
	const closeEnough = 256 // a status takes more
	fits, tooMuch := 1<<20, 3<<19
	for fits+closeEnough < tooMuch {
		middle := (fits + tooMuch) / 2
		probe := build(elsewhere, middle)
		if err := world.admin.Create(ctx, probe); err != nil {
			Expect(isTooLarge(err) || apierrors.IsInvalid(err)).To(BeTrue(), "%.200v", err)
			tooMuch = middle
			continue
		}
		fits = middle
		Expect(world.admin.Delete(ctx, probe)).To(Succeed())
	}
	const namesMayDiffer = 64
	return create(ctx, build(webhook.Namespace, fits-namesMayDiffer))
}
