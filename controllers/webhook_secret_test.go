// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"bytes"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/signingsecret"
)

// A cache that is behind shows a request to rotate that another one has
// followed. The gateway has answered that one and handed the secret out.
func TestRotateAnswersTheLatestRequest(t *testing.T) {
	wants := func(request, handled string) func(*v1alpha1.Webhook) {
		return func(w *v1alpha1.Webhook) {
			metav1.SetMetaDataAnnotation(&w.ObjectMeta, v1alpha1.RotateRequestedAtAnnotation, request)
			w.Status.LastHandledRotateAt = handled
		}
	}
	for _, tt := range []struct {
		name     string
		live     *v1alpha1.Webhook // nil: it is gone
		answered string            // what the Secret remembers
		want     string            // what it remembers afterwards
	}{
		{"the request is still the latest", someWebhook(wants("first", "")), "", `["first"]`},
		{"a later one was answered", someWebhook(wants("second", "")), `["second"]`, `["second"]`},
		{"a later one was not answered", someWebhook(wants("second", "")), "", `["second"]`},
		{"it was handled long ago", someWebhook(wants("first", "first")), "", ""},
		{"the webhook was made anew", someWebhook(wants("first", ""), func(w *v1alpha1.Webhook) { w.UID = "webhook-2" }), "", ""},
		{"the webhook is gone", nil, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			scheme := runtime.NewScheme()
			if err := v1alpha1.AddToScheme(scheme); err != nil {
				t.Fatal(err)
			}
			api := fake.NewClientBuilder().WithScheme(scheme)
			if tt.live != nil {
				api = api.WithObjects(tt.live)
			}
			r := &WebhookReconciler{Live: api.Build(), Random: bytes.NewReader(make([]byte, 32))}
			secret := someSecret(func(s *corev1.Secret) {
				if tt.answered != "" {
					metav1.SetMetaDataAnnotation(&s.ObjectMeta, signingsecret.RotatedForAnnotation, tt.answered)
				}
			})
			cached := &webhookScope{webhook: someWebhook(wants("first", "")), now: at(0)}
			changed, err := r.rotateSecret(t.Context(), secret, cached)
			if err != nil {
				t.Fatal(err)
			}
			same(t, secret.Annotations[signingsecret.RotatedForAnnotation], tt.want)
			same(t, changed, tt.want != tt.answered)
		})
	}
}
