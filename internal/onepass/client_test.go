// SPDX-License-Identifier: Apache-2.0

package onepass

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metafuzzer "k8s.io/apimachinery/pkg/apis/meta/fuzzer"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/randfill"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
)

// asked is a request as a server saw it.
type asked struct{ method, target, contentType, accept, body string }

// server answers every request alike, and remembers the last one.
type server struct {
	status      int
	contentType string
	answer      []byte
	last        asked
}

func (s *server) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, _ := io.ReadAll(request.Body)
	s.last = asked{request.Method, request.URL.RequestURI(), request.Header.Get("Content-Type"), request.Header.Get("Accept"), strings.TrimSpace(string(body))}
	w.Header().Set("Content-Type", s.contentType)
	w.WriteHeader(s.status)
	_, _ = w.Write(s.answer)
}

// clients are client-go's and ours, of the same server.
func clients(t *testing.T, s *server) (theirs client.WithWatch, ours *Client) {
	t.Helper()
	listening := httptest.NewServer(s)
	t.Cleanup(listening.Close)
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{v1alpha1.AddToScheme, corev1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	mapper := meta.NewDefaultRESTMapper(nil)
	mapper.Add(v1alpha1.GroupVersion.WithKind(kind), meta.RESTScopeNamespace)
	mapper.Add(corev1.SchemeGroupVersion.WithKind("Secret"), meta.RESTScopeNamespace)
	config := &rest.Config{Host: listening.URL, QPS: -1}
	theirs, err := client.NewWithWatch(config, client.Options{Scheme: scheme, Mapper: mapper, HTTPClient: listening.Client()})
	if err != nil {
		t.Fatal(err)
	}
	if ours, err = NewClient(theirs, config, listening.Client()); err != nil {
		t.Fatal(err)
	}
	return theirs, ours
}

// writes are those that Client does itself.
func writes() map[string]func(client.Client, context.Context, *v1alpha1.WebhookDelivery) error {
	return map[string]func(client.Client, context.Context, *v1alpha1.WebhookDelivery) error{
		"create": func(c client.Client, ctx context.Context, d *v1alpha1.WebhookDelivery) error { return c.Create(ctx, d) },
		"status": func(c client.Client, ctx context.Context, d *v1alpha1.WebhookDelivery) error {
			return c.Status().Update(ctx, d)
		},
		"delete": func(c client.Client, ctx context.Context, d *v1alpha1.WebhookDelivery) error {
			return c.Delete(ctx, d, client.Preconditions{UID: &d.UID, ResourceVersion: &d.ResourceVersion})
		},
	}
}

// TestClientWritesAsClientGo: the same requests, and the same objects out of the
// same answers, with everything in them that a delivery can hold.
func TestClientWritesAsClientGo(t *testing.T) {
	for name, write := range writes() {
		t.Run(name, func(t *testing.T) {
			s := &server{status: http.StatusOK, contentType: "application/json"}
			theirs, ours := clients(t, s)
			filler := randfill.NewWithSeed(11).NilChance(0.3).NumElements(0, 4).Funcs(metafuzzer.Funcs(codecs)...)
			for i := range 100 {
				sent, stored := &v1alpha1.WebhookDelivery{}, &v1alpha1.WebhookDelivery{}
				filler.Fill(sent)
				filler.Fill(stored)
				sent.Namespace, sent.Name = "team", fmt.Sprintf("dlv-%d", i)
				stored.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
				stored.Spec.Payload = "{\"a\":\"\\u00e9 <&> \x80 \u2028\"}" + strings.Repeat("x", i*100)
				stored.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "m", FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(`{"f:x":{"]}":"\""}}`)}}
				var err error
				if s.answer, err = json.Marshal(stored); err != nil {
					t.Fatal(err)
				}
				want, got := sent.DeepCopy(), sent.DeepCopy()
				if err := write(theirs, t.Context(), want); err != nil {
					t.Fatal(err)
				}
				asked := s.last
				if err := write(ours, t.Context(), got); err != nil {
					t.Fatal(err)
				}
				if s.last != asked {
					t.Fatalf("asked %+v, client-go %+v", s.last, asked)
				}
				if name != "delete" { // which leaves the object alone
					want.ManagedFields = nil
				}
				if !reflect.DeepEqual(got, want) {
					t.Fatalf("got %+v, want %+v", got, want)
				}
			}
		})
	}
}

