// SPDX-License-Identifier: Apache-2.0

package signingsecret

import (
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/dispatcher/signature"
	"bbmcp.quietstack.com/webhooks/internal/identity"
)

// SecretName is the name of a Webhook's generated Secret.
func SecretName(webhook *v1alpha1.Webhook) string { return webhook.Name + "-signing" }

// IsGenerated reports whether the Webhook signs with a Secret that we make,
// rather than with one that its owner keeps.
func IsGenerated(webhook *v1alpha1.Webhook) bool {
	return webhook.Spec.Signing == nil || webhook.Spec.Signing.SecretRef == nil
}

// NewSecret is the generated Secret of a Webhook that exists, with this value.
func NewSecret(webhook *v1alpha1.Webhook, value signature.Secret) *corev1.Secret {
	owner := metav1.NewControllerRef(webhook, v1alpha1.GroupVersion.WithKind("Webhook"))
	owner.BlockOwnerDeletion = nil // it needs a right that neither process has
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: webhook.Namespace, Name: SecretName(webhook),
			Labels:          map[string]string{v1alpha1.SigningSecretLabel: "true", v1alpha1.WebhookLabel: identity.LabelValue(webhook.Name)},
			OwnerReferences: []metav1.OwnerReference{*owner},
		},
		Type: corev1.SecretTypeOpaque,
		Data: map[string][]byte{v1alpha1.SecretKey: []byte(value.Reveal())},
	}
}

// Adopt gives a Webhook the Secret that was generated for it, and reports whether it
// is that: one that was restored from a backup, and has lost its owner or names one
// that had another uid. It goes by name and labels. A Secret that is older than
// the Webhook and has such an owner was a predecessor's and is about to be deleted
// with it.
func Adopt(secret *corev1.Secret, webhook *v1alpha1.Webhook) bool {
	isOurs := secret.Name == SecretName(webhook) && secret.Labels[v1alpha1.SigningSecretLabel] == "true" &&
		secret.Labels[v1alpha1.WebhookLabel] == identity.LabelValue(webhook.Name) &&
		(secret.Type == corev1.SecretTypeOpaque || secret.Type == "")
	if !isOurs {
		return false
	}
	for _, owner := range secret.OwnerReferences {
		isStale := strings.HasPrefix(owner.APIVersion, v1alpha1.GroupVersion.Group+"/") && owner.Kind == "Webhook" &&
			owner.Name == webhook.Name && owner.UID != webhook.UID && webhook.CreationTimestamp.Before(&secret.CreationTimestamp)
		if !isStale {
			return false
		}
	}
	secret.OwnerReferences = NewSecret(webhook, signature.Secret{}).OwnerReferences
	return true
}

// Secrets are the secrets of one Webhook.
type Secrets struct {
	Current, Previous signature.Secret // Previous is zero outside a rotation
	OverlapEnd        time.Time        // zero: open-ended, or no rotation
}

// Overlaps reports whether both secrets sign.
func (s Secrets) Overlaps(now time.Time) bool {
	return !s.Previous.IsZero() && (s.OverlapEnd.IsZero() || now.Before(s.OverlapEnd))
}

// RefOf is the Secret that a Webhook signs with.
func RefOf(webhook *v1alpha1.Webhook) v1alpha1.SecretKeyReference {
	if webhook.Spec.Signing != nil && webhook.Spec.Signing.SecretRef != nil {
		ref := *webhook.Spec.Signing.SecretRef
		if ref.Key == "" {
			ref.Key = v1alpha1.SecretKey
		}
		return ref
	}
	return v1alpha1.SecretKeyReference{Name: SecretName(webhook), Key: v1alpha1.SecretKey}
}
