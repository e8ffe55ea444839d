// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
)

const (
	newSecret = "the-new-secret-of-orders"
	oldSecret = "the-old-secret-of-orders"
)

// someSecret is one that a person made for someWebhook to sign with.
func someSecret(changes ...func(*corev1.Secret)) *corev1.Secret {
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "keys", Labels: map[string]string{v1alpha1.SigningSecretLabel: "true"}},
		Data:       map[string][]byte{v1alpha1.SecretKey: []byte(newSecret)},
	}
	for _, change := range changes {
		change(secret)
	}
	return secret
}

// usesKeys makes a webhook sign with someSecret.
func usesKeys(w *v1alpha1.Webhook) {
	w.Spec.Signing = &v1alpha1.Signing{SecretRef: &v1alpha1.SecretKeyReference{Name: "keys"}}
}

// at is the moment so long after the one at which every story here begins.
func at(after time.Duration) time.Time {
	return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).Add(after)
}

func micro(after time.Duration) *metav1.MicroTime { return new(metav1.NewMicroTime(at(after))) }

func duration(d time.Duration) *metav1.Duration { return &metav1.Duration{Duration: d} }

func delays(all ...time.Duration) *v1alpha1.RetryPolicy {
	list := make([]metav1.Duration, 0, len(all))
	for _, d := range all {
		list = append(list, metav1.Duration{Duration: d})
	}
	return &v1alpha1.RetryPolicy{Delays: &list}
}

// someWebhook is one that nothing is wrong with.
func someWebhook(changes ...func(*v1alpha1.Webhook)) *v1alpha1.Webhook {
	webhook := &v1alpha1.Webhook{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "orders", UID: "webhook-1", Generation: 1},
		Spec:       v1alpha1.WebhookSpec{URL: "https://example.com/hook", Events: []string{"*"}},
	}
	for _, change := range changes {
		change(webhook)
	}
	return webhook
}

// someDelivery is one that the gateway made for someWebhook at the beginning.
func someDelivery(changes ...func(*v1alpha1.WebhookDelivery)) *v1alpha1.WebhookDelivery {
	delivery := &v1alpha1.WebhookDelivery{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: "dlv-a", UID: "delivery-1", Generation: 1,
			Labels:            map[string]string{v1alpha1.OriginLabel: v1alpha1.OriginGateway},
			CreationTimestamp: metav1.NewTime(at(0)),
		},
		Spec: v1alpha1.WebhookDeliverySpec{
			WebhookRef: v1alpha1.WebhookReference{Name: "orders"},
			EventID:    "evt_1", EventType: "context.created",
			Payload: `{"event":"context.created","timestamp":"2026-03-01T12:00:00Z","data":{}}`,
		},
	}
	owned(someWebhook())(delivery)
	for _, change := range changes {
		change(delivery)
	}
	return delivery
}

// owned makes a webhook the owner of a delivery.
func owned(by *v1alpha1.Webhook) func(*v1alpha1.WebhookDelivery) {
	return func(d *v1alpha1.WebhookDelivery) {
		d.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(by, v1alpha1.GroupVersion.WithKind("Webhook"))}
	}
}

// asked puts a request to retry on a delivery.
func asked(when string) func(*v1alpha1.WebhookDelivery) {
	return func(d *v1alpha1.WebhookDelivery) {
		metav1.SetMetaDataAnnotation(&d.ObjectMeta, v1alpha1.RetryRequestedAtAnnotation, when)
	}
}

// succeeded is the condition of a delivery, set so long after the beginning.
func succeeded(status metav1.ConditionStatus, reason, message string, since time.Duration) []metav1.Condition {
	return []metav1.Condition{{
		Type: v1alpha1.ConditionSucceeded, Status: status, Reason: reason, Message: message,
		ObservedGeneration: 1, LastTransitionTime: metav1.NewTime(at(since)),
	}}
}

// same fails the test unless two values are equal as a whole.
func same(t *testing.T, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmp.Exporter(func(reflect.Type) bool { return true })); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}
