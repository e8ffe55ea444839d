// SPDX-License-Identifier: Apache-2.0

package signer

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/dispatcher/signature"
	"bbmcp.quietstack.com/webhooks/internal/signing"
)

const (
	// secretTTL is how long a signing secret is kept in memory.
	secretTTL = 30 * time.Second
	// secretRetryMin and secretRetryMax bound the wait before a secret that is
	// missing or invalid is looked at again.
	secretRetryMin = 15 * time.Second
	secretRetryMax = 2 * time.Minute
	// apiTimeout bounds one small request to the API server: a request that is
	// accepted while the server starts hangs until its own timeout.
	apiTimeout = 2 * time.Second
	// forbiddenGrace is for how long "forbidden" is a failure of the platform and
	// not its answer: an API server that starts refuses everything until it has
	// read the roles.
	forbiddenGrace = 30 * time.Second
)

// Problem says why a Webhook cannot sign. Only a person can help.
type Problem struct {
	Reason    string    // ReasonSecretNotFound, ReasonSecretInvalid or ReasonSecretNotPermitted
	Message   string    // what is wrong and the way out
	LookAgain time.Time // when the Secret is read again
}

// Error implements error.
func (p *Problem) Error() string { return p.Message }

// Secrets are the secrets of one Webhook.
type Secrets struct {
	Current, Previous signature.Secret // Previous is zero outside a rotation
	OverlapEnd        time.Time        // zero: open-ended, or no rotation
}

// Overlaps reports whether both secrets sign.
func (s Secrets) Overlaps(now time.Time) bool {
	return !s.Previous.IsZero() && (s.OverlapEnd.IsZero() || now.Before(s.OverlapEnd))
}

// Signer reads signing Secrets, by name and only by name, and keeps them in
// memory for a short while. It is safe for concurrent use.
type Signer struct {
	live client.Reader
	now  func() time.Time

	mu    sync.Mutex
	known map[types.UID]*knownSecret // by UID of the Webhook
	asked map[types.UID]time.Time    // when Recent last asked
}

type knownSecret struct {
	ref      v1alpha1.SecretKeyReference
	secrets  Secrets
	problem  *Problem
	failures int
	until    time.Time
	// forbidden is since when the Secret may not be read; zero: it may.
	forbidden time.Time
}

// New returns a Signer that reads through live, which must not be a cache.
func New(live client.Reader, now func() time.Time) *Signer {
	return &Signer{live: live, now: now, known: map[types.UID]*knownSecret{}, asked: map[types.UID]time.Time{}}
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
	return v1alpha1.SecretKeyReference{Name: signing.SecretName(webhook), Key: v1alpha1.SecretKey}
}

// Problem returns what was wrong with the Webhook's secret when it was last
// read, while it is too early to read it again; nil otherwise.
func (s *Signer) Problem(webhook *v1alpha1.Webhook) *Problem {
	s.mu.Lock()
	defer s.mu.Unlock()
	known, ok := s.known[webhook.UID]
	if !ok || known.problem == nil || known.ref != RefOf(webhook) || !s.now().Before(known.until) {
		return nil
	}
	return known.problem
}

// Read returns the Webhook's secrets, from memory if they were read lately. The
// error is a *Problem if only a person can help.
func (s *Signer) Read(ctx context.Context, webhook *v1alpha1.Webhook) (Secrets, error) {
	ref := RefOf(webhook)
	s.mu.Lock()
	known, ok := s.known[webhook.UID]
	if ok && known.ref == ref && s.now().Before(known.until) {
		defer s.mu.Unlock()
		if known.problem != nil {
			return Secrets{}, known.problem
		}
		return known.secrets, nil
	}
	s.mu.Unlock()
	return s.Refresh(ctx, webhook)
}

// Refresh reads the Secret now, whatever is remembered.
func (s *Signer) Refresh(ctx context.Context, webhook *v1alpha1.Webhook) (Secrets, error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	ref := RefOf(webhook)
	var secret corev1.Secret
	err := s.live.Get(ctx, types.NamespacedName{Namespace: webhook.Namespace, Name: ref.Name}, &secret)
	switch {
	case apierrors.IsNotFound(err):
		return s.remember(webhook, ref, Secrets{}, &Problem{
			Reason:  v1alpha1.ReasonSecretNotFound,
			Message: fmt.Sprintf("Secret %q not found; create it with the key %q and the label %s: \"true\"", ref.Name, ref.Key, v1alpha1.SigningSecretLabel),
		})
	case apierrors.IsForbidden(err) && s.forbiddenFor(webhook, ref) < forbiddenGrace:
		return Secrets{}, fmt.Errorf("get signing secret %s/%s: %w", webhook.Namespace, ref.Name, err)
	case apierrors.IsForbidden(err):
		return s.remember(webhook, ref, Secrets{}, &Problem{
			Reason:  v1alpha1.ReasonSecretNotPermitted,
			Message: fmt.Sprintf("the controller may not read Secret %q; grant it get on secrets in this namespace", ref.Name),
		})
	case err != nil:
		return Secrets{}, fmt.Errorf("get signing secret %s/%s: %w", webhook.Namespace, ref.Name, err)
	}
	secrets, problem := Check(webhook, ref, &secret)
	return s.remember(webhook, ref, secrets, problem)
}

// forbiddenFor notes that a Secret may not be read and returns for how long
// that has been so. What was known of it counts no more.
func (s *Signer) forbiddenFor(webhook *v1alpha1.Webhook, ref v1alpha1.SecretKeyReference) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	known, ok := s.known[webhook.UID]
	switch {
	case ok && known.ref == ref && known.problem != nil:
		return forbiddenGrace // it could not sign before either
	case ok && known.ref == ref && !known.forbidden.IsZero():
		return s.now().Sub(known.forbidden)
	}
	s.known[webhook.UID] = &knownSecret{ref: ref, forbidden: s.now()}
	return 0
}

func (s *Signer) remember(webhook *v1alpha1.Webhook, ref v1alpha1.SecretKeyReference, secrets Secrets, problem *Problem) (Secrets, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	entry := &knownSecret{ref: ref, secrets: secrets, until: s.now().Add(secretTTL)}
	if problem != nil {
		if before, ok := s.known[webhook.UID]; ok && before.problem != nil && before.ref == ref {
			entry.failures = before.failures + 1
		}
		wait := min(secretRetryMin<<min(entry.failures, 4), secretRetryMax)
		problem.LookAgain = s.now().Add(wait)
		entry.problem, entry.until = problem, problem.LookAgain
	}
	s.known[webhook.UID] = entry
	if problem != nil {
		return Secrets{}, problem
	}
	return secrets, nil
}

// Doubt makes the next Read ask the API server: an endpoint has refused a
// signature, so the Secret may have changed.
func (s *Signer) Doubt(webhook types.UID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known, ok := s.known[webhook]; ok && known.problem == nil {
		known.until = time.Time{}
	}
}

// Forget drops what is known of a Webhook that is gone.
func (s *Signer) Forget(webhook types.UID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.known, webhook)
	delete(s.asked, webhook)
}

// Size is of how many Webhooks something is known.
func (s *Signer) Size() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(len(s.known), len(s.asked))
}
