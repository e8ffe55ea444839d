// SPDX-License-Identifier: Apache-2.0

package app

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/onepass"
	"bbmcp.quietstack.com/webhooks/internal/version"
)

func newScheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(v1alpha1.AddToScheme(scheme))
	return scheme
}

// newMapper knows the kinds that we use by itself. Asking the API server for them
// would make a process that starts while it is away end, again and again, and
// wait longer each time to be started anew.
func newMapper() meta.RESTMapper {
	mapper := meta.NewDefaultRESTMapper(nil)
	add := func(kind schema.GroupVersionKind, scope meta.RESTScope) {
		mapper.Add(kind, scope)
		// A cache of some namespaces looks the kinds of lists up, too.
		mapper.Add(kind.GroupVersion().WithKind(kind.Kind+"List"), scope)
	}
	add(v1alpha1.GroupVersion.WithKind("Webhook"), meta.RESTScopeNamespace)
	add(v1alpha1.GroupVersion.WithKind("WebhookDelivery"), meta.RESTScopeNamespace)
	add(v1alpha1.GroupVersion.WithKind("EventType"), meta.RESTScopeRoot)
	add(corev1.SchemeGroupVersion.WithKind("Secret"), meta.RESTScopeNamespace)
	add(corev1.SchemeGroupVersion.WithKind("ConfigMap"), meta.RESTScopeNamespace)
	add(discoveryv1.SchemeGroupVersion.WithKind("EndpointSlice"), meta.RESTScopeNamespace)
	return mapper
}

// restConfig reads the API server's address and our credentials. The client
// does not limit itself: what is written for each delivery is bounded by design,
// and the API server has priority and fairness.
func restConfig(kubeconfig string) (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("find the API server: %w", err)
	}
	config.QPS = -1
	config.UserAgent = "bbmcp-webhooks/" + version.Version
	onepass.Wrap(config)
	return config, nil
}

// newClient makes a client of the API server that reads the answers to our writes
// in one pass.
func newClient(config *rest.Config, options client.Options) (client.WithWatch, error) {
	if options.HTTPClient == nil {
		var err error
		if options.HTTPClient, err = rest.HTTPClientFor(config); err != nil {
			return nil, err
		}
	}
	inner, err := client.NewWithWatch(config, options)
	if err != nil {
		return nil, err
	}
	return onepass.NewClient(inner, config, options.HTTPClient)
}
