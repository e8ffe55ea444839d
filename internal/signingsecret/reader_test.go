// SPDX-License-Identifier: Apache-2.0

package signingsecret

import (
	"context"
	"errors"
	"slices"
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

func at(after time.Duration) time.Time {
	return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).Add(after)
}

// someWebhook signs with its generated Secret, unless changed.
func someWebhook(changes ...func(*v1alpha1.Webhook)) *v1alpha1.Webhook {
	webhook := &v1alpha1.Webhook{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "orders", UID: "webhook-1"}}
	for _, change := range changes {
		change(webhook)
	}
	return webhook
}

func TestWhatSigns(t *testing.T) {
	another := someWebhook(func(w *v1alpha1.Webhook) { w.Name, w.UID = "billing", "webhook-9" })
	predecessor := someWebhook(func(w *v1alpha1.Webhook) { w.UID = "webhook-0" })
	generated := func(s *corev1.Secret) { s.Name = "orders-signing" }
	const permittedText = v1alpha1.ReasonSecretNotPermitted
	const notThere = `there is no Secret "keys" that webhooks may sign with; create it with the key "secret" and the label bbmcp.quietstack.com/signing-secret: "true", or set that label if it exists`
	several := func(s *corev1.Secret) {
		s.Data["hmac"], s.Data["password"] = []byte(oldSecret), []byte("correct horse battery")
	}
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
		{"a Secret of another Webhook without the label, which is not told from one that is missing", someWebhook(usesKeys),
			someSecret(ownedBySecret(another), func(s *corev1.Secret) { s.Labels = nil }), result{Reason: v1alpha1.ReasonSecretNotFound, Message: notThere}},
		{"its own generated Secret that has lost the label", someWebhook(), someSecret(generated, ownedBySecret(someWebhook()), func(s *corev1.Secret) { s.Labels = nil }),
			result{Reason: permittedText, Message: `Secret "orders-signing" has lost its label bbmcp.quietstack.com/signing-secret: "true"; set it again to let the webhook sign with it`}},
		{"a Secret without the label", someWebhook(usesKeys), someSecret(func(s *corev1.Secret) { s.Labels = nil }),
			result{Reason: v1alpha1.ReasonSecretNotFound, Message: notThere}},
		{"a Secret whose label says something else", someWebhook(usesKeys), someSecret(func(s *corev1.Secret) { s.Labels[v1alpha1.SigningSecretLabel] = "yes" }),
			result{Reason: v1alpha1.ReasonSecretNotFound, Message: notThere}},
		{"another Webhook's Secret", someWebhook(usesKeys), someSecret(ownedBySecret(another)),
			result{Reason: permittedText, Message: `Secret "keys" belongs to Webhook "billing"; set spec.signing.secretRef to a Secret of your own`}},
		{"a Secret of two Webhooks, one of them this", someWebhook(usesKeys), someSecret(ownedBySecret(someWebhook()), ownedBySecret(another)),
			result{Reason: permittedText, Message: `Secret "keys" belongs to Webhook "billing"; set spec.signing.secretRef to a Secret of your own`}},
		{"a Secret that something else owns", someWebhook(usesKeys), someSecret(func(s *corev1.Secret) {
			s.OwnerReferences = []metav1.OwnerReference{{APIVersion: "external-secrets.io/v1", Kind: "ExternalSecret", Name: "keys", UID: "other"}}
		}), result{Current: newSecret}},
		{"its own generated Secret", someWebhook(), someSecret(generated, ownedBySecret(someWebhook())), result{Current: newSecret}},
		{"a Secret that stands where the generated one should", someWebhook(), someSecret(generated),
			result{Reason: permittedText, Message: `Secret "orders-signing" exists and was not made for this Webhook; to have it taken over, give it the labels bbmcp.quietstack.com/signing-secret: "true" and bbmcp.quietstack.com/webhook: "orders"; or delete it, which loses what it holds`}},
		{"the generated Secret of a Webhook of this name that was deleted", someWebhook(), someSecret(generated, ownedBySecret(predecessor)),
			result{Reason: v1alpha1.ReasonSecretNotFound, Message: `Secret "orders-signing" belongs to a Webhook of this name that was deleted; waiting until it is deleted, too`}},
		{"without the key", someWebhook(usesKeys), someSecret(func(s *corev1.Secret) { s.Data = nil }),
			result{Reason: v1alpha1.ReasonSecretNotFound, Message: `Secret "keys" has no key "secret"; add it`}},
		{"with a key of its own", someWebhook(usesKeys, func(w *v1alpha1.Webhook) { w.Spec.Signing.SecretRef.Key = "hmac" }),
			someSecret(func(s *corev1.Secret) { s.Data = map[string][]byte{"hmac": []byte(oldSecret)} }), result{Current: oldSecret}},
		{"with one key of several that nobody offers", someWebhook(usesKeys, func(w *v1alpha1.Webhook) { w.Spec.Signing.SecretRef.Key = "password" }),
			someSecret(several), result{Reason: permittedText, Message: `Secret "keys" does not let its key "password" sign; use the key "secret", or have its owner name the key in the annotation bbmcp.quietstack.com/signing-key of the Secret`}},
		{"with a key that is not there, of which nothing else is told", someWebhook(usesKeys, func(w *v1alpha1.Webhook) { w.Spec.Signing.SecretRef.Key = "none" }),
			someSecret(several), result{Reason: permittedText, Message: `Secret "keys" does not let its key "none" sign; use the key "secret", or have its owner name the key in the annotation bbmcp.quietstack.com/signing-key of the Secret`}},
		{"with a key of several that its owner offers", someWebhook(usesKeys, func(w *v1alpha1.Webhook) { w.Spec.Signing.SecretRef.Key = "hmac" }),
			someSecret(several, func(s *corev1.Secret) {
				s.Annotations = map[string]string{v1alpha1.SigningKeyAnnotation: "other, hmac"}
			}), result{Current: oldSecret}},
		{"with the usual key beside others", someWebhook(usesKeys), someSecret(several), result{Current: newSecret}},
		{"with a line break at its end", someWebhook(usesKeys), someSecret(func(s *corev1.Secret) { s.Data[v1alpha1.SecretKey] = []byte(newSecret + "\n") }),
			result{Reason: v1alpha1.ReasonSecretInvalid, Message: `Secret "keys", key "secret": the secret begins or ends with white space, often a line break from a file: remove it (printf '%s', not echo)`}},
		{"that was encoded twice", someWebhook(usesKeys), someSecret(func(s *corev1.Secret) {
			s.Data[v1alpha1.SecretKey] = []byte("d2hzZWNfQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=")
		}),
			result{Reason: v1alpha1.ReasonSecretInvalid, Message: `Secret "keys", key "secret": the secret is base64 of a secret that begins with whsec_: give that secret itself; in a Kubernetes Secret encode it once under data, or not at all under stringData`}},
		{"while a rotation overlaps", someWebhook(usesKeys), someSecret(previous(oldSecret, "2026-03-01T13:00:00.5Z")),
			result{Current: newSecret, Previous: oldSecret, End: at(time.Hour + 500*time.Millisecond)}},
		{"while a rotation by its owner overlaps without an end", someWebhook(usesKeys), someSecret(previous(oldSecret, "")),
			result{Current: newSecret, Previous: oldSecret}},
		{"with an end that is no time", someWebhook(usesKeys), someSecret(previous(oldSecret, "tomorrow")),
			result{Reason: v1alpha1.ReasonSecretInvalid, Message: `Secret "keys": annotation bbmcp.quietstack.com/previous-until is not an RFC 3339 time such as 2024-01-15T10:30:00Z`}},
		{"with a previous secret that is too short", someWebhook(usesKeys), someSecret(previous("short", "")),
			result{Reason: v1alpha1.ReasonSecretInvalid, Message: `Secret "keys", key "previous": the secret is shorter than 16 bytes: use 16 to 256 bytes, or let one be generated`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			secrets, problem := PermittedSecrets(tt.webhook, RefOf(tt.webhook), tt.secret)
			got := result{Current: secrets.Current.Reveal(), Previous: secrets.Previous.Reveal(), End: secrets.OverlapEnd}
			if problem != nil {
				got.Reason, got.Message = problem.Reason, problem.Message
			}
			if got, want := got, tt.want; got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

func TestWhichSecretIsPrimary(t *testing.T) {
	now, old := signature.NewSecret(newSecret), signature.NewSecret(oldSecret)
	both := Secrets{Current: now, Previous: old, OverlapEnd: at(time.Hour)}
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
		secrets   Secrets
		confirmed bool
		last      *v1alpha1.Attempt
		now       time.Duration
		want      result
	}{
		{"no rotation", Secrets{Current: now}, false, nil, 0, result{signature.Keys{Primary: now}, ""}},
		{"an overlap begins with the old one", both, false, nil, 0, oldFirst},
		{"the new one once it is confirmed", both, true, nil, 0, newFirst},
		{"the overlap is over", both, false, nil, time.Hour, result{signature.Keys{Primary: now}, ""}},
		{"an overlap without an end", Secrets{Current: now, Previous: old}, false, nil, 1e6 * time.Hour, oldFirst},
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
			keys, primary := KeysFor(tt.secrets, tt.confirmed, tt.last, at(tt.now))
			if got := (result{keys, primary}); got != tt.want { // secrets compare by value and print as REDACTED
				t.Errorf("got primary %q %q, secondary %q", got.Primary, got.Keys.Primary.Reveal(), got.Keys.Secondary.Reveal())
			}
		})
	}
}

