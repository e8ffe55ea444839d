// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
	// maxYear is the last one that RFC 3339 can write, in any zone.
	maxYear = 9999
	// apiTimeout bounds one small request to the API server: a request that is
	// accepted while the server starts hangs until its own timeout.
	apiTimeout = 2 * time.Second
)

// SecretProblem says why a Webhook cannot sign. Only a person can help.
type SecretProblem struct {
	Reason    string    // ReasonSecretNotFound, ReasonSecretInvalid or ReasonSecretNotPermitted
	Message   string    // what is wrong and the way out
	LookAgain time.Time // when the Secret is read again
}

func (p *SecretProblem) Error() string { return p.Message }

// signingSecrets are the secrets of one Webhook.
type signingSecrets struct {
	current, previous signature.Secret // previous is zero outside a rotation
	overlapEnd        time.Time        // zero: open-ended, or no rotation
}

func (s signingSecrets) overlaps(now time.Time) bool {
	return !s.previous.IsZero() && (s.overlapEnd.IsZero() || now.Before(s.overlapEnd))
}

func (s signingSecrets) rotation() rotation { return rotation{current: s.current, end: s.overlapEnd} }

// Signer reads signing Secrets, by name and only by name, and keeps them in
// memory for a short while. It is safe for concurrent use.
type Signer struct {
	live client.Reader
	now  func() time.Time

	mu    sync.Mutex
	known map[types.UID]*knownSecret // by UID of the Webhook
}

type knownSecret struct {
	ref      v1alpha1.SecretKeyReference
	secrets  signingSecrets
	problem  *SecretProblem
	failures int
	until    time.Time
	// forbidden is since when the Secret may not be read; zero: it may.
	forbidden time.Time
}

// NewSigner returns a Signer that reads through live, which must not be a cache.
func NewSigner(live client.Reader, now func() time.Time) *Signer {
	return &Signer{live: live, now: now, known: map[types.UID]*knownSecret{}}
}

