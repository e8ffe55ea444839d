// SPDX-License-Identifier: Apache-2.0

package signingsecret_test

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/dispatcher/signature"
	"bbmcp.quietstack.com/webhooks/internal/signingsecret"
)

func TestAdoptGoesByNameAndLabels(t *testing.T) {
	webhook := someWebhook()
	webhook.CreationTimestamp = metav1.NewTime(noon())
	owner := func(kind, name string, uid types.UID) func(*corev1.Secret) {
		return func(s *corev1.Secret) {
			s.OwnerReferences = []metav1.OwnerReference{{APIVersion: v1alpha1.GroupVersion.String(), Kind: kind, Name: name, UID: uid}}
		}
	}
	created := func(after time.Duration) func(*corev1.Secret) {
		return func(s *corev1.Secret) { s.CreationTimestamp = metav1.NewTime(noon().Add(after)) }
	}
	for _, tt := range []struct {
		name    string
		changes []func(*corev1.Secret)
		want    bool
	}{
		{"restored without an owner, before the webhook", []func(*corev1.Secret){created(-time.Hour)}, true},
		{"restored without an owner, after it", []func(*corev1.Secret){created(time.Hour)}, true},
		{"restored with the owner that it had elsewhere", []func(*corev1.Secret){owner("Webhook", "orders", "webhook-0"), created(time.Second)}, true},
		{"of a predecessor that is being deleted", []func(*corev1.Secret){owner("Webhook", "orders", "webhook-0"), created(-time.Second)}, false},
		{"of a predecessor, made in the second in which the webhook was", []func(*corev1.Secret){owner("Webhook", "orders", "webhook-0"), created(0)}, false},
		{"that is ours already", []func(*corev1.Secret){owner("Webhook", "orders", "webhook-1"), created(time.Second)}, false},
		{"of another webhook", []func(*corev1.Secret){owner("Webhook", "billing", "webhook-9"), created(time.Second)}, false},
		{"of something else", []func(*corev1.Secret){owner("ExternalSecret", "orders", "other"), created(time.Second)}, false},
		{"that nobody labelled", []func(*corev1.Secret){func(s *corev1.Secret) { s.Labels = nil }}, false},
		{"that may sign, but was not made for it", []func(*corev1.Secret){func(s *corev1.Secret) { delete(s.Labels, v1alpha1.WebhookLabel) }}, false},
		{"of another name", []func(*corev1.Secret){func(s *corev1.Secret) { s.Name = "keys" }}, false},
		{"that holds a token", []func(*corev1.Secret){func(s *corev1.Secret) { s.Type = corev1.SecretTypeServiceAccountToken }}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			secret := signingsecret.NewSecret(webhook, signature.NewSecret(before))
			secret.OwnerReferences = nil
			for _, change := range tt.changes {
				change(secret)
			}
			owners := len(secret.OwnerReferences)
			if got := signingsecret.Adopt(secret, webhook); got != tt.want {
				t.Fatalf("adopted %t, want %t", got, tt.want)
			}
			if tt.want && (!metav1.IsControlledBy(secret, webhook) || len(secret.OwnerReferences) != 1 || string(secret.Data[v1alpha1.SecretKey]) != before) {
				t.Errorf("it is now %+v", secret)
			}
			if !tt.want && len(secret.OwnerReferences) != owners {
				t.Error("it was changed all the same")
			}
		})
	}
}
