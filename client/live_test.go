// SPDX-License-Identifier: Apache-2.0

package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/client"
	"bbmcp.quietstack.com/webhooks/internal/controlplane"
	"bbmcp.quietstack.com/webhooks/test/receiver"
	"bbmcp.quietstack.com/webhooks/test/stack"
)

// live is the running product, started by the first test that needs it.
type live struct {
	cluster  *stack.Stack
	gateway  *stack.Gateway
	endpoint *receiver.Receiver
}

var (
	running  live
	startOne = sync.OnceValue(running.start)
)

func TestMain(m *testing.M) {
	code := m.Run()
	if running.endpoint != nil {
		running.endpoint.Close()
	}
	if running.cluster != nil {
		if err := running.cluster.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

func (l *live) start() error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute)
	defer cancel()
	var err error
	if l.cluster, err = stack.Start(ctx, stack.Options{ControlPlane: controlplane.Options{UnsafeNoFsync: true}}); err != nil {
		return err
	}
	if _, err = l.cluster.StartManager(ctx, stack.ManagerOptions{Supervise: true}); err != nil {
		return err
	}
	if l.gateway, err = l.cluster.StartGateway(ctx, stack.GatewayOptions{Supervise: true, Args: storeFirst}); err != nil {
		return err
	}
	l.endpoint, err = receiver.Start(receiver.Options{})
	return err
}

// account makes a namespace and an account with these roles in it, and returns
// the namespace and the account's token.
func account(ctx context.Context, roles ...string) (namespace, token string, err error) {
	if err := startOne(); err != nil {
		return "", "", err
	}
	made := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "client-"}}
	if err := running.cluster.Client.Create(ctx, made); err != nil {
		return "", "", err
	}
	token, err = running.cluster.Token(ctx, made.Name, "tester", roles)
	return made.Name, token, err
}

// liveClient is a client with these roles in a namespace of its own.
func liveClient(t *testing.T, roles ...string) (c *client.Client, namespace string) {
	t.Helper()
	namespace, token, err := account(t.Context(), roles...)
	if err != nil {
		t.Fatal(err)
	}
	c, err = client.New(client.Options{BaseURL: running.gateway.URL, Token: client.StaticToken(token)})
	if err != nil {
		t.Fatal(err)
	}
	return c, namespace
}

func must[T any](t *testing.T) func(T, error) T {
	t.Helper()
	return func(value T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

func TestLiveWebhooks(t *testing.T) {
	t.Parallel()
	c, namespace := liveClient(t, "bbmcp-editor")
	webhook := must[*client.Webhook](t)
	url := running.endpoint.URL("/" + namespace)
	made := webhook(c.CreateWebhook(t.Context(), rest.WebhookCreate{Name: "orders", URL: url, Events: []string{"context.*"}}))
	if made.Secret == nil || !strings.HasPrefix(*made.Secret, "whsec_") || made.Name != "orders" || made.Status != rest.WebhookActive {
		t.Errorf("created %+v", made)
	}
	read := webhook(c.GetWebhook(t.Context(), made.WebhookID))
	if read.Secret != nil || read.URL != url || read.ETag == "" {
		t.Errorf("read %+v", read)
	}
	changed := webhook(c.UpdateWebhook(t.Context(), made.WebhookID, read.ETag, rest.WebhookUpdate{Description: new("shop")}))
	if changed.Description == nil || *changed.Description != "shop" || !slices.Equal(changed.Events, []string{"context.*"}) {
		t.Errorf("changed to %+v", changed)
	}
	_, err := c.UpdateWebhook(t.Context(), made.WebhookID, read.ETag, rest.WebhookUpdate{Description: new("other")})
	if client.StatusOf(err) != http.StatusPreconditionFailed {
		t.Errorf("change of an old version: got %v", err)
	}
	if w := webhook(c.SuspendWebhook(t.Context(), made.WebhookID)); !w.Suspended {
		t.Error("not suspended")
	}
	if w := webhook(c.ResumeWebhook(t.Context(), made.WebhookID)); w.Suspended {
		t.Error("not resumed")
	}
	webhook(c.EnableWebhook(t.Context(), made.WebhookID))
	if w := webhook(c.RotateSecret(t.Context(), made.WebhookID)); w.Secret == nil || *w.Secret == *made.Secret {
		t.Error("no new secret")
	}
	webhook(c.CreateWebhook(t.Context(), rest.WebhookCreate{Name: "another", URL: url, Events: []string{"*"}}))
	var names []string
	for w, err := range c.Webhooks(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, w.Name)
	}
	if !slices.Equal(names, []string{"another", "orders"}) {
		t.Errorf("listed %q", names)
	}
	page := must[*rest.WebhookList](t)(c.ListWebhooks(t.Context(), client.Page{Limit: 1}))
	if len(page.Data) != 1 || page.NextCursor == nil {
		t.Errorf("a page of one: %+v", page)
	}
	if err := c.DeleteWebhook(t.Context(), made.WebhookID); err != nil {
		t.Error(err)
	}
	if _, err := c.GetWebhook(t.Context(), made.WebhookID); client.StatusOf(err) != http.StatusNotFound {
		t.Errorf("after delete: got %v", err)
	}
}

// storeFirst makes every delivery an object, which lists are counted by.
var storeFirst = []string{"--first-attempt-wait=0"}

var verified = json.RawMessage(`{"verification_id":"ver_1","transaction_hash":"0x1a2b","verified":true}`)

func TestLiveDeliveries(t *testing.T) {
	t.Parallel()
	c, namespace := liveClient(t, "bbmcp-editor", "bbmcp-publisher")
	webhook := must[*client.Webhook](t)(c.CreateWebhook(t.Context(), rest.WebhookCreate{URL: running.endpoint.URL("/" + namespace), Events: []string{"*"}}))
	publish := must[*rest.Published](t)
	const count = 105 // more than a page
	for range count {
		if p := publish(c.Publish(t.Context(), rest.EventPublish{Event: "verification.completed", Data: verified})); len(p.Deliveries) != 1 {
			t.Fatalf("published %+v", p)
		}
	}
	tested := must[*rest.Delivery](t)(c.TestWebhook(t.Context(), webhook.WebhookID, "context.created", nil))
	arrived := func(n int) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := running.endpoint.Wait(ctx, "/"+namespace, func(c receiver.Counts) bool { return c.Accepted >= n }); err != nil {
			t.Fatal(err)
		}
	}
	arrived(count + 1)
	seen := map[string]bool{}
	for delivery, err := range c.Deliveries(t.Context(), webhook.WebhookID, "") {
		if err != nil {
			t.Fatal(err)
		}
		seen[delivery.DeliveryID] = true
	}
	if len(seen) != count+1 || !seen[tested.DeliveryID] {
		t.Errorf("listed %d deliveries, want %d", len(seen), count+1)
	}
	detail := must[*rest.DeliveryDetail](t)(c.GetDelivery(t.Context(), tested.DeliveryID))
	if detail.Event != "context.created" || !json.Valid([]byte(detail.Payload)) || detail.WebhookID != webhook.WebhookID {
		t.Errorf("read %+v", detail)
	}
	if _, err := c.RetryDelivery(t.Context(), "dlv_0123456789abcdef"); client.StatusOf(err) != http.StatusNotFound {
		t.Errorf("retry of nothing: got %v", err)
	}
	event := json.RawMessage(`{"specversion":"1.0","id":"1","source":"/tests","type":"verification.completed","data":` + string(verified) + `}`)
	first := publish(c.PublishCloudEvent(t.Context(), event))
	batch := must[*rest.BatchPublished](t)(c.PublishCloudEvents(t.Context(), []json.RawMessage{event, json.RawMessage(`{}`)}))
	if len(batch.Results) != 2 || batch.Results[0].Published == nil || batch.Results[0].Published.EventID != first.EventID || batch.Results[1].Problem == nil {
		t.Errorf("batch: %+v", batch)
	}
	arrived(count + 2)
}

