// SPDX-License-Identifier: Apache-2.0

package onepass_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/onepass"
)

const managed = `{"type":"ADDED","object":{"kind":"WebhookDelivery","apiVersion":"bbmcp.quietstack.com/v1alpha1","metadata":{"name":"one","managedFields":[{"manager":"somebody"}]}}}`

// open opens a watch of deliveries, at a server that answers with answer.
func open(t *testing.T, wrapped bool, answer http.HandlerFunc) (watch.Interface, error) {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	config := &rest.Config{Host: server.URL}
	if wrapped {
		onepass.Wrap(config)
	}
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	mapper := meta.NewDefaultRESTMapper(nil)
	mapper.Add(v1alpha1.GroupVersion.WithKind("WebhookDelivery"), meta.RESTScopeNamespace)
	from, err := client.NewWithWatch(config, client.Options{Scheme: scheme, Mapper: mapper})
	if err != nil {
		t.Fatal(err)
	}
	return onepass.Watch(t.Context(), &v1alpha1.WebhookDelivery{}, func(ctx context.Context) (watch.Interface, error) {
		return from.Watch(ctx, &v1alpha1.WebhookDeliveryList{}, client.InNamespace("team"))
	})
}

func answer(contentType, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, request *http.Request) {
		w.Header().Set("Content-Type", contentType)
		_, _ = fmt.Fprintln(w, text)
		w.(http.Flusher).Flush()
		<-request.Context().Done()
	}
}

func receive(t *testing.T, from watch.Interface) (event watch.Event, ok bool) {
	t.Helper()
	select {
	case event, ok = <-from.ResultChan():
	case <-time.After(10 * time.Second):
		t.Fatal("nothing came")
	}
	return event, ok
}

func TestWatch(t *testing.T) {
	for name, c := range map[string]struct {
		wrapped     bool
		contentType string
		taken       bool
	}{
		"takes over what is JSON":                 {true, "application/json", true},
		"takes over what says its charset":        {true, "application/json; charset=utf-8", true},
		"leaves clients alone that did not ask":   {false, "application/json", false},
		"an unwrapped client reads with charsets": {false, "application/json; charset=utf-8", false},
	} {
		t.Run(name, func(t *testing.T) {
			events, err := open(t, c.wrapped, answer(c.contentType, managed))
			if err != nil {
				t.Fatal(err)
			}
			event, _ := receive(t, events)
			delivery, ok := event.Object.(*v1alpha1.WebhookDelivery)
			if !ok || event.Type != watch.Added || delivery.Name != "one" {
				t.Fatalf("got %+v", event)
			}
			if taken := len(delivery.ManagedFields) == 0; taken != c.taken {
				t.Errorf("taken over: %v, want %v", taken, c.taken)
			}
			events.Stop()
			if event, ok := receive(t, events); ok && c.taken { // client-go itself may tell of the body that it closed
				t.Errorf("after Stop: %+v", event)
			}
		})
	}
}

// TestOpenFails: what the API server refuses is client-go's to read.
func TestOpenFails(t *testing.T) {
	_, err := open(t, true, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusGone)
		_, _ = fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Expired","code":410,"message":"too old"}`)
	})
	if !apierrors.IsResourceExpired(err) {
		t.Errorf("got %v, want that it has expired", err)
	}
}

// TestOpenTellsOfGarbage as an event, as client-go does.
func TestOpenTellsOfGarbage(t *testing.T) {
	events, err := open(t, true, answer("application/json", managed+"\n}"))
	if err != nil {
		t.Fatal(err)
	}
	defer events.Stop()
	if event, _ := receive(t, events); event.Type != watch.Added {
		t.Errorf("got %+v first", event)
	}
	if event, _ := receive(t, events); event.Type != watch.Error || apierrors.FromObject(event.Object) == nil {
		t.Errorf("got %+v, want an error", event)
	}
}

// TestOpenEndsWithItsServer: the watch ends, and whoever watches opens another.
func TestOpenEndsWithItsServer(t *testing.T) {
	events, err := open(t, true, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintln(w, managed)
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := receive(t, events); !ok {
		t.Error("no event")
	}
	if event, ok := receive(t, events); ok {
		t.Errorf("after the end: %+v", event)
	}
}
