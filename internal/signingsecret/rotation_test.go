// SPDX-License-Identifier: Apache-2.0

package signingsecret_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/dispatcher/signature"
	"bbmcp.quietstack.com/webhooks/internal/signingsecret"
)

const (
	oldest = "oldest-secret-of-all"
	before = "secret-before-this-one"
	// made is the secret that comes of 32 bytes of zeros.
	made = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
)

func noon() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 250e6, time.UTC) }

func zeros() *bytes.Reader { return bytes.NewReader(make([]byte, 32)) }

func someWebhook(overlap ...time.Duration) *v1alpha1.Webhook {
	webhook := &v1alpha1.Webhook{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "orders", UID: "webhook-1"}}
	for _, d := range overlap {
		webhook.Spec.Signing = &v1alpha1.Signing{Overlap: &metav1.Duration{Duration: d}}
	}
	return webhook
}

func someSecret(changes ...func(*corev1.Secret)) *corev1.Secret {
	secret := &corev1.Secret{Data: map[string][]byte{v1alpha1.SecretKey: []byte(before)}}
	for _, change := range changes {
		change(secret)
	}
	return secret
}

func overlapping(until string) func(*corev1.Secret) {
	return func(s *corev1.Secret) {
		s.Data[v1alpha1.PreviousSecretKey] = []byte(oldest)
		if until != "" {
			s.Annotations = map[string]string{v1alpha1.PreviousUntilAnnotation: until}
		}
	}
}

func answered(list string) func(*corev1.Secret) {
	return func(s *corev1.Secret) { s.Annotations = map[string]string{signingsecret.RotatedForAnnotation: list} }
}

