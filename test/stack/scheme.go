// SPDX-License-Identifier: Apache-2.0

package stack

import (
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
)

// Scheme knows Kubernetes' own types and ours.
func Scheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	_ = clientgoscheme.AddToScheme(scheme) // cannot fail: the types are known at compile time
	_ = v1alpha1.AddToScheme(scheme)
	return scheme
}
