// SPDX-License-Identifier: Apache-2.0

package admission_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/internal/controlplane"
	"bbmcp.quietstack.com/webhooks/test/admission"
)

// TestVerdicts holds what a client of the API server gets against each verdict.
func TestVerdicts(t *testing.T) {
	cluster, err := controlplane.Start(t.Context(), controlplane.Options{UnsafeNoFsync: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cluster.Stop() }()
	admin, err := client.New(cluster.AdminConfig(), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	server := admission.Start()
	defer server.Close()
	rule := admission.Rule{Namespace: "default", Resources: []string{"secrets"}, Seconds: 1}
	remove, err := server.Install(t.Context(), admin, rule)
	if err != nil {
		t.Fatal(err)
	}
	const denied, failed = `denied the request: not here`, "failed calling webhook"
	for _, tt := range []struct {
		name    string
		verdict admission.Verdict
		code    int32 // 0: stored
		says    string
	}{
		{"allowed", admission.Verdict{}, 0, ""},
		{"allowed late", admission.Verdict{After: 300 * time.Millisecond}, 0, ""},
		{"too late", admission.Verdict{After: 2 * time.Second}, 500, failed},
		{"denied with 400", admission.Deny(400, "not here"), 400, denied},
		{"denied with 401", admission.Deny(401, "not here"), 401, denied},
		{"denied with 403", admission.Deny(403, "not here"), 403, denied},
		{"denied with 404", admission.Deny(404, "not here"), 404, denied},
		{"denied with 409", admission.Deny(409, "not here"), 409, denied},
		{"denied with 413", admission.Deny(413, "not here"), 413, denied},
		{"denied with 422", admission.Deny(422, "not here"), 422, denied},
		{"denied with 429", admission.Deny(429, "not here"), 429, denied},
		{"denied with 500", admission.Deny(500, "not here"), 500, denied},
		{"denied with 503", admission.Deny(503, "not here"), 503, denied},
		{"broken", admission.Verdict{Broken: 502, Message: "not today"}, 500, failed},
		{"hangs up", admission.Verdict{HangUp: true}, 500, failed},
	} {
		server.Answer(tt.verdict)
		verify(t, tt.name, createSecret(t.Context(), admin), tt.code, tt.says)
	}
	if got := server.Count("secrets", admissionv1.Create); got < 15 {
		t.Errorf("%d reviews of creates, want one for each case at least", got)
	}
	first := server.Reviews()[0]
	if want := (admission.Review{Namespace: "default", Name: first.Name, Resource: "secrets", Operation: admissionv1.Create, User: first.User}); first != want || first.User == "" {
		t.Errorf("got %+v, want %+v", first, want)
	}
	server.Close()
	verify(t, "unreachable", createSecret(t.Context(), admin), 500, failed)
	if err := remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	verify(t, "removed", createSecret(t.Context(), admin), 0, "")
}

func createSecret(ctx context.Context, admin client.Client) error {
	return admin.Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "default", GenerateName: "a-"}})
}

func verify(t *testing.T, name string, err error, code int32, says string) {
	t.Helper()
	got := int32(0)
	if status, ok := errors.AsType[*apierrors.StatusError](err); ok {
		got = status.Status().Code
	} else if err != nil {
		got = -1
	}
	if got != code || !strings.Contains(fmt.Sprint(err), says) {
		t.Errorf("%s: got %d, %v; want %d with %q", name, got, err, code, says)
	}
}
