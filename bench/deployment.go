// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/bench/internal/event"
	"bbmcp.quietstack.com/webhooks/bench/internal/load"
	"bbmcp.quietstack.com/webhooks/internal/controlplane"
	"bbmcp.quietstack.com/webhooks/test/stack"
)

const (
	// namespace is where webhooks are where nothing else is said.
	namespace = "bench"
	// eventType ships with the product, schema included.
	eventType = "context.created"
	// respondAsync makes a delivery durable at once.
	respondAsync = "respond-async"
	// writers is how many objects are created at a time.
	writers = 8
)

// deploymentOptions say what a deployment has beside a control plane and a receiver.
type deploymentOptions struct {
	manager   stack.ManagerOptions
	gateway   stack.GatewayOptions
	addresses int  // further ones of the receiver
	bare      bool // no process of the product yet
}

// deployment is the running product with a receiver, all of it new: no scenario sees
// what another one has left behind.
type deployment struct {
	b       *bench
	stack   *stack.Stack
	manager *stack.Manager
	gateway *stack.Gateway
	sink    *endpointProcess
	tokens  map[string]string // by namespace

	pprof map[string]string // addresses, by process
}

// newDeployment starts one. The caller calls close.
func (b *bench) newDeployment(ctx context.Context, options deploymentOptions) (*deployment, error) {
	w := &deployment{b: b, tokens: map[string]string{}, pprof: map[string]string{}}
	if err := w.start(ctx, options); err != nil {
		return nil, errors.Join(err, w.close())
	}
	return w, nil
}

func (w *deployment) start(ctx context.Context, options deploymentOptions) (err error) {
	// The zero value of the control plane's options lets etcd wait for the disk.
	control := controlplane.Options{
		EtcdArgs: []string{"--quota-backend-bytes=4294967296"}, // the backlog is larger than the default with its history
	}
	if w.b.profiles != "" {
		control.APIServerArgs = []string{"--profiling=true"}
	}
	w.stack, err = stack.Start(ctx, stack.Options{Binaries: w.b.binaries, ControlPlane: control})
	if err != nil {
		return err
	}
	if w.sink, err = w.b.startEndpoint(ctx, options.addresses); err != nil || options.bare {
		return err
	}
	return w.startProcesses(ctx, options)
}

func (w *deployment) startProcesses(ctx context.Context, options deploymentOptions) (err error) {
	options.manager.Supervise, options.gateway.Supervise = true, true
	if err := w.addProfiling(&options); err != nil {
		return err
	}
	if w.manager, err = w.stack.StartManager(ctx, options.manager); err != nil {
		return err
	}
	w.gateway, err = w.stack.StartGateway(ctx, options.gateway)
	return err
}

// close ends everything at once: nothing in it is needed any more.
func (w *deployment) close() error {
	if w.gateway != nil {
		w.gateway.Kill()
	}
	if w.manager != nil {
		w.manager.Kill()
	}
	if w.sink != nil {
		w.sink.process.Stop(0)
	}
	if w.stack != nil {
		return w.stack.Stop()
	}
	return nil
}

// pids are the processes of the product, the control plane's included.
func (w *deployment) pids() map[string]int {
	plane := w.stack.ControlPlane.PIDs()
	all := map[string]int{"api_server": plane.APIServer, "etcd": plane.Etcd, "controller_manager": plane.ControllerManager}
	if w.manager != nil {
		all["manager"], all["manager_dispatcher"] = w.manager.Process.PID(), w.manager.Dispatcher().PID()
	}
	if w.gateway != nil {
		all["gateway"], all["gateway_dispatcher"] = w.gateway.Process.PID(), w.gateway.Dispatcher().PID()
	}
	return all
}

// webhookSpec is a webhook to declare.
type webhookSpec struct {
	namespace, name string // namespace "" is the usual one
	class           string // of the receiver
	types           []string
	host            string // of the receiver; "" is the usual one
	keep            int32  // finished deliveries; 0: as many as the operator says
}

func (h webhookSpec) namespaceName() string {
	if h.namespace == "" {
		return namespace
	}
	return h.namespace
}

