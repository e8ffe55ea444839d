// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

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

// TestMapperKnowsListsToo: a cache of some namespaces asks by the kind of the list
// whether it is one of a namespace, and reads nothing where it is not told.
func TestMapperKnowsListsToo(t *testing.T) {
	scheme, mapper := newScheme(), newMapper()
	for object, namespaced := range map[runtime.Object]bool{
		&v1alpha1.Webhook{}: true, &v1alpha1.WebhookList{}: true,
		&v1alpha1.WebhookDelivery{}: true, &v1alpha1.WebhookDeliveryList{}: true,
		&v1alpha1.EventType{}: false, &v1alpha1.EventTypeList{}: false,
		&corev1.Secret{}: true, &corev1.SecretList{}: true,
		&discoveryv1.EndpointSlice{}: true, &discoveryv1.EndpointSliceList{}: true,
	} {
		if got, err := apiutil.IsObjectNamespaced(object, scheme, mapper); err != nil || got != namespaced {
			t.Errorf("%T: namespaced %t, %v; want %t", object, got, err, namespaced)
		}
	}
}
