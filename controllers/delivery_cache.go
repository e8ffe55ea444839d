// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unique"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/text"
)

const (
	// cachedPayloadBytes is the largest payload that is kept in memory; larger ones are
	// read when their attempt starts.
	cachedPayloadBytes = 8 << 10

	// payloadBytesAnnotation keeps the size of a payload that was stripped. It
	// exists in memory only and is never written to the API server.
	payloadBytesAnnotation = "bbmcp.quietstack.com/payload-bytes"
)

// deliveryCacheOptions are the options of the cache of deliveries: it holds all but the
// succeeded ones, stripped of what is large and not needed.
func deliveryCacheOptions(options cache.Options, filling *ProgressiveSync) cache.Options {
	options.NewInformer = filling.NewInformer
	options.DefaultTransform = cache.TransformStripManagedFields()
	options.ByObject = map[client.Object]cache.ByObject{
		&v1alpha1.WebhookDelivery{}: {
			Field:     fields.OneTermNotEqualSelector(v1alpha1.FieldState, string(v1alpha1.DeliverySucceeded)),
			Transform: stripCached,
		},
	}
	return options
}

// indexDeliveries makes the cached deliveries of a webhook listable, and those
// that have failed for good.
func indexDeliveries(ctx context.Context, indexer client.FieldIndexer) error {
	return errors.Join(
		indexer.IndexField(ctx, &v1alpha1.WebhookDelivery{}, v1alpha1.FieldWebhookName, func(object client.Object) []string {
			return []string{object.(*v1alpha1.WebhookDelivery).Spec.WebhookRef.Name}
		}),
		indexer.IndexField(ctx, &v1alpha1.WebhookDelivery{}, v1alpha1.FieldState, func(object client.Object) []string {
			if state := object.(*v1alpha1.WebhookDelivery).Status.State; state == v1alpha1.DeliveryFailed {
				return []string{string(state)}
			}
			return nil
		}),
	)
}

// Values that nearly all deliveries share are in memory once. A delivery is changed
// only as a copy.
var (
	gatewayLabels = map[string]string{v1alpha1.OriginLabel: v1alpha1.OriginGateway} //nolint:gochecknoglobals // never changed
	isController  = true                                                            //nolint:gochecknoglobals // never changed
)

// internCached returns the one copy of a text that all equal texts share.
func internCached[T ~string](text T) T { return T(unique.Make(string(text)).Value()) }

func stripCached(object any) (any, error) {
	if delivery, ok := object.(*v1alpha1.WebhookDelivery); ok {
		stripDelivery(delivery)
	}
	return object, nil
}

// stripDelivery drops what is not needed and can be large: metadata that the manager does not
// use, and the payload if it is large or needed only for a retry by hand. A stripped
// delivery stays as it is.
func stripDelivery(delivery *v1alpha1.WebhookDelivery) {
	delivery.ManagedFields, delivery.Finalizers = nil, nil
	delivery.Labels = stripAllBut(delivery.Labels, v1alpha1.OriginLabel)
	if delivery.Labels[v1alpha1.OriginLabel] == v1alpha1.OriginGateway {
		delivery.Labels = gatewayLabels
	}
	delivery.Annotations = stripAllBut(delivery.Annotations, v1alpha1.RetryRequestedAtAnnotation, v1alpha1.UnrecordedAnnotation, payloadBytesAnnotation)
	if owner := metav1.GetControllerOf(delivery); owner != nil {
		owner.APIVersion, owner.Kind, owner.Name, owner.UID = internCached(owner.APIVersion), internCached(owner.Kind), internCached(owner.Name), internCached(owner.UID)
		owner.Controller = &isController
		delivery.OwnerReferences = []metav1.OwnerReference{*owner}
	}
	delivery.APIVersion, delivery.Kind, delivery.Namespace = internCached(delivery.APIVersion), internCached(delivery.Kind), internCached(delivery.Namespace)
	delivery.Spec.WebhookRef.Name, delivery.Spec.EventType = internCached(delivery.Spec.WebhookRef.Name), internCached(delivery.Spec.EventType)
	delivery.Spec.PublishedBy = internCached(delivery.Spec.PublishedBy)
	size := len(delivery.Spec.Payload)
	if size == 0 || size <= cachedPayloadBytes && !isFinished(delivery.Status.State) {
		return
	}
	delivery.Spec.Payload = ""
	metav1.SetMetaDataAnnotation(&delivery.ObjectMeta, payloadBytesAnnotation, strconv.Itoa(size))
}

// stripAllBut returns the entries with these keys, their values cut to what a status can
// hold; nil if there are none.
func stripAllBut(all map[string]string, keys ...string) map[string]string {
	var kept map[string]string
	for _, key := range keys {
		value, ok := all[key]
		if !ok {
			continue
		}
		if kept == nil {
			kept = map[string]string{}
		}
		kept[key] = strings.Clone(text.Truncate(value, 256)) // a substring would keep the whole in memory
	}
	return kept
}

// NewDeliveryCache makes the cache of deliveries of a manager, with the options of its
// other caches. It is filled once leadership is won, so that it shows all that a former
// leader wrote; see docs/adr/0002-fill-the-delivery-cache-as-leader.md.
func NewDeliveryCache(ctx context.Context, mgr manager.Manager, options cache.Options) (cache.Cache, *ProgressiveSync, error) {
	options.Scheme, options.Mapper, options.HTTPClient = mgr.GetScheme(), mgr.GetRESTMapper(), mgr.GetHTTPClient()
	sync := &ProgressiveSync{}
	deliveries, err := cache.New(mgr.GetConfig(), deliveryCacheOptions(options, sync))
	if err != nil {
		return nil, nil, fmt.Errorf("set up delivery cache: %w", err)
	}
	if err := indexDeliveries(ctx, deliveries); err != nil {
		return nil, nil, fmt.Errorf("index deliveries: %w", err)
	}
	return deliveries, sync, nil
}
