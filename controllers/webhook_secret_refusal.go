// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/denial"
	"bbmcp.quietstack.com/webhooks/internal/signingsecret"
)

const (
	// refusedRetryMin and refusedRetryMax bound the wait before a Secret is stored
	// again that the API server refused: a person makes room or changes a policy.
	refusedRetryMin = time.Second
	refusedRetryMax = time.Minute
)

// secretRefusal says that the API server refuses to store the generated Secret of
// a Webhook.
type secretRefusal struct {
	reason  string // ReasonSecretRefused or ReasonRotationRefused; "": an old secret stays in it
	message string
	// lasting: a person has to act. Otherwise it may pass: a policy is not there, or
	// roles are not read yet.
	lasting bool
	again   time.Time // when it is tried again

	since time.Time
	times int
	// generation and request are those of the Webhook: when they change it is tried
	// at once.
	generation int64
	request    string
}

// refusedBefore is the refusal that it is too early to try again after; nil: none.
func (r *WebhookReconciler) refusedBefore(s *webhookScope) *secretRefusal {
	known, ok := r.refusals.Load(keyOf(s.webhook))
	if !ok {
		return nil
	}
	refusal := known.(*secretRefusal)
	if !s.now.Before(refusal.again) || refusal.generation != s.webhook.Generation || refusal.request != s.webhook.Annotations[v1alpha1.RotateRequestedAtAnnotation] {
		return nil
	}
	return refusal
}

// refuse makes a refusal of the error with which storing the Secret ended; nil: it
// is none. problem is what was wrong with the Secret before.
func (r *WebhookReconciler) refuse(ctx context.Context, s *webhookScope, problem *signingsecret.Problem, err error) *secretRefusal {
	key := keyOf(s.webhook)
	kind := denial.Of(err)
	if kind == denial.None {
		if err == nil {
			r.refusals.Delete(key)
		}
		return nil
	}
	refusal := &secretRefusal{since: s.now, generation: s.webhook.Generation, request: s.webhook.Annotations[v1alpha1.RotateRequestedAtAnnotation]}
	if known, ok := r.refusals.Load(key); ok {
		before := known.(*secretRefusal)
		refusal.since, refusal.times = before.since, before.times+1
	}
	refusal.lasting = kind != denial.Role && kind != denial.Broken || s.now.Sub(refusal.since) >= refusedGrace
	refusal.again = s.now.Add(min(refusedRetryMin<<min(refusal.times, 6), refusedRetryMax))
	name := signingsecret.SecretName(s.webhook)
	switch {
	case problem != nil:
		refusal.reason = v1alpha1.ReasonSecretRefused
		refusal.message = fmt.Sprintf("the API server does not store the signing Secret %q: %s", name, denial.Sentence(err))
	case rotateWanted(s.webhook):
		refusal.reason = v1alpha1.ReasonRotationRefused
		refusal.message = fmt.Sprintf("the API server does not store a new secret in Secret %q, the present one signs on: %s", name, denial.Sentence(err))
	default:
		refusal.message = fmt.Sprintf("the API server does not let the old secret, which signs no more, be taken out of Secret %q: %s", name, denial.Sentence(err))
		if refusal.times == 0 {
			r.event(s.webhook, corev1.EventTypeWarning, v1alpha1.ReasonSecretRefused, "Prune", refusal.message)
		}
	}
	ctrl.LoggerFrom(ctx).Info("the signing secret cannot be stored; trying again", "cause", refusal.message, "again", refusal.again)
	r.refusals.Store(key, refusal)
	return refusal
}

// asProblem is a refusal as what keeps the Webhook from signing.
func (f *secretRefusal) asProblem() *signingsecret.Problem {
	return &signingsecret.Problem{Reason: f.reason, Message: f.message, LookAgain: f.again}
}
