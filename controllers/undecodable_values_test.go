// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
)

// One object that the API server takes and Go cannot decode stops the informer
// of its kind, and with it every tenant. So each spelling of a value must be
// either refused or decoded.
var _ = Describe("A value whose spelling may pass the schema", func() {
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
		It("is refused by the API server or decoded: "+f.kind+" "+strings.Join(f.path, "."), func(ctx SpecContext) {
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
		return cluster.admin.Create(ctx, object)
	}
	status := object.Object["status"]
	delete(object.Object, "status")
	Expect(cluster.admin.Create(ctx, object)).To(Succeed())
	object.Object["status"] = status
	DeferCleanup(func(ctx SpecContext) { // EventTypes belong to no namespace
		Expect(client.IgnoreNotFound(cluster.admin.Delete(ctx, object))).To(Succeed())
	}, NodeTimeout(soon))
	return cluster.admin.Status().Update(ctx, object)
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
	err := cluster.admin.Get(ctx, types.NamespacedName{Namespace: object.GetNamespace(), Name: object.GetName()}, typed)
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
