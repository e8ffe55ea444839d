// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"context"
	"errors"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func TestIsTransient(t *testing.T) {
	deliveries := schema.GroupResource{Group: "bbmcp.quietstack.com", Resource: "webhookdeliveries"}
	terminating := apierrors.NewForbidden(deliveries, "dlv-a", errors.New("being terminated"))
	terminating.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause}}
	policy := func(code int32) error {
		return &apierrors.StatusError{ErrStatus: metav1.Status{
			Status: metav1.StatusFailure, Code: code, Message: `admission webhook "policy.example" denied the request: not here`,
		}}
	}
	for name, c := range map[string]struct {
		err     error
		passing bool
	}{
		"the network fails":                               {errors.New("connection refused"), true},
		"the create times out":                            {context.DeadlineExceeded, true},
		"the API server fails":                            {apierrors.NewInternalError(errors.New("etcd")), true},
		"the API server is busy":                          {apierrors.NewTooManyRequests("slow down", 1), true},
		"the object in the way is gone before it is read": {apierrors.NewNotFound(deliveries, "dlv-a"), true},
		"the namespace does not exist":                    {apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, "a"), false},
		"the namespace is being deleted":                  {terminating, false},
		"a ResourceQuota is used up":                      {apierrors.NewForbidden(deliveries, "dlv-a", errors.New("exceeded quota: few")), false},
		"the gateway lacks the right":                     {apierrors.NewForbidden(deliveries, "dlv-a", errors.New(`User "gateway" cannot create resource "webhookdeliveries"`)), false},
		"an admission plugin refuses":                     {apierrors.NewForbidden(deliveries, "dlv-a", errors.New("not here")), false},
		"a policy refuses":                                {policy(400), false},
		"a policy refuses with the code of a conflict":    {policy(409), false},
		"a policy refuses for a while":                    {policy(429), false},
		"a policy fails":                                  {policy(500), false},
		"an admission webhook does not answer":            {apierrors.NewInternalError(errors.New(`failed calling webhook "policy.example": failed to call webhook: EOF`)), true},
		"the object is too large":                         {apierrors.NewRequestEntityTooLargeError("limit is 3145728"), false},
	} {
		t.Run(name, func(t *testing.T) {
			if passing := isTransientStoreError(c.err); passing != c.passing {
				t.Errorf("passing: %t, want %t", passing, c.passing)
			}
		})
	}
}
