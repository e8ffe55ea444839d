// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
)

// ceilingWriters is how many requests are under way at a time.
const ceilingWriters = 16

// ceiling measures the API server alone: objects as the product writes them,
// from a client that costs next to nothing, and no process of ours. First each
// write by itself, then create, status and delete of one object after the other
// as deliveries need them.
func (b *bench) ceiling(ctx context.Context) (f figures, err error) {
	w, err := b.newDeployment(ctx, deploymentOptions{bare: true})
	if err != nil {
		return nil, err
	}
	defer func() { err = cmp.Or(err, w.close()) }()
	webhooks, err := w.declareCeilingOwners(ctx, webhookSpec{name: "owner", class: "ok", types: []string{eventType}})
	if err != nil {
		return nil, err
	}
	api, err := w.newCeilingAPI(webhooks[0])
	if err != nil {
		return nil, err
	}
	// An API server that has just started is busy with itself.
	if err := pause(ctx, b.size.warmup); err != nil {
		return nil, err
	}
	return api.measure(ctx, b.size, w)
}

// declareCeilingOwners declares webhooks and returns them as they are stored.
func (w *deployment) declareCeilingOwners(ctx context.Context, webhooks ...webhookSpec) ([]*v1alpha1.Webhook, error) {
	if err := w.declare(ctx, webhooks...); err != nil {
		return nil, err
	}
	var all []*v1alpha1.Webhook
	for _, h := range webhooks {
		var one v1alpha1.Webhook
		if err := w.stack.Client.Get(ctx, types.NamespacedName{Namespace: h.namespaceName(), Name: h.name}, &one); err != nil {
			return nil, fmt.Errorf("get webhook %s: %w", h.name, err)
		}
		all = append(all, &one)
	}
	return all, nil
}

// ceilingFlatOut repeats do with every writer until it says no or the time is over.
func ceilingFlatOut(ctx context.Context, limit time.Duration, do func() (bool, error)) (count int, took time.Duration, err error) {
	var total atomic.Int64
	started := time.Now()
	err = inParallelBy(ceilingWriters, ceilingWriters, func(int) error {
		for ctx.Err() == nil && time.Since(started) < limit {
			more, err := do()
			if err != nil || !more {
				return err
			}
			total.Add(1)
		}
		return ctx.Err()
	})
	return int(total.Load()), time.Since(started), err
}
