// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/denial"
	"bbmcp.quietstack.com/webhooks/internal/signingsecret"
)

const (
	// refusedRetryMin and refusedRetryMax bound the wait before the next attempt to
	// store a Secret that the API server refused: a person raises a quota or changes a
	// policy.
	refusedRetryMin = time.Second
	refusedRetryMax = time.Minute
)

// secretRefusal says that the API server refuses to store the generated Secret of
// a Webhook.
type secretRefusal struct {
	reason  string // ReasonSecretRefused or ReasonRotationRefused; "": an old secret stays in it
	message string
	// lasting: a person has to act. Otherwise the cause may pass: the server of a policy
	// is not there, or roles are not read yet.
	lasting bool
	retryAt time.Time // time of the next try

	since    time.Time
	attempts int
	// generation and request are those of the Webhook: when they change, the next try
	// is at once.
	generation int64
	request    string
}

// activeSecretRefusal is a refusal whose next try is still to come; nil: none.
func (r *WebhookReconciler) activeSecretRefusal(s *webhookScope) *secretRefusal {
	known, ok := r.refusals.Load(client.ObjectKeyFromObject(s.webhook))
	if !ok {
		return nil
	}
	refusal := known.(*secretRefusal)
	if !s.now.Before(refusal.retryAt) || refusal.generation != s.webhook.Generation || refusal.request != s.webhook.Annotations[v1alpha1.RotateRequestedAtAnnotation] {
		return nil
	}
	return refusal
}

// noteSecretRefusal notes the refusal that an error of storing the Secret means; nil: it means
// none. secretProblem is what was wrong with the Secret before.
func (r *WebhookReconciler) noteSecretRefusal(ctx context.Context, s *webhookScope, problem *signingsecret.Problem, err error) *secretRefusal {
	key := client.ObjectKeyFromObject(s.webhook)
	kind := denial.KindOf(err)
	if kind == denial.None {
		if err == nil {
			r.refusals.Delete(key)
		}
		return nil
	}
	refusal := &secretRefusal{since: s.now, generation: s.webhook.Generation, request: s.webhook.Annotations[v1alpha1.RotateRequestedAtAnnotation]}
	if known, ok := r.refusals.Load(key); ok {
		before := known.(*secretRefusal)
		refusal.since, refusal.attempts = before.since, before.attempts+1
	}
	refusal.lasting = kind != denial.Role && kind != denial.Broken || s.now.Sub(refusal.since) >= refusedGrace
	refusal.retryAt = s.now.Add(min(refusedRetryMin<<min(refusal.attempts, 6), refusedRetryMax))
	name := signingsecret.SecretName(s.webhook)
	switch {
	case problem != nil:
		refusal.reason = v1alpha1.ReasonSecretRefused
		refusal.message = fmt.Sprintf("the API server does not store the signing Secret %q: %s", name, denial.Sentence(err))
	case rotateRequested(s.webhook):
		refusal.reason = v1alpha1.ReasonRotationRefused
		refusal.message = fmt.Sprintf("the API server does not store a new secret in Secret %q, the present one signs on: %s", name, denial.Sentence(err))
	default:
		refusal.message = fmt.Sprintf("the API server does not let the old secret, which signs no more, be taken out of Secret %q: %s", name, denial.Sentence(err))
		if refusal.attempts == 0 {
			r.emitEvent(s.webhook, corev1.EventTypeWarning, v1alpha1.ReasonSecretRefused, "Prune", refusal.message)
		}
	}
	ctrl.LoggerFrom(ctx).Info("the signing secret cannot be stored; trying again", "cause", refusal.message, "again", refusal.retryAt)
	r.refusals.Store(key, refusal)
	return refusal
}

// problem is the refusal as the reason why the Webhook does not sign.
func (f *secretRefusal) problem() *signingsecret.Problem {
	return &signingsecret.Problem{Reason: f.reason, Message: f.message, LookAgain: f.retryAt}
}