func TestRotate(t *testing.T) {
	t.Parallel()
	type result struct {
		Changed     bool
		Data        map[string]string
		Annotations map[string]string
	}
	rotated := func(list, previous, until string) result {
		r := result{true, map[string]string{v1alpha1.SecretKey: made}, map[string]string{signingsecret.RotatedForAnnotation: list}}
		if previous != "" {
			r.Data[v1alpha1.PreviousSecretKey], r.Annotations[v1alpha1.PreviousUntilAnnotation] = previous, until
		}
		return r
	}
	unchanged := func(list string) result {
		return result{false, map[string]string{v1alpha1.SecretKey: before}, map[string]string{signingsecret.RotatedForAnnotation: list}}
	}
	const first, tomorrow = `["request-2"]`, "2026-03-02T12:00:00.25Z"
	for _, tt := range []struct {
		name    string
		webhook *v1alpha1.Webhook
		secret  *corev1.Secret
		want    result
	}{
		{"both sign for a day", someWebhook(), someSecret(), rotated(first, before, tomorrow)},
		{"both sign for as long as the webhook says", someWebhook(90 * time.Minute), someSecret(), rotated(first, before, "2026-03-01T13:30:00.25Z")},
		{"a leaked one does not sign on", someWebhook(0), someSecret(), rotated(first, "", "")},
		{"a second rotation drops the oldest", someWebhook(), someSecret(overlapping("2026-03-01T18:00:00Z")), rotated(first, before, tomorrow)},
		{"a leaked one goes with its predecessor", someWebhook(0), someSecret(overlapping("2026-03-01T18:00:00Z")), rotated(first, "", "")},
		{"one that cannot sign is not kept", someWebhook(), someSecret(func(s *corev1.Secret) { s.Data[v1alpha1.SecretKey] = []byte("short") }), rotated(first, "", "")},
		{"earlier requests are remembered", someWebhook(), someSecret(answered(`["request-1"]`)), rotated(`["request-2","request-1"]`, before, tomorrow)},
		{"but not for ever", someWebhook(), someSecret(answered(`["a","b","c","d","e","f","g","h"]`)), rotated(`["request-2","a","b","c","d","e","f","g"]`, before, tomorrow)},
		{"a memory that is spoilt is none", someWebhook(), someSecret(answered(`request-2`)), rotated(first, before, tomorrow)},
		{"a request that was answered is not answered again", someWebhook(), someSecret(answered(first)), unchanged(first)},
		{"not even after another one", someWebhook(), someSecret(answered(`["request-3","request-2"]`)), unchanged(`["request-3","request-2"]`)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			changed, err := signingsecret.Rotate(tt.secret, tt.webhook, "request-2", noon(), zeros())
			if err != nil {
				t.Fatal(err)
			}
			got := result{changed, map[string]string{}, tt.secret.Annotations}
			for key, value := range tt.secret.Data {
				got.Data[key] = string(value)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRequestsAreKeptShort(t *testing.T) {
	t.Parallel()
	secret := someSecret()
	long := strings.Repeat("ü", 200)
	for i := range 20 {
		if _, err := signingsecret.Rotate(secret, someWebhook(), fmt.Sprint(i, long), noon(), zeros()); err != nil {
			t.Fatal(err)
		}
	}
	if size := len(secret.Annotations[signingsecret.RotatedForAnnotation]); size > 8*260 {
		t.Errorf("%d bytes of requests are remembered", size)
	}
	known, latest := signingsecret.RotationAnswered(secret, "19"+long)
	if !known || !latest {
		t.Errorf("the latest request: answered %t, latest %t", known, latest)
	}
	known, latest = signingsecret.RotationAnswered(secret, "18"+long)
	if !known || latest {
		t.Errorf("the one before: answered %t, latest %t", known, latest)
	}
	if known, _ = signingsecret.RotationAnswered(secret, "1"+long); known {
		t.Error("a request of long ago is still remembered")
	}
}

func TestOvertaken(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, answered string
		overlap        time.Duration
		want           string
	}{
		{"one rotation has followed", `["mine"]`, time.Hour, before},
		{"two have", `["other","mine"]`, time.Hour, ""},
		{"none was answered", `["other"]`, time.Hour, ""},
		{"the old one does not sign on", `["mine"]`, 0, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			secret := someSecret(answered(tt.answered))
			if _, err := signingsecret.Rotate(secret, someWebhook(tt.overlap), "latest", noon(), zeros()); err != nil {
				t.Fatal(err)
			}
			if got := signingsecret.OvertakenSecret(secret, "mine"); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if got := signingsecret.OvertakenSecret(secret, "latest"); got != "" {
				t.Errorf("the latest request was answered with the previous secret %q", got)
			}
		})
	}
}

type noEntropy struct{}

func (noEntropy) Read([]byte) (int, error) { return 0, errors.New("no entropy") }

func TestRotateWithoutRandomnessChangesNothing(t *testing.T) {
	t.Parallel()
	secret := someSecret()
	changed, err := signingsecret.Rotate(secret, someWebhook(), "now", noon(), noEntropy{})
	if err == nil || changed {
		t.Errorf("changed %t, error %v", changed, err)
	}
	if diff := cmp.Diff(someSecret(), secret); diff != "" {
		t.Error(diff)
	}
}

func TestPrune(t *testing.T) {
	t.Parallel()
	const end = "2026-03-01T13:00:00Z"
	for _, tt := range []struct {
		name   string
		secret *corev1.Secret
		at     time.Duration
		want   bool
	}{
		{"before the end", someSecret(overlapping(end)), time.Hour - 250*time.Millisecond - 1, false},
		{"at the end", someSecret(overlapping(end)), time.Hour - 250*time.Millisecond, true},
		{"without an end", someSecret(overlapping("")), 1e6 * time.Hour, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := signingsecret.PruneRotation(tt.secret, noon().Add(tt.at)); got != tt.want {
				t.Fatalf("got %t", got)
			}
			_, kept := tt.secret.Data[v1alpha1.PreviousSecretKey]
			_, annotated := tt.secret.Annotations[v1alpha1.PreviousUntilAnnotation]
			if kept == tt.want || annotated && tt.want {
				t.Errorf("kept %t, annotated %t", kept, annotated)
			}
		})
	}
}

func TestNewSecret(t *testing.T) {
	t.Parallel()
	want := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: "orders-signing",
			Labels:          map[string]string{v1alpha1.SigningSecretLabel: "true", v1alpha1.WebhookLabel: "orders"},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "bbmcp.quietstack.com/v1alpha1", Kind: "Webhook", Name: "orders", UID: "webhook-1", Controller: new(true)}},
		},
		Type: corev1.SecretTypeOpaque,
		Data: map[string][]byte{v1alpha1.SecretKey: []byte(before)},
	}
	if diff := cmp.Diff(want, signingsecret.NewSecret(someWebhook(), signature.NewSecret(before))); diff != "" {
		t.Error(diff)
	}
	for name, want := range map[string]string{
		strings.Repeat("a", 62) + "-bcdef": strings.Repeat("a", 62),
		strings.Repeat("a", 63) + ".b":     strings.Repeat("a", 63),
	} {
		webhook := someWebhook()
		webhook.Name = name
		secret := signingsecret.NewSecret(webhook, signature.NewSecret(before))
		if secret.Labels[v1alpha1.WebhookLabel] != want || secret.Name != name+"-signing" {
			t.Errorf("%s: label %q of secret %q", name, secret.Labels[v1alpha1.WebhookLabel], secret.Name)
		}
	}
}
