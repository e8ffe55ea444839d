// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/dispatcher/signature"
	"bbmcp.quietstack.com/webhooks/internal/denial"
	"bbmcp.quietstack.com/webhooks/internal/signingsecret"
)

const (
	// secretGrace is how long the manager waits for a Secret that the Webhook's author
	// has announced, secretPoll how often it looks for it meanwhile.
	secretGrace = 30 * time.Second
	secretPoll  = time.Second
)

// ensureSecret makes sure that the Webhook has its secret, and reads it.
func (r *WebhookReconciler) ensureSecret(ctx context.Context, s *webhookScope) error {
	secrets, err := r.Secrets.Read(ctx, s.webhook)
	problem, isProblem := errors.AsType[*signingsecret.Problem](err)
	if err != nil && !isProblem {
		return err
	}
	if signingsecret.IsGenerated(s.webhook) {
		if s.refusal = r.activeSecretRefusal(s); s.refusal == nil {
			changed, err := r.maintainSecret(ctx, s, secrets, problem)
			if s.refusal = r.noteSecretRefusal(ctx, s, problem, err); err != nil && s.refusal == nil {
				return err
			}
			if changed && s.refusal == nil {
				secrets, err = r.Secrets.Refresh(ctx, s.webhook)
				if problem, isProblem = errors.AsType[*signingsecret.Problem](err); err != nil && !isProblem {
					return err
				}
			}
		}
		if s.refusal != nil && problem != nil {
			problem = s.refusal.problem()
			r.Secrets.Explain(s.webhook, problem.Message)
		}
	}
	s.secrets, s.signingProblem = secrets, problem
	s.rotated = rotateRequested(s.webhook) && (!signingsecret.IsGenerated(s.webhook) || problem == nil && s.refusal == nil)
	if problem == nil && !secrets.Overlaps(s.now) {
		r.Observations.clearConfirmed(s.webhook)
	}
	return nil
}

// maintainSecret creates, rotates and prunes the generated Secret; changed: it must
// be read again.
func (r *WebhookReconciler) maintainSecret(ctx context.Context, s *webhookScope, secrets signingsecret.Secrets, problem *signingsecret.Problem) (changed bool, err error) {
	switch {
	case problem != nil && problem.Reason == v1alpha1.ReasonSecretNotFound && isSecretAnnounced(s.webhook, s.now):
		return true, nil
	case problem != nil && problem.Reason == v1alpha1.ReasonSecretNotFound:
		return true, r.createSecret(ctx, s.webhook)
	case problem != nil && problem.Reason == v1alpha1.ReasonSecretNotPermitted:
		return r.adoptSecret(ctx, s.webhook)
	case rotateRequested(s.webhook): // replaces an invalid secret, too
		return true, r.updateSecret(ctx, s.webhook, func(secret *corev1.Secret) (bool, error) {
			return r.rotateSecret(ctx, secret, s)
		})
	case problem == nil && !secrets.Previous.IsZero() && !secrets.Overlaps(s.now):
		return true, r.updateSecret(ctx, s.webhook, func(secret *corev1.Secret) (bool, error) {
			return signingsecret.PruneRotation(secret, s.now), nil
		})
	}
	return false, nil
}

// isSecretAnnounced reports whether the Webhook's author is about to create its
// Secret. The wait is bounded: the author may have died in between.
func isSecretAnnounced(webhook *v1alpha1.Webhook, now time.Time) bool {
	return webhook.Annotations[v1alpha1.SecretFollowsAnnotation] == "true" && now.Sub(webhook.CreationTimestamp.Time) < secretGrace
}

func (r *WebhookReconciler) createSecret(ctx context.Context, webhook *v1alpha1.Webhook) error {
	value, err := signature.GenerateSecret(r.Random)
	if err != nil {
		return err
	}
	secret := signingsecret.NewSecret(webhook, value)
	err = r.pool.writeTimeouts.Do(ctx, secret.Namespace, func(ctx context.Context) error { return r.Client.Create(ctx, secret) })
	if denial.IsAlreadyExists(err) { // it may have lost its owner or its key
		if adopted, err := r.adoptSecret(ctx, webhook); adopted || err != nil {
			return err
		}
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

// adoptSecret makes the Webhook the owner of its Secret that was restored without
// one.
func (r *WebhookReconciler) adoptSecret(ctx context.Context, webhook *v1alpha1.Webhook) (adopted bool, err error) {
	key := types.NamespacedName{Namespace: webhook.Namespace, Name: signingsecret.SecretName(webhook)}
	secret, err := r.readSecret(ctx, key)
	if err != nil {
		return false, client.IgnoreNotFound(err)
	}
	if !signingsecret.Adopt(secret, webhook) {
		return false, nil
	}
	if err := r.writeSecret(ctx, secret); err != nil {
		return false, fmt.Errorf("adopt signing secret %s: %w", key, err)
	}
	return true, nil
}

// rotateSecret carries out the Webhook's request to rotate. The gateway may be doing
// the same: it writes its request on the Webhook before it changes the Secret. The
// Secret was read before and the request is read now, so a request from a stale cache
// cannot rotate away a secret that the gateway has just handed out.
func (r *WebhookReconciler) rotateSecret(ctx context.Context, secret *corev1.Secret, s *webhookScope) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	var live v1alpha1.Webhook
	if err := r.Live.Get(ctx, client.ObjectKeyFromObject(s.webhook), &live); err != nil {
		return false, client.IgnoreNotFound(fmt.Errorf("get webhook %s: %w", client.ObjectKeyFromObject(s.webhook), err))
	}
	if live.UID != s.webhook.UID || !rotateRequested(&live) {
		return false, nil
	}
	return signingsecret.Rotate(secret, &live, live.Annotations[v1alpha1.RotateRequestedAtAnnotation], s.now, r.Random)
}

// updateSecret changes the generated Secret with an optimistic lock, if it is
// this Webhook's.
func (r *WebhookReconciler) updateSecret(ctx context.Context, webhook *v1alpha1.Webhook, change func(*corev1.Secret) (bool, error)) error {
	key := types.NamespacedName{Namespace: webhook.Namespace, Name: signingsecret.SecretName(webhook)}
	secret, err := r.readSecret(ctx, key)
	if err != nil {
		return client.IgnoreNotFound(err)
	}
	if problem := signingsecret.CheckPermission(webhook, secret); problem != nil {
		return nil //nolint:nilerr // the status says it; a Secret of another owner is not changed
	}
	changed, err := change(secret)
	if err != nil || !changed {
		return err
	}
	if err := r.writeSecret(ctx, secret); err != nil {
		return fmt.Errorf("update signing secret %s: %w", key, err)
	}
	return nil
}

func (r *WebhookReconciler) readSecret(ctx context.Context, key types.NamespacedName) (*corev1.Secret, error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	var secret corev1.Secret
	if err := r.Live.Get(ctx, key, &secret); err != nil {
		return nil, fmt.Errorf("get signing secret %s: %w", key, err)
	}
	return &secret, nil
}

func (r *WebhookReconciler) writeSecret(ctx context.Context, secret *corev1.Secret) error {
	return r.pool.writeTimeouts.Do(ctx, secret.Namespace, func(ctx context.Context) error { return r.Client.Update(ctx, secret) })
}
