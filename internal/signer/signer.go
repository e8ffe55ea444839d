// SPDX-License-Identifier: Apache-2.0

package signer

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
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

	behind *semaphore.Weighted // of reads for Recent

	mu    sync.Mutex
	known map[types.UID]*knownSecret // by UID of the Webhook
	reads map[types.UID]*reading     // under way for Recent
	asked map[types.UID]lastAsked    // by Recent
}

// basis is what a Webhook says of its secret. When that changes, what was read
// before counts no more.
type basis struct {
	ref            v1alpha1.SecretKeyReference
	asked, handled string // of rotations
	overlapEnd     int64  // Unix seconds; 0: no overlap that ends
}

func basisOf(webhook *v1alpha1.Webhook) basis {
	b := basis{
		ref: RefOf(webhook), asked: webhook.Annotations[v1alpha1.RotateRequestedAtAnnotation], handled: webhook.Status.LastHandledRotateAt,
	}
	if signing := webhook.Status.Signing; signing != nil && signing.OverlapEndTime != nil {
		b.overlapEnd = signing.OverlapEndTime.Unix()
	}
	return b
}

// lastAsked is when the API server was last asked for a secret.
type lastAsked struct {
	basis basis
	at    time.Time
}

type knownSecret struct {
	basis     basis
	secrets   Secrets
	problem   *Problem
	explained bool // problem, by Explain
	failures  int
	until     time.Time
	// forbidden is since when the Secret may not be read; zero: it may.
	forbidden time.Time
}

// New returns a Signer that reads through live, which must not be a cache.
func New(live client.Reader, now func() time.Time) *Signer {
	return &Signer{
		live: live, now: now, behind: semaphore.NewWeighted(maxReads),
		known: map[types.UID]*knownSecret{}, reads: map[types.UID]*reading{}, asked: map[types.UID]lastAsked{},
	}
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
	if !ok || known.problem == nil || known.basis != basisOf(webhook) || !s.now().Before(known.until) {
		return nil
	}
	return known.problem
}

// Read returns the Webhook's secrets, from memory if they were read lately. The
// error is a *Problem if only a person can help.
func (s *Signer) Read(ctx context.Context, webhook *v1alpha1.Webhook) (Secrets, error) {
	s.mu.Lock()
	known, ok := s.known[webhook.UID]
	if ok && known.basis == basisOf(webhook) && s.now().Before(known.until) {
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
	from := basisOf(webhook)
	secret, err := s.get(ctx, webhook.Namespace, from.ref.Name)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.take(webhook, from, secret, err)
}

func (s *Signer) get(ctx context.Context, namespace, name string) (*corev1.Secret, error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	var secret corev1.Secret
	return &secret, s.live.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, &secret)
}

// take remembers what was read of a Webhook's Secret. Its caller holds the lock.
func (s *Signer) take(webhook *v1alpha1.Webhook, from basis, secret *corev1.Secret, err error) (Secrets, error) {
	name := from.ref.Name
	switch {
	case apierrors.IsNotFound(err):
		return s.remember(webhook.UID, from, Secrets{}, missing(name, from.ref.Key))
	case apierrors.IsForbidden(err) && s.forbiddenFor(webhook.UID, from) < forbiddenGrace:
		return Secrets{}, fmt.Errorf("get signing secret %s/%s: %w", webhook.Namespace, name, err)
	case apierrors.IsForbidden(err):
		return s.remember(webhook.UID, from, Secrets{}, &Problem{
			Reason:  v1alpha1.ReasonSecretNotPermitted,
			Message: fmt.Sprintf("the controller may not read Secret %q; grant it get on secrets in this namespace", name),
		})
	case err != nil:
		return Secrets{}, fmt.Errorf("get signing secret %s/%s: %w", webhook.Namespace, name, err)
	}
	secrets, problem := Check(webhook, from.ref, secret)
	return s.remember(webhook.UID, from, secrets, problem)
}

// forbiddenFor notes that a Secret may not be read and returns for how long
// that has been so. What was known of it counts no more. Its caller holds the lock.
func (s *Signer) forbiddenFor(webhook types.UID, from basis) time.Duration {
	known, ok := s.known[webhook]
	switch {
	case ok && known.basis == from && known.problem != nil:
		return forbiddenGrace // it could not sign before either
	case ok && known.basis == from && !known.forbidden.IsZero():
		return s.now().Sub(known.forbidden)
	}
	s.known[webhook] = &knownSecret{basis: from, forbidden: s.now()}
	return 0
}

func (s *Signer) remember(webhook types.UID, from basis, secrets Secrets, problem *Problem) (Secrets, error) {
	entry := &knownSecret{basis: from, secrets: secrets, until: s.now().Add(secretTTL)}
	if problem != nil {
		if before, ok := s.known[webhook]; ok && before.problem != nil && before.basis.ref == from.ref {
			entry.failures = before.failures + 1
			if before.explained && problem.Reason == v1alpha1.ReasonSecretNotFound {
				problem.Message, entry.explained = before.problem.Message, true
			}
		}
		wait := min(secretRetryMin<<min(entry.failures, 4), secretRetryMax)
		problem.LookAgain = s.now().Add(wait)
		entry.problem, entry.until = problem, problem.LookAgain
	}
	s.known[webhook] = entry
	if problem != nil {
		return Secrets{}, problem
	}
	return secrets, nil
}

// Explain says why a generated Secret that is missing is not made, for as long as
// it is missing.
func (s *Signer) Explain(webhook *v1alpha1.Webhook, message string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known, ok := s.known[webhook.UID]
	if !ok || known.problem == nil || known.problem.Reason != v1alpha1.ReasonSecretNotFound || known.basis.ref != RefOf(webhook) {
		return
	}
	explained := *known.problem // others hold the old one
	explained.Message = message
	known.problem, known.explained = &explained, true
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
	delete(s.reads, webhook)
	delete(s.asked, webhook)
}

// Known are the Webhooks of which something is known.
func (s *Signer) Known() []types.UID {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Concat(slices.Collect(maps.Keys(s.known)), slices.Collect(maps.Keys(s.reads)), slices.Collect(maps.Keys(s.asked)))
}

// Size is of how many Webhooks something is known.
func (s *Signer) Size() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(len(s.known), len(s.asked))
}
