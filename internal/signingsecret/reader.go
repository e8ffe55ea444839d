// SPDX-License-Identifier: Apache-2.0

package signingsecret

import (
	"context"
	"errors"
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

// Errors of Recent.
var (
	// ErrReading says that a secret is being read; see AwaitReads.
	ErrReading = errors.New("the signing secret is being read")
	// ErrUnknown says that a secret is not known and that a read has failed within
	// the last second.
	ErrUnknown = errors.New("the signing secret cannot be read at present")
)

// Reader reads signing Secrets, by name and only by name, and keeps them in
// memory for a short while. It is safe for concurrent use.
type Reader struct {
	live client.Reader
	now  func() time.Time

	backgroundReads *semaphore.Weighted // for Recent

	mu        sync.Mutex
	cached    map[types.UID]*cachedSecret // by UID of the Webhook
	reads     map[types.UID]*secretRead   // under way for Recent
	lastReads map[types.UID]lastRead      // for Recent
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

// lastRead is when a Secret was last read from the API server.
type lastRead struct {
	basis basis
	at    time.Time
}

type cachedSecret struct {
	basis     basis
	secrets   Secrets
	problem   *Problem
	explained bool // problem, by Explain
	failures  int
	until     time.Time
	// forbidden is since when the Secret may not be read; zero: it may.
	forbidden time.Time
}

// isUsable reports whether secrets that were due this long ago at most may sign.
func (k *cachedSecret) isUsable(now time.Time, grace time.Duration) bool {
	return k != nil && k.problem == nil && !k.secrets.Current.IsZero() && now.Before(k.until.Add(grace))
}

// NewReader returns a Reader that reads through live, which must not be a cache.
func NewReader(live client.Reader, now func() time.Time) *Reader {
	return &Reader{
		live: live, now: now, backgroundReads: semaphore.NewWeighted(maxBackgroundReads),
		cached: map[types.UID]*cachedSecret{}, reads: map[types.UID]*secretRead{}, lastReads: map[types.UID]lastRead{},
	}
}

// Problem returns what was wrong with the Webhook's secret when it was last
// read, while it is too early to read it again; nil otherwise.
func (r *Reader) Problem(webhook *v1alpha1.Webhook) *Problem {
	r.mu.Lock()
	defer r.mu.Unlock()
	known, ok := r.cached[webhook.UID]
	if !ok || known.problem == nil || known.basis != basisOf(webhook) || !r.now().Before(known.until) {
		return nil
	}
	return known.problem
}

// Read returns the Webhook's secrets, from memory if they were read lately. The
// error is a *Problem if only a person can help.
func (r *Reader) Read(ctx context.Context, webhook *v1alpha1.Webhook) (Secrets, error) {
	r.mu.Lock()
	known, ok := r.cached[webhook.UID]
	if ok && known.basis == basisOf(webhook) && r.now().Before(known.until) {
		defer r.mu.Unlock()
		if known.problem != nil {
			return Secrets{}, known.problem
		}
		return known.secrets, nil
	}
	r.mu.Unlock()
	return r.Refresh(ctx, webhook)
}

// Refresh reads the Secret now, whatever is remembered.
func (r *Reader) Refresh(ctx context.Context, webhook *v1alpha1.Webhook) (Secrets, error) {
	from := basisOf(webhook)
	secret, err := r.get(ctx, webhook.Namespace, from.ref.Name)
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.store(webhook, from, secret, err)
}

// Recent is Read that never waits for the API server: it returns secrets that may
// be refreshGrace old, or outageGrace in an outage, and reads what is due in the
// background, at most once a second for each Webhook. The error is ErrReading,
// ErrUnknown or a *Problem.
func (r *Reader) Recent(webhook *v1alpha1.Webhook) (Secrets, error) {
	now, want := r.now(), basisOf(webhook)
	r.mu.Lock()
	defer r.mu.Unlock()
	known := r.cached[webhook.UID]
	if known != nil && known.basis != want {
		known = nil
	}
	if known != nil && now.Before(known.until) {
		if known.problem != nil {
			return Secrets{}, known.problem
		}
		return known.secrets, nil
	}
	read := r.beginBackgroundRead(webhook, want, now)
	switch {
	case known.isUsable(now, refreshGrace):
		return known.secrets, nil
	case read != nil && now.Before(read.began.Add(answerWait)):
		return Secrets{}, ErrReading
	case known.isUsable(now, outageGrace):
		return known.secrets, nil
	case read != nil:
		return Secrets{}, ErrReading
	}
	return Secrets{}, ErrUnknown
}

func (r *Reader) get(ctx context.Context, namespace, name string) (*corev1.Secret, error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	var secret corev1.Secret
	return &secret, r.live.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, &secret)
}

// store remembers what was read of a Webhook's Secret. Its caller holds the lock.
func (r *Reader) store(webhook *v1alpha1.Webhook, from basis, secret *corev1.Secret, err error) (Secrets, error) {
	name := from.ref.Name
	switch {
	case apierrors.IsNotFound(err):
		return r.remember(webhook.UID, from, Secrets{}, missingSecretProblem(name, from.ref.Key))
	case apierrors.IsForbidden(err) && r.forbiddenFor(webhook.UID, from) < forbiddenGrace:
		return Secrets{}, fmt.Errorf("get signing secret %s/%s: %w", webhook.Namespace, name, err)
	case apierrors.IsForbidden(err):
		return r.remember(webhook.UID, from, Secrets{}, &Problem{
			Reason:  v1alpha1.ReasonSecretNotPermitted,
			Message: fmt.Sprintf("the controller may not read Secret %q; grant it get on secrets in this namespace", name),
		})
	case err != nil:
		return Secrets{}, fmt.Errorf("get signing secret %s/%s: %w", webhook.Namespace, name, err)
	}
	secrets, problem := PermittedSecrets(webhook, from.ref, secret)
	return r.remember(webhook.UID, from, secrets, problem)
}

// forbiddenFor notes that a Secret may not be read and returns for how long
// that has been so. What was known of it counts no more. Its caller holds the lock.
func (r *Reader) forbiddenFor(webhook types.UID, from basis) time.Duration {
	known, ok := r.cached[webhook]
	switch {
	case ok && known.basis == from && known.problem != nil:
		return forbiddenGrace // it could not sign before either
	case ok && known.basis == from && !known.forbidden.IsZero():
		return r.now().Sub(known.forbidden)
	}
	r.cached[webhook] = &cachedSecret{basis: from, forbidden: r.now()}
	return 0
}

func (r *Reader) remember(webhook types.UID, from basis, secrets Secrets, problem *Problem) (Secrets, error) {
	entry := &cachedSecret{basis: from, secrets: secrets, until: r.now().Add(secretTTL)}
	if problem != nil {
		if before, ok := r.cached[webhook]; ok && before.problem != nil && before.basis.ref == from.ref {
			entry.failures = before.failures + 1
			if before.explained && problem.Reason == v1alpha1.ReasonSecretNotFound {
				problem.Message, entry.explained = before.problem.Message, true
			}
		}
		wait := min(secretRetryMin<<min(entry.failures, 4), secretRetryMax)
		problem.LookAgain = r.now().Add(wait)
		entry.problem, entry.until = problem, problem.LookAgain
	}
	r.cached[webhook] = entry
	if problem != nil {
		return Secrets{}, problem
	}
	return secrets, nil
}

// Explain says why a generated Secret that is missing is not made, for as long as
// it is missing.
func (r *Reader) Explain(webhook *v1alpha1.Webhook, message string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	known, ok := r.cached[webhook.UID]
	if !ok || known.problem == nil || known.problem.Reason != v1alpha1.ReasonSecretNotFound || known.basis.ref != RefOf(webhook) {
		return
	}
	explained := *known.problem // others hold the old one
	explained.Message = message
	known.problem, known.explained = &explained, true
}

// Invalidate makes the next Read ask the API server: an endpoint has refused a
// signature, so the Secret may have changed.
func (r *Reader) Invalidate(webhook types.UID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if known, ok := r.cached[webhook]; ok && known.problem == nil {
		known.until = time.Time{}
	}
}

// Forget drops what is known of a Webhook that is gone.
func (r *Reader) Forget(webhook types.UID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.cached, webhook)
	delete(r.reads, webhook)
	delete(r.lastReads, webhook)
}

// Known are the Webhooks of which something is known.
func (r *Reader) Known() []types.UID {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Concat(slices.Collect(maps.Keys(r.cached)), slices.Collect(maps.Keys(r.reads)), slices.Collect(maps.Keys(r.lastReads)))
}

// Size is of how many Webhooks something is known.
func (r *Reader) Size() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return max(len(r.cached), len(r.lastReads))
}
