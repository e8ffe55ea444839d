// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/dispatcher/signature"
)

// defaultOverlap is spec.signing.overlap where the Webhook does not say.
const defaultOverlap = 24 * time.Hour

// rotatedForAnnotation on a generated Secret keeps the request that its last
// rotation answered, so that a crash between Secret and status rotates once.
const rotatedForAnnotation = "bbmcp.quietstack.com/rotated-for"

// sign makes sure that the Webhook has its secret, and reads it.
func (r *WebhookReconciler) sign(ctx context.Context, s *webhookScope) error {
	secrets, err := r.Signer.Read(ctx, s.webhook)
	problem, isProblem := errors.AsType[*SecretProblem](err)
	if err != nil && !isProblem {
		return err
	}
	if isGenerated(s.webhook) {
		changed, err := r.tend(ctx, s, secrets, problem)
		if err != nil {
			return err
		}
		if changed {
			secrets, err = r.Signer.Refresh(ctx, s.webhook)
			if problem, isProblem = errors.AsType[*SecretProblem](err); err != nil && !isProblem {
				return err
			}
		}
	}
	s.secrets, s.signing = secrets, problem
	s.rotated = rotateWanted(s.webhook) && (!isGenerated(s.webhook) || problem == nil)
	if problem == nil && !secrets.overlaps(s.now) {
		r.Observations.rotationOver(s.webhook)
	}
	return nil
}

// tend creates, rotates and prunes the generated Secret; changed tells that it
// must be read again.
func (r *WebhookReconciler) tend(ctx context.Context, s *webhookScope, secrets signingSecrets, problem *SecretProblem) (changed bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	switch {
	case problem != nil && problem.Reason == v1alpha1.ReasonSecretNotFound:
		return true, r.createSecret(ctx, s.webhook)
	case problem != nil && problem.Reason == v1alpha1.ReasonSecretNotPermitted:
		return false, nil
	case rotateWanted(s.webhook): // a way out of an invalid one, too
		return true, r.updateSecret(ctx, s.webhook, func(secret *corev1.Secret) (bool, error) {
			return rotate(secret, s.webhook, s.now, r.Random)
		})
	case problem == nil && !secrets.previous.IsZero() && !secrets.overlaps(s.now):
		return true, r.updateSecret(ctx, s.webhook, func(secret *corev1.Secret) (bool, error) {
			return prune(secret, s.now), nil
		})
	}
	return false, nil
}

func (r *WebhookReconciler) createSecret(ctx context.Context, webhook *v1alpha1.Webhook) error {
	value, err := signature.Generate(r.Random)
	if err != nil {
		return fmt.Errorf("generate signing secret: %w", err)
	}
	owner := metav1.NewControllerRef(webhook, v1alpha1.GroupVersion.WithKind("Webhook"))
	owner.BlockOwnerDeletion = nil
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: webhook.Namespace, Name: generatedSecretName(webhook),
			Labels:          map[string]string{v1alpha1.SigningSecretLabel: "true", v1alpha1.WebhookLabel: labelValue(webhook.Name)},
			OwnerReferences: []metav1.OwnerReference{*owner},
		},
		Type: corev1.SecretTypeOpaque,
		Data: map[string][]byte{v1alpha1.SecretKey: []byte(value.Reveal())},
	}
	err = r.Client.Create(ctx, secret)
	if apierrors.IsAlreadyExists(err) { // it may have lost its key
		return r.updateSecret(ctx, webhook, func(existing *corev1.Secret) (bool, error) {
			if _, ok := existing.Data[v1alpha1.SecretKey]; ok {
				return false, nil
			}
			existing.Data = secret.Data
			return true, nil
		})
	}
	if err != nil {
		return fmt.Errorf("create signing secret %s/%s: %w", secret.Namespace, secret.Name, err)
	}
	return nil
}

// updateSecret changes the generated Secret with an optimistic lock, if it is
// this Webhook's.
func (r *WebhookReconciler) updateSecret(ctx context.Context, webhook *v1alpha1.Webhook, change func(*corev1.Secret) (bool, error)) error {
	key := types.NamespacedName{Namespace: webhook.Namespace, Name: generatedSecretName(webhook)}
	var secret corev1.Secret
	if err := r.Live.Get(ctx, key, &secret); err != nil {
		return client.IgnoreNotFound(fmt.Errorf("get signing secret %s: %w", key, err))
	}
	if problem := permitted(webhook, &secret); problem != nil {
		return nil //nolint:nilerr // the status says it; somebody else's Secret is left alone
	}
	changed, err := change(&secret)
	if err != nil || !changed {
		return err
	}
	if err := r.Client.Update(ctx, &secret); err != nil {
		return fmt.Errorf("update signing secret %s: %w", key, err)
	}
	return nil
}

// rotate puts a new secret in and keeps the old one beside it for the overlap.
// One that was there from a rotation before is dropped.
func rotate(secret *corev1.Secret, webhook *v1alpha1.Webhook, now time.Time, random io.Reader) (bool, error) {
	request := cut(webhook.Annotations[v1alpha1.RotateRequestedAtAnnotation], 256) // all annotations together are bounded
	if secret.Annotations[rotatedForAnnotation] == request {
		return false, nil
	}
	value, err := signature.Generate(random)
	if err != nil {
		return false, fmt.Errorf("generate signing secret: %w", err)
	}
	overlap := defaultOverlap
	if webhook.Spec.Signing != nil && webhook.Spec.Signing.Overlap != nil {
		overlap = webhook.Spec.Signing.Overlap.Duration
	}
	if secret.Annotations == nil {
		secret.Annotations = map[string]string{}
	}
	old := secret.Data[v1alpha1.SecretKey]
	secret.Data = map[string][]byte{v1alpha1.SecretKey: []byte(value.Reveal())}
	delete(secret.Annotations, v1alpha1.PreviousUntilAnnotation)
	if overlap > 0 && signature.Validate(string(old)) == nil {
		secret.Data[v1alpha1.PreviousSecretKey] = old
		secret.Annotations[v1alpha1.PreviousUntilAnnotation] = now.Add(overlap).UTC().Format(time.RFC3339Nano)
	}
	secret.Annotations[rotatedForAnnotation] = request
	return true, nil
}

// prune removes the previous secret once the overlap is over.
func prune(secret *corev1.Secret, now time.Time) bool {
	end, err := time.Parse(time.RFC3339, secret.Annotations[v1alpha1.PreviousUntilAnnotation])
	if err != nil || now.Before(end) {
		return false
	}
	delete(secret.Data, v1alpha1.PreviousSecretKey)
	delete(secret.Annotations, v1alpha1.PreviousUntilAnnotation)
	return true
}

// labelValue cuts a name to what a label may hold.
func labelValue(name string) string {
	name = cut(name, 63)
	for name != "" && (name[len(name)-1] == '.' || name[len(name)-1] == '-') {
		name = name[:len(name)-1]
	}
	return name
}
