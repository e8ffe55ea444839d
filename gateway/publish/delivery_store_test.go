// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/gateway/store"
	"bbmcp.quietstack.com/webhooks/internal/payload"
	"bbmcp.quietstack.com/webhooks/internal/writetimeout"
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

// TestBytesOfACreateAreGivenBackUnlessItMayHaveStoredAnything plays what the API server can answer to the tries of one
// create.
func TestBytesOfACreateAreGivenBackUnlessItMayHaveStoredAnything(t *testing.T) {
	deliveries := schema.GroupResource{Group: "bbmcp.quietstack.com", Resource: "webhookdeliveries"}
	policy := func(code int32) error {
		return &apierrors.StatusError{ErrStatus: metav1.Status{
			Status: metav1.StatusFailure, Code: code, Message: `admission webhook "policy.example" denied the request: not here`,
		}}
	}
	var (
		broken = apierrors.NewInternalError(errors.New(`failed calling webhook "policy.example": failed to call webhook: EOF`))
		exists = apierrors.NewAlreadyExists(deliveries, "dlv-a")
		noRole = apierrors.NewForbidden(deliveries, "dlv-a", errors.New(`User "gateway" cannot create resource "webhookdeliveries"`))
		busy   = apierrors.NewTooManyRequests("slow down", 0)
		lost   = errors.New("connection reset by peer")
		failed = apierrors.NewInternalError(errors.New("etcd"))
	)
	for name, c := range map[string]struct {
		answers []error
		counted bool
	}{
		"it is stored":                                         {[]error{nil}, true},
		"a policy refuses":                                     {[]error{policy(403)}, false},
		"a policy fails":                                       {[]error{policy(500)}, false},
		"a ResourceQuota is used up":                           {[]error{apierrors.NewForbidden(deliveries, "dlv-a", errors.New("exceeded quota: few"))}, false},
		"the gateway lacks the right":                          {[]error{noRole}, false},
		"an admission webhook does not answer":                 {[]error{broken, broken, broken}, false},
		"the API server is busy":                               {[]error{busy, busy, busy}, false},
		"an object of the name exists":                         {[]error{exists}, false},
		"an object of the name exists once it is refused":      {[]error{broken, exists}, false},
		"no answer":                                            {[]error{lost, lost, lost}, true},
		"no answer, and a refusal of the next try":             {[]error{lost, policy(403)}, true},
		"no answer, and then the object exists: it is its own": {[]error{lost, exists}, true},
		"etcd fails":                                           {[]error{failed, failed, failed}, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				now := time.Unix(1000, 0)
				limits := store.DefaultBacklogLimits()
				limits.WriteBytesPerNamespace = payload.MaxBytes
				scheme := runtime.NewScheme()
				if err := v1alpha1.AddToScheme(scheme); err != nil {
					t.Fatal(err)
				}
				tries := 0
				api := interceptor.Funcs{
					Create: func(context.Context, client.WithWatch, client.Object, ...client.CreateOption) error {
						tries++
						return c.answers[tries-1]
					},
					Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
						return nil
					},
				}
				s := &deliveryStore{
					client: fake.NewClientBuilder().WithScheme(scheme).WithInterceptorFuncs(api).Build(), now: time.Now,
					writes: newWriteBudget(limits, func() time.Time { return now }), timeouts: writetimeout.New(time.Now), terminating: newTerminatingNamespaces(time.Now),
				}
				reserved, refused := s.writes.reserve("team", writeBytesBurst*payload.MaxBytes, 1)
				if refused != nil {
					t.Fatal(refused)
				}
				object := &v1alpha1.WebhookDelivery{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "dlv-a"}}
				_, err := s.create(t.Context(), object, reserved[0])
				if want := c.answers[len(c.answers)-1]; tries != len(c.answers) || (err == nil) != (want == nil || apierrors.IsAlreadyExists(want)) {
					t.Errorf("%v after %d tries", err, tries)
				}
				if counted := s.writes.checkBytes("team") != nil; counted != c.counted {
					t.Errorf("counted: %t, want %t", counted, c.counted)
				}
			})
		})
	}
}
