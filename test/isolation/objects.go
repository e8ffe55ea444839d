// SPDX-License-Identifier: Apache-2.0

package isolation

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
)

// body is the payload of every delivery.
const body = `{"event":"context.created","timestamp":"2024-01-15T10:30:00Z","data":{"context_id":"ctx_1234567890abcdef",` +
	`"agent_id":"my-classification-agent","status":"pending","context_data":{"task":"classify_image","confidence":0.95}}}`

func webhook(namespace, name, url string) *v1alpha1.Webhook {
	return &v1alpha1.Webhook{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       v1alpha1.WebhookSpec{URL: url, Events: []string{"context.*"}},
	}
}

// delivery is made as the gateway makes it.
func delivery(hook *v1alpha1.Webhook, eventID string) *v1alpha1.WebhookDelivery {
	owner := metav1.NewControllerRef(hook, v1alpha1.GroupVersion.WithKind("Webhook"))
	owner.BlockOwnerDeletion = nil
	return &v1alpha1.WebhookDelivery{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: hook.Namespace, Name: eventID,
			Labels:          map[string]string{v1alpha1.OriginLabel: v1alpha1.OriginGateway, v1alpha1.WebhookLabel: hook.Name},
			OwnerReferences: []metav1.OwnerReference{*owner},
		},
		Spec: v1alpha1.WebhookDeliverySpec{
			WebhookRef: v1alpha1.WebhookReference{Name: hook.Name},
			EventID:    eventID, EventType: "context.created", Payload: body,
		},
	}
}

// unfinished selects what is neither Succeeded nor Failed.
func unfinished() fields.Selector {
	return fields.AndSelectors(
		fields.OneTermNotEqualSelector(v1alpha1.FieldState, string(v1alpha1.DeliverySucceeded)),
		fields.OneTermNotEqualSelector(v1alpha1.FieldState, string(v1alpha1.DeliveryFailed)),
	)
}
