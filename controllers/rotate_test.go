// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
)

// made is the secret that comes of 32 bytes of zeros.
const made = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

func TestRotate(t *testing.T) {
	wants := func(w *v1alpha1.Webhook) {
		metav1.SetMetaDataAnnotation(&w.ObjectMeta, v1alpha1.RotateRequestedAtAnnotation, "request-2")
	}
	overlap := func(d time.Duration) func(*v1alpha1.Webhook) {
		return func(w *v1alpha1.Webhook) { w.Spec.Signing = &v1alpha1.Signing{Overlap: duration(d)} }
	}
	type result struct {
		Changed     bool
		Data        map[string]string
		Annotations map[string]string
	}
	rotated := func(previous, until string) result {
		r := result{true, map[string]string{v1alpha1.SecretKey: made}, map[string]string{rotatedForAnnotation: "request-2"}}
		if previous != "" {
			r.Data[v1alpha1.PreviousSecretKey], r.Annotations[v1alpha1.PreviousUntilAnnotation] = previous, until
		}
		return r
	}
	tests := []struct {
		name    string
		webhook *v1alpha1.Webhook
		secret  *corev1.Secret
		want    result
	}{
		{"both sign for a day", someWebhook(wants), someSecret(), rotated(newSecret, "2026-03-02T12:00:00.25Z")},
		{"both sign for as long as the webhook says", someWebhook(wants, overlap(90*minute)), someSecret(), rotated(newSecret, "2026-03-01T13:30:00.25Z")},
		{"a leaked one does not sign on", someWebhook(wants, overlap(0)), someSecret(), rotated("", "")},
		{"a second rotation drops the oldest", someWebhook(wants), someSecret(previous(oldSecret, "2026-03-01T18:00:00Z")), rotated(newSecret, "2026-03-02T12:00:00.25Z")},
		{"a leaked one goes with its predecessor", someWebhook(wants, overlap(0)), someSecret(previous(oldSecret, "2026-03-01T18:00:00Z")), rotated("", "")},
		{"one that cannot sign is not kept", someWebhook(wants), someSecret(func(s *corev1.Secret) { s.Data[v1alpha1.SecretKey] = []byte("short") }), rotated("", "")},
		{
			"a request that was answered is not answered again", someWebhook(wants),
			someSecret(func(s *corev1.Secret) { s.Annotations = map[string]string{rotatedForAnnotation: "request-2"} }),
			result{false, map[string]string{v1alpha1.SecretKey: newSecret}, map[string]string{rotatedForAnnotation: "request-2"}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			changed, err := rotate(tt.secret, tt.webhook, at(250*time.Millisecond), bytes.NewReader(make([]byte, 32)))
			if err != nil {
				t.Fatal(err)
			}
			got := result{changed, map[string]string{}, tt.secret.Annotations}
			for key, value := range tt.secret.Data {
				got.Data[key] = string(value)
			}
			same(t, got, tt.want)
		})
	}
}

func TestRotateWithoutRandomnessChangesNothing(t *testing.T) {
	secret := someSecret()
	webhook := someWebhook(func(w *v1alpha1.Webhook) {
		metav1.SetMetaDataAnnotation(&w.ObjectMeta, v1alpha1.RotateRequestedAtAnnotation, "now")
	})
	changed, err := rotate(secret, webhook, at(0), errReader{})
	if err == nil || changed {
		t.Errorf("changed %t, error %v", changed, err)
	}
	same(t, secret, someSecret())
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errors.New("no entropy") }

func TestPrune(t *testing.T) {
	overlapping := func() *corev1.Secret { return someSecret(previous(oldSecret, "2026-03-01T13:00:00Z")) }
	tests := []struct {
		name   string
		secret *corev1.Secret
		at     time.Duration
		want   bool
	}{
		{"before the end", overlapping(), hour - time.Nanosecond, false},
		{"at the end", overlapping(), hour, true},
		{"without an end", someSecret(previous(oldSecret, "")), 1e6 * hour, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := prune(tt.secret, at(tt.at)); got != tt.want {
				t.Fatalf("got %t", got)
			}
			_, kept := tt.secret.Data[v1alpha1.PreviousSecretKey]
			_, annotated := tt.secret.Annotations[v1alpha1.PreviousUntilAnnotation]
			same(t, []bool{kept, annotated && tt.want}, []bool{!tt.want, false})
		})
	}
}

func TestLabelValue(t *testing.T) {
	for name, want := range map[string]string{
		"orders":                           "orders",
		strings.Repeat("a", 62) + "-bcdef": strings.Repeat("a", 62),
		strings.Repeat("a", 63) + ".b":     strings.Repeat("a", 63),
	} {
		same(t, labelValue(name), want)
	}
}
