// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"errors"
	"net/http"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"bbmcp.quietstack.com/webhooks/gateway/publish"
)

func TestProblemOfAFailedCreate(t *testing.T) {
	deliveries := schema.GroupResource{Group: "bbmcp.quietstack.com", Resource: "webhookdeliveries"}
	terminating := apierrors.NewForbidden(deliveries, "dlv-a", errors.New("being terminated"))
	terminating.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause}}
	policy := func(code int32) error {
		return &apierrors.StatusError{ErrStatus: metav1.Status{
			Status: metav1.StatusFailure, Code: code, Message: `admission webhook "policy.example" denied the request: not here`,
		}}
	}
	for name, c := range map[string]struct {
		err    error
		status int
		reason string
	}{
		"the network fails":                               {errors.New("connection refused"), 503, reasonUnavailable},
		"the create times out":                            {context.DeadlineExceeded, 503, reasonUnavailable},
		"the API server fails":                            {apierrors.NewInternalError(errors.New("etcd")), 503, reasonUnavailable},
		"the API server is busy":                          {apierrors.NewTooManyRequests("slow down", 1), 503, reasonUnavailable},
		"the object in the way is gone before it is read": {apierrors.NewNotFound(deliveries, "dlv-a"), 503, reasonUnavailable},
		"the namespace does not exist":                    {apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, "a"), 404, reasonNotFound},
		"the namespace is being deleted":                  {terminating, 409, reasonNamespaceTerminating},
		"a ResourceQuota is used up":                      {apierrors.NewForbidden(deliveries, "dlv-a", errors.New("exceeded quota: few")), 429, reasonQuotaExceeded},
		"the gateway lacks the right":                     {apierrors.NewForbidden(deliveries, "dlv-a", errors.New(`User "gateway" cannot create resource "webhookdeliveries"`)), 503, reasonUnavailable},
		"an admission plugin refuses":                     {apierrors.NewForbidden(deliveries, "dlv-a", errors.New("not here")), 403, reasonPolicyDenied},
		"a policy refuses":                                {policy(400), 400, reasonPolicyDenied},
		"a policy refuses with the code of a conflict":    {policy(409), 422, reasonPolicyDenied},
		"a policy refuses for a while":                    {policy(429), 429, reasonTooManyRequests},
		"a policy fails":                                  {policy(500), 503, reasonUnavailable},
		"an admission webhook does not answer":            {apierrors.NewInternalError(errors.New(`failed calling webhook "policy.example": failed to call webhook: EOF`)), 503, reasonUnavailable},
		"the object is too large":                         {apierrors.NewRequestEntityTooLargeError("limit is 3145728"), 422, reasonFieldInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			failed := &publish.CreateError{Cause: c.err}
			got := problemFromError(failed)
			if failed.Class() != got.Class() || failed.ReasonName() != got.Reason {
				t.Errorf("the error has class %d and reason %s, its problem %d and %s", failed.Class(), failed.ReasonName(), got.Class(), got.Reason)
			}
			if got.Status != c.status || got.Reason != c.reason {
				t.Errorf("got %d %s, want %d %s", got.Status, got.Reason, c.status, c.reason)
			}
			if repeat := got.Status == http.StatusServiceUnavailable || got.Status == http.StatusTooManyRequests; repeat != (got.header.Get("Retry-After") != "") {
				t.Errorf("%d with Retry-After %q", got.Status, got.header.Get("Retry-After"))
			}
		})
	}
}
