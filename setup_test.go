// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/onepass"
)

// TestClientsReadInOnePass: it would be slow and nothing else, if our processes did
// not ask for it. What tells is that managedFields are not read.
func TestClientsReadInOnePass(t *testing.T) {
	const object = `{"kind":"WebhookDelivery","metadata":{"name":"one","managedFields":[{"manager":"somebody"}]}}`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		answer := object
		if request.Method == http.MethodGet {
			answer = `{"type":"ADDED","object":` + object + `}`
		}
		_, _ = fmt.Fprintln(w, answer)
	}))
	defer server.Close()
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	content := fmt.Sprintf(`{"clusters":[{"name":"c","cluster":{"server":%q}}],"contexts":[{"name":"c","context":{"cluster":"c"}}],"current-context":"c"}`, server.URL)
	if err := os.WriteFile(kubeconfig, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	config, err := restConfig(kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	from, err := newClient(config, client.Options{Scheme: newScheme(), Mapper: newMapper()})
	if err != nil {
		t.Fatal(err)
	}
	events, err := onepass.Watch(t.Context(), &v1alpha1.WebhookDelivery{}, func(ctx context.Context) (watch.Interface, error) {
		return from.Watch(ctx, &v1alpha1.WebhookDeliveryList{})
	})
	if err != nil {
		t.Fatal(err)
	}
	defer events.Stop()
	delivery, ok := (<-events.ResultChan()).Object.(*v1alpha1.WebhookDelivery)
	if !ok || delivery.Name != "one" || len(delivery.ManagedFields) > 0 {
		t.Errorf("got %+v, want it without managedFields", delivery)
	}
	created := &v1alpha1.WebhookDelivery{}
	created.Namespace, created.Name = "team", "one"
	if err := from.Create(t.Context(), created); err != nil || len(created.ManagedFields) > 0 {
		t.Errorf("created %+v, %v, want it without managedFields", created, err)
	}
}
