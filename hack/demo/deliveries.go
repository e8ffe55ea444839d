// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
)

// finishedDeliveries counts deliveries.
type finishedDeliveries struct{ succeeded, retried int }

// waitForDeliveries waits until all deliveries have succeeded or failed.
func (d *demo) waitForDeliveries(ctx context.Context, webhook *v1alpha1.Webhook, all int) (end finishedDeliveries, err error) {
	err = wait.PollUntilContextTimeout(ctx, pollEvery, waitDelivered, true, func(context.Context) (bool, error) {
		var list v1alpha1.WebhookDeliveryList
		if err := d.client.List(ctx, &list, client.InNamespace(webhook.Namespace)); err != nil {
			return false, err
		}
		finished := 0
		end = finishedDeliveries{}
		for i := range list.Items {
			switch list.Items[i].Status.State {
			case v1alpha1.DeliverySucceeded:
				end.succeeded++
				finished++
				if list.Items[i].Status.Attempts == 2 {
					end.retried++
				}
			case v1alpha1.DeliveryFailed:
				finished++
			}
		}
		return finished == all, nil
	})
	if err != nil {
		return end, fmt.Errorf("wait for the deliveries: %w", err)
	}
	return end, nil
}
