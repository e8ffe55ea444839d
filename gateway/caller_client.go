// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"errors"
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

// apiTimeout bounds one small request to the API server: one that is accepted
// while the server starts hangs until its own timeout.
const apiTimeout = 2 * time.Second

// fieldManager is the name under which the API server notes what callers change
// through the gateway.
const fieldManager = "bbmcp-gateway"

// requestManager is that of the annotations that ask the controller for
// something. It is another one, because what fieldManager owns it must repeat
// in every change, or it is removed.
const requestManager = "bbmcp-gateway-requests"

// errNoCaller says that a request had no caller. It keeps the gateway's own
// rights out of what callers ask for, whatever bug there may be.
var errNoCaller = errors.New("no caller in the context of a request that needs the caller's token")

// newCallerClient returns a client whose requests carry the token of the caller
// in their context, and never any other identity.
func newCallerClient(config *rest.Config, scheme *runtime.Scheme) (client.Client, error) {
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
	as, err := client.New(anonymous, client.Options{Scheme: scheme, Mapper: mapper})
	if err != nil {
		return nil, fmt.Errorf("set up requests with the caller's token: %w", err)
	}
	return as, nil
}

// callerTransport puts the caller's token on a request.
type callerTransport struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t callerTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	caller := callerFrom(request.Context())
	if caller == nil || caller.token == "" {
		return nil, errNoCaller
	}
	if caller.ForPublishing {
		return nil, audienceTooNarrow()
	}
	request = request.Clone(request.Context())
	request.Header.Set("Authorization", "Bearer "+caller.token)
	return t.next.RoundTrip(request)
}
