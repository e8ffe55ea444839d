// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/dispatcher/signature"
)

const (
	newSecret = "the-new-secret-of-orders"
	oldSecret = "the-old-secret-of-orders"
)

// someSecret is one that a person made for someWebhook to sign with.
func someSecret(changes ...func(*corev1.Secret)) *corev1.Secret {
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "keys", Labels: map[string]string{v1alpha1.SigningSecretLabel: "true"}},
		Data:       map[string][]byte{v1alpha1.SecretKey: []byte(newSecret)},
	}
	for _, change := range changes {
		change(secret)
	}
	return secret
}

// usesKeys makes a webhook sign with someSecret.
func usesKeys(w *v1alpha1.Webhook) {
	w.Spec.Signing = &v1alpha1.Signing{SecretRef: &v1alpha1.SecretKeyReference{Name: "keys"}}
}

func ownedBySecret(webhook *v1alpha1.Webhook) func(*corev1.Secret) {
	return func(s *corev1.Secret) {
		s.OwnerReferences = append(s.OwnerReferences, *metav1.NewControllerRef(webhook, v1alpha1.GroupVersion.WithKind("Webhook")))
	}
}

func previous(value, until string) func(*corev1.Secret) {
	return func(s *corev1.Secret) {
		s.Data[v1alpha1.PreviousSecretKey] = []byte(value)
		if until != "" {
			s.Annotations = map[string]string{v1alpha1.PreviousUntilAnnotation: until}
		}
	}
}

func TestWhatSigns(t *testing.T) {
	another := someWebhook(func(w *v1alpha1.Webhook) { w.Name, w.UID = "billing", "webhook-9" })
	predecessor := someWebhook(func(w *v1alpha1.Webhook) { w.UID = "webhook-0" })
	generated := func(s *corev1.Secret) { s.Name = "orders-signing" }
	const permittedText = v1alpha1.ReasonSecretNotPermitted
	type result struct {
		Current, Previous string
		End               time.Time
		Reason, Message   string
	}
	tests := []struct {
		name    string
		webhook *v1alpha1.Webhook
		secret  *corev1.Secret
		want    result
	}{
		{"a Secret with the label", someWebhook(usesKeys), someSecret(), result{Current: newSecret}},
		{"a Secret without the label", someWebhook(usesKeys), someSecret(func(s *corev1.Secret) { s.Labels = nil }),
			result{Reason: permittedText, Message: `Secret "keys" lacks the label bbmcp.quietstack.com/signing-secret: "true"; set it to let webhooks sign with this Secret`}},
		{"a Secret whose label says something else", someWebhook(usesKeys), someSecret(func(s *corev1.Secret) { s.Labels[v1alpha1.SigningSecretLabel] = "yes" }),
			result{Reason: permittedText, Message: `Secret "keys" lacks the label bbmcp.quietstack.com/signing-secret: "true"; set it to let webhooks sign with this Secret`}},
		{"another Webhook's Secret", someWebhook(usesKeys), someSecret(ownedBySecret(another)),
			result{Reason: permittedText, Message: `Secret "keys" belongs to Webhook "billing"; set spec.signing.secretRef to a Secret of your own`}},
		{"a Secret of two Webhooks, one of them this", someWebhook(usesKeys), someSecret(ownedBySecret(someWebhook()), ownedBySecret(another)),
			result{Reason: permittedText, Message: `Secret "keys" belongs to Webhook "billing"; set spec.signing.secretRef to a Secret of your own`}},
		{"a Secret that something else owns", someWebhook(usesKeys), someSecret(func(s *corev1.Secret) {
			s.OwnerReferences = []metav1.OwnerReference{{APIVersion: "external-secrets.io/v1", Kind: "ExternalSecret", Name: "keys", UID: "other"}}
		}), result{Current: newSecret}},
		{"its own generated Secret", someWebhook(), someSecret(generated, ownedBySecret(someWebhook())), result{Current: newSecret}},
		{"a Secret that stands where the generated one should", someWebhook(), someSecret(generated),
			result{Reason: permittedText, Message: `Secret "orders-signing" exists and was not made for this Webhook; delete it, or name it in spec.signing.secretRef`}},
		{"the generated Secret of a Webhook of this name that was deleted", someWebhook(), someSecret(generated, ownedBySecret(predecessor)),
			result{Reason: v1alpha1.ReasonSecretNotFound, Message: `Secret "orders-signing" belongs to a Webhook of this name that was deleted; waiting until it is deleted, too`}},
		{"without the key", someWebhook(usesKeys), someSecret(func(s *corev1.Secret) { s.Data = nil }),
			result{Reason: v1alpha1.ReasonSecretNotFound, Message: `Secret "keys" has no key "secret"; add it`}},
		{"with a key of its own", someWebhook(usesKeys, func(w *v1alpha1.Webhook) { w.Spec.Signing.SecretRef.Key = "hmac" }),
			someSecret(func(s *corev1.Secret) { s.Data = map[string][]byte{"hmac": []byte(oldSecret)} }), result{Current: oldSecret}},
		{"with a line break at its end", someWebhook(usesKeys), someSecret(func(s *corev1.Secret) { s.Data[v1alpha1.SecretKey] = []byte(newSecret + "\n") }),
			result{Reason: v1alpha1.ReasonSecretInvalid, Message: `Secret "keys", key "secret": the secret begins or ends with white space, often a line break from a file: remove it (printf '%s', not echo)`}},
		{"while a rotation overlaps", someWebhook(usesKeys), someSecret(previous(oldSecret, "2026-03-01T13:00:00.5Z")),
			result{Current: newSecret, Previous: oldSecret, End: at(hour + 500*time.Millisecond)}},
		{"while a rotation by its owner overlaps without an end", someWebhook(usesKeys), someSecret(previous(oldSecret, "")),
			result{Current: newSecret, Previous: oldSecret}},
		{"with an end that is no time", someWebhook(usesKeys), someSecret(previous(oldSecret, "tomorrow")),
			result{Reason: v1alpha1.ReasonSecretInvalid, Message: `Secret "keys": annotation bbmcp.quietstack.com/previous-until is not an RFC 3339 time such as 2024-01-15T10:30:00Z`}},
		{"with a previous secret that is too short", someWebhook(usesKeys), someSecret(previous("short", "")),
			result{Reason: v1alpha1.ReasonSecretInvalid, Message: `Secret "keys", key "previous": the secret is shorter than 16 bytes: use 16 to 256 bytes, or let one be generated`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			secrets, problem := readSecret(tt.webhook, secretRefOf(tt.webhook), tt.secret)
			got := result{Current: secrets.current.Reveal(), Previous: secrets.previous.Reveal(), End: secrets.overlapEnd}
			if problem != nil {
				got.Reason, got.Message = problem.Reason, problem.Message
			}
			same(t, got, tt.want)
		})
	}
}