func TestLivePublishThroughARestart(t *testing.T) {
	t.Parallel()
	c, namespace := liveClient(t, "bbmcp-editor", "bbmcp-publisher")
	gateway, err := running.cluster.StartGateway(t.Context(), stack.GatewayOptions{Supervise: true})
	if err != nil {
		t.Fatal(err)
	}
	must[*client.Webhook](t)(c.CreateWebhook(t.Context(), rest.WebhookCreate{URL: running.endpoint.URL("/" + namespace), Events: []string{"*"}}))
	token, err := running.cluster.Token(t.Context(), namespace, "tester", nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err = client.New(client.Options{BaseURL: gateway.URL, Token: client.StaticToken(token), Repeats: 12})
	if err != nil {
		t.Fatal(err)
	}
	const count = 60
	halfway := make(chan struct{})
	restarted := make(chan error, 1)
	go func() {
		<-halfway
		gateway.Process.Stop(0)
		restarted <- gateway.Restart(t.Context())
	}()
	for i := range count {
		if i == count/2 {
			close(halfway)
		}
		if _, err := c.Publish(t.Context(), rest.EventPublish{Event: "verification.completed", Data: verified}); err != nil {
			t.Fatalf("event %d: %v", i, err)
		}
	}
	if err := <-restarted; err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := running.endpoint.Wait(ctx, "/"+namespace, func(c receiver.Counts) bool { return c.Accepted >= count }); err != nil {
		t.Fatal(err)
	}
	// The gateway may end between an attempt and its answer, and then the client repeats.
	if counts := running.endpoint.Counts("/" + namespace); counts.Unique != count || counts.Duplicates > 1 {
		t.Errorf("want %d once each but for one, got %+v", count, counts)
	}
}

func TestLiveRefusals(t *testing.T) {
	t.Parallel()
	c, _ := liveClient(t, "bbmcp-viewer")
	_, err := c.CreateWebhook(t.Context(), rest.WebhookCreate{URL: "https://example.com", Events: []string{"*"}})
	refused, ok := errors.AsType[*client.Error](err)
	if !ok || refused.Status != http.StatusForbidden || refused.Problem.RequestID == "" || refused.Problem.Detail == "" {
		t.Errorf("no right: got %+v", err)
	}
	if _, err := c.InNamespace("default").ListWebhooks(t.Context(), client.Page{}); client.StatusOf(err) != http.StatusForbidden {
		t.Errorf("another namespace: got %v", err)
	}
	types := must[*rest.EventTypeList](t)(c.ListEventTypes(t.Context()))
	if len(types.Data) < 4 {
		t.Errorf("event types: %+v", types)
	}
	nobody, err := client.New(client.Options{BaseURL: running.gateway.URL, Token: client.StaticToken("nobody")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := nobody.ListWebhooks(t.Context(), client.Page{}); client.StatusOf(err) != http.StatusUnauthorized {
		t.Errorf("no token: got %v", err)
	}
	if err := errors.Join(nobody.Healthy(t.Context()), nobody.Ready(t.Context())); err != nil {
		t.Error(err)
	}
	document := must[json.RawMessage](t)(nobody.OpenAPI(t.Context()))
	if !strings.Contains(string(document), `"/v1/webhooks/{id}"`) {
		t.Errorf("OpenAPI document: %.200s", document)
	}
}
