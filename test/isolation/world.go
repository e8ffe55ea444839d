// SPDX-License-Identifier: Apache-2.0

package isolation

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/controlplane"
	"bbmcp.quietstack.com/webhooks/test/receiver"
	"bbmcp.quietstack.com/webhooks/test/stack"
)

const (
	// sharedNamespace holds the webhooks that hang and the first healthy ones;
	// ownNamespace holds the other healthy ones.
	sharedNamespace, ownNamespace = "shared", "own"
	// writers is how many objects are created at a time.
	writers = 8
	// readyWithin is how long all webhooks together may take to become Ready.
	readyWithin = 2 * time.Minute
	pollEvery   = 100 * time.Millisecond
)

// Options say what runs.
type Options struct {
	// Healthy is how many webhooks answer at once; two in five of them are in a
	// namespace of their own.
	Healthy int
	// Hanging is how many webhooks never get an answer, at most 250; 0: none.
	Hanging int
	// Pending is how many deliveries to them there are from the beginning.
	Pending int
	// ManagerArgs go to the manager.
	ManagerArgs []string
	// Binaries are the programs; zero: built from the tree.
	Binaries stack.Binaries
	// Progress is told what is being done.
	Progress func(string)
}

// World is the running product with its webhooks. Its methods must not be
// called concurrently.
type World struct {
	options  Options
	stack    *stack.Stack
	receiver *receiver.Receiver
	hanging  []*receiver.Receiver
	healthy  []*v1alpha1.Webhook
	clock    *clock
	serial   int
}

// Start starts the product, declares the webhooks, sends one delivery to every
// healthy one, and makes the others hang with their backlog behind them. The
// caller calls Stop.
func Start(ctx context.Context, options Options) (*World, error) {
	if options.Progress == nil {
		options.Progress = func(string) {}
	}
	w := &World{options: options, clock: newClock()}
	if err := w.start(ctx); err != nil {
		return nil, errors.Join(err, w.Stop())
	}
	return w, nil
}

func (w *World) start(ctx context.Context) (err error) {
	w.stack, err = stack.Start(ctx, stack.Options{
		Binaries: w.options.Binaries, Progress: w.options.Progress,
		ControlPlane: controlplane.Options{UnsafeNoFsync: true},
	})
	if err != nil {
		return err
	}
	if _, err = w.stack.StartManager(ctx, stack.ManagerOptions{Alone: true, Args: w.options.ManagerArgs}); err != nil {
		return err
	}
	w.receiver, err = receiver.Start(receiver.Options{Keep: -1, OnReceived: w.clock.arrived})
	if err != nil {
		return err
	}
	for _, name := range []string{sharedNamespace, ownNamespace} {
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if err := w.stack.Client.Create(ctx, namespace); err != nil {
			return fmt.Errorf("create namespace %s: %w", name, err)
		}
	}
	if err := w.declareHealthy(ctx); err != nil {
		return err
	}
	return w.hang(ctx)
}

// declareHealthy declares the webhooks that answer and waits until each has.
func (w *World) declareHealthy(ctx context.Context) error {
	for i := range w.options.Healthy {
		namespace := sharedNamespace
		if i*5 >= w.options.Healthy*3 {
			namespace = ownNamespace
		}
		name := fmt.Sprintf("good-%d", i)
		w.healthy = append(w.healthy, webhook(namespace, name, w.receiver.URL("/"+name)))
	}
	if err := w.declare(ctx, w.healthy); err != nil {
		return err
	}
	_, err := w.Paced(ctx, w.options.Healthy, 10*time.Millisecond)
	return err
}

