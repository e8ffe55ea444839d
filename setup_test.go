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
	"bbmcp.quietstack.com/webhooks/internal/watchstream"
)

// TestClientsReadWatchesInOnePass: it would be slow and nothing else, if our
// processes did not ask for it. What tells is that managedFields are not read.
func TestClientsReadWatchesInOnePass(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintln(w, `{"type":"ADDED","object":{"metadata":{"name":"one","managedFields":[{"manager":"somebody"}]}}}`)
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
	from, err := client.NewWithWatch(config, client.Options{Scheme: newScheme(), Mapper: newMapper()})
	if err != nil {
		t.Fatal(err)
	}
	events, err := watchstream.Open(t.Context(), &v1alpha1.WebhookDelivery{}, func(ctx context.Context) (watch.Interface, error) {
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
}
