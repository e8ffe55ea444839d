// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/bench/internal/event"
)

// countDeliveries is how many WebhookDeliveries there are.
func (w *deployment) countDeliveries(ctx context.Context) (int, error) {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("WebhookDeliveryList"))
	if err := w.stack.Client.List(ctx, list, client.Limit(1)); err != nil {
		return 0, fmt.Errorf("count deliveries: %w", err)
	}
	count := len(list.Items)
	if list.RemainingItemCount != nil {
		count += int(*list.RemainingItemCount)
	}
	return count, nil
}

// listUnfinishedDeliveries are the deliveries that are neither Succeeded nor Failed.
func (w *deployment) listUnfinishedDeliveries(ctx context.Context) (map[string]bool, error) {
	all := map[string]bool{}
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("WebhookDeliveryList"))
	selector := client.MatchingFieldsSelector{Selector: fields.AndSelectors(
		fields.OneTermNotEqualSelector(v1alpha1.FieldState, string(v1alpha1.DeliverySucceeded)),
		fields.OneTermNotEqualSelector(v1alpha1.FieldState, string(v1alpha1.DeliveryFailed)),
	)}
	for {
		if err := w.stack.Client.List(ctx, list, selector, client.Limit(listPage), client.Continue(list.Continue)); err != nil {
			return nil, fmt.Errorf("list unfinished deliveries: %w", err)
		}
		for i := range list.Items {
			all[list.Items[i].Namespace+"/"+list.Items[i].Name] = true
		}
		if list.Continue == "" {
			return all, nil
		}
	}
}

// countPendingDeliveries is how many deliveries are not finished.
func (w *deployment) countPendingDeliveries(ctx context.Context) (int, error) {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("WebhookDeliveryList"))
	unfinished := fields.AndSelectors(
		fields.OneTermNotEqualSelector(v1alpha1.FieldState, string(v1alpha1.DeliverySucceeded)),
		fields.OneTermNotEqualSelector(v1alpha1.FieldState, string(v1alpha1.DeliveryFailed)))
	if err := w.stack.Client.List(ctx, list, client.MatchingFieldsSelector{Selector: unfinished}); err != nil {
		return 0, fmt.Errorf("count pending deliveries: %w", err)
	}
	return len(list.Items), nil
}

// keptDeliveryEvents are the events of the stored deliveries of a webhook that have not
// succeeded.
func (w *deployment) keptDeliveryEvents(ctx context.Context, name string) (map[event.Mark]bool, error) {
	var list v1alpha1.WebhookDeliveryList
	if err := w.stack.Client.List(ctx, &list); err != nil {
		return nil, fmt.Errorf("list deliveries: %w", err)
	}
	all := map[event.Mark]bool{}
	for i := range list.Items {
		one := &list.Items[i]
		if one.Spec.WebhookRef.Name != name || one.Status.State == v1alpha1.DeliverySucceeded {
			continue
		}
		if mark, err := event.FindMark([]byte(one.Spec.Payload)); err == nil {
			all[event.Mark{Run: mark.Run, Number: mark.Number}] = true
		}
	}
	return all, nil
}