// path is the receiver's.
func (h webhookSpec) path() string { return "/" + h.class + "/" + h.name }

// declare makes webhooks and waits until they are Ready.
func (w *deployment) declare(ctx context.Context, webhooks ...webhookSpec) error {
	for _, h := range webhooks {
		if err := w.ensureNamespace(ctx, h.namespaceName()); err != nil {
			return err
		}
	}
	err := inParallel(len(webhooks), func(i int) error { return w.stack.Client.Create(ctx, w.webhook(webhooks[i])) })
	if err != nil {
		return fmt.Errorf("declare a webhook: %w", err)
	}
	if w.manager == nil {
		return nil
	}
	return poll(ctx, "webhooks to be Ready", func() (bool, error) {
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

func (w *deployment) webhook(h webhookSpec) *v1alpha1.Webhook {
	object := &v1alpha1.Webhook{
		ObjectMeta: metav1.ObjectMeta{Namespace: h.namespaceName(), Name: h.name},
		Spec:       v1alpha1.WebhookSpec{URL: w.sink.url(h.host, h.class, h.name), Events: h.types},
	}
	if h.keep > 0 {
		object.Spec.Retention = &v1alpha1.Retention{MaxCount: &h.keep}
	}
	return object
}

func (w *deployment) ensureNamespace(ctx context.Context, name string) error {
	if w.tokens[name] != "" {
		return nil
	}
	object := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if err := w.stack.Client.Create(ctx, object); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create namespace %s: %w", name, err)
	}
	token, err := w.stack.Token(ctx, name, "publisher", []string{"bbmcp-publisher"})
	w.tokens[name] = token
	return err
}

// declareTypes makes event types with the schema of the usual one.
func (w *deployment) declareTypes(ctx context.Context, names ...string) error {
	var usual v1alpha1.EventType
	if err := w.stack.Client.Get(ctx, types.NamespacedName{Name: eventType}, &usual); err != nil {
		return fmt.Errorf("get event type %s: %w", eventType, err)
	}
	return inParallel(len(names), func(i int) error {
		return w.stack.Client.Create(ctx, &v1alpha1.EventType{
			ObjectMeta: metav1.ObjectMeta{Name: names[i]}, Spec: v1alpha1.EventTypeSpec{Schema: usual.Spec.Schema},
		})
	})
}

// awaitKnownWebhooks waits until the gateway sends events of a type to so many webhooks. What
// it publishes for that is of run 0, which nobody counts.
func (w *deployment) awaitKnownWebhooks(ctx context.Context, space, kind string, want int) error {
	spec := w.spec(kind)
	spec.Run, spec.Publishers, spec.Count, spec.Token = 0, 1, 1, w.tokens[space]
	last := ""
	err := poll(ctx, fmt.Sprintf("the gateway to know %d webhooks for %s", want, kind), func() (bool, error) {
		result, err := load.Run(ctx, spec)
		if err != nil {
			return false, err
		}
		last = fmt.Sprintf("answers %v, %d deliveries %s", result.Codes, result.Deliveries, result.Error)
		return result.Deliveries == want, nil
	})
	if err != nil {
		return fmt.Errorf("%w (%s)", err, last)
	}
	return nil
}

// spec publishes events of 1 KiB in the usual namespace.
func (w *deployment) spec(kinds ...string) load.Spec {
	return load.Spec{
		URL: w.gateway.URL + "/v1/events", Token: w.tokens[namespace], Types: kinds,
		PayloadBytes: kib, Run: w.b.nextRun(), Publishers: publishers, Duration: readyWithin,
	}
}

// postEvent is one request with the usual token, for what a load cannot see.
func (w *deployment) postEvent(ctx context.Context, token, prefer string) (status int, err error) {
	body := event.New(eventType, kib).Render(nil, event.Mark{Sent: time.Now()})
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, w.gateway.URL+"/v1/events", strings.NewReader(string(body)))
	if err != nil {
		return 0, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+token)
	if prefer != "" {
		request.Header.Set("Prefer", prefer)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return response.StatusCode, err
}
