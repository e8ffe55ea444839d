// SPDX-License-Identifier: Apache-2.0

package signingsecret

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/dispatcher/signature"
	"bbmcp.quietstack.com/webhooks/internal/identity"
)

// maxYear is the last one that RFC 3339 can write, in any zone.
const maxYear = 9999

// PermittedSecrets returns the secrets in a Secret, if it may sign for this Webhook and its
// values are valid.
func PermittedSecrets(webhook *v1alpha1.Webhook, ref v1alpha1.SecretKeyReference, secret *corev1.Secret) (Secrets, *Problem) {
	if problem := CheckPermission(webhook, secret); problem != nil {
		return Secrets{}, problem
	}
	if !offersKey(secret, ref.Key) {
		return Secrets{}, &Problem{
			Reason: v1alpha1.ReasonSecretNotPermitted,
			Message: fmt.Sprintf("Secret %q does not let its key %q sign; use the key %q, or have its owner name the key in the annotation %s of the Secret",
				secret.Name, ref.Key, v1alpha1.SecretKey, v1alpha1.SigningKeyAnnotation),
		}
	}
	value, ok := secret.Data[ref.Key]
	if !ok {
		return Secrets{}, &Problem{
			Reason:  v1alpha1.ReasonSecretNotFound,
			Message: fmt.Sprintf("Secret %q has no key %q; add it", secret.Name, ref.Key),
		}
	}
	secrets := Secrets{Current: signature.NewSecret(string(value))}
	if err := signature.ValidateSecret(string(value)); err != nil {
		return Secrets{}, invalidSecretProblem(secret.Name, ref.Key, err)
	}
	previous, ok := secret.Data[v1alpha1.PreviousSecretKey]
	if !ok {
		return secrets, nil
	}
	if until, ok := secret.Annotations[v1alpha1.PreviousUntilAnnotation]; ok {
		end, err := time.Parse(time.RFC3339, until)
		if err != nil || end.UTC().Year() > maxYear {
			return Secrets{}, &Problem{
				Reason:  v1alpha1.ReasonSecretInvalid,
				Message: fmt.Sprintf("Secret %q: annotation %s is not an RFC 3339 time such as 2024-01-15T10:30:00Z", secret.Name, v1alpha1.PreviousUntilAnnotation),
			}
		}
		secrets.OverlapEnd = end
	}
	secrets.Previous = signature.NewSecret(string(previous))
	if err := signature.ValidateSecret(string(previous)); err != nil {
		return Secrets{}, invalidSecretProblem(secret.Name, v1alpha1.PreviousSecretKey, err)
	}
	return secrets, nil
}

// offersKey reports whether the owner of a Secret lets this key of it sign: the
// usual one, the only one, or one that an annotation names. Else the right to
// create Webhooks would let any value of a labelled Secret sign.
func offersKey(secret *corev1.Secret, key string) bool {
	if key == v1alpha1.SecretKey {
		return true
	}
	for offered := range strings.SplitSeq(secret.Annotations[v1alpha1.SigningKeyAnnotation], ",") {
		if strings.TrimSpace(offered) == key {
			return true
		}
	}
	for other := range secret.Data {
		if other != key && other != v1alpha1.PreviousSecretKey {
			return false
		}
	}
	return len(secret.Data) > 0
}

// CheckPermission refuses to be an oracle that signs with any Secret.
func CheckPermission(webhook *v1alpha1.Webhook, secret *corev1.Secret) *Problem {
	if !IsGenerated(webhook) && secret.Labels[v1alpha1.SigningSecretLabel] != "true" {
		return missingSecretProblem(secret.Name, RefOf(webhook).Key)
	}
	switch owner := foreignOwner(webhook, secret); owner {
	case "":
	case webhook.Name:
		return &Problem{
			Reason:  v1alpha1.ReasonSecretNotFound,
			Message: fmt.Sprintf("Secret %q belongs to a Webhook of this name that was deleted; waiting until it is deleted, too", secret.Name),
		}
	default:
		return &Problem{
			Reason:  v1alpha1.ReasonSecretNotPermitted,
			Message: fmt.Sprintf("Secret %q belongs to Webhook %q; set spec.signing.secretRef to a Secret of your own", secret.Name, owner),
		}
	}
	if IsGenerated(webhook) && !metav1.IsControlledBy(secret, webhook) {
		return &Problem{
			Reason: v1alpha1.ReasonSecretNotPermitted,
			Message: fmt.Sprintf("Secret %q exists and was not made for this Webhook; to have it taken over, give it the labels %s: \"true\" and %s: %q; or delete it, which loses what it holds",
				secret.Name, v1alpha1.SigningSecretLabel, v1alpha1.WebhookLabel, identity.LabelValue(webhook.Name)),
		}
	}
	if secret.Labels[v1alpha1.SigningSecretLabel] != "true" {
		return &Problem{
			Reason:  v1alpha1.ReasonSecretNotPermitted,
			Message: fmt.Sprintf("Secret %q has lost its label %s: \"true\"; set it again to let the webhook sign with it", secret.Name, v1alpha1.SigningSecretLabel),
		}
	}
	return nil
}

// foreignOwner names another Webhook that owns the Secret; "" if none does.
func foreignOwner(webhook *v1alpha1.Webhook, secret *corev1.Secret) string {
	for _, owner := range secret.OwnerReferences {
		ours := strings.HasPrefix(owner.APIVersion, v1alpha1.GroupVersion.Group+"/") && owner.Kind == "Webhook"
		if ours && owner.UID != webhook.UID {
			return owner.Name
		}
	}
	return ""
}