// secretRefOf is the Secret that a Webhook signs with.
func secretRefOf(webhook *v1alpha1.Webhook) v1alpha1.SecretKeyReference {
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
func (s *Signer) Problem(webhook *v1alpha1.Webhook) *SecretProblem {
	s.mu.Lock()
	defer s.mu.Unlock()
	known, ok := s.known[webhook.UID]
	if !ok || known.problem == nil || known.ref != secretRefOf(webhook) || !s.now().Before(known.until) {
		return nil
	}
	return known.problem
}

// Read returns the Webhook's secrets, from memory if they were read lately. The
// error is a *SecretProblem if only a person can help.
func (s *Signer) Read(ctx context.Context, webhook *v1alpha1.Webhook) (signingSecrets, error) {
	ref := secretRefOf(webhook)
	s.mu.Lock()
	known, ok := s.known[webhook.UID]
	if ok && known.ref == ref && s.now().Before(known.until) {
		defer s.mu.Unlock()
		if known.problem != nil {
			return signingSecrets{}, known.problem
		}
		return known.secrets, nil
	}
	s.mu.Unlock()
	return s.Refresh(ctx, webhook)
}

// Refresh reads the Secret now, whatever is remembered.
func (s *Signer) Refresh(ctx context.Context, webhook *v1alpha1.Webhook) (signingSecrets, error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	ref := secretRefOf(webhook)
	var secret corev1.Secret
	err := s.live.Get(ctx, types.NamespacedName{Namespace: webhook.Namespace, Name: ref.Name}, &secret)
	switch {
	case apierrors.IsNotFound(err):
		return s.remember(webhook, ref, signingSecrets{}, &SecretProblem{
			Reason:  v1alpha1.ReasonSecretNotFound,
			Message: fmt.Sprintf("Secret %q not found; create it with the key %q and the label %s: \"true\"", ref.Name, ref.Key, v1alpha1.SigningSecretLabel),
		})
	case apierrors.IsForbidden(err) && s.forbiddenFor(webhook, ref) < forbiddenGrace:
		return signingSecrets{}, fmt.Errorf("get signing secret %s/%s: %w", webhook.Namespace, ref.Name, err)
	case apierrors.IsForbidden(err):
		return s.remember(webhook, ref, signingSecrets{}, &SecretProblem{
			Reason:  v1alpha1.ReasonSecretNotPermitted,
			Message: fmt.Sprintf("the controller may not read Secret %q; grant it get on secrets in this namespace", ref.Name),
		})
	case err != nil:
		return signingSecrets{}, fmt.Errorf("get signing secret %s/%s: %w", webhook.Namespace, ref.Name, err)
	}
	secrets, problem := readSecret(webhook, ref, &secret)
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

func (s *Signer) remember(webhook *v1alpha1.Webhook, ref v1alpha1.SecretKeyReference, secrets signingSecrets, problem *SecretProblem) (signingSecrets, error) {
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
		return signingSecrets{}, problem
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
}

// readSecret checks that the Secret may sign for this Webhook, and its values.
func readSecret(webhook *v1alpha1.Webhook, ref v1alpha1.SecretKeyReference, secret *corev1.Secret) (signingSecrets, *SecretProblem) {
	if problem := permitted(webhook, secret); problem != nil {
		return signingSecrets{}, problem
	}
	value, ok := secret.Data[ref.Key]
	if !ok {
		return signingSecrets{}, &SecretProblem{
			Reason:  v1alpha1.ReasonSecretNotFound,
			Message: fmt.Sprintf("Secret %q has no key %q; add it", secret.Name, ref.Key),
		}
	}
	secrets := signingSecrets{current: signature.NewSecret(string(value))}
	if err := signature.Validate(string(value)); err != nil {
		return signingSecrets{}, invalidSecret(secret.Name, ref.Key, err)
	}
	previous, ok := secret.Data[v1alpha1.PreviousSecretKey]
	if !ok {
		return secrets, nil
	}
	if until, ok := secret.Annotations[v1alpha1.PreviousUntilAnnotation]; ok {
		end, err := time.Parse(time.RFC3339, until)
		if err != nil || end.UTC().Year() > maxYear {
			return signingSecrets{}, &SecretProblem{
				Reason:  v1alpha1.ReasonSecretInvalid,
				Message: fmt.Sprintf("Secret %q: annotation %s is not an RFC 3339 time such as 2024-01-15T10:30:00Z", secret.Name, v1alpha1.PreviousUntilAnnotation),
			}
		}
		secrets.overlapEnd = end
	}
	secrets.previous = signature.NewSecret(string(previous))
	if err := signature.Validate(string(previous)); err != nil {
		return signingSecrets{}, invalidSecret(secret.Name, v1alpha1.PreviousSecretKey, err)
	}
	return secrets, nil
}

func invalidSecret(name, key string, err error) *SecretProblem {
	return &SecretProblem{
		Reason:  v1alpha1.ReasonSecretInvalid,
		Message: fmt.Sprintf("Secret %q, key %q: %v", name, key, err),
	}
}

// permitted refuses to be an oracle that signs with any Secret.
func permitted(webhook *v1alpha1.Webhook, secret *corev1.Secret) *SecretProblem {
	switch owner := foreignOwner(webhook, secret); owner {
	case "":
	case webhook.Name:
		return &SecretProblem{
			Reason:  v1alpha1.ReasonSecretNotFound,
			Message: fmt.Sprintf("Secret %q belongs to a Webhook of this name that was deleted; waiting until it is deleted, too", secret.Name),
		}
	default:
		return &SecretProblem{
			Reason:  v1alpha1.ReasonSecretNotPermitted,
			Message: fmt.Sprintf("Secret %q belongs to Webhook %q; set spec.signing.secretRef to a Secret of your own", secret.Name, owner),
		}
	}
	if signing.IsGenerated(webhook) && !metav1.IsControlledBy(secret, webhook) {
		return &SecretProblem{
			Reason:  v1alpha1.ReasonSecretNotPermitted,
			Message: fmt.Sprintf("Secret %q exists and was not made for this Webhook; delete it, or name it in spec.signing.secretRef", secret.Name),
		}
	}
	if secret.Labels[v1alpha1.SigningSecretLabel] != "true" {
		return &SecretProblem{
			Reason:  v1alpha1.ReasonSecretNotPermitted,
			Message: fmt.Sprintf("Secret %q lacks the label %s: \"true\"; set it to let webhooks sign with this Secret", secret.Name, v1alpha1.SigningSecretLabel),
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

// keysFor chooses which secret is primary for an attempt (CONTRACT §1,
// Rotation): the old one until the new one is confirmed; the other one than
// last time after an answer that doubts the signature.
func keysFor(secrets signingSecrets, confirmed bool, last *v1alpha1.Attempt, now time.Time) (signature.Keys, v1alpha1.SigningKey) {
	if !secrets.overlaps(now) {
		return signature.Keys{Primary: secrets.current}, ""
	}
	primary := v1alpha1.SigningKeyPrevious
	if confirmed {
		primary = v1alpha1.SigningKeyCurrent
	}
	if last != nil && last.Primary != "" && doubtsSignature(last.ResponseStatus) {
		primary = other(last.Primary)
	}
	if primary == v1alpha1.SigningKeyCurrent {
		return signature.Keys{Primary: secrets.current, Secondary: secrets.previous}, primary
	}
	return signature.Keys{Primary: secrets.previous, Secondary: secrets.current}, primary
}

func other(key v1alpha1.SigningKey) v1alpha1.SigningKey {
	if key == v1alpha1.SigningKeyCurrent {
		return v1alpha1.SigningKeyPrevious
	}
	return v1alpha1.SigningKeyCurrent
}

// doubtsSignature: 400, 401 and 403 are what receivers answer to a signature
// that they cannot verify.
func doubtsSignature(status *int32) bool {
	return status != nil && (*status == 400 || *status == 401 || *status == 403)
}