// TestClientFailsAsClientGo: errors are those that callers tell apart, and what
// was to be written is not changed by them.
func TestClientFailsAsClientGo(t *testing.T) {
	conflict, err := json.Marshal(metav1.Status{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusFailure, Code: http.StatusConflict, Reason: metav1.StatusReasonConflict,
		Message: "the object has been modified", Details: &metav1.StatusDetails{Group: v1alpha1.GroupVersion.Group, Kind: resource, Name: "dlv-1"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]*server{
		"a Status":                      {http.StatusConflict, "application/json", conflict, asked{}},
		"a Status that nobody knows":    {http.StatusTeapot, "application/json", conflict, asked{}},
		"text":                          {http.StatusBadGateway, "text/plain", []byte("no healthy upstream"), asked{}},
		"a body that is no JSON at all": {http.StatusForbidden, "application/json", []byte("<html>"), asked{}},
	} {
		for doing, write := range writes() {
			t.Run(name+", "+doing, func(t *testing.T) {
				theirs, ours := clients(t, s)
				before := &v1alpha1.WebhookDelivery{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "dlv-1"}}
				want := write(theirs, t.Context(), before.DeepCopy())
				after := before.DeepCopy()
				got := write(ours, t.Context(), after)
				if got == nil || want == nil || got.Error() != want.Error() || apierrors.ReasonForError(got) != apierrors.ReasonForError(want) {
					t.Errorf("got %v, client-go %v", got, want)
				}
				if !reflect.DeepEqual(after, before) {
					t.Errorf("it is now %+v, was %+v", after, before)
				}
			})
		}
	}
}

// TestClientReadsNothingElse: a yes that holds no delivery is none.
func TestClientReadsNothingElse(t *testing.T) {
	for name, answer := range map[string]string{
		"another kind": `{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"no"}`,
		"no kind":      `{"metadata":{"name":"dlv-1"}}`,
		"half of one":  `{"kind":"WebhookDelivery","metadata":{"name":"dlv-1"`,
		"nothing":      ``,
	} {
		for _, doing := range []string{"create", "status"} {
			t.Run(name+", "+doing, func(t *testing.T) {
				_, ours := clients(t, &server{status: http.StatusOK, contentType: "application/json", answer: []byte(answer)})
				before := &v1alpha1.WebhookDelivery{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "dlv-1"}}
				after := before.DeepCopy()
				if err := writes()[doing](ours, t.Context(), after); err == nil || !strings.Contains(err.Error(), "team/dlv-1") {
					t.Errorf("got %v, want an error that names the delivery", err)
				}
				if !reflect.DeepEqual(after, before) {
					t.Errorf("it is now %+v, was %+v", after, before)
				}
			})
		}
	}
}

// TestClientLeavesTheRest: other kinds, and options that it does not know.
func TestClientLeavesTheRest(t *testing.T) {
	const secretText = `{"kind":"Secret","apiVersion":"v1","metadata":{"name":"one","namespace":"team"}}`
	const deliveryText = `{"kind":"WebhookDelivery","apiVersion":"bbmcp.quietstack.com/v1alpha1","metadata":{"name":"one","namespace":"team"}}`
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "one"}}
	delivery := &v1alpha1.WebhookDelivery{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "one"}}
	for name, c := range map[string]struct {
		answer string
		do     func(client.Client) error
		target string
	}{
		"create of another kind": {secretText, func(c client.Client) error { return c.Create(t.Context(), secret) }, "/api/v1/namespaces/team/secrets"},
		"delete of another kind": {secretText, func(c client.Client) error { return c.Delete(t.Context(), secret) }, "/api/v1/namespaces/team/secrets/one"},
		"create with options": {
			deliveryText, func(c client.Client) error { return c.Create(t.Context(), delivery, client.DryRunAll) },
			"/apis/bbmcp.quietstack.com/v1alpha1/namespaces/team/webhookdeliveries?dryRun=All",
		},
		"status with options": {
			deliveryText, func(c client.Client) error { return c.Status().Update(t.Context(), delivery, client.FieldOwner("me")) },
			"/apis/bbmcp.quietstack.com/v1alpha1/namespaces/team/webhookdeliveries/one/status?fieldManager=me",
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := &server{status: http.StatusOK, contentType: "application/json", answer: []byte(c.answer)}
			_, ours := clients(t, s)
			if err := c.do(ours); err != nil {
				t.Fatal(err)
			}
			if s.last.target != c.target {
				t.Errorf("asked for %s, want %s", s.last.target, c.target)
			}
		})
	}
}

// BenchmarkAnswer reads the answer to a status write of a delivery of 1 KiB.
func BenchmarkAnswer(b *testing.B) {
	text, err := json.Marshal(example())
	if err != nil {
		b.Fatal(err)
	}
	factory := serializer.WithoutConversionCodecFactory{CodecFactory: codecs}
	info, _ := runtime.SerializerInfoForMediaType(factory.SupportedMediaTypes(), runtime.ContentTypeJSON)
	clientGo := factory.DecoderToVersion(info.Serializer, v1alpha1.GroupVersion)
	for name, read := range map[string]func() error{
		"client-go": func() error { _, _, err := clientGo.Decode(text, nil, &v1alpha1.WebhookDelivery{}); return err },
		"one pass":  func() error { _, err := decodeDelivery(text); return err },
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				if err := read(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
