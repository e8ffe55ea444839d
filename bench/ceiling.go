// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/bench/internal/event"
	"bbmcp.quietstack.com/webhooks/bench/internal/report"
	"bbmcp.quietstack.com/webhooks/test/procstat"
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
	webhooks, err := w.owners(ctx, webhookSpec{name: "owner", class: "ok", types: []string{eventType}})
	if err != nil {
		return nil, err
	}
	api, err := w.newAPI(webhooks[0])
	if err != nil {
		return nil, err
	}
	// An API server that has just started is busy with itself.
	if err := pause(ctx, b.size.warmup); err != nil {
		return nil, err
	}
	return api.measure(ctx, b.size, w)
}

// owners declares webhooks and returns them as they are stored.
func (w *deployment) owners(ctx context.Context, webhooks ...webhookSpec) ([]*v1alpha1.Webhook, error) {
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

// delivery is one as the gateway makes it.
func delivery(owner *v1alpha1.Webhook, name, payload string) *v1alpha1.WebhookDelivery {
	reference := metav1.NewControllerRef(owner, v1alpha1.GroupVersion.WithKind("Webhook"))
	reference.BlockOwnerDeletion = nil
	return &v1alpha1.WebhookDelivery{
		TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "WebhookDelivery"},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: owner.Namespace, Name: name, OwnerReferences: []metav1.OwnerReference{*reference},
			Labels: map[string]string{v1alpha1.OriginLabel: v1alpha1.OriginGateway, v1alpha1.WebhookLabel: owner.Name},
		},
		Spec: v1alpha1.WebhookDeliverySpec{
			WebhookRef: v1alpha1.WebhookReference{Name: owner.Name}, EventID: "evt_" + name, EventType: eventType,
			Payload: payload, AcceptedTime: new(microNow()),
		},
	}
}

// succeeded is the status of a delivery that succeeded at once.
func succeeded() v1alpha1.WebhookDeliveryStatus {
	now := microNow()
	return v1alpha1.WebhookDeliveryStatus{
		State: v1alpha1.DeliverySucceeded, Attempts: 1, ResponseStatus: new(int32(http.StatusOK)),
		LastAttemptTime: &now, CompletionTime: &now,
		AttemptLog: []v1alpha1.Attempt{{Number: 1, StartTime: now, DurationMilliseconds: 1, ResponseStatus: new(int32(http.StatusOK)), Reason: "Succeeded"}},
		Conditions: []metav1.Condition{{
			Type: "Succeeded", Status: metav1.ConditionTrue, Reason: "Succeeded", Message: "the endpoint answered with a status of 2xx",
			LastTransitionTime: metav1.NewTime(now.Time), ObservedGeneration: 1,
		}},
	}
}

func microNow() metav1.MicroTime {
	return metav1.NewMicroTime(time.Now().UTC().Truncate(time.Microsecond))
}

// written is an object that exists.
type written struct{ name, resourceVersion string }

// pile is objects that exist and wait for their next write. It is safe for
// concurrent use.
type pile struct {
	mu      sync.Mutex
	objects []written
}

func (p *pile) put(one written) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.objects = append(p.objects, one)
}

func (p *pile) take() (one written, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.objects) == 0 {
		return one, false
	}
	last := len(p.objects) - 1
	one, p.objects = p.objects[last], p.objects[:last]
	return one, true
}

// step is a kind of write, repeated for some time; do says whether there is
// more to do.
type step struct {
	name string
	last time.Duration
	do   func() (more bool, err error)
}

// steps are the three writes, one kind after the other, then all three in turn.
func (a *api) steps(ctx context.Context, s size) []step {
	var made, settled pile
	var number atomic.Int64
	payload := event.New(eventType, kib).Payload(event.Mark{Sent: time.Now()})
	create := func() (written, error) {
		return a.create(ctx, fmt.Sprintf("dlv-%032d", number.Add(1)), payload)
	}
	return []step{
		{"creates_per_s", s.ceilingPhase, func() (bool, error) {
			one, err := create()
			if err == nil {
				made.put(one)
			}
			return true, err
		}},
		{"statuses_per_s", time.Minute, func() (bool, error) {
			one, ok := made.take()
			if !ok {
				return false, nil
			}
			one, err := a.settle(ctx, one)
			settled.put(one)
			return true, err
		}},
		{"deletes_per_s", time.Minute, func() (bool, error) {
			one, ok := settled.take()
			if !ok {
				return false, nil
			}
			return true, a.remove(ctx, one)
		}},
		{report.DeliveriesPerS, s.ceilingCycle, func() (bool, error) {
			one, err := create()
			if err != nil {
				return false, err
			}
			if one, err = a.settle(ctx, one); err != nil {
				return false, err
			}
			return true, a.remove(ctx, one)
		}},
	}
}

// measure takes the steps. Per delivery are figures of the last one.
func (a *api) measure(ctx context.Context, s size, w *deployment) (figures, error) {
	f := figures{}
	pids := w.pids()
	for _, one := range a.steps(ctx, s) {
		allocated, err := w.allocations(ctx)
		if err != nil {
			return nil, err
		}
		before, err := spent(pids)
		if err != nil {
			return nil, err
		}
		count, took, err := flatOut(ctx, one.last, one.do)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", one.name, err)
		}
		after, err := spent(pids)
		if err != nil {
			return nil, err
		}
		f[one.name] = float64(count) / took.Seconds()
		f[report.CPUPerDelivery] = float64((after - before).Microseconds()) / 1000 / float64(max(1, count))
		now, err := w.allocations(ctx)
		if err != nil {
			return nil, err
		}
		f["api_server_allocations_per_delivery"] = (now - allocated) / float64(max(1, count))
	}
	return f, nil
}

// allocations is how many objects the API server has allocated so far. Unlike its
// time, it hardly depends on the machine.
func (w *deployment) allocations(ctx context.Context) (float64, error) {
	samples, err := w.stack.APIServerSamples(ctx)
	if err != nil {
		return 0, fmt.Errorf("read the API server's metrics: %w", err)
	}
	return samples.Sum("go_memstats_mallocs_total"), nil
}

// flatOut repeats do with every writer until it says no or the time is over.
func flatOut(ctx context.Context, limit time.Duration, do func() (bool, error)) (count int, took time.Duration, err error) {
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

// spent is the CPU time of API server and etcd so far.
func spent(pids map[string]int) (sum time.Duration, err error) {
	for _, name := range []string{"api_server", "etcd"} {
		one, err := procstat.CPU(pids[name])
		if err != nil {
			return 0, err
		}
		sum += one
	}
	return sum, nil
}