// secretServer is an API server that has one Secret, or answers with an error.
type secretServer struct {
	client.Reader
	secret *corev1.Secret
	err    error
	reads  []client.ObjectKey
}

func (s *secretServer) Get(_ context.Context, key client.ObjectKey, object client.Object, _ ...client.GetOption) error {
	s.reads = append(s.reads, key)
	if s.err == nil && s.secret == nil {
		return apierrors.NewNotFound(schema.GroupResource{Resource: "secrets"}, key.Name)
	}
	if s.err == nil {
		s.secret.DeepCopyInto(object.(*corev1.Secret))
	}
	return s.err
}

// Who may create Webhooks and see their status does not learn from it which Secrets
// there are: neither by words nor by when they are looked at again.
func TestAMissingSecretIsLikeOneWithoutTheLabel(t *testing.T) {
	now := at(0)
	told := func(secret *corev1.Secret) (all []Problem) {
		reader, webhook := NewReader(&secretServer{secret: secret}, func() time.Time { return now }), someWebhook(usesKeys)
		for range 4 {
			_, err := reader.Refresh(t.Context(), webhook)
			problem, ok := errors.AsType[*Problem](err)
			if !ok {
				t.Fatalf("got %v, want a problem", err)
			}
			all = append(all, *problem)
		}
		return all
	}
	absent, unlabelled := told(nil), told(someSecret(func(s *corev1.Secret) { s.Labels = nil }))
	if !slices.Equal(absent, unlabelled) {
		t.Errorf("missing: %+v\nunlabelled: %+v", absent, unlabelled)
	}
}

