// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
)

// liveWebhook is a Webhook exactly as the API server stores it: a field that is applied
// again must keep its spelling ("72h", not "72h0m0s").
type liveWebhook struct {
	object  *unstructured.Unstructured
	webhook *v1alpha1.Webhook
}

func newLiveWebhookObject(key types.NamespacedName) *unstructured.Unstructured {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("Webhook"))
	object.SetNamespace(key.Namespace)
	object.SetName(key.Name)
	return object
}

// value returns a field of the spec.
func (l *liveWebhook) value(path []string) (current any, found bool) {
	spec, _ := l.object.Object["spec"].(map[string]any)
	current, found, _ = unstructured.NestedFieldNoCopy(spec, path...)
	return current, found
}

func parseLiveWebhook(object *unstructured.Unstructured) (*liveWebhook, error) {
	live := &liveWebhook{object: object, webhook: &v1alpha1.Webhook{}}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, live.webhook); err != nil {
		return nil, fmt.Errorf("read webhook %s/%s: %w", object.GetNamespace(), object.GetName(), err)
	}
	return live, nil
}

// readLiveWebhook reads a webhook from the API server with the gateway's rights; its
// callers have checked the right that the operation needs.
func (h *webhookChanger) readLiveWebhook(ctx context.Context, key types.NamespacedName) (*liveWebhook, error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	object := newLiveWebhookObject(key)
	err := h.client.Get(ctx, key, object)
	if apierrors.IsNotFound(err) {
		return nil, notFoundProblem("webhook")
	}
	if err != nil {
		return nil, unavailableProblem("reading the webhook", err)
	}
	return parseLiveWebhook(object)
}
