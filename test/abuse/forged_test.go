// SPDX-License-Identifier: Apache-2.0

package abuse

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
)

// forgedAttacks say what only the gateway knows.
func forgedAttacks() []attack {
	return []attack{
		{name: "deliveries that speak of the neighbour's webhook", arrange: aimAtNeighbour, act: createForged},
	}
}

// aimAtNeighbour tells the attacker what to write.
func aimAtNeighbour(s *scene) {
	var victim v1alpha1.Webhook
	s.try(s.stack.Client.Get(s.ctx, types.NamespacedName{Namespace: neighbourSpace, Name: "healthy"}, &victim))
	s.given["uid"] = string(victim.UID)
	hook := newProductWebhook(s.namespace, "healthy", "http://127.1.0.1:9/")
	hook.Spec.Suspend = true
	s.try(s.declare(s.ctx, hook))
	s.token("admin", "bbmcp-admin")
	s.Cleanup(s.dropWebhooks)
}

// createForged makes deliveries that say of the neighbour's webhook what only its
// attempts could.
func createForged(a *attacker) {
	const far, past = "9999-12-31T23:59:59.000000Z", "1970-01-01T00:00:00.000000Z"
	attempts := []string{
		fmt.Sprintf(`{"number":1,"startTime":%q,"reason":"Timeout","durationMilliseconds":10000}`, far),
		fmt.Sprintf(`{"number":2000000000,"startTime":%q,"reason":"Timeout","durationMilliseconds":9223372036854775807}`, past),
		fmt.Sprintf(`{"number":1,"startTime":%q,"responseStatus":503,"reason":"HTTPStatus","retryAfterTime":%q}`, past, far),
		fmt.Sprintf(`{"number":1,"startTime":%q,"responseStatus":410,"reason":"HTTPStatus"}`, far),
		fmt.Sprintf(`{"number":1,"startTime":%q,"reason":"ConnectionRefused","message":"healthy"}`, far),
	}
	a.pace(40, 16, func(i int) {
		now := time.Now().UTC().Format("2006-01-02T15:04:05.000000Z")
		spec := map[string]any{
			"webhookRef": map[string]any{"name": "healthy"}, "eventID": fmt.Sprint("evt_neighbour_", i), "eventType": "context.created",
			"payload":     `{"event":"context.created","timestamp":"2024-01-15T10:30:00Z","data":{}}`,
			"publishedBy": "system:serviceaccount:" + neighbourSpace + ":publisher",
		}
		if i%6 < len(attempts) {
			spec["firstAttempt"] = json.RawMessage(strings.ReplaceAll(attempts[i%6], past, now))
		}
		if i%3 == 0 {
			spec["notBefore"], spec["acceptedTime"] = far, past
		}
		meta := map[string]any{
			"name": fmt.Sprintf("forged-%d-%d", i, time.Now().UnixNano()),
			"labels": map[string]string{
				v1alpha1.OriginLabel: v1alpha1.OriginGateway, v1alpha1.WebhookLabel: "healthy",
			},
			"annotations": map[string]string{v1alpha1.RetryRequestedAtAnnotation: now, "bbmcp.quietstack.com/unrecorded": "1000000"},
		}
		if i%2 == 0 {
			meta["ownerReferences"] = []any{map[string]any{
				"apiVersion": v1alpha1.GroupVersion.String(), "kind": "Webhook", "name": "healthy", "uid": a.Given["uid"], "controller": true,
			}}
		}
		if i%5 == 0 {
			meta["finalizers"] = []string{"example.com/keep"}
		}
		a.create("webhookdeliveries", a.Namespace, meta, spec)
	})
}