func TestWhichSecretIsPrimary(t *testing.T) {
	now, old := signature.NewSecret(newSecret), signature.NewSecret(oldSecret)
	both := signingSecrets{current: now, previous: old, overlapEnd: at(hour)}
	after := func(primary v1alpha1.SigningKey, status int32) *v1alpha1.Attempt {
		return &v1alpha1.Attempt{Primary: primary, ResponseStatus: &status}
	}
	type result struct {
		Keys    signature.Keys
		Primary v1alpha1.SigningKey
	}
	oldFirst := result{signature.Keys{Primary: old, Secondary: now}, v1alpha1.SigningKeyPrevious}
	newFirst := result{signature.Keys{Primary: now, Secondary: old}, v1alpha1.SigningKeyCurrent}
	tests := []struct {
		name      string
		secrets   signingSecrets
		confirmed bool
		last      *v1alpha1.Attempt
		now       time.Duration
		want      result
	}{
		{"no rotation", signingSecrets{current: now}, false, nil, 0, result{signature.Keys{Primary: now}, ""}},
		{"an overlap begins with the old one", both, false, nil, 0, oldFirst},
		{"the new one once it is confirmed", both, true, nil, 0, newFirst},
		{"the overlap is over", both, false, nil, hour, result{signature.Keys{Primary: now}, ""}},
		{"an overlap without an end", signingSecrets{current: now, previous: old}, false, nil, 1e6 * hour, oldFirst},
		{"after a 400 the other one", both, false, after(v1alpha1.SigningKeyPrevious, 400), 0, newFirst},
		{"after a 401 the other one", both, false, after(v1alpha1.SigningKeyPrevious, 401), 0, newFirst},
		{"after a 403 the other one, also when confirmed", both, true, after(v1alpha1.SigningKeyCurrent, 403), 0, oldFirst},
		{"after a 404 the same", both, false, after(v1alpha1.SigningKeyPrevious, 404), 0, oldFirst},
		{"after a 500 on which the other one was tried, back to the rule", both, false, after(v1alpha1.SigningKeyCurrent, 500), 0, oldFirst},
		{"after a 401 from before the rotation", both, false, after("", 401), 0, oldFirst},
		{"after no answer", both, true, &v1alpha1.Attempt{Primary: v1alpha1.SigningKeyCurrent}, 0, newFirst},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			keys, primary := keysFor(tt.secrets, tt.confirmed, tt.last, at(tt.now))
			if got := (result{keys, primary}); got != tt.want { // secrets compare by value and print as REDACTED
				t.Errorf("got primary %q %q, secondary %q", got.Primary, got.Keys.Primary.Reveal(), got.Keys.Secondary.Reveal())
			}
		})
	}
}

// shelf is an API server that has one Secret, or answers with an error.
type shelf struct {
	client.Reader
	secret *corev1.Secret
	err    error
	reads  []client.ObjectKey
}