// TestReaderReadsRarely walks through a time in which the Secret comes, changes
// and goes.
func TestReaderReadsRarely(t *testing.T) {
	now := at(0)
	api := &secretServer{}
	reader := NewReader(api, func() time.Time { return now })
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
		{"missing", 0, func() {}, 1, v1alpha1.ReasonSecretNotFound, 15 * time.Second},
		{"still missing, too early to look", 14 * time.Second, func() {}, 1, v1alpha1.ReasonSecretNotFound, 15 * time.Second},
		{"still missing", 15 * time.Second, func() {}, 2, v1alpha1.ReasonSecretNotFound, 45 * time.Second},
		{"waits grow", 45 * time.Second, func() {}, 3, v1alpha1.ReasonSecretNotFound, 105 * time.Second},
		{"up to two minutes", 105 * time.Second, func() {}, 4, v1alpha1.ReasonSecretNotFound, 225 * time.Second},
		{"and not further", 225 * time.Second, func() {}, 5, v1alpha1.ReasonSecretNotFound, 345 * time.Second},
		{"it appears", 345 * time.Second, func() { api.secret = someSecret() }, 6, newSecret, 0},
		{"kept for half a time.Minute", 374 * time.Second, func() { api.secret.Data[v1alpha1.SecretKey] = []byte(oldSecret) }, 6, newSecret, 0},
		{"then read again", 375 * time.Second, func() {}, 7, oldSecret, 0},
		{"an endpoint doubts it", 376 * time.Second, func() { reader.Invalidate(webhook.UID) }, 8, oldSecret, 0},
		{"the webhook names another", 377 * time.Second, func() { webhook.Spec.Signing.SecretRef.Name = "other" }, 9, oldSecret, 0},
		{"it goes", 407 * time.Second, func() { api.secret = nil }, 10, v1alpha1.ReasonSecretNotFound, 422 * time.Second},
		{"nobody may read it", 422 * time.Second, func() { api.err = forbidden }, 11, v1alpha1.ReasonSecretNotPermitted, 452 * time.Second},
		{"forgotten", 423 * time.Second, func() { reader.Forget(webhook.UID); api.err, api.secret = nil, someSecret() }, 12, newSecret, 0},
	}
	for _, step := range steps {
		now = at(step.at)
		step.before()
		secrets, err := reader.Read(t.Context(), webhook)
		got, again := secrets.Current.Reveal(), time.Duration(0)
		if problem, ok := errors.AsType[*Problem](err); ok {
			got, again = problem.Reason, problem.LookAgain.Sub(at(0))
			if got, want := reader.Problem(webhook), problem; got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		} else if reader.Problem(webhook) != nil {
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

func TestReaderFailsWithTheAPIServer(t *testing.T) {
	now := at(0)
	api := &secretServer{secret: someSecret()}
	reader := NewReader(api, func() time.Time { return now })
	webhook := someWebhook(usesKeys)
	if _, err := reader.Read(t.Context(), webhook); err != nil {
		t.Fatal(err)
	}
	now, api.err = at(time.Minute), apierrors.NewInternalError(errors.New("etcd is away"))
	_, err := reader.Read(t.Context(), webhook)
	if _, isProblem := errors.AsType[*Problem](err); err == nil || isProblem || reader.Problem(webhook) != nil {
		t.Errorf("got %v, want an error of the platform that nobody remembers", err)
	}
	// An API server that starts forbids everything until it has read the roles.
	api.err = apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, "keys", errors.New("no role yet"))
	for _, after := range []time.Duration{time.Minute, time.Minute + 29*time.Second} {
		now = at(after)
		if _, err := reader.Read(t.Context(), webhook); err == nil || reader.Problem(webhook) != nil {
			t.Errorf("at %s: got %v, want an error of the platform", after, err)
		}
	}
	now = at(time.Minute + 30*time.Second)
	_, err = reader.Read(t.Context(), webhook)
	if problem, ok := errors.AsType[*Problem](err); !ok || problem.Reason != v1alpha1.ReasonSecretNotPermitted {
		t.Errorf("got %v, want %s", err, v1alpha1.ReasonSecretNotPermitted)
	}
}
