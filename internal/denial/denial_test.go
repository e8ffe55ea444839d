// SPDX-License-Identifier: Apache-2.0

package denial_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"bbmcp.quietstack.com/webhooks/internal/denial"
)

func said(code int32, reason metav1.StatusReason, message string) error {
	return fmt.Errorf("create: %w", &apierrors.StatusError{ErrStatus: metav1.Status{Status: metav1.StatusFailure, Code: code, Reason: reason, Message: message}})
}

func byWebhook(code int32) error {
	return said(code, "", `admission webhook "policy.example" denied the request: not here`)
}

// TestOf holds answers as kube-apiserver v1.37 words them against who refused.
func TestOf(t *testing.T) {
	secrets := schema.GroupResource{Resource: "secrets"}
	ending := apierrors.NewForbidden(secrets, "keys", errors.New("unable to create new content in namespace shop because it is being terminated"))
	ending.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause}}
	for _, tt := range []struct {
		name    string
		err     error
		want    denial.Kind
		lasting bool
	}{
		{"stored", nil, denial.None, false},
		{"no answer", context.DeadlineExceeded, denial.None, false},
		{"a webhook says 400", byWebhook(400), denial.Policy, true},
		{"a webhook says 401", byWebhook(401), denial.Policy, true},
		{"a webhook says 403", byWebhook(403), denial.Policy, true},
		{"a webhook says 404", byWebhook(404), denial.Policy, true},
		{"a webhook says 409", byWebhook(409), denial.Policy, true},
		{"a webhook says 413", byWebhook(413), denial.Policy, true},
		{"a webhook says 422", byWebhook(422), denial.Policy, true},
		{"a webhook says 429", byWebhook(429), denial.Policy, false},
		{"a webhook says 500", byWebhook(500), denial.Policy, false},
		{"a webhook says 503", byWebhook(503), denial.Policy, false},
		{"a webhook says no without a word", said(403, "", `admission webhook "policy.example" denied the request without explanation`), denial.Policy, true},
		{"a policy in CEL", said(422, metav1.StatusReasonInvalid, `secrets "keys" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: not here`), denial.Policy, true},
		{"a policy in CEL that says 401", said(401, metav1.StatusReasonUnauthorized, `secrets "keys" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: not here`), denial.Policy, true},
		{"an admission plugin", apierrors.NewForbidden(secrets, "keys", errors.New("minimum memory usage per Container is 1Gi")), denial.Policy, true},
		{"a quota", apierrors.NewForbidden(secrets, "keys", errors.New("exceeded quota: q, requested: secrets=1, used: secrets=5, limited: secrets=5")), denial.Quota, true},
		{"a quota that is new", apierrors.NewForbidden(secrets, "keys", errors.New("status unknown for quota: q, resources: secrets")), denial.Quota, true},
		{"a quota that is missing", apierrors.NewForbidden(secrets, "keys", errors.New("insufficient quota to consume: secrets")), denial.Quota, true},
		{"a role", apierrors.NewForbidden(secrets, "", errors.New(`User "system:serviceaccount:a:b" cannot create resource "secrets" in API group "" in the namespace "shop"`)), denial.Role, true},
		{"a token", apierrors.NewUnauthorized("Unauthorized"), denial.Role, true},
		{"a webhook that is not there", said(500, metav1.StatusReasonInternalError, `Internal error occurred: failed calling webhook "policy.example": failed to call webhook: Post "https://10.0.0.1:443/?timeout=10s": EOF`), denial.Broken, false},
		{"the object", said(422, metav1.StatusReasonInvalid, `Secret "keys" is invalid: data: Forbidden: field is immutable when "immutable" is set`), denial.Object, true},
		{"the object's size", said(413, metav1.StatusReasonRequestEntityTooLarge, "Request entity too large: limit is 3145728"), denial.Object, true},
		{"etcd's limit", said(500, "", "etcdserver: request is too large"), denial.Object, true},
		{"bytes that are no object", apierrors.NewBadRequest("no kind"), denial.Object, true},
		{"a namespace that ends", ending, denial.Namespace, true},
		{"a namespace that is gone", apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, "shop"), denial.Namespace, true},
		{"its object is gone", apierrors.NewNotFound(secrets, "keys"), denial.None, false},
		{"somebody else has written", apierrors.NewConflict(secrets, "keys", errors.New("modified")), denial.None, false},
		{"it exists", apierrors.NewAlreadyExists(secrets, "keys"), denial.None, false},
		{"too many requests", apierrors.NewTooManyRequests("busy", 1), denial.None, false},
		{"etcd has no leader", apierrors.NewInternalError(errors.New("etcdserver: no leader")), denial.None, false},
		{"a timeout of the API server", apierrors.NewTimeoutError("request did not complete within requested timeout", 0), denial.None, false},
		{"not ready", apierrors.NewServiceUnavailable("starting"), denial.None, false},
	} {
		if got, lasting := denial.KindOf(tt.err), denial.IsLasting(tt.err); got != tt.want || lasting != tt.lasting {
			t.Errorf("%s: got %q, lasting %t; want %q, %t", tt.name, got, lasting, tt.want, tt.lasting)
		}
	}
}

func TestCodesThatAPolicyChose(t *testing.T) {
	secrets := schema.GroupResource{Resource: "secrets"}
	if denial.IsConflict(byWebhook(409)) || !denial.IsConflict(apierrors.NewConflict(secrets, "keys", errors.New("modified"))) {
		t.Error("a policy's 409 is no conflict, and a conflict is one")
	}
	if denial.IsNotFound(byWebhook(404)) || !denial.IsNotFound(apierrors.NewNotFound(secrets, "keys")) {
		t.Error("a policy's 404 does not say that the object is gone")
	}
	exists := said(409, metav1.StatusReasonAlreadyExists, `admission webhook "policy.example" denied the request: not here`)
	if denial.IsAlreadyExists(exists) || !denial.IsAlreadyExists(apierrors.NewAlreadyExists(secrets, "keys")) {
		t.Error("a policy's reason does not say that the object exists")
	}
}

func TestIsTooLarge(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  error
		want bool
	}{
		{"for the API server", said(413, metav1.StatusReasonRequestEntityTooLarge, "Request entity too large: limit is 3145728"), true},
		{"for etcd", fmt.Errorf("write: %w", said(500, "", "etcdserver: request is too large")), true},
		{"a policy chose the code", byWebhook(413), false},
		{"another error of etcd", said(500, "", "etcdserver: no leader"), false},
		{"no answer", errors.New("etcdserver: request is too large"), false},
		{"none", nil, false},
	} {
		if got := denial.IsTooLarge(tt.err); got != tt.want {
			t.Errorf("%s: %t", tt.name, got)
		}
	}
}

func TestSentence(t *testing.T) {
	for _, tt := range []struct{ name, got, want string }{
		{"a denial", denial.Sentence(byWebhook(403)), `admission webhook "policy.example" denied the request: not here`},
		{"on several lines", denial.Sentence(said(422, "", "one\n\ttwo  three ")), "one two three"},
		{"no answer", denial.Sentence(context.DeadlineExceeded), ""},
		{"without an address that changes", denial.Sentence(said(500, "",
			`Internal error occurred: failed calling webhook "policy.example": failed to call webhook: Post "https://10.0.0.1:443/": read tcp 10.0.0.7:41234->10.0.0.1:443: EOF`)),
			`Internal error occurred: failed calling webhook "policy.example"`},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, tt.got, tt.want)
		}
	}
}