func (s *shelf) Get(_ context.Context, key client.ObjectKey, object client.Object, _ ...client.GetOption) error {
	s.reads = append(s.reads, key)
	if s.err == nil && s.secret == nil {
		return apierrors.NewNotFound(schema.GroupResource{Resource: "secrets"}, key.Name)
	}
	if s.err == nil {
		s.secret.DeepCopyInto(object.(*corev1.Secret))
	}
	return s.err
}

// TestSignerReadsRarely walks through a time in which the Secret comes, changes
// and goes.
func TestSignerReadsRarely(t *testing.T) {
	now := at(0)
	api := &shelf{}
	signer := NewSigner(api, func() time.Time { return now })
	webhook := someWebhook(usesKeys)
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, "keys", errors.New("no role"))
	steps := []struct {
		name   string
		at     time.Duration
		before func()
		reads  int    // in all
		want   string // the current secret, or the reason of the problem
		again  time.Duration
	}{
		{"missing", 0, func() {}, 1, v1alpha1.ReasonSecretNotFound, 15 * second},
		{"still missing, too early to look", 14 * second, func() {}, 1, v1alpha1.ReasonSecretNotFound, 15 * second},
		{"still missing", 15 * second, func() {}, 2, v1alpha1.ReasonSecretNotFound, 45 * second},
		{"waits grow", 45 * second, func() {}, 3, v1alpha1.ReasonSecretNotFound, 105 * second},
		{"up to two minutes", 105 * second, func() {}, 4, v1alpha1.ReasonSecretNotFound, 225 * second},
		{"and not further", 225 * second, func() {}, 5, v1alpha1.ReasonSecretNotFound, 345 * second},
		{"it appears", 345 * second, func() { api.secret = someSecret() }, 6, newSecret, 0},
		{"kept for half a minute", 374 * second, func() { api.secret.Data[v1alpha1.SecretKey] = []byte(oldSecret) }, 6, newSecret, 0},
		{"then read again", 375 * second, func() {}, 7, oldSecret, 0},
		{"an endpoint doubts it", 376 * second, func() { signer.Doubt(webhook.UID) }, 8, oldSecret, 0},
		{"the webhook names another", 377 * second, func() { webhook.Spec.Signing.SecretRef.Name = "other" }, 9, oldSecret, 0},
		{"it goes", 407 * second, func() { api.secret = nil }, 10, v1alpha1.ReasonSecretNotFound, 422 * second},
		{"nobody may read it", 422 * second, func() { api.err = forbidden }, 11, v1alpha1.ReasonSecretNotPermitted, 452 * second},
		{"forgotten", 423 * second, func() { signer.Forget(webhook.UID); api.err, api.secret = nil, someSecret() }, 12, newSecret, 0},
	}
	for _, step := range steps {
		now = at(step.at)
		step.before()
		secrets, err := signer.Read(t.Context(), webhook)
		got, again := secrets.current.Reveal(), time.Duration(0)
		if problem, ok := errors.AsType[*SecretProblem](err); ok {
			got, again = problem.Reason, problem.LookAgain.Sub(at(0))
			same(t, signer.Problem(webhook), problem)
		} else if signer.Problem(webhook) != nil {
			t.Errorf("%s: a problem is left", step.name)
		}
		if got != step.want || again != step.again || len(api.reads) != step.reads {
			t.Errorf("%s: got %q, look again at %s, after %d reads; want %q, %s, %d", step.name, got, again, len(api.reads), step.want, step.again, step.reads)
		}
	}
	for _, key := range api.reads {
		if key.Namespace != "shop" || key.Name != "keys" && key.Name != "other" {
			t.Errorf("read %s", key)
		}
	}
}

func TestSignerFailsWithTheAPIServer(t *testing.T) {
	now := at(0)
	api := &shelf{secret: someSecret()}
	signer := NewSigner(api, func() time.Time { return now })
	webhook := someWebhook(usesKeys)
	if _, err := signer.Read(t.Context(), webhook); err != nil {
		t.Fatal(err)
	}
	now, api.err = at(minute), apierrors.NewInternalError(errors.New("etcd is away"))
	_, err := signer.Read(t.Context(), webhook)
	if _, isProblem := errors.AsType[*SecretProblem](err); err == nil || isProblem || signer.Problem(webhook) != nil {
		t.Errorf("got %v, want an error of the platform that nobody remembers", err)
	}
	// An API server that starts forbids everything until it has read the roles.
	api.err = apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, "keys", errors.New("no role yet"))
	for _, after := range []time.Duration{minute, minute + 29*second} {
		now = at(after)
		if _, err := signer.Read(t.Context(), webhook); err == nil || signer.Problem(webhook) != nil {
			t.Errorf("at %s: got %v, want an error of the platform", after, err)
		}
	}
	now = at(minute + 30*second)
	_, err = signer.Read(t.Context(), webhook)
	if problem, ok := errors.AsType[*SecretProblem](err); !ok || problem.Reason != v1alpha1.ReasonSecretNotPermitted {
		t.Errorf("got %v, want %s", err, v1alpha1.ReasonSecretNotPermitted)
	}
}