// hang declares the webhooks whose endpoints hang, gives them their backlog and
// returns when each had an attempt time out and has the next one out.
func (w *World) hang(ctx context.Context) error {
	if w.options.Hanging == 0 {
		return nil
	}
	var mu sync.Mutex
	stuck := map[string]int{} // POSTs, by webhook
	hooks := make([]*v1alpha1.Webhook, w.options.Hanging)
	for i := range hooks {
		r, err := receiver.Start(receiver.Options{
			Listen: fmt.Sprintf("127.1.0.%d:0", i+1), Keep: -1,
			OnReceived: func(one receiver.Received) {
				mu.Lock()
				defer mu.Unlock()
				stuck[one.Path]++
			},
		})
		if err != nil {
			return fmt.Errorf("start an endpoint that hangs: %w", err)
		}
		w.hanging = append(w.hanging, r)
		r.Script("", receiver.Step{Fault: receiver.Hang})
		name := fmt.Sprintf("bad-%d", i)
		hooks[i] = webhook(sharedNamespace, name, r.URL("/"+name))
	}
	if err := w.declare(ctx, hooks); err != nil {
		return err
	}
	w.options.Progress(fmt.Sprintf("creating %d deliveries to %d webhooks that hang", w.options.Pending, len(hooks)))
	err := inParallel(w.options.Pending, func(i int) error {
		return w.stack.Client.Create(ctx, delivery(hooks[i%len(hooks)], fmt.Sprintf("stuck-%d", i)))
	})
	if err != nil {
		return fmt.Errorf("create a delivery to a webhook that hangs: %w", err)
	}
	return poll(ctx, readyWithin, "every endpoint that hangs to have got two POSTs", func() (bool, error) {
		mu.Lock()
		defer mu.Unlock()
		for i := range hooks {
			if stuck["/"+hooks[i].Name] < 2 {
				return false, nil
			}
		}
		return true, nil
	})
}

// declare creates webhooks and waits until they are Ready.
func (w *World) declare(ctx context.Context, hooks []*v1alpha1.Webhook) error {
	err := inParallel(len(hooks), func(i int) error { return w.stack.Client.Create(ctx, hooks[i]) })
	if err != nil {
		return fmt.Errorf("declare a webhook: %w", err)
	}
	return poll(ctx, readyWithin, "webhooks to be Ready", func() (bool, error) {
		var list v1alpha1.WebhookList
		if err := w.stack.Client.List(ctx, &list); err != nil {
			return false, err
		}
		for i := range list.Items {
			if !meta.IsStatusConditionTrue(list.Items[i].Status.Conditions, v1alpha1.ConditionReady) {
				return false, nil
			}
		}
		return true, nil
	})
}

// Pending is how many deliveries to the webhooks that hang are unfinished.
func (w *World) Pending(ctx context.Context) (int, error) {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("WebhookDeliveryList"))
	selector := client.MatchingFieldsSelector{Selector: unfinished()}
	if err := w.stack.Client.List(ctx, list, client.InNamespace(sharedNamespace), selector); err != nil {
		return 0, fmt.Errorf("count pending deliveries: %w", err)
	}
	return len(list.Items), nil
}

// Stop ends everything.
func (w *World) Stop() error {
	var err error
	if w.stack != nil {
		err = w.stack.Stop()
	}
	for _, r := range w.hanging {
		r.Close()
	}
	if w.receiver != nil {
		w.receiver.Close()
	}
	return err
}

func poll(ctx context.Context, limit time.Duration, what string, done func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", what, ctx.Err())
		case <-tick.C:
		}
	}
}

// inParallel calls do for 0 … n-1, several at a time, and returns the first error.
func inParallel(n int, do func(int) error) error {
	var (
		next    int
		failure error
		mu      sync.Mutex
		running sync.WaitGroup
	)
	take := func(err error) (int, bool) {
		mu.Lock()
		defer mu.Unlock()
		if failure == nil {
			failure = err
		}
		next++
		return next - 1, next <= n && failure == nil
	}
	for range writers {
		running.Go(func() {
			for i, ok := take(nil); ok; {
				i, ok = take(do(i))
			}
		})
	}
	running.Wait()
	return failure
}
