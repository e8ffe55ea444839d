// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"fmt"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
)

// NewCallerClient makes a client whose requests carry the token of the caller in their
// context, and never any other identity. Without a caller they fail with ErrNoCaller,
// with one for publishing only with ErrAudienceTooNarrow.
func NewCallerClient(config *rest.Config, scheme *runtime.Scheme) (client.Client, error) {
	anonymous := rest.AnonymousClientConfig(config)
	anonymous.QPS = -1
	anonymous.UserAgent = config.UserAgent
	anonymous.Timeout = 5 * time.Second
	anonymous.Wrap(func(next http.RoundTripper) http.RoundTripper { return callerTransport{next} })
	mapper := meta.NewDefaultRESTMapper(nil)
	for _, kind := range []string{"Webhook", "WebhookDelivery"} {
		mapper.Add(v1alpha1.GroupVersion.WithKind(kind), meta.RESTScopeNamespace)
	}
	mapper.Add(corev1.SchemeGroupVersion.WithKind("Secret"), meta.RESTScopeNamespace)
	callerClient, err := client.New(anonymous, client.Options{Scheme: scheme, Mapper: mapper})
	if err != nil {
		return nil, fmt.Errorf("set up requests with the caller's token: %w", err)
	}
	return callerClient, nil
}

// callerTransport puts the caller's token on a request.
type callerTransport struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t callerTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	caller := CallerFrom(request.Context())
	if caller == nil || caller.token == "" {
		return nil, ErrNoCaller
	}
	if caller.ForPublishing {
		return nil, ErrAudienceTooNarrow
	}
	request = request.Clone(request.Context())
	request.Header.Set("Authorization", "Bearer "+caller.token)
	return t.next.RoundTrip(request)
}
